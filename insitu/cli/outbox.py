"""`insitu outbox`: what of a run has left, and sending the rest. The same code sends beside a running experiment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from insitu.cli.options import DATA_ROOT, AsJson, DataRoot, runs
from insitu.cli.say import answer, clock, note, size, span, table

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
IMPATIENT_S = 3.0
"""How long the second of several runs waits for a broker that took nothing of the first."""


def outbox(
    do: Annotated[Literal["status", "drain"], typer.Argument(help="status: what has left; drain: send the rest.")],
    which: Annotated[
        list[str] | None,
        typer.Argument(metavar="[RUN]...", autocompletion=runs, help="Paths, uids, or `last`, which is the default."),
    ] = None,
    data_root: DataRoot = DATA_ROOT,
    every: Annotated[bool, typer.Option("--all", help="Every run of the data root that has an outbox.")] = False,
    follow: Annotated[
        bool, typer.Option("--follow", help="drain: stay until the run is sealed and all is sent.")
    ] = False,
    bootstrap: Annotated[str, typer.Option(metavar="HOST:PORT", help="Another broker than the recipe's.")] = "",
    beamline: Annotated[str, typer.Option(help="Another beginning of the topic than the recipe's.")] = "",
    security: Annotated[Path | None, typer.Option(metavar="FILE", help="Another security file.")] = None,
    give_up: Annotated[float, typer.Option(metavar="SECONDS", help="drain: end when nothing goes for so long.")] = 30.0,
    as_json: AsJson = False,
) -> int:
    """Show what of runs has left, or send the rest of it to the broker. Several runs go oldest first."""
    from insitu.catalog import find_run

    _refuse(which, every=every, follow=follow)
    change = {"bootstrap": bootstrap, "beamline": beamline, "security": security}
    if every or len(which or ()) > 1:
        folders = _with_outbox(data_root) if every else sorted({find_run(r, data_root) for r in which or ()}, key=_age)
        return _several(folders, do, change, give_up_s=give_up, every=every, as_json=as_json)
    folder = find_run(which[0] if which else "last", data_root)
    to = _link(folder, **change)
    if do == "drain":
        _drain(folder, to, follow=follow, give_up_s=give_up)
    body = standing(folder, to)
    answer(body, _text(body), as_json=as_json)
    return 0 if do == "status" or body["complete"] else 5


def _refuse(which: Sequence[str] | None, *, every: bool, follow: bool) -> None:
    from insitu.errors import UsageError

    if every and which:
        raise UsageError("names of runs and --all", expected="one of them")
    if follow and (every or len(which or ()) > 1):
        raise UsageError("--follow stays with one run", remedy="Start one `insitu outbox drain RUN --follow` for each")


def _age(folder: Path) -> str:
    return folder.resolve().name  # a uid, in order of time


def _with_outbox(root: Path) -> list[Path]:
    """The runs that offered documents, or whose ledger cannot be read: then that must be said."""
    from insitu.catalog import runs as stored
    from insitu.errors import StorageError
    from insitu.sinks.sent import Outbox

    found = []
    for folder in stored(root):
        try:
            if Outbox(folder).last()[0]:
                found.append(folder)
        except StorageError:
            found.append(folder)
    return found


def _several(
    folders: list[Path], do: str, change: Mapping[str, Any], *, give_up_s: float, every: bool, as_json: bool
) -> int:
    """One after the other; what goes wrong with one is told and does not stop the others."""
    bodies: list[dict[str, Any]] = []
    silent: set[str] = set()  # brokers that took nothing
    for folder in folders:
        body = _one(folder, do, change, give_up_s, silent, every=every)
        bodies.append(body)
        if do == "drain":
            note(f"{body['run_uid']}: {_line(body)}")
    left = sum(body.get("waiting", 0) for body in bodies)
    complete = all(body["exit_code"] == 0 for body in bodies)
    rows = [(body["run_uid"], _line(body)) for body in bodies]
    text = table(rows) if rows else "No run here has an outbox."
    if left and do == "status":
        text += "\nNothing is lost; send the rest with: insitu outbox drain --all"
    answer({"runs": bodies, "waiting": left, "complete": complete}, text, as_json=as_json)
    return 0 if do == "status" or complete else 5


def _one(
    folder: Path, do: str, change: Mapping[str, Any], give_up_s: float, silent: set[str], *, every: bool
) -> dict[str, Any]:
    """`standing` of a run, with `exit_code`: 0 where nothing waits, else 5, or of the `error`."""
    from insitu.errors import InsituError, RunLockedError

    try:
        to = _link(folder, **change)
        before = standing(folder, to)
        if do == "drain" and before["waiting"]:
            impatient = to is not None and to.bootstrap in silent
            _drain(folder, to, follow=False, give_up_s=min(give_up_s, IMPATIENT_S) if impatient else give_up_s)
        body = standing(folder, to)
        if do == "drain" and body["waiting"] == before["waiting"] > 0:
            silent.add(body["bootstrap"])
        return {**body, "exit_code": 0 if body["complete"] else 5}
    except RunLockedError as e:
        # with --all, a run that its own forwarder is sending is in good hands
        return {**standing(folder, None), "error": e.as_dict(), "exit_code": 0 if every else e.exit_code}
    except InsituError as e:
        return {"run_uid": _age(folder), "path": str(folder), "error": e.as_dict(), "exit_code": e.exit_code}


def _link(folder: Path, bootstrap: str, beamline: str, security: Path | None) -> Link | None:
    """Where to send: the recipe's `[kafka]`, changed by the options."""
    from dataclasses import replace

    from insitu.config.tables import kafka
    from insitu.sinks.kafka import Link, stored_link

    kafka(beamline=beamline or "any", bootstrap=bootstrap)  # refused as in a recipe
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
    """Keys: run_uid, path, topic, bootstrap, documents, sent, waiting, bytes {offered, sent}, complete, sealed, state,
    problem, set_aside, sessions, latency_ms {net}, updated_ns."""
    from insitu.sinks.sent import Outbox, read_sent, waiting

    sent, found = read_sent(folder), Outbox(folder)
    last, nbytes = found.last()
    left = waiting(sent, last)
    return {
        "run_uid": found.uid(),
        "path": str(folder),
        "topic": sent.topic or (to.topic if to else ""),
        "bootstrap": sent.bootstrap or (to.bootstrap if to else ""),
        "documents": last,
        "sent": sent.documents,
        "waiting": left,
        "bytes": {"offered": nbytes, "sent": sent.bytes},
        "complete": not left and not sent.set_aside,
        "sealed": found.sealed,
        "state": sent.state,
        "problem": sent.problem,
        "set_aside": sent.set_aside,
        "sessions": sent.sessions,
        "latency_ms": {"net": sent.latency_ms()},
        "updated_ns": sent.updated_ns,
    }


def _line(body: Mapping[str, Any]) -> str:
    """One run of several."""
    if "error" in body:
        return body["error"]["what"]
    aside = f", {len(body['set_aside']):,} set aside" if body["set_aside"] else ""
    problem = f": {body['problem']}" if body["problem"] and body["waiting"] else ""
    return f"{body['sent']:,} sent, {body['waiting']:,} waiting{aside}{problem}"


def _text(body: Mapping[str, Any]) -> str:
    rows = [
        ("run", body["run_uid"]),
        ("to", f"{body['topic']} at {body['bootstrap']}" if body["topic"] else "nowhere: the recipe names no broker"),
        ("documents", f"{body['sent']:,} sent, {body['waiting']:,} waiting"),
        ("bytes", f"{size(body['bytes']['sent'])} sent of {size(body['bytes']['offered'])}"),
        ("state", WORDS[body["state"]] + (f": {body['problem']}" if body["problem"] else "")),
    ]
    if net := body["latency_ms"]["net"]:
        rows.append(("decision to broker", f"median {span(net['p50'] / 1e3)}, longest {span(net['max'] / 1e3)}"))
    if body["updated_ns"]:
        rows.append(("as of", clock(body["updated_ns"])))
    rows += [
        ("set aside", f"document {a['oid']} ({a['name']}, {size(a['bytes'])}): {a['why']}") for a in body["set_aside"]
    ]
    lines = [table(rows)]
    if body["waiting"] and body["topic"]:
        lines.append(f"Nothing is lost; send the rest with: insitu outbox drain {body['path']}")
    return "\n".join(lines)
