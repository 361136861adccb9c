"""A stock RunEngine with the pipeline beside it: what it measures, says, suspends, stops and aborts."""

import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bluesky import RunEngine, plan_stubs, plans, preprocessors
from bluesky.utils import RunEngineInterrupted
from ophyd.sim import SynSignal

from insitu.bluesky import Session
from insitu.errors import ConfigError, StorageError
from insitu.replay import verify
from insitu.store.runs import StoredRun

bp: Any = plans
bps: Any = plan_stubs
bpp: Any = preprocessors

BEAM = {"name": "beam", "use": "limits", "feature": "context.beam", "low": 50.0}


class Camera(SynSignal):
    """Pictures, and a beam that can be lost."""

    def __init__(self) -> None:
        self.beam = SynSignal(func=lambda: 100.0, name="beam")
        super().__init__(func=lambda: np.full((8, 8), 7, "u2"), name="camera")

    def lose(self) -> None:
        self.beam.sim_set_func(lambda: 0.0) if hasattr(self.beam, "sim_set_func") else None
        self.beam._func = lambda: 0.0

    def back(self) -> None:
        self.beam._func = lambda: 100.0


def session(engine: RunEngine, root: Path, *rules: dict[str, Any], recipe: Any = None, **more: Any) -> Session:
    found = {
        "format": 1, "title": "a session", "detectors": ["bench"], "features": [{"use": "totals"}],
        "models": [BEAM], "rules": list(rules),
    } | (recipe or {})  # fmt: skip
    bench = {"format": 1, "source": "cam", "reader": {"use": "documents", "data": "camera"}}
    return Session(engine, found, data_root=root, detectors={"bench": bench}, **more)


def counted(camera: Camera, frames: int, *, lost: range = range(0), pause_s: float = 0.02, checkpoints: bool = True):
    """A plan that takes pictures; the beam is lost while the pictures of `lost` are taken first."""

    @bpp.run_decorator(md={"plan_name": "pictures"})
    def plan():
        for k in range(frames):
            if checkpoints:
                yield from bps.checkpoint()
            camera.lose() if k in lost else camera.back()
            yield from bps.trigger_and_read([camera, camera.beam])
            yield from bps.sleep(pause_s)

    return plan()


def entries(path: Path, kind: str) -> list[dict[str, Any]]:
    with StoredRun(path) as stored:
        return [e.body for e in stored.entries(kind)]


def not_done(path: Path) -> list[dict[str, Any]]:
    return [e for e in entries(path, "event") if e["what"] == "not_done"]


def test_every_frame_of_every_plan_is_stored_and_said_as_signals(engine, tmp_path):
    camera = Camera()
    with session(engine, tmp_path) as insitu:
        for _ in range(2):
            engine(counted(camera, 5))
    (summary,) = insitu.summaries
    assert (summary.ended, summary.frames["stored"]) == ("complete", 10)
    said = insitu.device.read()
    assert said["insitu_beam_label"]["value"] == "normal"
    assert said["insitu_frame"]["value"] == 9
    assert insitu.device.total.get() == 8 * 8 * 7
    assert insitu.device.describe()["insitu_total"]["dtype"] == "number"
    with StoredRun(Path(summary.path)) as stored:
        assert len({f.source_run_uid for f in stored.frames()}) == 2
    assert verify(Path(summary.path)).identical
    with pytest.raises(PermissionError, match="cannot be set"):
        insitu.device.frame.put(1)


def test_a_halt_aborts_the_plan_with_its_clean_up_and_the_reason_is_in_its_stop_document(engine, tmp_path):
    camera, documents, cleaned = Camera(), [], []
    engine.subscribe(lambda name, document: documents.append((name, document)))

    def clean():
        cleaned.append(True)
        yield from bps.null()

    rule = {"use": "halt_after", "name": "no_beam", "model": "beam", "count": 2}
    with session(engine, tmp_path, rule, mode="act") as insitu:
        with pytest.raises(RunEngineInterrupted):
            engine(bpp.finalize_wrapper(counted(camera, 5000, lost=range(4, 5000)), clean()))
        assert cleaned
        engine(counted(camera, 3))  # the session goes on, in a run that names the one before
    stop = next(d for name, d in documents if name == "stop")
    assert stop["exit_status"] == "abort"
    assert "no_beam: beam" in stop["reason"]
    first, second = insitu.summaries
    taken = sum(name == "event" for name, _ in documents)
    assert (first.ended, first.frames["stored"] + second.frames["stored"]) == ("halted", taken)
    assert stop["reason"] in first.reason
    (action,) = [a for a in entries(Path(first.path), "action") if a["decision"]["action"] == "HALT"]
    assert (action["acknowledged"], action["to"]) == (True, "run, run_engine")
    assert entries(Path(second.path), "open")[0]["continues"] == first.run_uid


def test_a_pause_suspends_the_plan_and_clean_frames_let_it_go_on(engine, tmp_path):
    """The frames come from a second camera that runs free; the plan that is suspended would not take any."""
    told: list[tuple[int, float]] = []
    rule = {"use": "pause_on", "name": "no_beam", "model": "beam", "count": 2, "resume_after": 2}
    with session(engine, tmp_path, rule, mode="act") as insitu:
        insitu.device.suspend.subscribe(lambda value, **_: told.append((value, time.monotonic())), run=False)
        free = threading.Thread(target=free_running, args=(insitu.feed, [100.0] * 5 + [0.0] * 5 + [100.0] * 10))
        begun, steps = threading.Event(), []

        @bpp.run_decorator()
        def plan():
            begun.set()
            while not (len(told) == 2 and steps[-1] > told[1][1]) and len(steps) < 3000:
                yield from bps.checkpoint()
                steps.append(time.monotonic())
                yield from bps.sleep(0.02)

        thread = threading.Thread(target=lambda: (begun.wait(), free.start()))
        thread.start()
        engine(plan())
        free.join()
    assert [value for value, _ in told] == [1, 0]
    (_, suspended), (_, clear) = told
    assert sum(suspended < at < clear for at in steps) <= 2  # of seven; a step may be under way when it is told
    assert max(steps) > clear
    actions = entries(Path(insitu.summaries[0].path), "action")
    assert [a["decision"]["action"] for a in actions] == ["PAUSE", "CONTINUE"]


def free_running(feed, beam: list[float]) -> None:
    """Documents of a camera that no plan triggers."""
    import event_model

    run = event_model.compose_run()
    keys: Any = {
        "camera": {"source": "x", "dtype": "array", "shape": [8, 8], "dtype_numpy": "<u2"},
        "beam": {"source": "x", "dtype": "number", "shape": []},
    }
    described = run.compose_descriptor(name="primary", data_keys=keys)
    feed("start", run.start_doc)
    feed("descriptor", described.descriptor_doc)
    for value in beam:
        time.sleep(0.03)
        data = {"camera": np.zeros((8, 8), "u2"), "beam": value}
        feed("event", described.compose_event(data=data, timestamps=dict.fromkeys(data, time.time())))
    feed("stop", run.compose_stop())


def test_a_pause_of_a_plan_without_checkpoint_is_refused_since_bluesky_would_abort_it(engine, tmp_path):
    camera = Camera()
    rule = {"use": "pause_on", "name": "no_beam", "model": "beam", "count": 2}
    with session(engine, tmp_path, rule, mode="act") as insitu:

        @bpp.run_decorator()
        def plan():
            yield from bps.clear_checkpoint()
            camera.lose()
            for _ in range(12):
                yield from bps.create("primary")
                yield from bps.trigger(camera, wait=True)
                yield from bps.trigger(camera.beam, wait=True)
                yield from bps.read(camera)
                yield from bps.read(camera.beam)
                yield from bps.save()
                yield from bps.sleep(0.02)
            for _ in range(600):
                if not_done(insitu.run.path):
                    break
                yield from bps.sleep(0.05)

        engine(plan())
    refused = not_done(Path(insitu.summaries[0].path))
    assert refused
    assert "no checkpoint" in refused[0]["why"]


def test_finish_stops_the_plan_as_a_success(engine, tmp_path):
    camera, documents = Camera(), []
    engine.subscribe(lambda name, document: documents.append((name, document)))
    rule = {"use": "finish_when", "name": "enough", "feature": "total", "above": "1 counts", "count": 4}
    recipe = {"format": 1, "title": "t", "detectors": ["bench"], "features": [{"use": "totals"}], "rules": [rule]}
    bench = {"format": 1, "source": "cam", "reader": {"use": "documents", "data": "camera"}}
    with (
        Session(engine, recipe, data_root=tmp_path, detectors={"bench": bench}, mode="act") as insitu,
        pytest.raises(RunEngineInterrupted),
    ):
        engine(counted(camera, 5000))
    stop = next(d for name, d in documents if name == "stop")
    assert (stop["exit_status"], stop["num_events"]["primary"] < 5000) == ("success", True)
    assert insitu.summaries[0].ended == "finished"


def test_in_advise_nothing_is_touched(engine, tmp_path):
    camera = Camera()
    rule = {"use": "halt_after", "name": "no_beam", "model": "beam", "count": 2}
    with session(engine, tmp_path, rule) as insitu:
        engine(counted(camera, 10, lost=range(3, 10), pause_s=0.0))
    (summary,) = insitu.summaries
    assert (summary.ended, summary.frames["stored"], summary.decisions["HALT"] > 0) == ("complete", 10, True)


def test_an_operators_hold_wins_and_is_logged(engine, tmp_path):
    camera = Camera()
    rule = {"use": "halt_after", "name": "no_beam", "model": "beam", "count": 2}
    with session(engine, tmp_path, rule, mode="act") as insitu:
        insitu.hold()
        engine(counted(camera, 10, lost=range(3, 10)))
    path = Path(insitu.summaries[0].path)
    assert entries(path, "operator")[0]["command"] == "hold"
    assert all("held by the operator" in a["refused"] for a in entries(path, "action"))


def test_a_disk_that_fails_ends_the_recording_and_not_the_plan(engine, tmp_path):
    camera, documents, full = Camera(), [], tmp_path / "full"
    engine.subscribe(lambda name, document: documents.append(name))
    recipe = {"features": [{"use": "tests.bluesky.roles:Disk", "full": str(full)}], "models": []}
    with session(engine, tmp_path, recipe=recipe) as insitu:
        engine(counted(camera, 2))
        full.touch()
        engine(counted(camera, 20))
    assert documents.count("event") == 22
    assert documents.count("stop") == 2
    assert insitu.summaries[-1].ended == "failed"
    assert isinstance(insitu.summaries[-1].error, StorageError)
    assert insitu.device.state.get() in ("failed", "idle")


def test_the_device_can_be_read_by_a_plan_and_event_model_accepts_what_it_says(engine, tmp_path):
    from event_model import DocumentNames, schema_validators

    camera, documents = Camera(), []
    with session(engine, tmp_path) as insitu:
        engine.subscribe(lambda name, document: documents.append((name, document)))
        engine(bp.count([camera, camera.beam, insitu.device], 3, delay=0.1))
    for name, document in documents:
        if name in ("descriptor", "event"):
            plain = {**document, "data": {k: v for k, v in document.get("data", {}).items() if k != "camera"}}
            schema_validators[DocumentNames[name]].validate(plain if name == "event" else document)
    descriptor = next(d for name, d in documents if name == "descriptor")
    assert descriptor["data_keys"]["insitu_total"]["units"] == "counts"
    last = [d for name, d in documents if name == "event"][-1]
    assert last["data"]["insitu_beam_label"] == "normal"


def test_a_hold_outlives_the_run_in_which_it_was_given(engine, tmp_path):
    camera = Camera()
    rule = {"use": "halt_after", "name": "no_beam", "model": "beam", "count": 2}
    with session(engine, tmp_path, rule, mode="act") as insitu:
        insitu.hold()
        first = insitu.run
        first.stop("a new run is wanted")
        until = time.monotonic() + 30
        while insitu.run is first and time.monotonic() < until:
            time.sleep(0.02)
        engine(counted(camera, 8, lost=range(2, 8)))
    second = Path(insitu.summaries[1].path)
    assert insitu.summaries[1].frames["stored"] == 8
    assert entries(second, "operator")[0]["command"] == "hold"
    assert all("held by the operator" in a["refused"] for a in entries(second, "action"))


def test_a_watcher_that_fails_silences_nobody_else(engine, tmp_path):
    camera, seen = Camera(), []

    def fails(record):
        raise RuntimeError("no screen")

    with session(engine, tmp_path) as insitu:
        insitu.watch(fails)
        insitu.watch(lambda record: seen.append(record.measurement.n))
        engine(counted(camera, 4))
    assert seen == [0, 1, 2, 3]
    assert insitu.device.frame.get() == 3


def test_a_recipe_that_reads_no_session_is_refused(engine, tmp_path):
    with pytest.raises(ConfigError, match="no detector of this recipe reads a session"):
        Session(engine, "xrd_heating_demo", data_root=tmp_path, sets=["detector.reader.frames=2"])
