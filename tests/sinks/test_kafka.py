"""Sending and reading with a real broker, and the settings of a connection."""

import os
import subprocess
import sys
import threading
import time
import uuid
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import msgpack
import orjson
import pytest
from bluesky_kafka.consume import BasicConsumer

from insitu.cli import main
from insitu.errors import BrokerError, RunLockedError
from insitu.run import run
from insitu.sinks.consume import Once, documents, insitu_id
from insitu.sinks.forward import Forwarder, only_one
from insitu.sinks.kafka import Link, stored_link
from insitu.sinks.sent import Outbox, Sent, read_sent, write_sent
from insitu.store.ledger import connect
from tests.broker import Broker, free_ports
from tests.outboxes import Outgoing
from tests.settings import setup
from tests.topics import end_offset, messages

ROOT = Path(__file__).resolve().parent.parent.parent
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture
def to(bootstrap: str) -> Link:
    return Link(bootstrap=bootstrap, beamline=f"t{uuid.uuid4().hex[:12]}")


def nowhere() -> str:
    return f"127.0.0.1:{free_ports(1)[0]}"


def kafka_table(to: Link, **more: object) -> dict[str, object]:
    return {"kafka": {"bootstrap": to.bootstrap, "beamline": to.beamline, **more}, "policy": {"features": ["*"]}}


def test_what_was_sent_is_read_back_and_a_torn_file_means_all_again(tmp_path: Path) -> None:
    assert read_sent(tmp_path) == Sent()
    write_sent(tmp_path, Sent(oid=7, documents=7, bytes=70))
    assert read_sent(tmp_path).oid == 7
    (tmp_path / "sent.json").write_bytes(b'{"oid": 7, "do')
    assert read_sent(tmp_path).oid == 0


def test_reading_the_outbox_does_not_stand_in_the_way_of_the_seal(tmp_path: Path) -> None:
    out = Outgoing(tmp_path).offer(10)
    outbox = Outbox(out.folder)
    assert outbox.changed()
    assert [row.oid for row in outbox.after(3, rows=4, nbytes=10**6)] == [4, 5, 6, 7]
    assert len(outbox.after(0, rows=100, nbytes=1)) == 1
    assert not outbox.changed()
    out.seal()
    assert outbox.changed()
    assert not out.folder.joinpath("ledger.db-wal").exists()
    assert outbox.after(10, rows=4, nbytes=10**6)[0].name == "stop"
    assert outbox.sealed


def test_only_one_process_sends_a_run(tmp_path: Path) -> None:
    out = Outgoing(tmp_path).offer(1)
    with only_one(out.folder), pytest.raises(RunLockedError, match="sending this run already"):
        Forwarder(out.folder, Link(bootstrap=nowhere(), beamline="bl"), {"x": 1}).send_all(follow=False)


def test_a_whole_run_arrives_as_it_lies_in_the_outbox(tmp_path: Path, to: Link) -> None:
    summary = run(setup(kafka_table(to), "budget.linger=30 s", frames=60), data_root=tmp_path)
    assert summary.ended == "complete", summary
    assert summary.notes == ()
    with closing(connect(Path(summary.path) / "ledger.db")) as db:
        offered = db.execute("SELECT oid, doc FROM outbox ORDER BY oid").fetchall()
    found = messages(to.bootstrap, to.topic)
    assert [(i[1], m.value) for m in found if (i := insitu_id(m.headers))] == offered
    assert len(offered) == end_offset(to.bootstrap, to.topic)
    names = [msgpack.unpackb(doc)[0] for _, doc in offered]
    assert (names[0], names[-1], names.count("event")) == ("start", "stop", 60)
    assert summary.bytes["sent"] == sum(len(doc) for _, doc in offered)
    assert read_sent(Path(summary.path)).state == "done"
    net = summary.latency_ms["net"]
    assert net is not None
    assert 0 < net["p50"] <= net["p99"] <= net["max"] < 60_000
    assert sum(read_sent(Path(summary.path)).net["counts"].values()) == 60, "one time for each record that left"


def test_a_run_goes_on_while_the_broker_hangs_and_all_of_it_leaves_afterwards(
    tmp_path: Path, broker: Broker, capfd: pytest.CaptureFixture[str]
) -> None:
    to = Link(bootstrap=broker.bootstrap, beamline=f"t{uuid.uuid4().hex[:12]}")

    def watch(status: dict) -> None:
        if read_sent(Path(status["path"])).oid:
            broker.pause()

    settings = setup(kafka_table(to), "budget.linger=0.2 s", frames=800, rate="100 Hz", live=True)
    summary = run(settings, data_root=tmp_path, observer=watch)
    broker.resume()
    assert (summary.ended, summary.exit_code, summary.frames["stored"]) == ("complete", 0, 800)
    assert (summary.records, summary.analysis["shed"], summary.frames["dropped"]) == (800, 0, 0)
    assert "wait in the outbox" in summary.notes[-1]
    before = read_sent(Path(summary.path)).oid
    assert 0 < before < 803
    assert main_code("outbox", "drain", summary.path, "--json") == 0
    body = orjson.loads(capfd.readouterr().out)
    assert (body["sent"], body["waiting"], body["latency_ms"]["net"]["max"] > 1000) == (803, 0, True)
    once = Once()
    ids = [i for m in messages(to.bootstrap, to.topic) if (i := insitu_id(m.headers))]
    assert [i[1] for i in ids if once.new(*i)] == list(range(1, 804))


def test_a_broker_that_comes_only_after_the_run_gets_all_of_it(
    tmp_path: Path, broker: Broker, capfd: pytest.CaptureFixture[str]
) -> None:
    late = Broker(tmp_path / "late")
    to = Link(bootstrap=late.bootstrap, beamline="bl")
    summary = run(setup(kafka_table(to), "budget.linger=0.2 s", frames=60), data_root=tmp_path / "data")
    assert (summary.ended, summary.latency_ms["net"], summary.bytes["sent"]) == ("complete", None, 0)
    late.start()
    try:
        assert main_code("outbox", "drain", summary.path) == 0
        assert "decision to broker" in capfd.readouterr().out
        assert main_code("status", summary.path, "--json") == 0
        body = orjson.loads(capfd.readouterr().out)
        assert body["outbox"] == {"waiting": 0, "problem": ""}
        assert body["latency_ms"]["net"]["max"] > 1000, "the outage counts"
        found = [document for _, document in documents(to, beginning=True, idle_s=3)]
        assert [d["seq_num"] for d in found if "seq_num" in d] == list(range(1, 61))
        assert end_offset(late.bootstrap, to.topic) == 63
    finally:
        late.kill()


def test_the_consumer_waits_for_a_topic_that_is_not_there_yet(tmp_path: Path, broker: Broker) -> None:
    to = Link(bootstrap=broker.bootstrap, beamline=f"t{uuid.uuid4().hex[:12]}")
    out = Outgoing(tmp_path).offer(50).seal()
    found: list[str] = []

    def read() -> None:
        for name, _ in documents(to, idle_s=60):
            found.append(name)
            if name == "stop":
                return

    reading = threading.Thread(target=read)
    reading.start()
    time.sleep(2)
    Forwarder(out.folder, to).send_all(follow=False, give_up_s=60)
    reading.join(90)
    assert found == ["start", *["event"] * 49, "stop"]


def test_a_run_without_its_broker_ends_as_ever_and_says_what_waits(
    tmp_path: Path, to: Link, capfd: pytest.CaptureFixture[str]
) -> None:
    gone = replace(to, bootstrap=nowhere())
    summary = run(setup(kafka_table(gone), "budget.linger=0.2 s", frames=60), data_root=tmp_path)
    assert (summary.ended, summary.exit_code, summary.frames["stored"]) == ("complete", 0, 60)
    assert "63 documents wait in the outbox" in summary.notes[-1]
    assert main_code("outbox", "drain", summary.path, "--give-up", "1") == 5
    assert "Nothing is lost" in capfd.readouterr().out
    assert main_code("outbox", "drain", summary.path, "--bootstrap", to.bootstrap) == 0
    assert main_code("outbox", "status", summary.path) == 0
    assert "63 sent, 0 waiting" in capfd.readouterr().out
    assert end_offset(to.bootstrap, to.topic) == 63


def main_code(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_a_required_broker_that_is_absent_refuses_the_run_before_a_folder_is_made(tmp_path: Path) -> None:
    gone = Link(bootstrap=nowhere(), beamline="bl")
    with pytest.raises(BrokerError, match="cannot be reached") as refused:
        run(setup(kafka_table(gone, required=True), frames=5), data_root=tmp_path)
    assert refused.value.exit_code == 5
    assert not list(tmp_path.iterdir())


def test_a_run_whose_recipe_names_no_broker_has_no_forwarder(tmp_path: Path) -> None:
    summary = run(setup(frames=5), data_root=tmp_path)
    assert stored_link(Path(summary.path)) is None
    assert not (Path(summary.path) / "sent.json").exists()


def test_the_consumer_drops_what_it_has_seen(tmp_path: Path, to: Link) -> None:
    out = Outgoing(tmp_path).offer(300).seal()
    for _ in range(2):
        Forwarder(out.folder, to).send_all(follow=False, give_up_s=20)
        (out.folder / "sent.json").unlink()
    assert end_offset(to.bootstrap, to.topic) == 602
    found = [document for _, document in documents(to, beginning=True, idle_s=3)]
    assert [d["seq_num"] for d in found[:-1]] == list(range(1, 301))
    assert found[-1] == {"run_start": out.uid}


def test_the_example_follows_a_run_in_another_process(tmp_path: Path, to: Link) -> None:
    summary = run(setup(kafka_table(to), "budget.linger=30 s", frames=20), data_root=tmp_path)
    command = [
        sys.executable,
        ROOT / "examples/follow_a_run.py",
        to.bootstrap,
        to.beamline,
        "--beginning",
        "--idle",
        "3",
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    said = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True, env=environment).stdout
    lines = said.splitlines()
    assert lines[0].split() == ["start", summary.run_uid]
    assert [int(line.split()[0]) for line in lines[2:-1]] == list(range(1, 21))
    assert lines[-1].startswith("stop    success")


def test_the_stock_consumer_of_bluesky_kafka_reads_the_run(tmp_path: Path, to: Link) -> None:
    summary = run(setup(kafka_table(to), "budget.linger=30 s", frames=20), data_root=tmp_path)
    found: list[tuple[str, dict]] = []

    class Stock(BasicConsumer):
        def process_message(self, topic: str, message: tuple[str, dict]) -> bool:
            found.append((message[0], message[1]))
            return message[0] != "stop"

    until = time.monotonic() + 60
    settings = {"auto.offset.reset": "earliest"}
    consumer = Stock(
        [to.topic],
        [to.bootstrap],
        to.beamline,
        consumer_config=settings,
        deserializer=msgpack.loads,
        polling_duration=0.2,
    )
    consumer.start_polling(continue_polling=lambda: time.monotonic() < until)
    assert [name for name, _ in found] == ["start", "descriptor", *["event"] * 20, "stop"]
    assert found[0][1]["uid"] == summary.run_uid
