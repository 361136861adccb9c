"""Plans whose questions are answered late, not at all, or by a session that only advises: nothing makes one fail."""

import logging
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bluesky import RunEngine
from bluesky.simulators import summarize_plan
from ophyd import Signal
from ophyd.sim import SynAxis, SynSignal

from insitu.bluesky.plans import Settings, exposure_scan, imaging_scan, refine_scan, scan_until, sweep_scan
from insitu.store.runs import StoredRun
from insitu.types import Feature
from tests.bluesky.furnace import MIDDLE, documents_of, heated, session
from tests.sessions import run_engine
from tests.waiting import until


@pytest.fixture
def engine() -> Iterator[RunEngine]:
    with run_engine() as engine:
        engine._call_returns_result = True
        yield engine


class Silent:
    """A session that never answers, or answers late: what a slow pipeline is, without its slowness."""

    def __init__(self, late_s: float | None = None) -> None:
        from itertools import count
        from types import SimpleNamespace

        self.points, self.limits, self.late_s, self.watchers = count(1), {}, late_s, []
        self.device = SimpleNamespace(state=SimpleNamespace(get=lambda: "running"))

    def watch(self, watcher: Any) -> Any:
        self.watchers.append(watcher)
        return lambda: self.watchers.remove(watcher)

    def says(self, point: int, value: float) -> None:
        from types import SimpleNamespace

        m = SimpleNamespace(
            context={"asked_point": Feature(float(point))},
            role="sample",
            features={"middle": Feature(value, sigma=0.1)},
        )
        for watcher in self.watchers:
            watcher(SimpleNamespace(measurement=m))


def went_as_planned(outcome: Any, found: list[tuple[str, Any]], points: int) -> None:
    places = sorted(x for x, _ in outcome.points)
    assert len(places) == points
    assert max(np.diff(places)) <= 2 * min(np.diff(places)) + 1e-9
    stop = found[-1][1]
    assert stop["exit_status"] == "success"
    assert stop["num_events"] == {"primary": points, "outcome": 1}
    why = next(d["data"]["outcome_why"] for name, d in reversed(found) if name == "event")
    assert why.startswith("the grid is even")


def test_without_a_session_the_scan_is_even_and_can_be_looked_at(engine, capsys):
    motor = SynAxis(name="furnace")
    detector = heated(motor, 350, 0)
    summarize_plan(refine_scan(None, [detector], motor, 300, 400, 5, "middle", most=9))
    assert capsys.readouterr().out.count("furnace ->") == 9
    outcome, found = documents_of(engine, refine_scan(None, [detector], motor, 300, 400, 5, "middle", most=9))
    went_as_planned(outcome, found, 9)


@pytest.mark.parametrize("fault", ["extractor", "disk", "queue", "held", "watch"])
def test_a_pipeline_that_fails_leaves_an_even_scan_that_says_so(engine, tmp_path, monkeypatch, caplog, fault):
    motor, features = SynAxis(name="furnace"), [{**MIDDLE, "fail": 1.0} if fault == "extractor" else MIDDLE]
    if fault == "disk":
        (tmp_path / "full").touch()
        features += [{"use": "tests.bluesky.roles:Disk", "full": str(tmp_path / "full")}]
    with session(engine, tmp_path, *features) as insitu:
        if fault == "held":
            insitu.hold()
            until(lambda: insitu.device.state.get() == "held")
        if fault == "queue":
            monkeypatch.setattr(insitu._outlet, "put", lambda *_: 1 / 0)
        if fault == "watch":
            monkeypatch.setattr(insitu, "watch", lambda _: 1 / 0)
        plan = refine_scan(insitu, [heated(motor, 350, 0)], motor, 300, 400, 5, "middle", most=9, within_s=0.3)
        outcome, found = documents_of(engine, plan)
        went_as_planned(outcome, found, 9)
        insitu.release()
    if fault == "extractor":
        assert "no point has a value" in outcome.why
    if fault == "queue":
        assert outcome.unanswered == 9
        assert "the plan goes on as planned" in caplog.text
        last = [d["data"] for name, d in found if name == "event"][-1]
        assert last["outcome_unanswered"] == 9


def test_where_the_session_advises_a_plan_goes_as_planned_and_records_what_it_would_have_done(engine, tmp_path):
    motor, exposure = SynAxis(name="furnace"), Signal(name="exposure_s", value=0.5)
    detector = heated(motor, 350, 0)
    with session(engine, tmp_path, MIDDLE, {"use": "totals"}, mode="advise") as insitu:
        refine = refine_scan(insitu, [detector], motor, 300, 400, 5, "middle", most=9, within_s=20)
        refined, found = documents_of(engine, refine)
        repeats, _ = documents_of(engine, scan_until(insitu, [detector], "middle", 5.0, 4, within_s=20))
        _, told = documents_of(engine, exposure_scan(insitu, [detector], exposure, 2, full=1e6, within_s=20))
        swept, _ = documents_of(engine, sweep_scan(insitu, [detector], exposure, 0.5, 2.0, 2, "middle", within_s=20))
        imaging = imaging_scan(insitu, [detector], Settings(exposure=exposure, full=1e6), 1, within_s=20)
        imaged, _ = documents_of(engine, imaging)
    assert max(np.diff(sorted(x for x, _ in refined.points))) == 12.5
    assert refined.why.endswith("the session advises, mode act adapts")
    assert len(repeats.points) == 4
    assert exposure.get() == 0.5
    advised = [d["data"] for name, d in found if name == "event" and "advice_value" in d["data"]]
    assert advised[0]["advice_value"] in (337.5, 350.0, 362.5)
    assert [d["data"]["advice_value"] for name, d in told if name == "event" and "advice_value" in d["data"]] == [2, 2]
    with StoredRun(Path(insitu.summaries[0].path)) as stored:
        notes = [e.body for e in stored.entries("event") if e.body.get("what") == "advised"]
    others = ["scan_until", "exposure_scan", "exposure_scan", "sweep_scan", "imaging_scan"]
    assert [n["by"] for n in notes] == ["refine_scan"] * len(advised) + others
    assert all(o.why.endswith("the session advises, mode act adapts") for o in (swept, imaged))


def test_the_loop_of_the_run_engine_goes_on_while_a_plan_waits_and_three_silent_points_end_the_waiting(engine, caplog):
    ticks: list[int] = []

    def tick() -> None:
        ticks.append(1)
        engine.loop.call_later(0.02, tick)

    engine.loop.call_soon_threadsafe(tick)
    quiet = SynSignal(func=lambda: 1.0, name="quiet")
    with caplog.at_level(logging.WARNING):
        outcome, _ = documents_of(engine, scan_until(Silent(), [quiet], "middle", 0.1, 40, within_s=0.4))
    assert (len(outcome.points), outcome.unanswered) == (40, 40)
    assert len(ticks) > 10
    assert caplog.text.count("said nothing") == 2
    assert "waits no more" in caplog.text


def test_an_answer_that_comes_late_is_used_for_the_points_that_follow(engine):
    slow, motor = Silent(), SynAxis(name="furnace")

    def late(name: str, document: Any) -> None:
        """Each point is answered when the next but one is taken."""
        point = document.get("data", {}).get("asked_point")
        if name == "event" and point and point > 2:
            slow.says(point - 2, math.tanh((100 + 25 * (point - 3)) - 140))

    engine.subscribe(late)
    plan = refine_scan(slow, [heated(motor, 0, 0)], motor, 100, 200, 5, "middle", most=8, within_s=0.0, smallest=1)
    outcome = engine(plan).plan_result
    assert outcome.points[0][1] is not None
    assert 125 < outcome.points[5][0] < 150
    assert not slow.watchers


def test_a_function_of_readings_that_fails_leaves_the_scan_alone(engine, caplog):
    motor = SynAxis(name="furnace")
    plan = refine_scan(None, [heated(motor, 0, 0)], motor, 0, 10, 5, lambda r: r["nothing"], most=9)
    outcome, found = documents_of(engine, plan)
    went_as_planned(outcome, found, 9)
    assert "KeyError" in caplog.text


def test_a_plan_without_our_detector_in_between_loses_no_frame_of_the_next(engine, tmp_path):
    from bluesky import plans

    motor = SynAxis(name="furnace")
    with session(engine, tmp_path, MIDDLE) as insitu:
        for _ in range(2):
            engine(refine_scan(insitu, [heated(motor, 350, 0)], motor, 340, 360, 3, "middle", most=3, within_s=20))
            engine(plans.count([motor], 2))
    (summary,) = insitu.summaries
    assert (summary.frames["stored"], summary.frames["duplicates"]) == (6, 0)
