"""`insitu recover`: brings runs into order whose process was killed, and says what was found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from insitu.cli.options import DATA_ROOT, AsJson, DataRoot, runs
from insitu.cli.say import answer, size


def recover(
    run: Annotated[
        str, typer.Argument(metavar="[RUN]", autocompletion=runs, help="The run; without it, every unsealed one.")
    ] = "",
    data_root: DataRoot = DATA_ROOT,
    as_json: AsJson = False,
) -> int:
    """Seal runs that were killed: rebuild their views, cut what was never acknowledged. May be repeated."""
    from insitu.catalog import find_run
    from insitu.run.egress import recounted
    from insitu.store.recover import find_unsealed
    from insitu.store.recover import recover as mend

    paths = [find_run(run, data_root)] if run else find_unsealed(data_root)
    found = [mend(path, recount=recounted) for path in paths]
    text = "\n".join(map(told, found)) if found else f"No run under {data_root.resolve()} needs to be recovered."
    answer({"recovered": found}, text, as_json=as_json)
    return 0


def told(report: Mapping[str, Any]) -> str:
    """What was found in one run and done about it.

    >>> told({"path": "runs/2026-11-22/1f0c", "uid": "1f0c", "began": False, "already_sealed": False, "frames": 0})
    'Run 1f0c was killed before anything was acknowledged: nothing to recover, its folder may be deleted.'
    """
    uid = report["uid"]
    if not report.get("began", True):
        return f"Run {uid} was killed before anything was acknowledged: nothing to recover, its folder may be deleted."
    if report["already_sealed"]:
        return f"Run {uid} was already sealed ({report['ended']}, {report['frames']:,} frames): nothing to do."
    parts = [f"Run {uid} was killed while it ran. All {report['frames']:,} acknowledged frames are there"]
    if report.get("cut_bytes"):
        parts.append(f"{size(report['cut_bytes'])} that were never acknowledged were cut")
    if report.get("skipped"):
        parts.append(f"{report['skipped']:,} frames had not been judged (`insitu reanalyse {uid}` measures them)")
    if report.get("unfinished"):
        scans = ", ".join(f"{s['source']}/{s['seq']} ({s['points']} points)" for s in report["unfinished"])
        parts.append(f"scans without an end are kept in the ledger: {scans}")
    balance = "" if report.get("balanced", True) else " The counts do NOT balance: see `insitu verify`."
    return f"{'; '.join(parts)}. It is sealed as {report['ended']}.{balance}"
