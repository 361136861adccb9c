"""`insitu export`: the records of a run as a table with units (CSV) or as JSON lines.

The arrays themselves need no export: `xarray.open_zarr(RUN/raw.zarr, group=SOURCE/SEGMENT)` reads them as they are.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TextIO

import typer

from insitu.cli.options import DATA_ROOT, AsJson, DataRoot, Run
from insitu.cli.say import answer
from insitu.errors import StorageError, UsageError

if TYPE_CHECKING:
    from insitu.store.runs import StoredRun

Format = Literal["csv", "jsonl"]


def export(
    run: Run = "last",
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="Where to write.")] = Path(),
    form: Annotated[
        Format | None, typer.Option("--format", help="Without it, the file's name tells.", show_default=False)
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it is there.")] = False,
    data_root: DataRoot = DATA_ROOT,
    as_json: AsJson = False,
) -> int:
    """Write the records of a run as CSV or JSON lines."""
    from insitu.catalog import find_run
    from insitu.store.runs import StoredRun

    if output == Path():
        raise UsageError("export needs a file to write", remedy="Give one: -o records.csv")
    form = form or _form(output)
    with StoredRun(find_run(run, data_root)) as stored, replacing(output, force=force) as file:
        count = to_csv(stored, file) if form == "csv" else to_jsonl(stored, file)
        uid = stored.uid
    body = {"run_uid": uid, "output": str(output), "format": form, "records": count}
    answer(body, f"Wrote {count:,} records of run {uid} to {output}.", as_json=as_json)
    return 0


def refuse_existing(output: Path, *, force: bool) -> None:
    """Raise where a file would be overwritten that the user did not mean to lose, or cannot be written at all."""
    if output.exists() and not force:
        raise UsageError("this file is there already", where=str(output), remedy="Name another, or add --force")
    if not output.parent.is_dir():
        raise StorageError("there is no such folder", where=str(output.parent), remedy="Make it, or name another file")


@contextmanager
def replacing(output: Path, *, force: bool) -> Iterator[TextIO]:
    """A text file that appears under its name only when it is whole."""
    refuse_existing(output, force=force)
    part = output.with_name(f".{output.name}.part")
    try:
        with part.open("w", encoding="utf-8", newline="") as file:
            yield file
        part.replace(output)
    finally:
        part.unlink(missing_ok=True)


def _form(output: Path) -> Format:
    forms: dict[str, Format] = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl"}
    if output.suffix.lower() not in forms:
        raise UsageError(
            f"the name {output.name!r} does not tell the format", expected=", ".join(forms), remedy="Or give --format"
        )
    return forms[output.suffix.lower()]


def to_jsonl(run: StoredRun, file: TextIO) -> int:
    """One canonical record a line; returns how many."""
    count = 0
    for _, packed in run.record_bytes():
        file.write(packed.decode() + "\n")
        count += 1
    return count


def to_csv(run: StoredRun, file: TextIO) -> int:
    """A header with units, then a line per record; returns how many.

    Each feature has its value, `_sigma` where any record has one, and `_why` where any record has no value.
    """
    columns = _columns(run)
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(f"{name} [{unit}]" if unit else name for name, unit in columns)
    count = 0
    for record in run.records():
        cells = dict(_cells(record))
        writer.writerow(cells.get(name, ("", ""))[0] for name, _ in columns)
        count += 1
    return count


def _columns(run: StoredRun) -> list[tuple[str, str]]:
    """(name, unit) of every column that any record fills, related ones side by side."""
    units: dict[str, str] = {}
    order: dict[str, None] = {}
    for record in run.records():
        previous: str | None = None
        for name, (_, unit) in _cells(record):
            if name not in units:
                units[name] = unit
                order = _after(order, previous, name)
            previous = name
    return [(name, units[name]) for name in order]


def _after(order: dict[str, None], previous: str | None, name: str) -> dict[str, None]:
    """`order` with `name` put behind `previous`: a column that a later record brings lands beside its neighbours."""
    names = list(order)
    names.insert(names.index(previous) + 1 if previous is not None else 0, name)
    return dict.fromkeys(names)


def _cells(record: Mapping[str, Any]) -> Iterator[tuple[str, tuple[Any, str]]]:
    """(column, (value, unit)) of everything a record says."""
    for name in ("n", "source", "seq", "source_seq"):
        yield name, (record.get(name), "")
    yield "time_ns", (record["time_ns"], "ns since 1970-01-01 UTC")
    yield "role", (record.get("role", "sample"), "")
    yield from _features(record.get("context", {}))
    yield from _features(record["features"])
    for key, text in record.get("labels", {}).items():
        yield f"label_{key}", (text, "")
    for name, verdict in record["verdicts"].items():
        yield f"{name}_label", (verdict["label"], "")
        yield f"{name}_score", (verdict.get("score"), "")
        yield f"{name}_reason", (verdict["reason"], "")
    for name in ("action", "rule", "reason"):
        yield name, (record["decision"].get(name), "")


def _features(features: Mapping[str, Any]) -> Iterator[tuple[str, tuple[Any, str]]]:
    for key, feature in features.items():
        yield key, (feature["value"], feature["unit"])
        if "sigma" in feature:
            yield f"{key}_sigma", (feature["sigma"], feature["unit"])
        if feature["value"] is None:
            yield f"{key}_why", (feature["why"], "")
