"""The machine beside the instrument dies in the middle of a run that sends: after `recover` and `outbox drain`, the
consumer has every document of every acknowledged frame, once and in order, and the one that says how it ended."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from insitu.cli import main
from insitu.sinks.consume import Once, insitu_id, unpack
from insitu.sinks.kafka import Link
from insitu.sinks.sent import Outbox, read_sent
from insitu.store.ledger import connect
from insitu.store.recover import recover
from tests.broker import Broker
from tests.forwarders import link
from tests.topics import end_offset, messages
from tests.waiting import until

ROOT = Path(__file__).resolve().parent.parent.parent
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
RUN = """
import sys
from pathlib import Path
from insitu.run import run
from tests.settings import setup
kafka = {"bootstrap": sys.argv[2], "beamline": sys.argv[3]}
more = {"kafka": kafka, "policy": {"features": ["*"]}, "rules": []}
run(setup(more, frames=1_000_000, rate="200 Hz", live=True), data_root=Path(sys.argv[1]))
"""


@contextmanager
def running(root: Path, to: Link) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A run in a process of its own, and the process id of its forwarder."""
    child = subprocess.Popen([sys.executable, "-c", RUN, str(root), to.bootstrap, to.beamline], cwd=ROOT)
    forwarder = 0
    try:
        until(lambda: bool(children(child.pid)))
        (forwarder,) = children(child.pid)
        yield child, forwarder
    finally:
        for pid in (child.pid, forwarder):
            if alive(pid):
                os.kill(pid, signal.SIGKILL)
        child.wait()


def children(pid: int) -> list[int]:
    """Its child processes."""
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(found) for task in tasks for found in task.read_text().split()]


def alive(pid: int) -> bool:
    """Whether a process runs; one that ended and was not waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z" if pid else False
    except FileNotFoundError:
        return False


def folder_of(root: Path) -> Path:
    (ledger,) = root.glob("runs/*/*/ledger.db")
    return ledger.parent


def kill(*pids: int) -> None:
    """At once, as if the power went."""
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


def mended(folder: Path, broker: Broker, to: Link) -> tuple[list[int], list[tuple[str, dict]]]:
    """After recovery and drain: the numbers in the topic as they lie there, and the documents after the rule."""
    assert recover(folder)["ended"] == "failed"
    with pytest.raises(SystemExit) as ended:
        main(["outbox", "drain", str(folder), "--json"])
    assert ended.value.code == 0
    found = messages(broker.bootstrap, to.topic)
    assert len(found) == end_offset(broker.bootstrap, to.topic)
    once, numbers, seen = Once(), [], []
    for message in found:
        ident = insitu_id(message.headers)
        assert ident is not None
        numbers.append(ident[1])
        if once.new(*ident):
            seen.append((ident[1], message.value))
    with closing(connect(folder / "ledger.db")) as db:
        assert seen == db.execute("SELECT oid, doc FROM outbox ORDER BY oid").fetchall()
        judged = [n for (n,) in db.execute("SELECT n FROM log WHERE kind = 'record' ORDER BY n")]
    documents = [unpack(value) for _, value in seen]
    told = [d["data"]["frame_seq"] for name, d in documents if name == "event"]
    assert told == judged, "one source: a frame's n is its seq"
    assert (documents[-1][0], documents[-1][1]["exit_status"]) == ("stop", "fail")
    return numbers, documents


def test_a_run_that_is_killed_leaves_no_forwarder_behind_and_its_last_words_leave_after_recovery(
    tmp_path: Path, broker: Broker
) -> None:
    to = link(broker.bootstrap)
    with running(tmp_path, to) as (child, forwarder):
        folder = folder_of(tmp_path)
        until(lambda: read_sent(folder).oid > 50)
        kill(child.pid)
        child.wait()
        until(lambda: not alive(forwarder), "the forwarder has ended")
    sent, there = read_sent(folder), Outbox(folder).last()[0]
    assert (sent.state, sent.oid) == ("idle", there), "with the broker there, it sent the rest before it ended"
    numbers, documents = mended(folder, broker, to)
    assert numbers == list(range(1, there + 2)), "nothing twice, and one stop document more"
    assert [name for name, _ in documents].count("stop") == 1


def test_a_run_that_is_killed_while_the_broker_hangs_leaves_no_forwarder_behind(tmp_path: Path, broker: Broker) -> None:
    to = link(broker.bootstrap)
    with running(tmp_path, to) as (child, forwarder):
        folder = folder_of(tmp_path)
        until(lambda: read_sent(folder).oid > 50)
        broker.pause()
        time.sleep(1)
        kill(child.pid)
        child.wait()
        until(lambda: not alive(forwarder), "the forwarder has ended")
    broker.resume()
    kept = read_sent(folder).oid
    assert kept < Outbox(folder).last()[0]
    numbers, _ = mended(folder, broker, to)
    assert max(numbers) == Outbox(folder).last()[0]


def test_a_node_that_dies_in_the_middle_of_an_outage_loses_nothing(tmp_path: Path, broker: Broker) -> None:
    to = link(broker.bootstrap)
    with running(tmp_path, to) as (child, forwarder):
        folder = folder_of(tmp_path)
        until(lambda: read_sent(folder).oid > 50)
        broker.kill()
        before = Outbox(folder).last()[0]
        until(lambda: Outbox(folder).last()[0] > before + 200)
        kill(forwarder, child.pid)
    broker.start()
    _, documents = mended(folder, broker, to)
    assert len(documents) > before + 200
