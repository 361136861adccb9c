"""What can happen to the forwarder itself: killed alone, stopped, without a place for its notes, with notes that are
damaged or of another run. The run never waits and never fails; the consumer has every document once and in order."""

import os
import signal
from contextlib import closing
from pathlib import Path

import pytest

from insitu.errors import LedgerBusyError
from insitu.run import forwarding, run
from insitu.sinks.forward import Forwarder
from insitu.sinks.kafka import Link
from insitu.sinks.sent import Outbox, read_sent
from insitu.store.ledger import connect
from insitu.store.lock import Lock
from tests.broker import Broker
from tests.faults.test_broker_kill import children
from tests.forwarders import link, oids, once, options, sending
from tests.outboxes import Outgoing
from tests.settings import setup
from tests.topics import make_topic
from tests.waiting import until

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


def kafka(to: Link) -> dict[str, object]:
    return {"kafka": {"bootstrap": to.bootstrap, "beamline": to.beamline}, "policy": {"features": ["*"]}, "rules": []}


def signalled(to: Link, number: signal.Signals, root: Path, *sets: str, frames: int):
    """A live run whose forwarder gets a signal as soon as it has sent something; and its process ids."""
    seen: list[int] = []

    def watch(status: dict) -> None:
        found = [pid for pid in children(os.getpid()) if b"sinks.forward" in Path(f"/proc/{pid}/cmdline").read_bytes()]
        if not seen and found and read_sent(Path(status["path"])).oid:
            os.kill(found[0], number)
        seen.extend(pid for pid in found if pid not in seen and read_sent(Path(status["path"])).oid)

    settings = setup(kafka(to), *sets, frames=frames, rate="100 Hz", live=True)
    return run(settings, data_root=root, observer=watch), seen


class Living(Lock):
    """The run lives, as far as its forwarder can see."""

    def close(self) -> None:
        self.release()


def all_of(to: Link, folder: Path, sent: list[int]) -> None:
    assert once(sent) == list(range(1, Outbox(folder).last()[0] + 1))


def test_a_forwarder_that_is_killed_alone_is_started_again_while_the_run_goes_on(
    tmp_path: Path, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forwarding, "FIRST_REST_S", 0.2)
    to = link(broker.bootstrap)
    summary, seen = signalled(to, signal.SIGKILL, tmp_path, "budget.linger=30 s", frames=500)
    assert (summary.ended, summary.frames["stored"], summary.analysis["shed"]) == ("complete", 500, 0)
    assert summary.notes == ()
    assert len(seen) == 2, "a second one took its place before the run was over"
    all_of(to, Path(summary.path), oids(to, broker.bootstrap, summary.run_uid))


def test_a_forwarder_that_stands_still_keeps_no_run_from_its_end(tmp_path: Path, broker: Broker) -> None:
    to = link(broker.bootstrap)
    summary, (child,) = signalled(to, signal.SIGSTOP, tmp_path, "budget.linger=0.2 s", frames=300)
    assert (summary.ended, summary.exit_code, summary.frames["stored"]) == ("complete", 0, 300)
    assert "wait in the outbox" in summary.notes[-1]
    assert not Path(f"/proc/{child}").exists()
    folder = Path(summary.path)
    assert Forwarder(folder, to, options(to)).send_all(follow=False, give_up_s=30).state == "done"
    all_of(to, folder, oids(to, broker.bootstrap, summary.run_uid))


def test_a_forwarder_that_cannot_be_started_is_a_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(forwarding.subprocess, "Popen", refuse)
    summary = run(setup(kafka(link("127.0.0.1:9")), "budget.linger=0.2 s", frames=5), data_root=tmp_path)
    assert (summary.ended, summary.exit_code) == ("complete", 0)
    assert "could not be started: Cannot allocate memory" in summary.notes[-1]


def test_without_a_place_for_its_notes_a_forwarder_goes_on_and_what_comes_again_is_dropped(
    tmp_path: Path, broker: Broker
) -> None:
    """A full disk, as the forwarder sees it."""
    to, out = link(broker.bootstrap), Outgoing(tmp_path).offer(1000).seal()
    (out.folder / "sent.json").mkdir()
    with sending(out, to):
        pass
    assert oids(to, broker.bootstrap, out.uid) == list(range(1, 1002))
    (out.folder / "sent.json").rmdir()
    assert Forwarder(out.folder, to, options(to)).send_all(follow=False, give_up_s=30).oid == 1001
    found = oids(to, broker.bootstrap, out.uid)
    assert (len(found), once(found)) == (2002, list(range(1, 1002)))


@pytest.mark.parametrize("note", [b"", b"[1", b"[]", b'{"oid": null}', b'{"oid": 5000, "state": "idle"}'])
def test_notes_that_are_damaged_or_of_another_run_mean_all_again(tmp_path: Path, broker: Broker, note: bytes) -> None:
    to, out = link(broker.bootstrap), Outgoing(tmp_path).offer(50).seal()
    (out.folder / "sent.json").write_bytes(note)
    assert Forwarder(out.folder, to, options(to)).send_all(follow=False, give_up_s=30).state == "done"
    assert oids(to, broker.bootstrap, out.uid) == list(range(1, 52))


def test_a_run_folder_that_was_moved_and_renamed_sends_under_its_own_uid(tmp_path: Path, broker: Broker) -> None:
    to, out = link(broker.bootstrap), Outgoing(tmp_path).offer(50)
    assert Forwarder(out.folder, to, options(to)).send_all(follow=False, give_up_s=30).oid == 50
    out.offer(50).seal()
    moved = tmp_path / "elsewhere" / "tuesday, second try"
    moved.parent.mkdir()
    out.folder.rename(moved)
    assert Forwarder(moved, to, options(to)).send_all(follow=False, give_up_s=30).state == "done"
    assert oids(to, broker.bootstrap, out.uid) == list(range(1, 102)), "one key, one numbering"


def test_a_reader_that_keeps_the_ledger_open_at_the_seal_keeps_no_document_back(tmp_path: Path, broker: Broker) -> None:
    to, out = link(broker.bootstrap), Outgoing(tmp_path).offer(50)
    with closing(connect(out.folder / "ledger.db")) as reader, sending(out, to):
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM log").fetchone()
        finish, out.ledger.finish = out.ledger.finish, lambda: finish(0.2)
        with pytest.raises(LedgerBusyError):
            out.seal()
    assert read_sent(out.folder).state == "done"
    assert oids(to, broker.bootstrap, out.uid) == list(range(1, 52))


def test_a_broker_that_takes_small_messages_only_gets_all_that_fit(tmp_path: Path, broker: Broker) -> None:
    strict = Broker(tmp_path / "strict", ["message.max.bytes=20000"]).start()
    try:
        to = link(strict.bootstrap)
        out = Outgoing(tmp_path).offer(1500).offer(1, filler=30_000).offer(500).seal()
        with sending(out, to):
            pass
        assert [a["oid"] for a in read_sent(out.folder).set_aside] == [1501]
        found = oids(to, strict.bootstrap, out.uid)
        assert once(found) == [oid for oid in range(1, out.count + 1) if oid != 1501]
    finally:
        strict.kill()


def test_a_topic_that_is_deleted_in_mid_run_is_written_anew(tmp_path: Path, broker: Broker) -> None:
    from kafka.admin import KafkaAdminClient

    to, out = link(broker.bootstrap), Outgoing(tmp_path).offer(100)
    make_topic(broker.bootstrap, to.topic)
    with closing(Living(out.folder)), sending(out, to) as forwarder:
        until(lambda: forwarder.sent.oid == 100)
        admin = KafkaAdminClient(bootstrap_servers=broker.bootstrap)
        admin.delete_topics([to.topic])
        admin.close()
        out.offer(100).seal()
    found = oids(to, broker.bootstrap, out.uid)
    assert found[-101:] == list(range(101, 202)), "what was offered after it is in the new one"
