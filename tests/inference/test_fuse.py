"""Fusion: the right values of a moment, the declared rate of false alarms, and no source that decides alone."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from insitu.errors import ConfigError
from insitu.types import Feature, Measurement, Verdict
from tests.inference.fused import NORMAL, UP, S, fuse, seen, told


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


def test_a_number_in_another_unit_is_converted() -> None:
    model = fuse(normal={"a.x": (Feature(0.001, "kN"), Feature(500.0, "mN")), "b.y": NORMAL["b.y"]})
    (verdict,) = told(model, [("a", 0.0, 2.0), ("b", 0.0, 0.0)])
    assert verdict.scores["a_x_z"] == pytest.approx(2.0)


def test_a_unit_that_does_not_fit_is_told_and_not_raised() -> None:
    model = fuse(normal={"a.x": (Feature(1.0, "K"), Feature(1.0, "K")), "b.y": NORMAL["b.y"]})
    (verdict,) = told(model, [("a", 0.0, 2.0), ("b", 0.0, 0.0)])
    assert verdict.label == "unknown"
    assert "normal[a.x]" in verdict.reason


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
