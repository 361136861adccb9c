"""`verify`: prove that a run is whole and that its records follow from its raw data, or name what does not.

Checked: the digest of every file against the seal, the chain of the log, the checksum and digest of every frame, the
counts, and every record derived again: byte for byte, or within each feature's declared tolerance where the
environment is another one. A chain beside its data proves integrity only against a head that is held elsewhere.
"""

import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from insitu.config import Setup, load_stored
from insitu.errors import InsituError
from insitu.replay import beside
from insitu.replay.difference import difference
from insitu.replay.rederive import rederive
from insitu.run.environment import environment
from insitu.store.canonical import digest_array
from insitu.store.ledger import START, link
from insitu.store.lock import is_locked
from insitu.store.outbox import account
from insitu.store.runs import StoredRun
from insitu.store.seal import digest_file, seal_bytes, sealed_files

MOST_FINDINGS = 100
BYTES, TOLERANCE = "byte for byte", "within tolerance"
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it should be: `where` names the file, entry or frame."""

    where: str
    what: str

    def as_dict(self) -> dict[str, str]:
        return {"where": self.where, "what": self.what}


@dataclass(slots=True)
class Report:
    """What `verify` found. `identical`: nothing at all. `mode`: how the records compared. `head`: the chain's head,
    to be compared with one that is held elsewhere."""

    path: str
    uid: str = ""
    sealed: bool = False
    head: str = ""
    mode: str = BYTES
    frames: int = 0
    records: int = 0
    files: int = 0
    environment: dict[str, list[str]] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def identical(self) -> bool:
        return not self.findings

    def add(self, where: str, what: str) -> None:
        if len(self.findings) < MOST_FINDINGS:
            self.findings.append(Finding(where, what))

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        body = {name: getattr(self, name) for name in self.__slots__}
        body["findings"] = [f.as_dict() for f in self.findings]
        return {**body, "identical": self.identical}


def verify(path: Path, *, progress: Progress | None = None, processes: int | None = None) -> Report:
    """Check one run folder, sealed or not. Never changes anything; raises `InsituError` only where it is no run.
    `processes`: at most so many measure frames (None: as many as processors are idle, where that pays)."""
    report, told = Report(path=str(path)), progress or (lambda what, done, total: None)
    report.sealed = (path / "seal.json").exists()
    sealed_head = _files(path, report, told) if report.sealed else ""
    try:
        with StoredRun(path) as run:
            _run(run, report, sealed_head, told, processes)
    except InsituError as e:
        if not report.findings:
            report.add(e.where or str(path), e.what)
    except (sqlite3.Error, OSError, ArithmeticError, ValueError, LookupError, TypeError, AttributeError) as e:
        report.add("ledger.db", f"cannot be read: {type(e).__name__}: {e}")
    return report


def _run(run: StoredRun, report: Report, sealed_head: str, told: Progress, processes: int | None) -> None:
    report.uid = run.uid
    if not report.sealed:
        run.stand_still()
    _chain(run, report, sealed_head)
    if not report.sealed:
        alive = is_locked(run.path)
        report.notes.append("the run is still being written" if alive else "not sealed: `insitu recover` seals it")
    _counts(run, report)
    _outbox(run, report)
    _frames(run, report, told)
    for check in (beside.settings, beside.quarantine, *([beside.views] if report.sealed else [])):
        for where, what in check(run):
            if all(f.where != where for f in report.findings):
                report.add(where, what)
    if not report.findings:  # damage is named above; what follows from damaged data proves nothing
        _records(run, report, told, processes)


def _files(path: Path, report: Report, told: Progress) -> str:
    """Digest of every file against the seal; the head that the seal holds."""
    stored = (path / "seal.json").read_bytes()
    try:
        body = orjson.loads(stored)["body"]
        whole = seal_bytes(body) == stored
    except (orjson.JSONDecodeError, KeyError, TypeError):
        whole, body = False, {"files": {}, "head": ""}
    if not whole:
        report.add("seal.json", "is not as it was written: its own digest does not fit")
        return ""
    present = {str(p) for p in sealed_files(path)}
    wal = path / "ledger.db-wal"
    if wal.exists() and wal.stat().st_size:
        report.add(wal.name, "holds changes to the ledger that were made after the seal")
    report.files = len(body["files"])
    for i, (name, expected) in enumerate(sorted(body["files"].items())):
        told("files", i + 1, report.files)
        if name not in present:
            report.add(name, "is missing")
        elif digest_file(path / name) != expected["digest"]:
            size = (path / name).stat().st_size
            more = f" ({size} bytes instead of {expected['bytes']})" if size != expected["bytes"] else ""
            report.add(name, f"has changed since the run was sealed{more}")
    for name in sorted(present - body["files"].keys()):
        report.add(name, "is not part of the sealed run")
    return body["head"]


def _chain(run: StoredRun, report: Report, sealed_head: str) -> None:
    previous, expected_id = START, 0
    for e in run.raw_entries():
        previous = link(previous, e.kind, e.body)
        if e.id != expected_id or previous != e.hash:
            report.add(f"ledger.db: entry {e.id} ({e.kind})", "does not follow from the entries before it")
            return
        n = orjson.loads(e.body).get("n")
        if n != e.n:
            report.add(f"ledger.db: entry {e.id} ({e.kind})", f"is filed under n = {e.n}, but says n = {n}")
            return
        expected_id = e.id + 1
    report.head = previous.hex()
    if sealed_head and sealed_head != report.head:
        report.add("ledger.db", "its head is not the one in seal.json: entries were added or cut")


def _counts(run: StoredRun, report: Report) -> None:
    tally = run.tally()
    if not tally.balanced:
        report.add("ledger.db: counts", f"do not balance: {tally.as_dict()['sources']}")
    seal = run.seal_body()
    if seal is not None:
        if seal["counts"] != tally.as_dict():
            report.add("ledger.db: seal", "its counts are not those of the log")
        if tally.pending:
            report.add("ledger.db: counts", f"{tally.pending} frames are neither analysed, shed nor skipped")


def _outbox(run: StoredRun, report: Report) -> None:
    """What was offered to leave, against the account in the seal, and the head in the stop document."""
    seal = run.seal_body()
    if seal is None:
        return
    egress, stop = account(run.connection)
    expected = seal.get("egress")
    if expected is None:
        if egress.documents or stop:
            report.add("ledger.db: outbox", "holds documents that the seal does not know of")
        return
    found = egress.manifest()
    for name in found:
        if found[name] != expected[name]:
            report.add("ledger.db: outbox", f"its {name} {found[name]} is not that of the seal, {expected[name]}")
            return
    if stop is None or stop["insitu"]["head"] != report.head:
        report.add("ledger.db: outbox", "its stop document does not hold the head of the chain")


def _frames(run: StoredRun, report: Report, told: Progress) -> None:
    """Every array of every frame: place, checksum, digest."""
    for e in run.entries("frame"):
        n, body = e.n if e.n is not None else -1, e.body
        where = f"frame {body['source']}/{body['seq']} (n = {n})"
        places = {p.array: p for p in run.places(n)}
        report.frames += 1
        if report.frames % 64 == 0:
            told("frames", report.frames, 0)
        if places.keys() != body["arrays"].keys():
            report.add(where, f"the ledger has places for {sorted(places)}, not for {sorted(body['arrays'])}")
            continue
        for name, digest in body["arrays"].items():
            p = places[name]
            try:
                if (p.source, p.seq) != (body["source"], body["seq"]) or digest_array(run.read(p)) != digest:
                    report.add(f"{run.chunk_path(p).relative_to(run.path)}: {where}", f"{name} has not its digest")
            except InsituError as error:
                report.add(f"{run.chunk_path(p).relative_to(run.path)}: {where}", error.what)


def _records(run: StoredRun, report: Report, told: Progress, processes: int | None) -> None:
    setup = load_stored(run.path)
    report.environment = _changed(run.path)
    for entry, body in run.open_body().get("bundles", {}).items():
        if setup.bundles.get(entry, {}).get("digest") != body["digest"]:
            report.add(f"recipe.toml: {entry}", f"its bundle is not {body['digest'][:19]}, as the log says")
            return
    outputs = {source: dict(promised) for source, promised in setup.outputs.items()}
    try:
        for stored, derived in _pairs(run, setup, processes):
            report.records += 1
            if report.records % 64 == 0:
                told("records", report.records, 0)
            if stored is None or derived is None:
                n = orjson.loads(stored or derived or b"{}").get("n")
                report.add(f"record n = {n}", "is not derived again" if derived is None else "is missing from the log")
                return
            if stored == derived:
                continue
            a, b = orjson.loads(stored), orjson.loads(derived)
            at = difference(a, b, outputs.get(a["source"], {}) if report.environment else {})
            if at:
                report.add(f"record n = {a['n']} ({a['source']}/{a['seq']})", at)
                return
            report.mode = TOLERANCE
    except InsituError as e:
        report.add(e.where or str(run.path), str(e))


def _pairs(run: StoredRun, setup: Setup, processes: int | None) -> Iterator[tuple[bytes | None, bytes | None]]:
    """Stored and derived record of every frame; None where one side has no more, or skips a frame."""
    stored = run.record_bytes()
    for n, derived in rederive(run, setup, processes):
        at, body = next(stored, (None, None))
        if at is None and run.seal_body() is None:
            return  # still being written, or killed: the last frames have no record yet
        if at != n:
            yield (body, None) if at is not None and at < n else (None, derived)
            return
        yield body, derived
    for _, body in stored:
        yield body, None


def _changed(path: Path) -> dict[str, list[str]]:
    """What of the environment differs from the recorded one: {name: [then, now]}."""
    then, now = orjson.loads((path / "env.json").read_bytes()), environment()
    flat_then, flat_now = ({**e, **e.get("packages", {})} for e in (then, now))
    names = sorted(flat_now.keys() - {"digest", "packages"})
    return {k: [str(flat_then.get(k)), str(flat_now[k])] for k in names if flat_then.get(k) != flat_now[k]}
