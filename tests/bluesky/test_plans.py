"""Plans that adapt: what they find, how few points they need, and that nothing of ours makes one fail."""

import logging
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bluesky import RunEngine, plan_stubs
from bluesky.simulators import summarize_plan
from ophyd import Signal
from ophyd.sim import SynAxis, SynSignal

from insitu.bluesky import Session
from insitu.bluesky.plans import exposure_scan, refine_scan, scan_until, window_scan
from insitu.bluesky.refining import Grid, located
from insitu.bluesky.windows import exposure_for, steps_to, window_of
from insitu.errors import ActionRefusedError, UsageError
from insitu.store.runs import StoredRun
from insitu.types import Feature, Limit
from tests.bluesky.playback import played
from tests.sessions import run_engine

bps: Any = plan_stubs
MIDDLE = {"use": "tests.bluesky.playback:Middle", "name": "middle"}


@pytest.fixture
def engine() -> Iterator[RunEngine]:
    with run_engine() as engine:
        engine._call_returns_result = True
        yield engine


def session(engine: RunEngine, root: Path, *features: dict[str, Any], **more: Any) -> Session:
    recipe = {"format": 1, "title": "t", "detectors": ["bench"], "features": list(features), **more.pop("recipe", {})}
    bench = {
        "format": 1, "source": "det", "dims": ["two_theta"], "unit": "counts",
        "reader": {"use": "documents", "data": "pattern", **more.pop("reader", {})}, **more.pop("bench", {}),
    }  # fmt: skip
    return Session(engine, recipe, data_root=root, detectors={"bench": bench}, **{"mode": "act", **more})


def heated(motor: SynAxis, transition: float, seed: int, width: float = 0.8) -> SynSignal:
    """One line on 200 points: it moves slowly with temperature, and by 6 points at the transition; counting noise."""
    rng, x = np.random.default_rng(seed), np.arange(200)

    def pattern(t: float) -> np.ndarray:
        at = 90 + 0.01 * (t - 300) + 3 * math.tanh((t - transition) / width)
        return rng.poisson(400 * np.exp(-0.5 * ((x - at) / 4) ** 2)).astype("u4")

    return played("pattern", motor, pattern)


def refined(measure: Any, grid: Grid) -> dict[float, Feature]:
    """The plan's loop without a RunEngine."""
    known = {x: measure(x) for x in grid.first()}
    while places := grid.next(known, known)[: grid.most - len(known)]:
        known |= {x: measure(x) for x in places}
    return known


def test_over_20_seeds_a_hidden_transition_needs_40_percent_of_the_points_of_an_even_scan_at_most():
    """Pure: a step of 0.1 deg, 1 K wide, between 315 and 435 K; the even scan has 2.5 times the points and is worse."""
    errors, evens = [], []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        hidden = rng.uniform(315, 435)

        def measure(x: float, rng: Any = rng, hidden: float = hidden) -> Feature:
            truth = 2.0 + 0.001 * (x - 300) + 0.05 * math.tanh(x - hidden)
            return Feature(truth + rng.normal(0, 0.002), "deg", sigma=0.002)

        known = refined(measure, Grid(start=300, stop=450, num=13, most=40, smallest=0.25))
        at = located(known, "K")
        even = located({float(x): measure(x) for x in np.linspace(300, 450, math.ceil(2.5 * len(known)))}, "K")
        assert at.value is not None
        assert at.sigma is not None
        assert abs(at.value - hidden) < 0.5
        assert abs(at.value - hidden) < 5 * at.sigma
        errors.append(at.value - hidden)
        evens.append(float("inf") if even.value is None else even.value - hidden)
    assert np.sqrt(np.mean(np.square(errors))) < np.sqrt(np.mean(np.square(evens)))


@pytest.mark.parametrize("seed", range(3))
def test_a_hidden_transition_is_located_through_frames_records_and_the_run_engine(engine, tmp_path, seed):
    hidden, motor, documents = 330 + 27.3 * seed, SynAxis(name="furnace", labels={"motors"}), []
    engine.subscribe(lambda name, document: documents.append((name, document)))
    with session(engine, tmp_path, MIDDLE) as insitu:
        plan = refine_scan(
            insitu, [heated(motor, hidden, seed)], motor, 300, 420, 9, "middle", most=40, smallest=0.4, within_s=20
        )
        outcome = engine(plan).plan_result
    assert abs(outcome.value.value - hidden) < 0.5
    assert len(outcome.points) <= 28
    assert outcome.unanswered == 0
    start = next(d for name, d in documents if name == "start")
    assert (start["plan_name"], start["adapts"]) == ("refine_scan", {"what": "furnace", "by": "middle"})
    events = [d["data"] for name, d in documents if name == "event"]
    assert events[-1]["outcome_points"] == len(outcome.points) == len(events) - 1
    assert events[-1]["outcome_value"] == outcome.value.value
    with StoredRun(Path(insitu.summaries[0].path)) as stored:
        assert [f.context["asked_point"].value for f in stored.frames()] == list(range(1, len(events)))


def test_on_the_real_series_of_cucr2o4_points_gather_between_90_and_140_k(engine, tmp_path, data):
    from insitu.readers.gsas import decode

    folder = data / "xrd/series_cucr2o4_7-289K"
    patterns = []
    for path in sorted(folder.glob("OH_*.fxye")):
        pattern = decode(path.read_bytes())
        kept = (pattern.two_theta >= 10.8) & (pattern.two_theta <= 11.4)
        patterns.append((pattern.context["temperature"].value, pattern.intensity[kept]))
        x = pattern.two_theta[kept]
    motor = SynAxis(name="cryostat")
    nearest = played("pattern", motor, lambda t: min(patterns, key=lambda p: abs(p[0] - t))[1])
    angles = {"use": "tests.bluesky.playback:Angles", "low": float(x[0]), "step": float(x[1] - x[0])}
    peaks = {"use": "xrd.peaks", "name": "pair", "windows": [["11.07 deg", "11.16 deg"]]}
    with session(engine, tmp_path, peaks, recipe={"prepare": [angles]}) as insitu:
        plan = refine_scan(insitu, [nearest], motor, 7, 289, 7, "pair1_width", most=16, smallest=5.0, within_s=20)
        outcome = engine(plan).plan_result
    places = [x for x, _ in outcome.points[7:]]
    assert len(places) >= 3
    assert all(90 <= place <= 140 for place in places), places


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


def documents_of(engine: RunEngine, plan: Any) -> tuple[Any, list[tuple[str, Any]]]:
    found: list[tuple[str, Any]] = []
    token = engine.subscribe(lambda name, document: found.append((name, document)))
    outcome = engine(plan).plan_result
    engine.unsubscribe(token)
    return outcome, found


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
            wait_for(lambda: insitu.device.state.get() == "held")
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
    assert max(np.diff(sorted(x for x, _ in refined.points))) == 12.5
    assert refined.why.endswith("the session advises, mode act adapts")
    assert len(repeats.points) == 4
    assert exposure.get() == 0.5
    advised = [d["data"] for name, d in found if name == "event" and "advice_value" in d["data"]]
    assert advised[0]["advice_value"] in (337.5, 350.0, 362.5)
    assert [d["data"]["advice_value"] for name, d in told if name == "event" and "advice_value" in d["data"]] == [2, 2]
    with StoredRun(Path(insitu.summaries[0].path)) as stored:
        notes = [e.body for e in stored.entries("event") if e.body.get("what") == "advised"]
    assert [n["by"] for n in notes] == ["refine_scan"] * len(advised) + ["scan_until", "exposure_scan", "exposure_scan"]


def wait_for(true: Any) -> None:
    import time

    until = time.monotonic() + 20
    while not true():
        assert time.monotonic() < until
        time.sleep(0.02)


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


def test_repeats_end_at_the_uncertainty_that_was_asked_for(engine, tmp_path):
    motor = SynAxis(name="furnace")
    with session(engine, tmp_path, MIDDLE) as insitu:
        detector = heated(motor, 350, 3)
        outcome = engine(scan_until(insitu, [detector], "middle", 0.02, 60, within_s=20)).plan_result
        few = engine(scan_until(insitu, [detector], "middle", 1e-6, 4, within_s=20)).plan_result
    assert outcome.value.sigma <= 0.02
    assert 2 <= len(outcome.points) < 60
    assert abs(outcome.value.value - (90 - 3.0 - 3)) < 0.2
    assert (len(few.points), few.why) == (4, "4 repeats are done")


def test_a_window_follows_the_peak_that_a_coarse_scan_found(engine, tmp_path):
    motor = SynAxis(name="tth")
    counts = SynSignal(func=lambda: 1000 * math.exp(-0.5 * ((motor.position - 31.7) / 0.5) ** 2), name="counts")
    bench = {"assemble": {"axis": "tth", "channels": ["counts"], "dim": "angle"}, "dims": ["angle"]}
    line = {"use": "tests.bluesky.playback:Moments", "name": "line"}
    with session(engine, tmp_path, line, bench=bench, reader={"data": ""}) as insitu:
        plan = window_scan(insitu, [counts], motor, 20, 40, 21, "line_position", "line_width", across=2, within_s=20)
        outcome, found = documents_of(engine, plan)
        starts = [d for name, d in found if name == "start"]
        assert (starts[1]["window"], starts[1]["coarse"]) == ("fine", starts[0]["uid"])
        fine = [x for x, _ in outcome.points[21:]]
        assert 28 < min(fine) < 31.7 < max(fine) < 35
        assert max(np.diff(fine)) < 0.3
        blind, _ = documents_of(
            engine, window_scan(None, [counts], motor, 20, 40, 11, "line_position", "line_width", most=21)
        )
    assert [x for x, _ in blind.points[11:]] == pytest.approx(list(np.linspace(20, 40, 21)))


@pytest.mark.parametrize("growth", ["slow", "sudden"])
def test_the_exposure_keeps_saturation_bounded_through_a_tenfold_intensity_change(engine, tmp_path, growth):
    exposure, taken = Signal(name="exposure_s", value=0.5), []
    shape = np.exp(-0.5 * ((np.arange(100) - 50) / 5) ** 2)

    def frame() -> np.ndarray:
        k = len(taken)
        bright = 10 ** min(k / 25, 1.0) if growth == "slow" else (10.0 if k >= 12 else 1.0)
        image = np.minimum(60_000 * bright * float(exposure.get()) * shape, 65_535).astype("u2")
        taken.append((float(np.mean(image == 65_535)), float(exposure.get())))
        return image

    camera = SynSignal(func=frame, name="pattern")
    bench = {"limits": {"exposure_s": {"min": "10 ms", "max": "600 ms"}}}
    with session(engine, tmp_path, {"use": "totals"}, bench=bench) as insitu:
        outcome = engine(exposure_scan(insitu, [camera], exposure, 36, full=65_535, within_s=20)).plan_result
        exposure.put(2.0)
        with pytest.raises(ActionRefusedError, match=r"exposure_s 2 s is out of what the beamline allows, 0.01 to 0.6"):
            engine(exposure_scan(insitu, [camera], exposure, 3, full=65_535))
    saturated = [part for part, _ in taken[:36]]
    assert sum(part > 0 for part in saturated) <= (0 if growth == "slow" else 2)
    assert 0.02 < outcome.value.value < 0.12
    assert outcome.unanswered == 0


def test_what_the_beamline_does_not_allow_is_refused_before_the_first_move(engine, tmp_path):
    motor = SynAxis(name="furnace", value=20.0)
    bench = {"limits": {"furnace": {"min": 0, "max": 400, "unit": "mm"}}}
    with session(engine, tmp_path, MIDDLE, bench=bench) as insitu:
        for start, stop, more in ((300, 401, {}), (-1, 300, {}), (0, 300, {"backlash": 5.0})):
            with pytest.raises(ActionRefusedError, match="out of what the beamline allows, 0 to 400"):
                engine(refine_scan(insitu, [heated(motor, 0, 0)], motor, start, stop, 5, "middle", **more))
    assert motor.position == 20.0


def test_every_point_is_reached_from_one_side_in_steps_that_are_allowed(engine, tmp_path):
    motor = SynAxis(name="furnace", value=300.0)
    moved, last_moves = [300.0, 300.0], []
    motor.readback.subscribe(lambda value, **_: moved.append(value), run=False)
    way = SynSignal(func=lambda: last_moves.append(moved[-1] - moved[-2]) or 1.0, name="way")
    last_moves.clear()
    bench = {"limits": {"furnace": {"min": 0, "max": 50, "step": 1, "unit": "cm"}}}
    with session(engine, tmp_path, MIDDLE, bench=bench) as insitu:
        plan = refine_scan(
            insitu, [heated(motor, 350, 1), way], motor, 320, 400, 5, "middle", most=9, backlash=4.0, within_s=20
        )
        outcome = engine(plan).plan_result
    assert max(abs(np.diff(moved))) <= 10.0 + 1e-9  # mm; the limit is in cm
    assert len(last_moves) == len(outcome.points) > 5
    assert min(last_moves) > 0


def test_curvature_gathers_points_at_corners_and_a_function_of_readings_needs_no_pipeline(engine):
    """An absorption edge inside one spectrum: mu from the point detectors."""
    energy = SynAxis(name="energy")
    mu = SynSignal(func=lambda: 0.5 + 0.5 * math.tanh(energy.position - 7112.0), name="mu")
    plan = refine_scan(
        None,
        [mu],
        energy,
        7080,
        7150,
        15,
        lambda r: r["mu"]["value"],
        most=40,
        smallest=0.5,
        by="curvature",
        least=1e-3,
    )
    outcome = engine(plan).plan_result
    added = [x for x, _ in outcome.points[15:]]
    assert len(added) >= 8
    assert all(7100 < x < 7124 for x in added)


def test_a_function_of_readings_that_fails_leaves_the_scan_alone(engine, caplog):
    motor = SynAxis(name="furnace")
    plan = refine_scan(None, [heated(motor, 0, 0)], motor, 0, 10, 5, lambda r: r["nothing"], most=9)
    outcome, found = documents_of(engine, plan)
    went_as_planned(outcome, found, 9)
    assert "KeyError" in caplog.text


def test_a_grid_stops_where_nothing_changes_and_measures_no_place_twice():
    grid = Grid(start=0, stop=10, num=5, most=40, smallest=0.5)
    flat = {x: Feature(1.0 + 0.01 * (-1) ** k, sigma=0.02) for k, x in enumerate(grid.first())}
    assert grid.next(flat, flat) == []
    known = refined(lambda x: Feature(float(x > 3.3)), grid)
    assert min(np.diff(sorted(known))) >= 0.5
    lost = {x: f for x, f in known.items() if not 3 < x < 4}
    assert all(x not in known for x in grid.next(lost, known))
    assert located({x: Feature(2 * x) for x in grid.first()} | {9.0: Feature(18.0)}).value is None
    for wrong in ({"num": 2}, {"most": 4}, {"smallest": 0.0}, {"stop": 0.0}, {"by": "luck"}, {"start": math.nan}):
        with pytest.raises(UsageError):
            Grid(**{"start": 0.0, "stop": 10.0, "num": 5, "most": 9, "smallest": 1.0, **wrong})


def test_windows_and_exposures_are_bounded():
    assert window_of(Feature(5.0), Feature(None, why="x"), low=0, high=10) is None
    assert window_of(Feature(15.0), Feature(1.0), low=0, high=10) is None
    window = window_of(Feature(9.5), Feature(1.0), low=0, high=10, across=2, per_width=4)
    assert window == (7.5, 10.0, 11)
    limit = Limit(unit="s", low=0.1, high=2.0, step=0.2)
    assert steps_to(1.0, 0.5, limit) == pytest.approx([2 / 3, 5 / 6, 1.0])
    found = exposure_for(1.0, Feature(100.0), Feature(0.0), full=10_000, limit=limit)
    assert (found.exposure_s, found.limited) == (pytest.approx(1.2), True)
    assert exposure_for(1.0, None, None, full=100, limit=limit).exposure_s == 1.0
    with pytest.raises(UsageError):
        exposure_for(math.nan, None, None, full=100)


def test_a_plan_without_our_detector_in_between_loses_no_frame_of_the_next(engine, tmp_path):
    from bluesky import plans

    motor = SynAxis(name="furnace")
    with session(engine, tmp_path, MIDDLE) as insitu:
        for _ in range(2):
            engine(refine_scan(insitu, [heated(motor, 350, 0)], motor, 340, 360, 3, "middle", most=3, within_s=20))
            engine(plans.count([motor], 2))
    (summary,) = insitu.summaries
    assert (summary.frames["stored"], summary.frames["duplicates"]) == (6, 0)
