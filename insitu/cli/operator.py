"""`insitu hold`, `insitu release` and `insitu resume`: the operator always wins.

An order is a JSON file renamed into the inbox of the run; the running process polls it and logs it as `operator`.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from insitu.cli.options import DATA_ROOT, AsJson, DataRoot, Operator, Run, operator_name
from insitu.cli.say import answer
from insitu.errors import UsageError

Reason = Annotated[str, typer.Option("--reason", "-m", help="Why; it is written into the log of the run.")]
DONE = {"hold": "held", "release": "released", "resume": "resumed"}
WAIT_S = 5.0
"""How long to wait until the run has logged the order."""


def hold(
    run: Run = "last",
    reason: Reason = "",
    operator: Operator = "",
    data_root: DataRoot = DATA_ROOT,
    as_json: AsJson = False,
) -> int:
    """Hold a running run: it goes on recording, but no decision is carried out until it is released."""
    return _order("hold", run, reason, operator, data_root, as_json)


def release(
    run: Run = "last",
    reason: Reason = "",
    operator: Operator = "",
    data_root: DataRoot = DATA_ROOT,
    as_json: AsJson = False,
) -> int:
    """Release a run that was held: decisions are carried out again."""
    return _order("release", run, reason, operator, data_root, as_json)


def resume(
    run: Run = "last",
    reason: Reason = "",
    operator: Operator = "",
    data_root: DataRoot = DATA_ROOT,
    as_json: AsJson = False,
) -> int:
    """Let a run go on that a rule has paused; the rule stays overruled until it has let go once."""
    return _order("resume", run, reason, operator, data_root, as_json)


def _order(
    command: Literal["hold", "release", "resume"], run: str, reason: str, operator: str, data_root: Path, as_json: bool
) -> int:
    from insitu.catalog import find_run
    from insitu.cli.status import state
    from insitu.store.runs import StoredRun

    path = find_run(run, data_root)
    with StoredRun(path) as stored:
        found, uid = state(stored), stored.uid
    if found not in ("running", "held"):
        raise UsageError(
            f"this run is not going on, so there is nothing to {command}",
            where=str(path),
            remedy=f"It is {found}; name the run that is going on (`insitu status`)",
        )
    body: dict[str, Any] = {
        "command": command,
        "operator": operator_name(operator),
        "time_ns": time.time_ns(),
        "reason": reason,
    }
    post(path, body)
    logged = _logged(path, body["time_ns"])
    refused = "" if logged is None else str(logged.get("refused", ""))
    if logged is None:
        told = (
            f"The order to {command} lies in the inbox of run {uid}, but the run has not logged it within {WAIT_S:g} "
            "s: its process may be hanging. `insitu status` shows when it takes the order."
        )
    else:
        told = f"Run {uid}: {refused}." if refused else f"Run {uid} is {DONE[command]}."
    found = {"run_uid": uid, "path": str(path), "logged": logged is not None, **body}
    answer(found | ({"refused": refused} if refused else {}), told, as_json=as_json)
    return 1 if logged is None or refused else 0


def post(path: Path, order: dict[str, Any]) -> Path:
    """Puts an order into the inbox, whole or not at all."""
    import orjson

    inbox = path / "inbox"
    inbox.mkdir(exist_ok=True)
    name = f"{order['time_ns']}-{os.getpid()}.json"
    temporary = inbox / f".{name}.tmp"
    temporary.write_bytes(orjson.dumps(order, option=orjson.OPT_SORT_KEYS))
    return temporary.rename(inbox / name)


def _logged(path: Path, time_ns: int) -> dict[str, Any] | None:
    """The order as the run logs it; None where it does not before the time is over."""
    from insitu.store.runs import StoredRun

    end = time.monotonic() + WAIT_S
    while time.monotonic() < end:
        with StoredRun(path) as stored:
            for entry in stored.entries("operator"):
                if entry.body.get("time_ns") == time_ns:
                    return entry.body
        time.sleep(0.05)
    return None
