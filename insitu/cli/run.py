"""`insitu run`: runs a recipe on live sources or files, shows what happens, and says how it ended."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import typer

from insitu.cli.live import watching
from insitu.cli.options import DATA_ROOT, AsJson, DataRoot, Inputs, Operator, Recipe, Sets, Verbose, operator_name
from insitu.cli.pvs import serving
from insitu.cli.remarks import remarks
from insitu.cli.say import answer, size, span, table, trouble

Mode = Annotated[
    Literal["advise", "act"],
    typer.Option("--mode", help="advise: decisions are shown and recorded; act: they are also carried out."),
]


def run(
    recipe: Recipe,
    inputs: Inputs = None,
    data_root: DataRoot = DATA_ROOT,
    mode: Mode = "advise",
    sets: Sets = None,
    operator: Operator = "",
    continues: Annotated[str, typer.Option(metavar="RUN", help="The run that this one goes on from.")] = "",
    pvs: Annotated[
        str, typer.Option(metavar="PREFIX[=FEATURES]", help="Serve what it says as PVs, such as BL1:INSITU=peak1_*.")
    ] = "",
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> int:
    """Run a recipe: store every frame, measure it, judge it."""
    from insitu.config import load

    setup = load(recipe, inputs=inputs, sets=sets or ())
    if continues:
        from insitu.catalog import find_run

        continues = find_run(continues, data_root).name
    from insitu.run import run as execute

    shown = verbose or not as_json
    with remarks(shown=shown) as told, watching(shown=shown) as view, serving(setup, pvs, view) as served:
        summary = execute(
            setup,
            data_root=data_root,
            mode=mode,
            operator=operator_name(operator),
            continues=continues,
            observer=served.observer,
            watch=served.watch,
        )
    body = summary.as_dict()
    body["notes"] += told.notes() + served.notes
    if summary.exit_code != 4:  # else its ledger is better left alone
        body["notes"] += unseen(summary.path)
    if setup.chosen:
        from pathlib import Path

        from insitu.rollout.steps import canaries_of

        body["notes"] += canaries_of(setup, Path(summary.path))
    answer(body, ending(body), as_json=as_json)
    return summary.exit_code


def unseen(path: str) -> list[str]:
    """What was never measured or judged; see `insitu.cli.silence`."""
    from pathlib import Path

    from insitu.cli.silence import silence
    from insitu.store.runs import StoredRun

    with StoredRun(Path(path)) as run:
        return silence(run)


def ending(body: Mapping[str, Any]) -> str:
    """How a run ended, for people: the outcome first, then the counts, then what to do next."""
    frames, analysis = body["frames"], body["analysis"]
    raw = body["bytes"].get("raw") or 0
    rows = [("run", body["run_uid"]), ("stored in", body["path"])]
    if frames["expected"]:  # a derived run has none of its own
        rows.append(("frames", f"{frames['stored']:,} stored of {frames['expected']:,} expected, {size(raw)}"))
    rows.append(("analysis", f"{analysis['analysed']:,} analysed, {body['records']:,} records"))
    rows.append(
        ("decisions", ", ".join(f"{count:,} {action}" for action, count in body["decisions"].items()) or "none")
    )
    edge = body["latency_ms"].get("edge")
    if edge and frames["expected"]:
        worst = f"{span(edge['p99'] / 1e3)} for 99 of 100, {span(edge['max'] / 1e3)} at most"
        rows.append(("latency", f"from frame to decision {span(edge['p50'] / 1e3)} (median), {worst}"))
    rows.append(("trouble", trouble(frames, analysis) or "none"))
    rows += [("note", text) for text in body.get("notes", ())]
    remedy = body.get("error", {}).get("remedy", "")
    if remedy and remedy not in body["reason"]:
        rows.append(("remedy", remedy))
    head = f"{body['ended'].capitalize()}: {body['reason']}"
    return f"{head}\n{table(rows)}\nNext: insitu why {body['path']}"
