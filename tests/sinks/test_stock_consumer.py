"""bluesky-kafka's own consumer on confluent-kafka reads runs with no, three and seven peaks from a real broker."""

import math
import time
import uuid
from collections import Counter
from pathlib import Path
from typing import Any

import event_model
import msgpack
import pytest
from bluesky_kafka.consume import BasicConsumer

from insitu.run import run
from insitu.sinks.kafka import Link
from tests.documents import documents, sending

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
WINDOWS = [[f"{31.0 + k} deg", f"{32.0 + k} deg"] for k in range(7)]


def received(to: Link, count: int) -> list[tuple[str, dict[str, Any]]]:
    """The documents of a topic, up to the last of so many stop documents."""
    found: list[tuple[str, dict[str, Any]]] = []

    class Stock(BasicConsumer):
        def process_message(self, topic: str, message: tuple[str, dict[str, Any]]) -> bool:
            found.append((message[0], message[1]))
            return Counter(name for name, _ in found)["stop"] < count

    until = time.monotonic() + 60
    consumer = Stock(
        [to.topic],
        [to.bootstrap],
        to.beamline,
        consumer_config={"auto.offset.reset": "earliest"},
        deserializer=msgpack.loads,
        polling_duration=0.2,
    )
    consumer.start_polling(continue_polling=lambda: time.monotonic() < until)
    return found


def test_the_stock_consumer_reads_runs_with_no_three_and_seven_peaks_under_the_same_keys(
    tmp_path: Path, bootstrap: str
) -> None:
    to = Link(bootstrap=bootstrap, beamline=f"t{uuid.uuid4().hex[:12]}")
    runs = {}
    for peaks in (0, 3, 7):
        more = {"features": [{"use": "xrd.peaks", "windows": WINDOWS}], "models": [], "rules": []}
        more |= {"kafka": {"bootstrap": to.bootstrap, "beamline": to.beamline}, "budget": {"linger": "30 s"}}
        table = {"bench": {"format": 1, "source": "det", "reader": {"use": "tests.run.simple:Peaks", "peaks": peaks}}}
        summary = run(sending({"features": ["*"]}, detectors=table, more=more), data_root=tmp_path)
        runs[summary.run_uid] = (peaks, documents(summary))
    found = received(to, len(runs))
    keys = [d["data_keys"] for name, d in found if name == "descriptor"]
    assert len(keys) == 3
    assert keys[0] == keys[1] == keys[2]
    of, told = {}, dict[str, list[Any]]()
    for name, document in found:
        event_model.schema_validators[event_model.DocumentNames[name]].validate(document)
        uid = document["uid"] if name == "start" else document.get("run_start") or of[document["descriptor"]]
        told.setdefault(uid, []).append((name, document))
        if name == "descriptor":
            of[document["uid"]] = uid
        if name != "event":
            continue
        assert document["data"].keys() == keys[0].keys()
        peaks = runs[uid][0]
        for k in range(1, 8):
            value, status = (document["data"][f"peak{k}_position{end}"] for end in ("", "_status"))
            assert (status, math.isnan(value)) == (("ok", False) if k <= peaks else ("absent", True))
    assert {uid: repr(docs) for uid, docs in told.items()} == {uid: repr(docs) for uid, (_, docs) in runs.items()}
