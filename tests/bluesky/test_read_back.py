"""What left a session is read back by stock tools, row for row, with losses, segments, a suspension, several plans."""

import socket
import threading
import time
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bluesky import RunEngine, plan_stubs, preprocessors

from insitu.run import Summary
from insitu.sinks.kafka import Link
from insitu.store.runs import StoredRun
from tests.bluesky.camera import Camera, Heard, pictures, session
from tests.documents import documents, events
from tests.sinks.test_stock_consumer import received

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
bps: Any = plan_stubs
bpp: Any = preprocessors
KEYS = ("frame_seq", "time", "total", "total_status", "beam", "beam_label", "action")
POLICY = {"features": ["*"], "verdicts": ["*"], "context": ["beam"]}


class Numbered(Camera):
    """No two of its pictures are alike."""

    def _take(self) -> np.ndarray:
        return np.full_like(super()._take(), self.taken)


def suspended(insitu, camera):
    """Pictures of which some are taken again, since a suspension goes back to the checkpoint: seq_num repeats."""

    @bpp.run_decorator(md={"plan_name": "suspended"})
    def plan():
        yield from bps.checkpoint()
        for k in range(4):
            yield from bps.trigger_and_read([camera, camera.beam])
            if k == 2:
                insitu.actor.pause("a test")
                threading.Timer(0.1, insitu.actor.resume, ["over"]).start()
            yield from bps.sleep(0.05)

    return plan()


def measured(engine: RunEngine, root: Path, kafka: dict[str, Any]) -> tuple[Summary, Heard]:
    """A session with all of it; what the RunEngine told the others meanwhile."""
    heard, camera, wide = Heard(engine), Numbered(), Numbered((6, 10))
    wide.taken = 500
    recipe = {"kafka": {"beamline": "b01", **kafka}, "policy": POLICY, "budget": {"linger": "30 s"}}

    def crowd(k: int) -> None:
        """More documents of our stream at once than there is room for, which cost the numbers of frames."""
        if k == 2:
            for _ in range(400):
                ours = heard["descriptor"][-1]["uid"]
                insitu.feed("event", {"uid": "x", "descriptor": ours, "data": {}, "time": 0.0})
            time.sleep(0.3)

    with session(engine, root, recipe=recipe, room=20_000) as insitu:
        engine(pictures(camera, 4, crowd))
        engine(suspended(insitu, camera))
        engine(pictures(wide, 3))
        camera.current = 0.0
        engine(pictures(camera, 2))
    (summary,) = insitu.summaries
    return summary, heard


def checked(summary: Summary, heard: Heard) -> dict[str, dict[str, list[Any]]]:
    """By stream, the columns that have to be read back: as the RunEngine told, as stored, as sent."""
    taken = [e["data"]["camera"] for e in heard["event"]]
    repeated = [e["seq_num"] for e in heard["event"]]
    assert len(taken) > 13, "the second plan was suspended and took pictures again"
    assert len({*repeated}) < len(repeated) - 9
    with StoredRun(Path(summary.path)) as stored:
        frames = list(stored.frames())
    assert len(frames) == len(taken) == len(repeated)
    assert all(np.array_equal(f.data, picture) for f, picture in zip(frames, taken, strict=True))
    assert len({f.source_run_uid for f in frames}) == 4
    assert summary.frames["lost"] > 0
    assert summary.frames["expected"] == len(taken) + summary.frames["invalid"] + summary.frames["lost"]
    found = documents(summary)
    rows: dict[str, dict[str, list[Any]]] = {}
    at = 0
    for stream, shape in (("cam", (8, 8)), ("cam-1", (6, 10)), ("cam-2", (8, 8))):
        told = events(found, stream)
        mine = frames[at : at + len(told)]
        at += len(told)
        assert {f.data.shape for f in mine} == {shape}
        rows[stream] = {key: [e["data"][key] if key != "time" else e["time"] for e in told] for key in KEYS}
        assert rows[stream]["total"] == [float(f.data.sum()) for f in mine]
        assert rows[stream]["frame_seq"] == [f.seq for f in mine]
        assert rows[stream]["time"] == [f.time_ns / 1e9 for f in mine]
    assert at == len(frames)
    assert rows["cam-2"]["beam_label"] == ["anomaly"] * 2
    return rows


@pytest.mark.timeout(300)
def test_tiled_reads_back_a_session_row_for_row(engine, tmp_path, tiled):
    summary, heard = measured(engine, tmp_path, {})
    rows = checked(summary, heard)
    held = tiled.ingested(summary.path)
    assert held["stop"] == {stream: len(columns["total"]) for stream, columns in rows.items()}
    assert {s: {key: held["streams"][s][key] for key in KEYS} for s in rows} == rows


@pytest.mark.timeout(300)
def test_the_stock_consumer_reads_back_a_session_row_for_row(engine, tmp_path, bootstrap):
    import event_model

    to = Link(bootstrap=bootstrap, beamline=f"t{uuid.uuid4().hex[:12]}")
    summary, heard = measured(engine, tmp_path, {"bootstrap": to.bootstrap, "beamline": to.beamline})
    rows = checked(summary, heard)
    found = received(to, 1)
    assert repr(found) == repr(documents(summary))
    read: dict[str, dict[str, list[Any]]] = {}

    class Rows(event_model.DocumentRouter):
        """A stock consumer: each event goes where its descriptor says."""

        streams: dict[str, str] = {}  # noqa: RUF012

        def descriptor(self, doc: Any) -> None:
            self.streams[doc["uid"]] = doc["name"]

        def event(self, doc: Any) -> Any:
            columns = read.setdefault(self.streams[doc["descriptor"]], {key: [] for key in KEYS})
            for key in KEYS:
                columns[key].append(doc["time"] if key == "time" else doc["data"][key])
            return doc

    router = Rows()
    for name, document in found:
        router(name, document)
    assert read == rows


def test_a_broker_that_takes_connections_and_never_answers_is_not_noticed_by_the_scan(engine, tmp_path):
    """Every event is out before the broker has acknowledged anything: nothing waits for it."""
    camera, heard = Numbered(), Heard(engine)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        address = f"127.0.0.1:{mute.getsockname()[1]}"
        recipe = {"kafka": {"beamline": "b01", "bootstrap": address}, "policy": POLICY, "budget": {"linger": "0.2 s"}}
        with session(engine, tmp_path, recipe=recipe) as insitu:
            engine(pictures(camera, 20, pause_s=0.0))
            assert len(heard["event"]) == 20
    (summary,) = insitu.summaries
    assert (summary.frames["stored"], summary.bytes["sent"], insitu.dropped) == (20, 0, 0)
    assert [d["exit_status"] for d in heard["stop"]] == ["success"]
    assert any("wait in the outbox" in note for note in summary.notes)
    assert [e["data"]["total"] for e in events(documents(summary), "cam")] == [
        float(e["data"]["camera"].sum()) for e in heard["event"]
    ]
