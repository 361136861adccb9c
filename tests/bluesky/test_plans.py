"""Plans that adapt: what they find, how few points they need, and that they stay inside what is allowed."""

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from bluesky import RunEngine
from ophyd import Signal
from ophyd.sim import SynAxis, SynSignal

from insitu.bluesky.plans import exposure_scan, refine_scan, scan_until, sweep_scan, window_scan
from insitu.errors import ActionRefusedError
from insitu.store.runs import StoredRun
from tests.bluesky.furnace import MIDDLE, documents_of, heated, session
from tests.bluesky.playback import played
from tests.sessions import run_engine


@pytest.fixture
def engine() -> Iterator[RunEngine]:
    with run_engine() as engine:
        engine._call_returns_result = True
        yield engine


@pytest.mark.parametrize(("seed", "by"), [(0, "auto"), (1, "place")])
def test_a_hidden_transition_is_located_through_frames_records_and_the_run_engine(engine, tmp_path, seed, by):
    hidden, motor, documents = 330 + 27.3 * seed, SynAxis(name="furnace", labels={"motors"}), []
    engine.subscribe(lambda name, document: documents.append((name, document)))
    with session(engine, tmp_path, MIDDLE) as insitu:
        plan = refine_scan(
            insitu,
            [heated(motor, hidden, seed)],
            motor,
            300,
            420,
            9,
            "middle",
            most=40,
            smallest=0.4,
            by=by,
            within_s=20,
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


@pytest.mark.parametrize(("between", "num", "most", "smallest"), [("nearest", 7, 16, 5.0), ("mixed", 9, 24, 2.0)])
def test_on_the_real_series_of_cucr2o4_points_gather_between_90_and_140_k(
    engine, tmp_path, data, between, num, most, smallest
):
    """The default, on the patterns nearest to where the motor stands, or mixed as `insitu sim beamline` plays them."""
    from insitu.readers.gsas import decode

    patterns = []
    for path in sorted((data / "xrd/series_cucr2o4_7-289K").glob("OH_*.fxye")):
        pattern = decode(path.read_bytes())
        kept = (pattern.two_theta >= 10.8) & (pattern.two_theta <= 11.4)
        patterns.append((pattern.context["temperature"].value, pattern.intensity[kept]))
        x = pattern.two_theta[kept]
    at = np.array([t for t, _ in patterns])

    def pattern_at(t: float) -> np.ndarray:
        k = int(np.clip(np.searchsorted(at, t), 1, len(at) - 1))
        part = float(np.clip((t - at[k - 1]) / (at[k] - at[k - 1]), 0, 1))
        part = round(part) if between == "nearest" else part
        return (1 - part) * patterns[k - 1][1] + part * patterns[k][1]

    motor = SynAxis(name="cryostat")
    angles = {"use": "tests.bluesky.playback:Angles", "low": float(x[0]), "step": float(x[1] - x[0])}
    peaks = {"use": "xrd.peaks", "name": "pair", "windows": [["11.07 deg", "11.16 deg"]]}
    with session(engine, tmp_path, peaks, recipe={"prepare": [angles]}) as insitu:
        plan = refine_scan(
            insitu, [played("pattern", motor, pattern_at)], motor, 7, 289, num, "pair1_width",
            most=most, smallest=smallest, within_s=20,
        )  # fmt: skip
        outcome = engine(plan).plan_result
    places = [x for x, _ in outcome.points[num:]]
    assert len(places) >= 3
    assert all(90 <= place <= 140 for place in places), places
    assert 95 < outcome.value.value < 125


def test_repeats_end_at_the_uncertainty_that_was_asked_for_and_loops_where_they_are_saturated(engine, tmp_path):
    motor = SynAxis(name="furnace")
    with session(engine, tmp_path, MIDDLE) as insitu:
        detector = heated(motor, 350, 3)
        outcome = engine(scan_until(insitu, [detector], "middle", 0.02, 60, within_s=20)).plan_result
        few = engine(scan_until(insitu, [detector], "middle", 1e-6, 4, within_s=20)).plan_result
        field = Signal(name="field", value=0.0)
        swept = engine(sweep_scan(insitu, [detector], field, 1.0, 2.0, 4, "middle", within_s=20)).plan_result
    assert outcome.value.sigma <= 0.02
    assert 2 <= len(outcome.points) < 60
    assert abs(outcome.value.value - (90 - 3.0 - 3)) < 0.2
    assert (len(few.points), few.why) == (4, "4 repeats are done")
    assert [a for a, _ in swept.points] == [1.0, 1.5, 1.0, 1.0]  # a larger field changes nothing
    assert swept.unanswered == 0


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
