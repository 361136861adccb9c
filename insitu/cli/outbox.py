"""`insitu outbox`: what of a run has left, and sending the rest. The same code sends beside a running experiment."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from insitu.cli.options import DATA_ROOT, AsJson, DataRoot, Run
from insitu.cli.say import answer, clock, size, table

if TYPE_CHECKING:
    from insitu.sinks.kafka import Link

WORDS = {
    "never": "nothing was sent yet",
    "sending": "sending",
    "waiting": "waiting for the broker",
    "idle": "all that there is has been sent",
    "done": "everything has been sent",
    "ended": "the forwarder ended before everything was sent",
}


def outbox(
    do: Annotated[Literal["status", "drain"], typer.Argument(help="status: what has left; drain: send the rest.")],
    run: Run = "last",
    data_root: DataRoot = DATA_ROOT,
    follow: Annotated[
        bool, typer.Option("--follow", help="drain: stay until the run is sealed and all is sent.")
    ] = False,
    bootstrap: Annotated[str, typer.Option(metavar="HOST:PORT", help="Another broker than the recipe's.")] = "",
    beamline: Annotated[str, typer.Option(help="Another beginning of the topic than the recipe's.")] = "",
    security: Annotated[Path | None, typer.Option(metavar="FILE", help="Another security file.")] = None,
    give_up: Annotated[float, typer.Option(metavar="SECONDS", help="drain: end when nothing goes for so long.")] = 30.0,
    as_json: AsJson = False,
) -> int:
    """Show what of a run has left, or send the rest of it to the broker."""
    from insitu.catalog import find_run

    folder = find_run(run, data_root)
    to = _link(folder, bootstrap, beamline, security)
    if do == "drain":
        _drain(folder, to, follow=follow, give_up_s=give_up)
    body = standing(folder, to)
    answer(body, _text(body), as_json=as_json)
    return 0 if do == "status" or body["complete"] else 5


def _link(folder: Path, bootstrap: str, beamline: str, security: Path | None) -> Link | None:
    """Where to send: the recipe's `[kafka]`, changed by the options."""
    from dataclasses import replace

    from insitu.sinks.kafka import Link, stored_link

    stored = stored_link(folder)
    if stored is None:
        return Link(bootstrap=bootstrap, beamline=beamline, security=security) if bootstrap and beamline else None
    changes: dict[str, Any] = {"bootstrap": bootstrap, "beamline": beamline, "security": security}
    return replace(stored, **{key: value for key, value in changes.items() if value})


def _drain(folder: Path, to: Link | None, *, follow: bool, give_up_s: float) -> None:
    from insitu.errors import UsageError
    from insitu.sinks.forward import Forwarder
    from insitu.sinks.kafka import quiet

    if to is None:
        raise UsageError(
            "the recipe of this run names no broker", where=str(folder),
            expected="a [kafka] table with bootstrap and beamline",
            remedy="Give --bootstrap HOST:PORT and --beamline NAME",
        )  # fmt: skip
    quiet()
    Forwarder(folder, to).send_all(follow=follow, give_up_s=None if follow else give_up_s)


def standing(folder: Path, to: Link | None) -> dict[str, Any]:
    """Keys: run_uid, path, topic, bootstrap, documents, sent, waiting, bytes {offered, sent}, complete, state, problem,
    set_aside, sessions, updated_ns."""
    from insitu.sinks.sent import Outbox, read_sent

    sent = read_sent(folder)
    last, nbytes = Outbox(folder).last()
    return {
        "run_uid": folder.resolve().name,
        "path": str(folder),
        "topic": sent.topic or (to.topic if to else ""),
        "bootstrap": sent.bootstrap or (to.bootstrap if to else ""),
        "documents": last,
        "sent": sent.documents,
        "waiting": last - sent.oid,
        "bytes": {"offered": nbytes, "sent": sent.bytes},
        "complete": last == sent.oid and not sent.set_aside,
        "state": sent.state,
        "problem": sent.problem,
        "set_aside": sent.set_aside,
        "sessions": sent.sessions,
        "updated_ns": sent.updated_ns,
    }


def _text(body: Mapping[str, Any]) -> str:
    rows = [
        ("run", body["run_uid"]),
        ("to", f"{body['topic']} at {body['bootstrap']}" if body["topic"] else "nowhere: the recipe names no broker"),
        ("documents", f"{body['sent']:,} sent, {body['waiting']:,} waiting"),
        ("bytes", f"{size(body['bytes']['sent'])} sent of {size(body['bytes']['offered'])}"),
        ("state", WORDS[body["state"]] + (f": {body['problem']}" if body["problem"] else "")),
    ]
    if body["updated_ns"]:
        rows.append(("as of", clock(body["updated_ns"])))
    rows += [
        ("set aside", f"document {a['oid']} ({a['name']}, {size(a['bytes'])}): {a['why']}") for a in body["set_aside"]
    ]
    lines = [table(rows)]
    if body["waiting"] and body["topic"]:
        lines.append(f"Nothing is lost; send the rest with: insitu outbox drain {body['path']}")
    return "\n".join(lines)
