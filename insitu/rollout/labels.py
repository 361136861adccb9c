"""Labels that a person gave to stored frames: a table with the columns `frame` (its address) and `label`."""

from __future__ import annotations

import csv
from pathlib import Path

from insitu.errors import UsageError

COLUMNS = ("frame", "label")


def parts_of(address: str, where: str = "") -> tuple[str, str, int]:
    """Run, source and number of a frame's address. Raises `UsageError`."""
    run, _, rest = address.removeprefix("insitu:").partition("/")
    source, _, seq = rest.rpartition("/")
    if not (address.startswith("insitu:") and run and source and seq.isascii() and seq.isdecimal()):
        raise UsageError(f"{address!r} is no address of a frame", where=where, expected="insitu:RUN/SOURCE/NUMBER")
    return run, source, int(seq)


def read_labels(path: Path) -> dict[str, str]:
    """{address of a frame: label}, of the rows that have a label. Raises `UsageError` with file and line."""
    found: dict[str, str] = {}
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            table = csv.DictReader(file, strict=True)
            if not set(COLUMNS) <= set(table.fieldnames or ()):
                raise UsageError(
                    "this is no table of labels",
                    where=f"{path}:1",
                    expected=f"the columns {', '.join(COLUMNS)}, as `insitu label` writes them",
                )
            for row in table:
                frame, label = (row["frame"] or "").strip(), (row["label"] or "").strip()
                parts_of(frame, where=f"{path}:{table.line_num}")
                if label and found.setdefault(frame, label) != label:
                    raise UsageError(
                        f"{frame} is labelled {found[frame]!r} and {label!r}", where=f"{path}:{table.line_num}"
                    )
    except (OSError, UnicodeDecodeError, csv.Error) as e:
        raise UsageError(f"the labels cannot be read: {e}", where=str(path)) from e
    return found
