"""Drift: silent on what is stationary, in time for what is not, and with the cheapest remedy first."""

import re
import sys
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from insitu.errors import ConfigError, MissingExtraError
from insitu.features.xafs_edge import EdgeFeatures
from insitu.features.xafs_foil import Foil
from insitu.inference.drift import DECLARED, KNOWN, Drift
from insitu.types import Feature, Measurement, Verdict
from tests import stationary
from tests.xafs import frames, prepared


def judged(drift: Drift, columns: dict[str, Iterable[float | None]]) -> list[Verdict]:
    verdicts = []
    for n, row in enumerate(zip(*columns.values(), strict=True)):
        features = {
            key: Feature(None, "eV", why="no fit") if x is None else Feature(float(x), "eV")
            for key, x in zip(columns, row, strict=True)
        }
        verdict = drift(Measurement(source="det", seq=n, n=n, time_ns=n, features=features))
        assert verdict is not None
        verdicts.append(verdict)
    return verdicts


def first(verdicts: list[Verdict], label: str = "anomaly") -> int | None:
    return next((i for i, v in enumerate(verdicts) if v.label == label), None)


@pytest.mark.parametrize("shift", DECLARED)
def test_a_shift_is_told_within_the_declared_delay(shift: float) -> None:
    for seed in range(6):
        x = np.random.default_rng(seed).normal(size=1101)
        x[600:] += shift if seed % 2 else -shift
        at = first(judged(Drift(features=["x"]), {"x": 30.0 + 0.1 * x}))
        assert at is not None, (seed, shift)
        assert 600 < at <= 600 + DECLARED[shift]


def test_noise_that_stays_gives_no_alarm() -> None:
    x = np.random.default_rng(7).standard_t(4, size=(8000, 2))  # with wild frames among them
    assert first(judged(Drift(features=["*"]), {"a": x[:, 0], "b": x[:, 1]})) is None


@pytest.mark.parametrize("kinds", [("follows 0.5", "follows 0.8"), ("follows 0.9", "follows 0.95"),
                                   ("mean 10", "rounded 0.9", "wild 0.9")])  # fmt: skip
def test_numbers_that_follow_each_other_give_no_more_alarms_than_declared(kinds: tuple[str, ...]) -> None:
    """Two or three are allowed in 200,000 to 300,000 values; without regard to how they follow there are ten."""
    found = [stationary.alarms(stationary.drawn(kind, 10_000, seed)) for kind in kinds for seed in range(10)]
    assert sum(alarms for alarms, _, _ in found) <= 3
    assert sum(judged for _, judged, _ in found) > 75_000 * len(kinds)


def test_what_happens_rarely_is_learnt_from_ten_times_before_it_is_judged() -> None:
    x = np.zeros(6000)
    x[300::200] = 1.0
    alarms, judged, number = stationary.alarms(x)
    assert (alarms, number.learning) == (0, "")
    assert 3000 < judged < 4000


def test_learning_goes_on_behind_the_tests_until_there_are_enough_blocks() -> None:
    x = stationary.drawn("follows 0.8", 12_000, 1)
    _, _, number = stationary.alarms(x)
    assert len(number._blocks) == KNOWN
    assert number.tests is not None
    assert len(number.tests._reference) == KNOWN
    moved = x[:6000] + np.where(np.arange(6000) > 2500, 3.0, 0.0)
    _, _, number = stationary.alarms(moved)
    assert number.tests is not None
    assert len(number.tests._reference) < KNOWN, "what is somewhere else is not learnt"


def test_real_machines_that_run_on_give_no_alarm_though_their_numbers_follow_each_other(data: Path) -> None:
    """Vibration of a gearbox at constant load; `python -m benchmarks drift` has all series."""
    lengths = []
    for series in stationary.gearbox(data):
        if "30hz30" in series.name and "kurtosis" not in series.group:
            alarms, _, number = stationary.alarms(series.values)
            assert not alarms, series[:2]
            lengths.append(number.length)
    assert len(lengths) == 24
    assert max(lengths) > 1, "some of them need blocks"


def test_real_counts_and_currents_that_stand_still_give_no_alarm(data: Path) -> None:
    tried = 0
    for series in (*stationary.noise(data), *stationary.battery(data)):
        alarms, judged, _ = stationary.alarms(series.values, learn=min(400, len(series.values) // 3))
        assert not alarms, series[:2]
        tried += judged
    assert tried > 5000


@pytest.mark.parametrize("shift", DECLARED)
def test_a_shift_planted_in_a_real_series_is_told_within_the_declared_delay(data: Path, shift: float) -> None:
    tried = 0
    vibration = [s.values for s in stationary.gearbox(data, 8) if "30hz30" in s.name and "rms" in s.group]
    for values in (*vibration, *(s.values[:3000] for s in stationary.pixels(data))):
        length = stationary.alarms(values[:1200])[2].length
        until = (KNOWN + DECLARED[shift] + 1) * (length or len(values))
        if until > len(values):
            continue  # still learning, or too short for the delay in blocks
        spread = values[: len(values) // length * length].reshape(-1, length).mean(axis=1).std(ddof=1)
        planted = values[:until].copy()
        planted[KNOWN * length :] += shift * spread
        at = first(judged(Drift(features=["x"]), {"x": planted}))
        assert at is not None
        assert at > KNOWN * length
        tried += 1
    assert tried >= 3


def test_the_real_change_of_a_cathode_is_an_alarm_or_expected_as_the_recipe_says(data: Path) -> None:
    """LiNiO2 being charged: the edge moves by 3 eV, the foil behind it keeps still."""
    folder = data / "xafs" / "series_lno_ni_k_operando"
    edge, foil = EdgeFeatures(), Foil()
    e0 = [edge(f, {}, ())["e0"].value for f in prepared(folder)]
    zero = [foil(f, {}, ())["foil_e0"].value for f in frames(folder)]
    settings = {"learn": 12, "blocks": 1, "once_in": 1000.0}
    assert first(judged(Drift(features=["foil_e0"], **settings), {"foil_e0": zero})) is None
    alarm = judged(Drift(features=["e0"], zero=["foil_e0"], **settings), {"e0": e0, "foil_e0": zero})
    at = first(alarm)
    assert at is not None
    assert at < 30
    assert "label" in alarm[at].reason, "the foil has told that the calibration is not the reason"
    told = judged(Drift(features=["e0"], expected=True, **settings), {"e0": e0})
    assert first(told) is None
    assert first(told, "change") == first(judged(Drift(features=["e0"], **settings), {"e0": e0}))


def test_a_calibration_that_drifts_is_asked_for_before_anything_else() -> None:
    x = np.random.default_rng(0).normal(size=(1200, 2))
    x[600:] += 2.0
    drift = Drift(features=["e0"], zero=["foil_e0"], patience=20)
    last = judged(drift, {"e0": x[:, 0], "foil_e0": x[:, 1]})[-1]
    assert last.reason.endswith("foil_e0 tells the calibration: correct it before anything else")


def test_an_alarm_asks_for_the_calibration_then_labels_then_a_new_fit() -> None:
    x = np.random.default_rng(0).normal(size=800)
    x[500:] += 3.0
    verdicts = judged(Drift(features=["x"], patience=50), {"x": x})
    at = first(verdicts)
    assert at is not None
    words = ("calibration or zero", "label frames", "re-fit")
    steps = [next(w for w in words if w in v.reason) for v in verdicts[at:]]
    assert list(dict.fromkeys(steps)) == ["calibration or zero", "label frames", "re-fit"]
    assert steps.count("calibration or zero") == 49


def test_an_alarm_ends_when_the_number_is_back() -> None:
    x = np.random.default_rng(0).normal(size=1500)
    x[500:700] += 3.0
    verdicts = judged(Drift(features=["x"]), {"x": x})
    assert verdicts[690].label == "anomaly"
    assert verdicts[-1].label == "normal"


def test_frames_without_an_answer_are_a_drift_too() -> None:
    rng = np.random.default_rng(0)
    x = [None if n > 500 and rng.random() < 0.3 else rng.normal() for n in range(900)]
    verdicts = judged(Drift(features=["x"]), {"x": x})
    at = first(verdicts)
    assert at is not None
    assert at < 600
    assert "x has no value in" in verdicts[at].reason


def test_a_number_that_goes_one_way_from_the_start_is_not_judged_and_that_is_said() -> None:
    x = np.arange(900) + np.random.default_rng(0).normal(size=900)
    verdicts = judged(Drift(features=["x"]), {"x": x})
    assert {v.label for v in verdicts} <= {"unknown", "normal"}
    assert "still learning x" in verdicts[-1].reason


@pytest.mark.parametrize("keys", [{"features": []}, {"learn": 5}, {"blocks": 90}, {"features": ["nothing"]}])
def test_impossible_settings_are_refused(keys: dict) -> None:
    with pytest.raises(ConfigError):
        Drift(**{"features": ["x"], "units": {"x": "eV"}, **keys})


def test_without_river_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "river.drift", None)
    with pytest.raises(MissingExtraError, match=r"insitu\[models\]"):
        Drift(features=["x"])


@pytest.mark.parametrize("memory", [0.1, 0.2, 0.3])
def test_correlations_that_never_end_give_no_more_alarms_than_declared(memory: float) -> None:
    """Fractional noise; 1.5 alarms are allowed in 150,000 values. Limits that know no memory gave 10 and more."""
    found = [stationary.alarms(stationary.drawn(f"memory {memory}", 15_000, seed)) for seed in range(10)]
    assert sum(alarms for alarms, _, _ in found) <= 4
    assert sum(judged for _, judged, _ in found) > 140_000
    assert sum(number.memory > 0.0 for _, _, number in found) >= 7


def test_a_long_memory_is_told_with_the_shift_that_is_still_noticed() -> None:
    short = [stationary.alarms(stationary.drawn("follows 0.9", 15_000, seed))[2] for seed in range(5)]
    assert not any(number.memory for number in short)
    verdicts = judged(Drift(features=["x"]), {"x": stationary.drawn("memory 0.3", 8_000, 1)})
    found = re.search(r"x: long memory, shifts below ([0-9.]+) sigma are not told", verdicts[-1].reason)
    assert found is not None
    assert 0.8 < float(found[1]) < 2.0
    x = np.random.default_rng(0).normal(size=1200)
    assert "shifts" not in judged(Drift(features=["x"]), {"x": x})[-1].reason, "0.5 sigma, as declared"


def test_a_fold_that_is_done_again_says_the_same() -> None:
    """Nothing is serialised: after a restart the verdicts follow from the measurements alone."""
    x = stationary.drawn("follows 0.5", 4_000, 3)
    x[3_000:] += 3.0
    once, again = (judged(Drift(features=["x"]), {"x": x[:n]}) for n in (4_000, 2_500))
    assert once[:2_500] == again
    assert first(once) is not None


def test_many_numbers_share_the_false_alarms_that_are_allowed() -> None:
    """Thirty numbers of 4,000 frames at one false alarm in 4,000 frames: each alone at that rate would give about ten,
    measured with limits of one number."""
    x = {f"x{k}": stationary.drawn("follows 0.8", 4_000, 40 + k) for k in range(30)}
    verdicts = judged(Drift(features=["*"], once_in=4_000.0), x)
    began = sum(b.label == "anomaly" != a.label for a, b in pairwise(verdicts))
    assert began <= 4
