"""Documents of a stock RunEngine become frames; whatever comes, the session never notices."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import event_model
import numpy as np
import orjson
import pytest
from bluesky import RunEngine, plan_stubs, plans, preprocessors
from ophyd.sim import SynAxis, SynSignal

from insitu.config import load
from insitu.readers.document_frames import MISSED
from insitu.readers.documents import Documents
from insitu.replay import verify
from insitu.run import LiveRun
from insitu.store.runs import StoredRun
from insitu.testing import ReaderContract, items
from insitu.types import Arrival, Detector, Invalid
from tests.sessions import run_engine

bp: Any = plans
bps: Any = plan_stubs
bpp: Any = preprocessors
"""Devices of ophyd are not what the types of bluesky say."""

ASSEMBLE = {"axis": "mono", "channels": ["i0", "itrans"], "dim": "energy", "every": 4}


class Image(SynSignal):
    """A camera whose picture depends on how often it was triggered."""

    def __init__(self, name: str = "camera", shape: tuple[int, ...] = (6, 5)) -> None:
        self.count, self.shape = 0, shape
        super().__init__(func=self._picture, name=name)
        self.count = 0

    def _picture(self) -> np.ndarray:
        self.count += 1
        return np.full(self.shape, self.count, "u2")


class Counter(SynSignal):
    def __init__(self, name: str, func) -> None:
        super().__init__(func=func, name=name)


@pytest.fixture
def engine() -> Iterator[RunEngine]:
    with run_engine({"sample": "nickel"}) as engine:
        yield engine


def arrivals(reader: Documents) -> list[Arrival]:
    reader.close()
    found = items(reader)
    assert not [i for i in found if isinstance(i, Invalid)], found
    return [a for a in found if isinstance(a, Arrival)]


def beamline() -> tuple[SynAxis, Counter, Counter]:
    mono = SynAxis(name="mono")
    i0 = Counter("i0", lambda: 1e5)
    return mono, i0, Counter("itrans", lambda: 1e5 / (1.0 + mono.position))


def test_arrays_of_events_are_frames_with_the_numbers_of_their_events(engine):
    reader, motor = Documents(data="camera"), SynAxis(name="stage-x")
    engine.subscribe(reader.feed)
    engine(bp.scan([Image()], motor, 0, 2, 3))
    (uid,) = engine(bp.count([Image()], 1))
    found = arrivals(reader)
    assert [a.data[0, 0] for a in found] == [1, 2, 3, 1]
    assert (found[0].dims, found[0].data.dtype, found[0].clock) == (("y", "x"), np.dtype("u2"), "ioc")
    assert [a.source_seq for a in found] == [0, 1, 2, 3]
    assert [a.context["stage_x"].value for a in found[:3]] == [0, 1, 2]
    assert found[3].source_run_uid == uid
    assert (found[0].labels["sample"], found[0].labels["plan_name"]) == ("nickel", "scan")


def test_a_step_scan_is_assembled_point_by_point_and_is_whole_when_its_run_succeeds(engine):
    mono, i0, itrans = beamline()
    reader = Documents(assemble=ASSEMBLE)
    engine.subscribe(reader.feed)
    for _ in range(2):
        engine(bp.scan([i0, itrans], mono, 10, 19, 10))
    found = arrivals(reader)
    assert [(a.source_seq, a.data.shape[-1], a.provisional, a.complete) for a in found[:3]] == [
        (0, 4, True, False), (0, 8, True, False), (0, 10, False, True)]  # fmt: skip
    assert found[-1].source_seq == 1
    whole = found[2]
    assert (whole.dims, whole.labels["channels"]) == (("channel", "energy"), "i0 itrans")
    assert whole.axes["energy"].values.tolist() == list(range(10, 20))
    assert whole.data[1].tolist() == (1e5 / (1.0 + np.arange(10.0, 20.0))).tolist()
    assert len({a.time_ns for a in found[:3]}) == 1


def test_a_scan_that_is_aborted_gives_its_points_as_an_incomplete_frame(engine):
    mono, i0, itrans = beamline()
    reader = Documents(assemble={**ASSEMBLE, "every": 0})
    engine.subscribe(reader.feed)

    @bpp.run_decorator()
    def plan():
        for at in range(5):
            yield from bps.mv(mono, at)
            yield from bps.trigger_and_read([mono, i0, itrans])
        raise ValueError("the beam is gone")

    with pytest.raises(ValueError, match="beam is gone"):
        engine(plan())
    (frame,) = arrivals(reader)
    assert (frame.complete, frame.provisional, frame.data.shape) == (False, False, (2, 5))


def test_what_another_stream_says_is_context(engine):
    reader, motor = Documents(data="camera"), SynAxis(name="temperature")
    motor.set(321.5)
    engine.subscribe(reader.feed)
    engine(bpp.baseline_wrapper(bp.count([Image()], 2), [motor]))
    assert [a.context["temperature"].value for a in arrivals(reader)] == [321.5, 321.5]


def streamed(folder: Path, kind: str, frames: np.ndarray) -> list[tuple[str, dict[str, Any]]]:
    """The documents of a fly scan whose frames lie in files."""
    import h5py
    import tifffile
    import zarr

    parameters: dict[str, Any] = {}
    if kind == "application/x-hdf5":
        path = folder / "run.h5"
        with h5py.File(path, "w") as file:
            file["/entry/data/data"] = frames
        parameters["dataset"] = "/entry/data/data"
    elif kind == "application/x-zarr":
        path = folder / "run.zarr"
        zarr.create_array(path, data=frames, chunks=(1, *frames.shape[1:]))
    else:
        path = folder
        for k, frame in enumerate(frames):
            tifffile.imwrite(folder / f"img_{k:04d}.tif", frame)
        parameters["template"] = "img_{:04d}.tif"
    run = event_model.compose_run(metadata={"sample": "steel"})
    key: Any = {
        "source": "PV", "dtype": "array", "shape": [1, *frames.shape[1:]], "dtype_numpy": "<u2", "units": "counts",
        "external": "STREAM:",
    }  # fmt: skip
    described = run.compose_descriptor(name="primary", data_keys={"eiger": key})
    resource = event_model.ComposeStreamResource(start=run.start_doc)(
        mimetype=kind, uri=f"file://localhost{path}", data_key="eiger", parameters=parameters
    )
    told: list[tuple[str, Any]] = [("start", run.start_doc), ("descriptor", described.descriptor_doc)]
    told.append(("stream_resource", resource.stream_resource_doc))
    for first in range(0, len(frames), 2):
        stop = min(first + 2, len(frames))
        datum = resource.compose_stream_datum(
            indices={"start": first, "stop": stop}, seq_nums={"start": first + 1, "stop": stop + 1},
            descriptor=described.descriptor_doc)  # fmt: skip
        told.append(("stream_datum", datum))
    return [*told, ("stop", run.compose_stop())]


@pytest.mark.parametrize("kind", ["application/x-hdf5", "application/x-zarr", "multipart/related;type=image/tiff"])
def test_frames_that_a_stream_points_at_are_read_from_where_they_lie(tmp_path, kind):
    frames = np.random.default_rng(1).integers(0, 9000, (5, 7, 4)).astype("u2")
    reader = Documents(data="eiger")
    for name, document in streamed(tmp_path, kind, frames):
        reader.feed(name, document)
    found = arrivals(reader)
    assert np.array_equal(np.stack([a.data for a in found]), frames)
    assert [a.source_seq for a in found] == list(range(5))
    assert (found[0].unit, found[0].labels["sample"], found[0].dims) == ("counts", "steel", ("y", "x"))


def test_a_frame_that_is_not_in_its_file_yet_is_waited_for_and_then_given_up(tmp_path):
    frames = np.ones((2, 3, 3), "u2")
    told = streamed(tmp_path, "application/x-hdf5", frames)
    (tmp_path / "run.h5").rename(tmp_path / "later.h5")
    reader = Documents(data="eiger", wait=20.0, runs=1)
    for name, document in told:
        reader.feed(name, document)
    threading.Timer(0.4, (tmp_path / "later.h5").rename, args=(tmp_path / "run.h5",)).start()
    assert len([i for i in items(reader) if isinstance(i, Arrival)]) == 2
    (tmp_path / "run.h5").unlink()
    hasty = Documents(data="eiger", wait=0.1, runs=1)
    for name, document in told:
        hasty.feed(name, document)
    left = [i for i in items(hasty) if isinstance(i, Invalid)]
    assert len(left) == 2
    assert "did not come within 0.1 s" in left[0].reason


WRONG = {
    "an event without a descriptor": (
        "event",
        {"uid": "e", "descriptor": "?", "data": {}, "timestamps": {}, "time": 1.0},
    ),
    "a descriptor without a start": ("descriptor", {"uid": "d", "run_start": "?", "data_keys": {}}),
    "a stop without a start": ("stop", {"uid": "s", "run_start": "?"}),
    "a datum of nothing": ("stream_datum", {"uid": "x/1", "stream_resource": "?", "descriptor": "?", "indices": {}}),
    "no document at all": ("event", None),
    "a list": ("start", [1, 2]),
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_documents_that_cannot_be_are_told_and_those_behind_them_are_read(engine, wrong):
    reader = Documents(data="camera")
    reader.feed(*wrong)
    engine.subscribe(reader.feed)
    engine(bp.count([Image()], 2))
    reader.close()
    found = items(reader)
    assert [type(i) for i in found] == [Invalid, Arrival, Arrival]
    assert isinstance(found[0], Invalid)
    assert found[0].payload


def test_a_full_queue_never_holds_up_a_scan_and_the_missing_frames_are_counted(engine):
    reader = Documents(data="camera", queue=6)
    engine.subscribe(reader.feed)
    engine(bp.count([Image()], 20))
    assert reader.dropped == 16, "the stop document has room of its own"
    frames = arrivals(reader)
    assert len(frames) < 20
    assert frames[-1].source_seq == 19


def test_kept_documents_are_read_from_a_file_and_torn_lines_are_told(engine, tmp_path):
    told: list[tuple[str, Any]] = []
    engine.subscribe(lambda name, document: told.append((name, document)))
    engine(bp.count([Image()], 3))
    lines = [orjson.dumps(pair, option=orjson.OPT_SERIALIZE_NUMPY, default=repr) for pair in told]
    (tmp_path / "run.jsonl").write_bytes(b"\n".join([*lines[:3], b'["event", {"uid": ', *lines[3:]]) + b"\n")
    found = items(Documents(str(tmp_path / "run.jsonl"), data="camera"))
    assert [type(i) for i in found] == [Arrival, Invalid, Arrival, Arrival]
    assert isinstance(found[1], Invalid)
    assert "run.jsonl:4" in found[1].reason
    assert [int(a.data[0][0]) for a in found if isinstance(a, Arrival)] == [1, 2, 3]


class TestContract(ReaderContract):
    @pytest.fixture
    def make(self, tmp_path):
        frames = np.arange(60, dtype="u2").reshape(5, 4, 3)
        told = streamed(tmp_path, "application/x-hdf5", frames)
        lines = [orjson.dumps(pair, option=orjson.OPT_SERIALIZE_NUMPY) for pair in told]
        (tmp_path / "run.jsonl").write_bytes(b"\n".join(lines))
        return lambda: Documents(str(tmp_path / "run.jsonl"), data="eiger", detector=Detector(name="d", source="det"))


def test_a_session_is_measured_point_by_point_and_every_record_is_derived_again(engine, tmp_path):
    """A stock RunEngine scans through an edge; the shipped recipe measures what there is of each spectrum."""
    mono = SynAxis(name="mono")
    mu = lambda: 0.5 + np.arctan((mono.position - 7112.0) / 2.0) / np.pi  # noqa: E731
    bench = {
        "format": 1, "source": "xas", "reader": {"use": "documents", "runs": 2},
        "assemble": {**ASSEMBLE, "every": 20},
    }  # fmt: skip
    recipe = {
        "format": 1, "title": "step scans", "detectors": ["bench"],
        "prepare": [{"use": "absorption", "mode": "transmission"}], "features": [{"use": "xafs.edge"}],
    }  # fmt: skip
    live = LiveRun(load(recipe, detectors={"bench": bench}), data_root=tmp_path)
    reader: Any = live.readers["xas"]
    engine.subscribe(reader.feed)
    detectors = [Counter("i0", lambda: 1e5), Counter("itrans", lambda: 1e5 * np.exp(-mu()))]
    for _ in range(2):
        engine(bp.scan(detectors, mono, 7012, 7312, 60))
    summary = live.wait(60)
    assert (summary.ended, summary.frames["stored"], summary.records) == ("complete", 2, 2)
    with StoredRun(live.path) as stored:
        records = list(stored.records())
    assert [r.get("k") for r in records] == [20, 40, 60, None] * 2
    assert abs(records[3]["features"]["e0"]["value"] - 7112.0) < 3.0
    assert records[3]["labels"]["sample"] == "nickel"
    report = verify(live.path)
    assert report.identical, report.findings


def test_events_that_were_left_out_cost_numbers_only_where_they_had_frames(engine):
    reader = Documents(data="camera")
    engine.subscribe(reader.feed)

    def missed(name: str, document: Any) -> None:
        if name == "event":  # three more of this stream were left out
            reader.feed(MISSED, {"frames": {document["descriptor"]: 3}})

    engine.subscribe(missed)
    for devices in ([Image()], [SynAxis(name="stage")], [Image()]):
        engine(bp.count(devices, 1))
    assert [a.source_seq for a in arrivals(reader)] == [0, 4]
