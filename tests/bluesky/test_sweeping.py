"""The amplitude of magnetic loops follows the sample, inside what is allowed."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from bluesky.simulators import summarize_plan
from ophyd import Signal
from ophyd.sim import SynSignal

from insitu.bluesky.plans import refine_scan, sweep_scan
from insitu.bluesky.sweeping import Saturating
from insitu.errors import ActionRefusedError, UsageError
from insitu.maths.magnetic.hysteresis import hysteresis
from insitu.maths.magnetic.jiles_atherton import MU0, Material, settled_loop
from insitu.types import Feature, Limit
from tests.sessions import run_engine


def magnetometer(amplitude: Signal, hard_from: int = 10**6) -> tuple[SynSignal, Any]:
    """Settled loops (model of Jiles and Atherton, noise) whose sample hardens threefold from a loop on; and a reader of
    its coercive field."""
    rng, taken = np.random.default_rng(0), []

    def loop() -> np.ndarray:
        taken.append(1)
        top, k = float(amplitude.get()), 12_000.0 * (3.0 if len(taken) > hard_from else 1.0)
        material = Material(ms=1.0, a=8_000.0, k=k, alpha=0.0, c=0.2)
        field = top / MU0 * np.concatenate([np.linspace(1, -1, 201), np.linspace(-1, 1, 201)])
        return np.stack([field * MU0, settled_loop(field, material) + rng.normal(0, 2e-3, 402)])

    detector = SynSignal(func=loop, name="loop")
    taken.clear()

    def coercive(readings: Any) -> Feature:
        found = hysteresis(*np.asarray(readings["loop"]["value"])).bc
        return Feature(found.value, "T", sigma=found.sigma, why=found.why or None)

    return detector, coercive


def test_the_amplitude_rises_until_the_loop_is_saturated_and_again_where_the_sample_hardens():
    amplitude = Signal(name="field", value=0.0)
    detector, coercive = magnetometer(amplitude, hard_from=14)
    with run_engine() as engine:
        engine._call_returns_result = True
        plan = (None, [detector], amplitude, 0.01, 1.0, 26, coercive)
        summarize_plan(sweep_scan(*plan, up=2.0, again=4))
        outcome = engine(sweep_scan(*plan, up=2.0, again=4)).plan_result
    used = [a for a, _ in outcome.points]
    assert used[:4] == pytest.approx([0.01, 0.02, 0.04, 0.08])
    assert max(used[:14]) <= 0.32
    assert "the loop is saturated" in outcome.why
    assert outcome.value.value >= 2 * used[12]


def test_nobody_answers_limits_hold_and_nonsense_is_refused():
    amplitude = Signal(name="field", value=0.0)
    detector, _ = magnetometer(amplitude)
    limits = {"field": Limit(unit="", low=0.0, high=0.5)}
    session: Any = SimpleNamespace(limits=limits, watch=lambda _: lambda: None, mode="act")
    with run_engine() as engine:
        engine._call_returns_result = True
        with pytest.raises(ActionRefusedError, match=r"0 to 0.5"):
            engine(sweep_scan(session, [detector], amplitude, 0.1, 1.0, 3, "bc"))
        outcome = engine(sweep_scan(None, [detector], amplitude, 0.1, 0.5, 3, "bc")).plan_result
    assert [a for a, _ in outcome.points] == [0.1] * 3
    assert "not known" in outcome.why
    with pytest.raises(UsageError):
        Saturating(1.0, 0.5)
    blind = Saturating(0.1, 0.3, up=2.0)
    assert [blind.next(Feature(None, "T", why="clipped")) for _ in range(3)] == pytest.approx([0.2, 0.3, 0.3])
    assert not blind.saturated


def test_the_frequencies_of_a_drive_gather_where_the_permeability_relaxes():
    """Debye relaxation at 2.2 MHz with noise, over six decades: 30 points on a logarithmic grid."""
    drive, rng = Signal(name="frequency", value=1e3), np.random.default_rng(3)
    mu = SynSignal(func=lambda: 1 + 700 / (1 + (float(drive.get()) / 2.2e6) ** 2) + rng.normal(0, 3), name="mu_real")
    told = lambda r: Feature(float(r["mu_real"]["value"]), "", sigma=3.0)  # noqa: E731 - as a user writes it
    with run_engine() as engine:
        engine._call_returns_result = True
        plan = refine_scan(
            None, [mu], drive, 1e3, 1e9, 12, told, most=30, smallest=0.05, by="place", spacing="log"
        )  # fmt: skip
        outcome = engine(plan).plan_result
    assert outcome.value.value == pytest.approx(2.2e6, rel=0.1)
    assert len(outcome.points) <= 30
    added = [x for x, _ in outcome.points[12:]]
    assert sum(2e5 < x < 2e7 for x in added) >= len(added) / 2
