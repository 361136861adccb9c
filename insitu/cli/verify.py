"""`insitu verify`: re-derives every record from the stored frames and checks every byte, and names what differs."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from insitu.cli.options import DATA_ROOT, AsJson, DataRoot, Processes, Run
from insitu.cli.say import answer, table

SHOWN = 20
"""How many findings are printed for people; `--json` has all."""


def verify(
    run: Run = "last", data_root: DataRoot = DATA_ROOT, processes: Processes = 0, as_json: AsJson = False
) -> int:
    """Prove a stored run: chain, digests, counts, and every record computed again. Exit 1 if anything differs."""
    from insitu.catalog import find_run
    from insitu.replay import verify as prove

    path = find_run(run, data_root)
    shown = sys.stderr.isatty() and not as_json
    report = prove(path, progress=_progress if shown else None, processes=processes or None)
    if shown:
        print("\r\033[K", end="", file=sys.stderr, flush=True)
    body = report.as_dict()
    answer(body, _text(body), as_json=as_json)
    return 0 if report.identical else 1


def _progress(what: str, done: int, total: int) -> None:
    """Rewrites one line on the terminal."""
    of = f" of {total:,}" if total else ""
    print(f"\rverifying {what}: {done:,}{of}\033[K", end="", file=sys.stderr, flush=True)


def _text(body: Mapping[str, Any]) -> str:
    findings = body["findings"]
    count = f"{len(findings)} finding{'' if len(findings) == 1 else 's'}"
    rows = [
        ("run", body["uid"]),
        ("path", body["path"]),
        ("checked", f"{body['files']:,} files, {body['frames']:,} frames, {body['records']:,} records"),
        ("records", f"compared {body['mode']}"),
        ("head", body["head"]),
    ]
    rows += [("environment", f"{name}: {then} then, {now} now") for name, (then, now) in body["environment"].items()]
    rows += [("note", text) for text in body["notes"]]
    lines = ["Identical." if body["identical"] else f"NOT identical: {count}."]
    lines += [f"  {finding['where']}: {finding['what']}" for finding in findings[:SHOWN]]
    if len(findings) > SHOWN:
        lines.append(f"  and {len(findings) - SHOWN} more (--json lists all)")
    lines.append(table(row for row in rows if row[1]))
    if findings:
        lines.append(
            "Keep the folder as it is; the first finding is where to look. A good copy elsewhere can replace it."
        )
    return "\n".join(lines)
