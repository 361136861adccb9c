"""Fusion: the right values of a moment, the declared rate of false alarms, and no source that decides alone."""

import math
from collections.abc import Callable, Iterable, Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from insitu.errors import ConfigError
from insitu.inference.fuse import Fuse
from insitu.types import Feature, Measurement, Verdict

S = 10**9
NORMAL = {"a.x": (Feature(0.0, "N"), Feature(1.0, "N")), "b.y": (Feature(0.0, "N"), Feature(1.0, "N"))}
UP = {"a.x": 1.0, "b.y": 1.0}


def seen(source: str, n: int, time_s: float, value: float | None = None, **context: Feature) -> Measurement:
    key = {"a": "x", "b": "y", "c": "z"}[source]
    feature = Feature(value, "N") if value is not None else Feature(None, "N", why="too dark")
    time_ns = round(time_s * S)
    return Measurement(source=source, seq=n, n=n, time_ns=time_ns, features={key: feature}, context=context)


def fuse(**keys: Any) -> Fuse:
    return Fuse(**{"features": ("a.x", "b.y"), "trigger": "a", "normal": NORMAL, "expect": UP, **keys})


def told(model: Fuse, frames: Iterable[tuple[str, float, float | None]]) -> list[Verdict]:
    """Verdicts about frames of (source, time in s, value), in the order of arrival."""
    said = (model(seen(source, n, t, value)) for n, (source, t, value) in enumerate(frames))
    return [verdict for verdict in said if verdict is not None]


def test_two_weak_departures_make_one_strong_one() -> None:
    (verdict,) = told(fuse(), [("a", 0.0, 4.0), ("b", 0.1, 4.0)])
    assert verdict.label == "anomaly"
    assert verdict.scores["departure"] == pytest.approx(8.0 / math.sqrt(2.0))
    assert verdict.scores["llr"] == pytest.approx(4.0 + 4.0 - 1.0)
    assert "together 5.7 sigma from normal" in verdict.reason
    assert told(fuse(), [("a", 0.0, 4.0), ("b", 0.1, 0.0)])[0].label == "normal"


def test_a_verdict_names_the_frame_it_is_about_and_the_age_of_what_it_used() -> None:
    (verdict,) = told(fuse(), [("b", -0.3, 0.0), ("a", 0.0, 0.0), ("b", 0.9, 0.0)])
    assert (verdict.scores["frame"], verdict.scores["b_age_s"], verdict.scores["a_age_s"]) == (1.0, 0.3, 0.0)


@pytest.mark.parametrize(("how", "y"), [("nearest", 3.0), ("previous", 1.0), ("interpolate", 1.0 + 2.0 * 0.6)])
def test_the_value_of_a_moment_is_taken_as_declared(how: Any, y: float) -> None:
    (verdict,) = told(fuse(how={"b": how}), [("b", 0.0, 1.0), ("a", 0.6, 0.0), ("b", 1.0, 3.0)])
    assert verdict.scores["b_y_z"] == pytest.approx(y)


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


def test_a_source_that_is_missing_is_told_after_the_hold_and_not_before() -> None:
    model = fuse(hold=5.0)
    said = [model(seen("a", n, float(n), 0.0)) for n in range(8)]
    assert said[:5] == [None] * 5
    assert [v.label for v in said[5:] if v] == ["unknown"] * 3
    assert said[5] is not None
    assert said[5].reason == "a frame 0 (n 0) cannot be judged: b: no value within 1 s: none has come"


def test_a_stale_source_is_unknown_with_the_distance_of_its_last_value() -> None:
    model = fuse(hold=2.0)
    said = told(model, [("b", 0.0, 0.0), *(("a", float(t), 0.0) for t in range(1, 9))])
    assert [v.label for v in said] == ["normal", *["unknown"] * 5]
    assert said[1].reason.endswith("b: no value within 1 s: the nearest one is 2 s away")


def test_a_value_that_could_not_be_measured_is_said_with_its_why() -> None:
    (verdict,) = told(fuse(), [("a", 0.0, 0.0), ("b", 0.1, None)])
    assert (verdict.label, "b: too dark" in verdict.reason) == ("unknown", True)


def test_the_next_value_is_taken_where_the_nearest_could_not_be_measured() -> None:
    (verdict,) = told(fuse(), [("b", -0.4, 2.0), ("a", 0.0, 0.0), ("b", 0.1, None)])
    assert verdict.scores["b_y_z"] == 2.0


def test_two_numbers_of_one_source_are_one_voice() -> None:
    normal = {**NORMAL, "a.context.k": (Feature(10.0, "K"), Feature(2.0, "K"))}
    model = fuse(features=("a.x", "a.context.k", "b.y"), normal=normal, expect={"a.context.k": -1.0, **UP}, at_least=2)
    assert model(seen("a", 0, 0.0, 9.0, k=Feature(-10.0, "K"))) is None
    verdict = model(seen("b", 1, 0.1, 0.5))
    assert verdict is not None
    assert verdict.scores["a_departure"] == pytest.approx(19.0 / math.sqrt(2.0))
    assert (verdict.label, verdict.scores["departure"]) == ("normal", 0.5)


def test_a_number_that_the_frames_do_not_carry_is_told() -> None:
    model = fuse(features=("a.x", "a.context.k", "b.y"))
    assert model(seen("a", 0, 0.0, 0.0)) is None
    verdict = model(seen("b", 1, 0.1, 0.0))
    assert verdict is not None
    assert "a: the frame carries no k" in verdict.reason


def test_fewer_sources_decide_where_that_is_declared() -> None:
    said = told(fuse(need=1, hold=1.0), [("a", 0.0, 6.0), ("a", 1.0, 0.0)])
    assert said[0].label == "anomaly"


def test_a_trigger_that_falls_silent_is_told_on_the_frames_of_the_others() -> None:
    model = fuse(hold=3.0)
    said = told(model, [("a", 0.0, 0.0), *(("b", float(t), 0.0) for t in range(8))])
    assert [v.label for v in said] == ["normal", *["unknown"] * 4]
    assert said[-1].reason == "a, whose frames are judged, has been silent for 7 s"


def test_without_hold_a_frame_is_judged_at_once_with_what_there_is() -> None:
    model = fuse(hold=0.0)
    said = [model(seen(s, n, t, 0.0)) for n, (s, t) in enumerate([("b", 0.0), ("a", 0.5), ("b", 0.6), ("a", 1.5)])]
    assert [v and v.scores["b_age_s"] for v in said] == [None, 0.5, None, pytest.approx(0.9)]


def test_every_frame_of_every_source_is_judged_where_no_trigger_is_named() -> None:
    said = told(fuse(trigger="", hold=10.0), [("a", 0.0, 0.0), ("b", 0.2, 0.0), ("a", 1.0, 0.0), ("b", 1.2, 0.0)])
    assert [v.scores["frame"] for v in said] == [0.0, 1.0, 2.0]


def shuffled(frames: list[tuple[str, float, float]], within: float, seed: int) -> list[tuple[str, float, float]]:
    random = np.random.default_rng(seed)
    late = [t + random.uniform(0.0, within) for _, t, _ in frames]
    return [frames[i] for i in np.argsort(late, kind="stable")]


def by_time(said: Iterable[Verdict], times: Mapping[float, float]) -> dict[float, tuple[str, float]]:
    return {times[v.scores["frame"]]: (v.label, round(v.scores["departure"], 9)) for v in said}


@pytest.mark.parametrize("seed", range(5))
def test_the_order_of_arrival_changes_no_verdict_within_the_hold(seed: int) -> None:
    random = np.random.default_rng(seed)
    frames = [("a", float(t), float(random.normal())) for t in range(60)]
    frames += [("b", t / 2.0, float(random.normal())) for t in range(120)]
    frames.sort(key=lambda f: f[1])
    found = []
    for within in (0.0, 3.0):
        order = shuffled(frames, within, seed)
        times = {float(n): t for n, (source, t, _) in enumerate(order) if source == "a"}
        said = [v for v in told(fuse(hold=20.0, reorder=3.0), order) if v.scores["judged"] == 1.0]
        found.append(by_time(said, times))
    both = found[0].keys() & found[1].keys()
    assert len(both) > 20
    assert {t: found[0][t] for t in both} == {t: found[1][t] for t in both}


def test_several_that_become_known_at_once_are_told_by_the_gravest() -> None:
    said = told(fuse(hold=100.0), [("a", 0.0, 0.0), ("a", 1.0, 9.0), ("a", 2.0, 0.0), ("b", 0.5, 0.0), ("b", 5.0, 9.0)])
    assert [(v.label, v.scores["judged"]) for v in said] == [("normal", 1.0), ("anomaly", 2.0)]
    assert said[1].scores["frame"] == 1.0


def stream(model: Fuse, frames: int, draw: Callable[[int], tuple[float, ...]]) -> list[Verdict]:
    """Verdicts about so many moments at which all sources are drawn."""
    said, n = [], 0
    for t in range(frames):
        for source, value in zip("abc", draw(t), strict=False):
            verdict = model(seen(source, n, t + 0.01 * "abc".index(source), value))
            said += [verdict] if verdict else []
            n += 1
    return said


@pytest.mark.parametrize("combine", ["stouffer", "fisher"])
@pytest.mark.parametrize("either_way", [False, True])
def test_false_alarms_come_as_often_as_declared(combine: Any, either_way: bool) -> None:
    """Declared: 1 frame in 100, half of them anomalies; the other half is the rate at which `change` begins."""
    random = np.random.default_rng(7)
    model = fuse(false_alarms=0.01, combine=combine, expect={} if either_way else UP)
    said = stream(model, 8_000, lambda t: tuple(random.normal(size=2)))
    labels = [v.label for v in said]
    departures = np.array([v.scores["departure"] for v in said])
    assert np.mean(departures > said[0].scores["allowed"]) == pytest.approx(0.005, abs=4 * math.sqrt(0.005 / 8_000))
    begins = sum(now == "change" and before != "change" for before, now in pairwise(labels))
    assert 0.4 < begins / (8_000 * 0.005) < 1.5
    assert np.std(departures) == pytest.approx(1.0, abs=0.03)


def test_learnt_ranges_keep_the_rate() -> None:
    """Learnt anew 150 times from 10 values each, which is few: Student's tails are seen, and count as they should."""
    random, alarms, frames = np.random.default_rng(3), 0, 0
    for _ in range(150):
        model = fuse(normal={}, learn=10, false_alarms=0.004)
        said = stream(model, 70, lambda t: (float(random.normal(5.0, 2.0)), float(random.normal(-90.0, 0.1))))
        assert [v.label for v in said[:10]] == ["unknown"] * 10
        judged = [v for v in said if "departure" in v.scores]
        alarms += sum(v.scores["departure"] > v.scores["allowed"] for v in judged)
        frames += len(judged)
    assert frames > 8_000
    assert 0.0007 < alarms / frames < 0.0045


def test_a_small_departure_that_lasts_is_a_change_and_tells_since_when() -> None:
    random = np.random.default_rng(5)
    said = stream(fuse(), 400, lambda t: tuple(random.normal(1.0 if t >= 300 else 0.0, 1.0, 2)))
    labels = [v.label for v in said]
    assert "change" not in labels[:300]
    assert 303 < labels.index("change") < 325
    first = said[labels.index("change")]
    assert first.scores["since"] / 2 == pytest.approx(300, abs=8)
    assert "lasting since n" in first.reason


def test_it_is_over_when_all_is_normal_again() -> None:
    random = np.random.default_rng(6)
    said = stream(fuse(), 400, lambda t: tuple(random.normal(1.5 if 100 <= t < 160 else 0.0, 1.0, 2)))
    assert said[150].label == "change"
    assert {v.label for v in said[260:]} == {"normal"}


def three(**keys: Any) -> Fuse:
    normal = {**NORMAL, "c.z": NORMAL["a.x"]}
    features = ("a.x", "b.y", "c.z")
    return fuse(features=features, normal=normal, expect=dict.fromkeys(features, 1.0), **keys)


@pytest.mark.parametrize("combine", ["stouffer", "fisher"])
def test_one_source_alone_causes_nothing_where_two_are_asked_for(combine: Any) -> None:
    random = np.random.default_rng(4)
    said = stream(three(at_least=2, combine=combine), 500, lambda t: (*random.normal(size=2), 25.0))
    assert {v.label for v in said} == {"normal"}
    alone = stream(three(at_least=1, combine=combine), 20, lambda t: (*random.normal(size=2), 25.0))
    assert alone[0].label == "anomaly"


def test_two_sources_are_enough_where_two_are_asked_for() -> None:
    random = np.random.default_rng(4)
    said = stream(three(at_least=2), 30, lambda t: (float(random.normal()), 6.0, 6.0))
    assert said[0].label == "normal"  # the least of the pairs: 6 sigma and one that is normal
    assert said[-1].label == "change"


def test_a_value_that_is_used_again_tells_nothing_new_of_what_lasts() -> None:
    """The second source gives one value in 10: its one bad value must not count ten times."""
    model, sums, n = fuse(max_gap=20.0, hold=0.0), [], 0
    for t in range(40):
        if t % 10 == 0:
            model(seen("b", n, float(t), 4.0))
            n += 1
        verdict = model(seen("a", n, t + 0.1, 0.0))
        n += 1
        assert verdict is not None
        sums.append(verdict.scores["lasting"])
    assert [len(set(sums[k : k + 10])) for k in range(0, 40, 10)] == [1, 1, 1, 1]
    assert sums[-1] == pytest.approx(4 * (4.0 / math.sqrt(2.0) - 0.5))


def test_a_number_in_another_unit_is_converted() -> None:
    model = fuse(normal={"a.x": (Feature(0.001, "kN"), Feature(500.0, "mN")), "b.y": NORMAL["b.y"]})
    (verdict,) = told(model, [("a", 0.0, 2.0), ("b", 0.0, 0.0)])
    assert verdict.scores["a_x_z"] == pytest.approx(2.0)


def test_a_unit_that_does_not_fit_is_told_and_not_raised() -> None:
    model = fuse(normal={"a.x": (Feature(1.0, "K"), Feature(1.0, "K")), "b.y": NORMAL["b.y"]})
    (verdict,) = told(model, [("a", 0.0, 2.0), ("b", 0.0, 0.0)])
    assert verdict.label == "unknown"
    assert "normal[a.x]" in verdict.reason


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


@pytest.mark.parametrize(
    ("keys", "where"),
    [
        ({"features": ("a.x",), "normal": {}, "expect": {}}, "features"),
        ({"features": ("a.x", "x")}, "features"),
        ({"features": ("a.x", "a.x", "b.y")}, "features"),
        ({"trigger": "camera"}, "trigger"),
        ({"at_least": 3}, "at_least"),
        ({"need": 0}, "need"),
        ({"need": 1, "at_least": 2}, "need"),
        ({"normal": {"a.z": NORMAL["a.x"]}}, "normal[a.z]"),
        ({"normal": {"a.x": (Feature(0.0, "N"), Feature(0.0, "N"))}}, "normal[a.x]"),
        ({"expect": {"b.z": 1.0}}, "expect[b.z]"),
        ({"false_alarms": 0.0}, "false_alarms"),
        ({"shift": 0.0}, "shift"),
        ({"learn": 3}, "learn"),
        ({"how": {"c": "nearest"}}, "how[c]"),
        ({"clock_sigma": {"b": -1.0}}, "clock_sigma[b]"),
        ({"offset": {"a": 1.0}}, "offset[a]"),
        ({"align": {"b": ("b.y", "a.x")}}, "align[b]"),
        ({"align": {"b": ("a.x", "b.y")}, "events": {"b": ("a.x", "b.y")}}, "events[b]"),
        ({"events": {"b": ("a.x", "b.y")}}, "levels"),
        ({"align_window": 0.0}, "align_window"),
        ({"max_gap": -1.0}, "max_gap"),
        ({"units": {"x": "N"}}, "features"),
        ({"units": {"x": "K", "y": "N"}}, "normal[a.x]"),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused_with_its_key(keys: dict[str, Any], where: str) -> None:
    with pytest.raises(ConfigError) as found:
        fuse(**keys)
    assert found.value.where == where
    assert found.value.expected or found.value.remedy


numbers = st.one_of(st.floats(-1e99, 1e99), st.sampled_from([0.0, 1.0, 2.0, 1e99]))
features = st.one_of(
    st.builds(Feature, numbers, st.sampled_from(["N", "N", "K", ""])), st.just(Feature(None, "N", why="not measured"))
)
values = st.dictionaries(st.sampled_from(["x", "y", "z"]), features)
times = st.one_of(st.integers(0, 100 * S), st.integers(-(2**62), 2**62))
frames = st.lists(st.tuples(st.sampled_from(["a", "b", "c"]), times, values, st.booleans()), max_size=60)
KINDS: dict[str, dict[str, Any]] = {
    "declared": {},
    "learnt": {"normal": {}, "expect": {}, "learn": 10, "trigger": "", "combine": "fisher", "hold": 0.0, "need": 1},
    "aligned": {"align": {"b": ("a.z", "b.z")}, "align_window": 15.0, "at_least": 2, "how": {"b": "interpolate"}},
    "events": {
        "events": {"b": ("a.z", "b.z")}, "levels": {"a.z": Feature(1.0, "N"), "b.z": Feature(1.0, "N")},
        "how": {"b": "previous"},
    },
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=60, deadline=None)
@given(frames=frames)
def test_it_never_raises_is_a_fold_and_its_numbers_are_finite_whatever_comes(kind: str, frames) -> None:
    first, second = fuse(**KINDS[kind]), fuse(**KINDS[kind])
    for n, (source, time_ns, found, complete) in enumerate(frames):
        measurement = Measurement(source=source, seq=n, n=n, time_ns=time_ns, features=found, complete=complete)
        verdict = first(measurement)
        assert verdict == second(measurement)
        if verdict is not None:
            assert verdict.label in ("normal", "anomaly", "change", "unknown")
            assert verdict.reason
            assert all(math.isfinite(s) for s in (verdict.score or 0.0, *verdict.scores.values()))
