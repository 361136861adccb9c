"""The forwarder beside a bare kafka-python producer loop: same settings, same documents, same real broker.

Both are counted at the broker: its end offsets must have grown by exactly the documents sent. Then an outage:
100,000 documents wait while a live run goes on at 100 frames/s, and are drained beside it.
"""

import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from contextlib import closing
from pathlib import Path

from benchmarks.timing import interleave, table
from insitu.run import run
from insitu.sinks.forward import Forwarder
from insitu.sinks.kafka import Link, make_producer, producer_options
from insitu.store.ledger import connect
from tests.broker import Broker, NoBrokerError, end_offset
from tests.outboxes import Outgoing
from tests.settings import setup


def ours(out: Outgoing, to: Link) -> float:
    """Documents a second, from the first read of the outbox to the last acknowledgement."""
    (out.folder / "sent.json").unlink(missing_ok=True)
    before = end_offset(to.bootstrap, to.topic)
    forwarder = Forwarder(out.folder, to)
    began = time.perf_counter()
    sent = forwarder.send_all(follow=False, give_up_s=30)
    took = time.perf_counter() - began
    assert sent.state == "done", sent
    assert end_offset(to.bootstrap, to.topic) - before == out.count
    return out.count / took


def bare(documents: list[bytes], to: Link) -> float:
    """Documents a second through `KafkaProducer.send`, nothing else: no file, no order kept, nothing noted."""
    before = end_offset(to.bootstrap, to.topic)
    began = time.perf_counter()
    producer = make_producer(producer_options(to))
    key = b"run"
    for oid, doc in enumerate(documents, start=1):
        producer.send(to.topic, value=doc, key=key, headers=[("insitu-id", b"run:%d" % oid)])
    producer.flush()
    took = time.perf_counter() - began
    producer.close()
    assert end_offset(to.bootstrap, to.topic) - before == len(documents)
    return len(documents) / took


def outage(folder: Path, out: Outgoing, to: Link) -> None:
    """Drain a backlog in its own process beside a live run at 100 frames/s, which sends to the same broker."""
    (out.folder / "sent.json").unlink(missing_ok=True)
    (out.folder / "recipe.toml").write_text(f'[kafka]\nbootstrap = "{to.bootstrap}"\nbeamline = "{to.beamline}"\n')
    before = end_offset(to.bootstrap, to.topic)
    backlog: dict[str, float] = {}

    def watch(status: dict) -> None:
        if status["frames"]["stored"] > 200 and "began" not in backlog:
            backlog["began"] = time.perf_counter()
            backlog["child"] = subprocess.Popen([sys.executable, "-m", "insitu.sinks.forward", str(out.folder)])
        if "child" in backlog and "took" not in backlog and backlog["child"].poll() is not None:
            backlog["took"] = time.perf_counter() - backlog["began"]

    table_ = {"kafka": {"bootstrap": to.bootstrap, "beamline": "live"}, "policy": {"features": ["*"]}}
    settings = setup(table_, "budget.linger=60 s", frames=3000, rate="100 Hz", live=True)
    summary = run(settings, data_root=folder, observer=watch)
    backlog["child"].wait(60)
    assert end_offset(to.bootstrap, to.topic) - before == out.count
    assert summary.frames["stored"] == 3000
    edge = summary.latency_ms["edge"]
    print(f"\n{out.count} documents drained beside a run at 100 frames/s in {backlog.get('took', float('nan')):.1f} s")
    print(f"  arrival to decision: p50 {edge['p50']:.1f}, p99 {edge['p99']:.1f}, max {edge['max']:.1f} ms;"
          f" {summary.budget['breaches']} of 3000 decisions late, {summary.analysis['shed']} shed")  # fmt: skip


def up_or_down(folder: Path, to: Link, broker: Broker) -> None:
    """The same live run with the broker up and with it paused."""
    table_ = {"kafka": {"bootstrap": to.bootstrap, "beamline": "updown"}, "policy": {"features": ["*"]}}
    settings = setup(table_, "budget.linger=1 s", frames=1000, rate="200 Hz", live=True)
    rates: dict[str, list[float]] = {"up": [], "down": []}
    p50: dict[str, list[float]] = {"up": [], "down": []}
    for _ in range(3):
        for state in rates:
            if state == "down":
                broker.pause()
            began = time.perf_counter()
            stamps: list[float] = []
            summary = run(settings, data_root=folder, observer=lambda s: stamps.append(s["elapsed_s"]))  # noqa: B023
            rates[state].append(summary.frames["stored"] / (time.perf_counter() - began))
            p50[state].append(summary.latency_ms["edge"]["p50"])
            broker.resume()
    print("\nA run at 200 frames/s, broker up and paused")
    for state in rates:
        print(f"  {state:<5} arrival to decision p50 {sorted(p50[state])[1]:.2f} ms, of {p50[state]}")


def main(disk: Path, *, quick: bool) -> None:
    """All three, with a broker of our own."""
    folder = Path(tempfile.mkdtemp(dir=disk))
    broker = Broker(folder / "kafka")
    try:
        broker.start()
        count = 30_000 if quick else 100_000
        out = Outgoing(folder).offer(count).seal()
        with closing(connect(out.folder / "ledger.db")) as db:
            documents = [doc for (doc,) in db.execute("SELECT doc FROM outbox ORDER BY oid")]
        to = Link(bootstrap=broker.bootstrap, beamline=f"b{uuid.uuid4().hex[:8]}")
        jobs = {"insitu": lambda: ours(out, to), "bare producer loop": lambda: bare(documents, to)}
        figures = interleave(jobs, 3 if quick else 5)
        size = sum(map(len, documents)) / len(documents)
        table(f"{count} documents of {size:.0f} bytes to Kafka, acks=all, idempotent", figures, "documents/s", "insitu",
              {"bare producer loop": 0.7})  # fmt: skip
        outage(folder / "data", out, to)
        up_or_down(folder / "data", to, broker)
    except NoBrokerError as e:
        print(f"\nforwarder: skipped, {e}")
    finally:
        broker.kill()
        shutil.rmtree(folder)
