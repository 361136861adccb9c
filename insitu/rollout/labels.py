"""Labels that a person gave to stored frames: a table with the columns `frame` (its address) and `label`."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from insitu.errors import UsageError

COLUMNS = ("frame", "label")


class Given(NamedTuple):
    """A label, and where it stands: file and line."""

    label: str
    where: str


def parts_of(address: str, where: str = "") -> tuple[str, str, int]:
    """Run, source and number of a frame's address. Raises `UsageError`."""
    run, _, rest = address.removeprefix("insitu:").partition("/")
    source, _, seq = rest.rpartition("/")
    if not (address.startswith("insitu:") and run and source and re.fullmatch("[0-9]{1,18}", seq)):
        raise UsageError(
            f"{address!r} is no address of a frame", where=where, expected="insitu:RUN/SOURCE/NUMBER",
            remedy="Leave the column `frame` as `insitu label choose` wrote it, or take the row out",
        )  # fmt: skip
    return run, source, int(seq)


def read_labels(path: Path) -> dict[str, str]:
    """{address of a frame: label}, of the rows that have a label. Raises `UsageError` with file and line."""
    return labels_of(read_given(path))


def labels_of(given: Mapping[str, Given]) -> dict[str, str]:
    """The labels alone."""
    return {address: one.label for address, one in given.items()}


def read_given(path: Path) -> dict[str, Given]:
    """As `read_labels`, with the line that each stands in."""
    found: dict[str, Given] = {}
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            table = csv.DictReader(file, strict=True)
            if not set(COLUMNS) <= set(table.fieldnames or ()):
                raise UsageError(
                    "this is no table of labels", where=f"{path}:1",
                    expected=f"the columns {', '.join(COLUMNS)}, as `insitu label` writes them",
                    remedy="Make one with `insitu label choose RUN -o FILE`, and save it as CSV with commas",
                )  # fmt: skip
            for row in table:
                frame, label = (row["frame"] or "").strip(), (row["label"] or "").strip()
                where = f"{path}:{table.line_num}"
                parts_of(frame, where=where)
                if label and (before := found.setdefault(frame, Given(label, where))).label != label:
                    raise UsageError(
                        f"{frame} is labelled {before.label!r} and {label!r}", where=where,
                        expected=f"one label for a frame; the other stands in line {before.where.rpartition(':')[2]}",
                        remedy="Take one of the rows out",
                    )  # fmt: skip
    except (OSError, UnicodeDecodeError, csv.Error) as e:
        raise UsageError(f"the labels cannot be read: {e}", where=str(path)) from e
    return found
