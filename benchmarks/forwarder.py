"""The forwarder beside a bare kafka-python producer loop: same settings, same documents, same real broker.

Both are counted at the broker: its end offsets must have grown by exactly the documents sent.
"""

import shutil
import tempfile
import time
import uuid
from contextlib import closing
from pathlib import Path

from benchmarks.timing import interleave, table
from insitu.sinks.forward import Forwarder
from insitu.sinks.kafka import Link, make_producer, producer_options
from insitu.store.ledger import connect
from tests.broker import Broker, NoBrokerError
from tests.outboxes import Outgoing
from tests.topics import end_offset


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


def bare(documents: list[bytes], to: Link, key: bytes) -> float:
    """Documents a second through `KafkaProducer.send`, nothing else: no file, no order kept, nothing noted."""
    before = end_offset(to.bootstrap, to.topic)
    began = time.perf_counter()
    producer = make_producer(producer_options(to))
    for oid, doc in enumerate(documents, start=1):
        producer.send(to.topic, value=doc, key=key, headers=[("insitu-id", b"%b:%d" % (key, oid))])
    producer.flush()
    took = time.perf_counter() - began
    producer.close()
    assert end_offset(to.bootstrap, to.topic) - before == len(documents)
    return len(documents) / took


def main(disk: Path, *, quick: bool) -> None:
    """With a broker of our own."""
    folder = Path(tempfile.mkdtemp(dir=disk))
    broker = Broker(folder / "kafka")
    try:
        broker.start()
        count = 30_000 if quick else 100_000
        out = Outgoing(folder).offer(count).seal()
        with closing(connect(out.folder / "ledger.db")) as db:
            documents = [doc for (doc,) in db.execute("SELECT doc FROM outbox ORDER BY oid")]
        to = Link(bootstrap=broker.bootstrap, beamline=f"b{uuid.uuid4().hex[:8]}")
        jobs = {"insitu": lambda: ours(out, to), "bare producer loop": lambda: bare(documents, to, out.uid.encode())}
        figures = interleave(jobs, 3 if quick else 5)
        size = sum(map(len, documents)) / len(documents)
        table(f"{count} documents of {size:.0f} bytes to Kafka, acks=all, idempotent", figures, "documents/s", "insitu",
              {"bare producer loop": 0.7})  # fmt: skip
    except NoBrokerError as e:
        print(f"\nforwarder: skipped, {e}")
    finally:
        broker.kill()
        shutil.rmtree(folder)
