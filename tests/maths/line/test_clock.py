"""Clocks against each other: offset and drift with honest uncertainties, whatever happens to a clock."""

import math

import numpy as np
import pytest

from insitu.maths.line.clock import ClockFilter, EventClock
from insitu.maths.line.clock_signal import SignalClock, read_offset


def test_offset_and_drift_are_recovered_within_their_uncertainties() -> None:
    pulls = []
    for seed in range(200):
        random = np.random.default_rng(seed)
        offset, drift = random.uniform(-5.0, 5.0), random.normal(0.0, 200e-6)
        clock = ClockFilter(drift_sigma_ppm=200.0, wander_ppm=0.0)
        for k in range(30):
            t = 60.0 * k + random.uniform(-5.0, 5.0)
            assert clock.see(t, offset + drift * t + random.normal(0.0, 0.1), 0.1)
        now = clock.at(2000.0)
        pulls.append([(now.offset_s - offset - drift * 2000.0) / now.sigma_s,
                      (now.drift_ppm - 1e6 * drift) / now.drift_sigma_ppm])  # fmt: skip
    spread = np.std(pulls, axis=0)
    assert np.all((spread > 0.85) & (spread < 1.15)), spread
    assert np.all(np.abs(np.mean(pulls, axis=0)) < 3.0 / math.sqrt(200))


def test_what_is_declared_beforehand_counts_with_its_weight() -> None:
    clock = ClockFilter(offset_s=2.0, sigma_s=0.1, drift_sigma_ppm=0.0, wander_ppm=0.0)
    assert clock.known
    assert clock.see(0.0, 2.2, 0.1)
    assert clock.at(100.0).offset_s == pytest.approx(2.1)
    assert clock.at(100.0).sigma_s == pytest.approx(0.1 / math.sqrt(2.0))


def test_one_reading_that_is_far_off_changes_nothing_and_a_clock_that_was_set_is_followed() -> None:
    clock = ClockFilter(drift_sigma_ppm=10.0)
    for k in range(10):
        clock.see(60.0 * k, 3.0, 0.05)
    assert not clock.see(600.0, 9.0, 0.05)
    assert clock.at(600.0).offset_s == pytest.approx(3.0, abs=0.05)
    assert clock.see(660.0, 3.0, 0.05)
    taken = [clock.see(720.0 + 60.0 * k, -1.0, 0.05) for k in range(4)]
    assert taken == [False, False, True, True]
    assert clock.restarts == 1
    assert clock.at(900.0).offset_s == pytest.approx(-1.0, abs=0.1)


def test_strays_that_disagree_with_each_other_are_no_new_setting() -> None:
    clock = ClockFilter(drift_sigma_ppm=10.0)
    for k in range(5):
        clock.see(60.0 * k, 3.0, 0.05)
    assert not any(clock.see(300.0 + k, value, 0.05) for k, value in enumerate((9.0, 20.0, -4.0, 7.0)))
    assert clock.restarts == 0


def signal(seed: int):
    """A signal of many waves, and how it is sampled with noise."""
    random = np.random.default_rng(seed)
    period, phase = random.uniform(8.0, 60.0, 12), random.uniform(0.0, 6.28, 12)
    height = random.normal(0.0, 1.0, 12)
    height /= math.sqrt(0.5 * float(np.sum(height**2)))

    def sampled(begin: float, end: float, rate: float, shift: float, noise: float) -> tuple[np.ndarray, np.ndarray]:
        t = np.sort(np.arange(begin, end, 1.0 / rate) + random.normal(0.0, 0.02, round((end - begin) * rate)))
        value = np.sin(2.0 * np.pi * (t[:, None] + shift) / period + phase) @ height
        return t, value + random.normal(0.0, noise, t.size)

    return sampled


@pytest.mark.parametrize(("rates", "noise"), [((1.0, 0.5), 0.3), ((1.0, 5.0), 0.5), ((10.0, 10.0), 1.0)])
def test_a_reading_from_a_signal_is_as_good_as_it_says(rates: tuple[float, float], noise: float) -> None:
    pulls = []
    for seed in range(40):
        sampled = signal(1000 + seed)
        offset = np.random.default_rng(seed).uniform(-3.0, 3.0)
        here = sampled(0.0, 60.0, rates[0], 0.0, noise)
        found = read_offset(*here, *sampled(-8.0, 68.0, rates[1], offset, noise), largest=6.0)
        if not found.why:
            pulls.append((found.offset_s - offset) / found.sigma_s)
    assert len(pulls) >= 36
    assert 0.6 < np.std(pulls) < 1.35
    assert np.max(np.abs(pulls)) < 5.0


def test_a_signal_that_falls_where_the_other_rises_tells_as_much() -> None:
    sampled = signal(5)
    t, y = sampled(-8.0, 68.0, 2.0, 1.7, 0.1)
    found = read_offset(*sampled(0.0, 60.0, 1.0, 0.0, 0.1), t, 40.0 - 3.0 * y, largest=6.0)
    assert found.offset_s == pytest.approx(1.7, abs=5.0 * found.sigma_s)


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda t: np.zeros(t.size), "never changes"),
        (lambda t: np.random.default_rng(8).normal(size=t.size), "do not resemble"),
        (lambda t: np.sin(2.0 * np.pi * t / 5.0), "as well at"),
        (lambda t: t[:5], "too few"),
    ],
)
def test_what_tells_nothing_of_the_offset_is_refused_in_words(make, why: str) -> None:
    t = np.arange(-10.0, 70.0, 0.5)
    y = make(t)
    a = np.sin(2.0 * np.pi * np.arange(0.0, 60.0, 0.5) / 5.0)
    found = read_offset(np.arange(0.0, 60.0, 0.5), a, t[: y.size], y, largest=8.0)
    assert why in found.why


def test_an_offset_beyond_what_is_looked_for_is_not_invented() -> None:
    sampled = signal(3)
    found = read_offset(*sampled(0.0, 60.0, 1.0, 0.0, 0.1), *sampled(-4.0, 64.0, 1.0, 20.0, 0.1), largest=3.0)
    assert found.why or abs(found.offset_s) <= 3.0 + 1.0


def fed(clock: SignalClock, shift, *, until: float, seed: int = 0) -> SignalClock:
    """A signal seen by both, the other clock being off by `shift(t)`."""
    sampled = signal(seed)
    here, there = sampled(0.0, until, 1.0, 0.0, 0.2), sampled(0.0, until, 1.0, 0.0, 0.2)
    for (t, a), (u, b) in zip(np.transpose(here), np.transpose(there), strict=True):
        clock.reference(float(t), float(a))
        clock.other(float(u - shift(u)), float(b))
    return clock


def test_windows_of_a_signal_give_offset_and_drift() -> None:
    clock = ClockFilter(drift_sigma_ppm=500.0)
    fed(SignalClock(clock, window_s=60.0, largest_s=8.0), lambda t: 2.5 + 300e-6 * t, until=3000.0)
    now = clock.at(3000.0)
    assert now.readings > 45
    assert now.offset_s == pytest.approx(2.5 + 0.9, abs=4.0 * now.sigma_s)
    assert now.drift_ppm == pytest.approx(300.0, abs=4.0 * now.drift_sigma_ppm)
    assert now.sigma_s < 0.1


def test_a_clock_that_is_set_while_it_is_followed_is_found_again() -> None:
    clock = ClockFilter(drift_sigma_ppm=100.0)
    fed(SignalClock(clock, window_s=60.0, largest_s=8.0), lambda t: 2.0 if t < 900.0 else -3.0, until=2000.0)
    assert clock.restarts == 1
    assert clock.at(2000.0).offset_s == pytest.approx(-3.0, abs=0.3)


def test_one_time_that_is_years_ahead_does_not_stop_the_alignment() -> None:
    clock = ClockFilter()
    follows = SignalClock(clock, window_s=60.0, largest_s=8.0)
    follows.reference(0.0, 0.0)
    follows.other(0.0, 0.0)
    follows.reference(1e9, 0.0)
    follows.other(1e9, 0.0)
    fed(follows, lambda t: 1.5, until=600.0)
    assert clock.at(600.0).offset_s == pytest.approx(1.5, abs=0.3)


def test_events_are_paired_with_the_only_one_that_fits() -> None:
    clock = ClockFilter(drift_sigma_ppm=100.0)
    events = EventClock(clock, largest_s=5.0, sigma_s=0.05)
    random = np.random.default_rng(2)
    for k, t in enumerate(np.cumsum(random.uniform(15.0, 40.0, 60))):
        shown = t - 2.0 - 80e-6 * t + random.normal(0.0, 0.05)
        if k % 7 != 3:  # one that only the other saw
            events.reference(float(t))
        if k % 5 != 2:  # one that only the reference saw
            events.other(float(shown))
        events.reference(float(t) + 10.0, event=False)
    now = clock.at(1600.0)
    assert now.readings > 30
    assert now.offset_s == pytest.approx(2.0 + 80e-6 * 1600.0, abs=4.0 * now.sigma_s)


def test_events_that_could_be_meant_twice_tell_nothing() -> None:
    clock = ClockFilter()
    events = EventClock(clock, largest_s=5.0, sigma_s=0.05)
    for t in (10.0, 12.0):
        events.reference(t)
    for t in (8.0, 10.0):
        events.other(t)
    events.reference(100.0, event=False)
    assert clock.readings == 0
