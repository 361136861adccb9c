"""Change points: on long clean streams, on planted changes, and on the real temperature series of CuCr2O4."""

import math

import numpy as np
import pytest

from insitu.errors import ConfigError
from insitu.inference.change_point import ChangePoint
from insitu.types import Feature, Measurement


def seen(n, value, temperature=None, source="det"):
    width = Feature(None, "deg", why="no peak") if value is None else Feature(float(value), "deg")
    context = {} if temperature is None else {"temperature": Feature(float(temperature), "K")}
    return Measurement(source=source, seq=n, n=n, time_ns=n, features={"width": width}, context=context)


def first_change(model, values):
    for n, value in enumerate(values):
        verdict = model(seen(n, value))
        if verdict.label == "change":
            return n, verdict
    return None, None


def half_width(path):
    """Temperature in K and full width at half maximum in deg of the (040)/(004) group of one FXYE file."""
    lines = path.read_text().splitlines()
    temperature = next(float(line.split("=")[1].split()[0]) for line in lines if "Temp (K)" in line)
    bank = next(i for i, line in enumerate(lines) if line.startswith("BANK"))
    table = np.array([line.split() for line in lines[bank + 1 :] if line.strip()], dtype=float)
    near = (table[:, 0] > 1107.0) & (table[:, 0] < 1116.0)
    x, y = table[near, 0] / 100.0, table[near, 1]
    y = y - np.median(np.r_[y[:5], y[-5:]])
    half, top = y.max() / 2.0, int(y.argmax())
    left = top - int(np.argmax(y[top::-1] <= half))
    right = top + int(np.argmax(y[top:] <= half))
    return temperature, float(
        np.interp(half, y[right : right - 2 : -1], x[right : right - 2 : -1])
        - np.interp(half, y[left : left + 2], x[left : left + 2])
    )


@pytest.mark.parametrize("on", ["value", "trend"])
def test_the_width_of_cucr2o4_changes_between_99_and_134_kelvin(data, on):
    # known answer: ../shared/data/xrd/README.md, widths and splitting of the pair read off the same files
    series = sorted(half_width(p) for p in (data / "xrd" / "series_cucr2o4_7-289K").glob("*.fxye"))
    assert len(series) == 17
    model = ChangePoint(feature="width", on=on, against="temperature")
    verdicts = [model(seen(n, width, temperature)) for n, (temperature, width) in enumerate(series)]
    last = verdicts[-1]
    assert last.label == "change"
    assert 98.0 < last.scores["temperature_before"] < last.scores["temperature_after"] < 135.0
    assert last.scores["frame"] in (5.0, 6.0, 7.0)
    assert f"n {int(last.scores['frame']) - 1} and {int(last.scores['frame'])}, temperature between" in last.reason
    assert {v.label for v in verdicts[:6]} == {"normal"}


@pytest.mark.parametrize("on", ["value", "trend"])
def test_no_false_alarm_in_30000_clean_frames(on):
    model = ChangePoint(feature="width", on=on)
    values = np.random.default_rng(30).normal(0.2, 0.01, 30_000)
    assert all(model(seen(n, v)).label == "normal" for n, v in enumerate(values))


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize(("size", "delay"), [(1.0, 110), (2.0, 30), (5.0, 5)])
def test_a_planted_step_is_found_within_the_stated_delay(seed, size, delay):
    values = np.random.default_rng(seed).normal(0.0, 1.0, 500)
    values[300:] += size
    at, verdict = first_change(ChangePoint(feature="width"), values)
    assert at is not None
    assert 300 <= at < 300 + delay
    assert abs(verdict.scores["frame"] - 300) <= 40.0 / size**2


@pytest.mark.parametrize("seed", range(20))
def test_a_planted_kink_is_found_and_its_slopes_are_said(seed):
    # a ramp all along: the value changes all the time, the trend only at 300, by 0.1 sigma a frame
    n = np.arange(500)
    values = 0.05 * n + 0.1 * np.maximum(n - 300, 0) + np.random.default_rng(seed).normal(0.0, 1.0, 500)
    model = ChangePoint(feature="width", on="trend", hold=80)
    verdicts = [model(seen(i, values[i])) for i in range(375)]
    assert 300 <= [v.label for v in verdicts].index("change") < 345
    verdict = verdicts[-1]
    assert verdict.scores["slope_before"] == pytest.approx(0.05, abs=0.01)
    assert verdict.scores["slope_after"] == pytest.approx(0.15, abs=0.03)
    assert "trend of width changed from" in verdict.reason


def test_one_wild_value_is_no_change():
    values = np.random.default_rng(1).normal(0.0, 1.0, 600)
    values[[200, 350, 351]] = 1e6
    assert first_change(ChangePoint(feature="width"), values) == (None, None)


def test_values_read_off_a_coarse_grid_are_no_change():
    values = np.round(np.random.default_rng(2).normal(0.0, 0.3, 5000)) * 0.002
    assert first_change(ChangePoint(feature="width"), values) == (None, None)
    # three equal values after three others: nothing is known of the noise but the step of the grid
    assert first_change(ChangePoint(feature="width"), [0.004] * 3 + [0.006] * 3) == (None, None)


def test_a_large_step_is_placed_and_sized_rightly_from_the_alarm_on():
    values = np.random.default_rng(9).normal(0.0, 1.0, 320)
    values[300:] += 1000.0
    model = ChangePoint(feature="width", hold=50)
    said = [v for n, x in enumerate(values) if (v := model(seen(n, x))).label == "change"]
    assert len(said) >= 15
    assert {v.scores["frame"] for v in said} == {300.0}
    assert all(v.scores["after"] == pytest.approx(1000.0, abs=3.0) for v in said)


def test_a_count_that_never_varied_and_then_does_is_a_change_after_a_few_frames():
    at, verdict = first_change(ChangePoint(feature="width"), [3.0] * 200 + [4.0] * 20)
    assert at is not None
    assert at < 210
    assert verdict.scores["frame"] == 200.0


def test_the_change_is_said_for_hold_frames_and_then_the_new_level_is_normal():
    values = np.random.default_rng(3).normal(0.0, 1.0, 400)
    values[200:] += 10.0
    model = ChangePoint(feature="width", hold=5)
    labels = [model(seen(n, v)).label for n, v in enumerate(values)]
    assert labels.count("change") == 5
    assert set(labels[210:]) == {"normal"}


def test_a_second_change_is_found_too():
    values = np.random.default_rng(4).normal(0.0, 1.0, 900)
    values[300:600] += 5.0
    model = ChangePoint(feature="width")
    frames = {v.scores["frame"] for n, x in enumerate(values) if (v := model(seen(n, x))).label == "change"}
    assert frames == {300.0, 600.0}


def test_a_change_smaller_than_what_matters_is_none():
    values = np.random.default_rng(5).normal(0.0, 0.01, 400)
    values[200:] += 0.05
    tell = ChangePoint(feature="width", smallest=Feature(0.04, "deg"), units={"width": "deg"})
    skip = ChangePoint(feature="width", smallest=Feature(0.1, "deg"), units={"width": "deg"})
    assert first_change(tell, values)[0] is not None
    assert first_change(skip, values)[0] is None


def test_missing_values_are_unknown_and_are_not_remembered():
    values = np.random.default_rng(6).normal(0.0, 1.0, 300)
    values[200:] += 5.0
    with_gaps, without = ChangePoint(feature="width"), ChangePoint(feature="width")
    for n, v in enumerate(values):
        assert with_gaps(seen(n, None)).reason == "width is not known: no peak"
        assert with_gaps(seen(n, v)) == without(seen(n, v))


def test_a_trend_over_a_temperature_that_is_missing_is_unknown():
    model = ChangePoint(feature="width", on="trend", against="temperature")
    assert model(seen(0, 1.0)).label == "unknown"
    assert ChangePoint(feature="width", against="temperature")(seen(0, 1.0)).label == "normal"


def test_two_sources_are_judged_apart():
    rng = np.random.default_rng(7)
    model = ChangePoint(feature="width")
    for n in range(200):
        assert model(seen(2 * n, rng.normal(0.0, 1.0), source="a")).label == "normal"
        assert model(seen(2 * n + 1, rng.normal(50.0, 1.0), source="b")).label == "normal"
    assert ChangePoint(feature="width", source="a")(seen(0, 1.0, source="b")) is None


def test_the_same_stream_gives_the_same_finite_verdicts():
    values = np.random.default_rng(8).standard_t(2, 1500).cumsum()
    first, second = (ChangePoint(feature="width", window=100, on="trend") for _ in range(2))
    for n, v in enumerate(values):
        verdict = first(seen(n, v))
        assert verdict == second(seen(n, v))
        assert all(math.isfinite(s) for s in verdict.scores.values())


@pytest.mark.parametrize(
    ("keys", "where"),
    [
        ({"threshold": 1.0}, "threshold"),
        ({"window": 5}, "window"),
        ({"min_size": 1}, "min_size"),
        ({"min_size": 2, "on": "trend"}, "min_size"),
        ({"hold": 0}, "hold"),
    ],
)
def test_impossible_settings_are_refused(keys, where):
    with pytest.raises(ConfigError) as caught:
        ChangePoint(feature="width", **keys)
    assert caught.value.where == where


@pytest.mark.parametrize(("per", "unit_s"), [("s", 1.0), ("min", 60.0), ("h", 3600.0)])
def test_over_time_slopes_are_told_in_the_unit_asked_for_from_the_first_value_on(per, unit_s):
    rng, start = np.random.default_rng(4), 1_750_000_000_000_000_000
    seconds = np.cumsum(rng.uniform(20.0, 100.0, 60))  # no even grid
    values = 0.002 * seconds + np.where(seconds > seconds[40], 0.01 * (seconds - seconds[40]), 0.0)
    values += 0.05 * rng.standard_normal(60)
    model, verdicts = ChangePoint(feature="width", on="trend", against="time", per=per), []
    for n, (s, value) in enumerate(zip(seconds, values, strict=True)):
        at = start + int(1e9 * s)
        verdicts.append(
            model(Measurement(source="det", seq=n, n=n, time_ns=at, features={"width": Feature(value, "deg")}))
        )
    quiet, last = verdicts[39], [v for v in verdicts if v.label == "change"][-1]
    assert quiet.label == "normal"
    assert quiet.scores["slope"] == pytest.approx(0.002 * unit_s, abs=3.0 * quiet.scores["slope_sigma"])
    assert 0.0 < quiet.scores["slope_sigma"] < 1e-4 * unit_s
    assert quiet.reason.endswith(f"deg per {per}")
    assert last.scores["slope_before"] == pytest.approx(0.002 * unit_s, rel=0.1)
    assert last.scores["slope_after"] == pytest.approx(0.012 * unit_s, rel=0.1)
    since = (seconds - seconds[0]) / unit_s
    assert since[37] < last.scores["time_before"] < last.scores["time_after"] < since[43]
    assert f"time between {last.scores['time_before']:.5g} and" in last.reason


def test_over_time_that_stands_still_there_is_no_slope_and_no_change():
    model = ChangePoint(feature="width", on="trend", against="time")
    values = np.random.default_rng(2).normal(0.0, 1.0, 40)
    for n, value in enumerate(values):
        verdict = model(
            Measurement(source="det", seq=n, n=n, time_ns=7, features={"width": Feature(float(value), "deg")})
        )
        assert verdict.label == "normal"
        assert "slope" not in verdict.scores
