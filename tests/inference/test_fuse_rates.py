"""False alarms as declared; changes that last; how many sources must agree."""

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from insitu.inference.fuse import Fuse
from insitu.types import Verdict
from tests.inference.fused import NORMAL, UP, fuse, seen


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
