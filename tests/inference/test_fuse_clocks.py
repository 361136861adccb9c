"""Several clocks: offset and drift declared, or estimated from what both see."""

import math

import numpy as np
import pytest

from insitu.types import Feature
from tests.inference.fused import fuse, seen, told


def test_times_are_put_on_one_clock_with_the_offset_and_drift_declared() -> None:
    model = fuse(offset={"b": 3.0}, drift={"b": 1000.0}, max_gap=0.1, hold=100.0)
    frames = [("a", 0.0, 0.0), ("b", -3.0, 5.0), ("b", 1.0, 7.0), ("a", 1003.999, 0.0), ("b", 1000.0, 9.0)]
    said = told(model, [*frames, ("b", 1001.0, 0.0)])
    assert [v.scores["b_y_z"] for v in said if "b_y_z" in v.scores] == [5.0, 9.0]
    assert said[-1].scores["b_offset_s"] == pytest.approx(4.0, abs=1e-3)
    assert said[-1].scores["b_drift_ppm"] == pytest.approx(1000.0)


def test_what_the_clocks_are_uncertain_by_widens_the_gap() -> None:
    frames = [("b", 0.0, 0.0), ("a", 1.5, 0.0), ("b", 9.0, 0.0)]
    assert told(fuse(max_gap=1.0), frames)[0].label == "unknown"
    assert told(fuse(max_gap=1.0, clock_sigma={"a": 0.3, "b": 0.4}), frames)[0].label == "normal"
    assert told(fuse(max_gap=1.0, offset_sigma={"b": 0.6}), frames)[0].label == "normal"


def wave(t: float) -> float:
    return math.sin(t / 5.0) + math.sin(t / 7.7 + 1.0)


def test_the_offset_is_estimated_from_what_both_see_and_recorded() -> None:
    """A pulse of one frame at every 40 s of true time is an anomaly only where both see it at once."""
    random = np.random.default_rng(1)
    model = fuse(
        align={"b": ("a.context.wave", "b.context.wave")}, align_window=60.0, max_gap=0.4, hold=15.0, drift_sigma=500.0
    )
    said, n = [], 0
    for t in range(400):
        pulse = 6.0 if t % 40 == 0 else 0.0
        for source, shown in (("a", t + 0.0), ("b", t - 4.0 - 300e-6 * t + 0.02 * random.normal())):
            common = Feature(wave(t) + 0.05 * float(random.normal()), "K")
            verdict = model(seen(source, n, shown, pulse + 0.3 * float(random.normal()), wave=common))
            said += [verdict] if verdict else []
            n += 1
    assert said[0].label == "unknown"
    assert "not aligned yet" in said[0].reason
    anomalies = {v.scores["seq"] // 2 for v in said if v.label == "anomaly"}
    assert anomalies == {80.0, 120.0, 160.0, 200.0, 240.0, 280.0, 320.0, 360.0}
    last = said[-1].scores
    assert last["b_offset_s"] == pytest.approx(4.0 + 300e-6 * 400, abs=4.0 * last["b_offset_sigma_s"])
    assert last["b_offset_sigma_s"] < 0.1
    assert last["b_drift_ppm"] == pytest.approx(300.0, abs=4.0 * last["b_drift_sigma_ppm"])


def test_events_that_both_see_align_the_clocks_too() -> None:
    model = fuse(
        events={"b": ("a.context.light", "b.context.light")},
        levels={"a.context.light": Feature(50.0, "N"), "b.context.light": Feature(0.05, "kN")},
        clock_sigma={"a": 0.1, "b": 0.1}, max_gap=0.4, hold=15.0,
    )  # fmt: skip
    said, n = [], 0
    for t in range(200):
        flash = Feature(100.0 if t % 37 == 20 else 1.0, "N")
        for source, shown in (("a", t + 0.0), ("b", t + 2.0)):
            verdict = model(seen(source, n, shown, 0.0, light=flash))
            said += [verdict] if verdict else []
            n += 1
    assert said[-1].label == "normal"
    assert said[-1].scores["b_offset_s"] == pytest.approx(-2.0, abs=0.01)
