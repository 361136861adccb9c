"""An absorption edge that shifts is followed with less exposure, on a measured spectrum with counting noise."""

import math
from typing import Any

import numpy as np
import pytest
from bluesky.simulators import summarize_plan
from ophyd import Signal
from ophyd.sim import SynAxis, SynSignal

from insitu.bluesky.exposing import Reference, allocated, shift_of
from insitu.bluesky.plans import shift_scan
from insitu.errors import ActionRefusedError, UsageError
from insitu.types import Feature, Limit
from tests.sessions import run_engine

GRID = np.concatenate([np.arange(7082, 7102, 2.0), np.arange(7102, 7132, 0.5), np.arange(7132, 7212, 2.0)])
PHOTONS = 2e5
"""Counts of the first chamber in a second."""


@pytest.fixture(scope="module")
def iron(data: Any) -> Reference:
    """Iron foil, measured in transmission."""
    column = np.loadtxt(data / "xafs/xaslib/Fe/Fe_metal_rt_01.xdi")
    kept = (column[:, 0] > 7060) & (column[:, 0] < 7260)
    return Reference(column[kept, 0], np.log(column[kept, 1] / column[kept, 2]))


def counted(mu: np.ndarray | float, seconds: np.ndarray | float, rng: Any) -> tuple[Any, Any]:
    i0 = np.maximum(rng.poisson(PHOTONS * np.asarray(seconds)), 1)
    i1 = np.maximum(rng.poisson(PHOTONS * np.asarray(seconds) * np.exp(-np.asarray(mu))), 1)
    return np.log(i0 / i1), np.sqrt(1 / i0 + 1 / i1)


def test_over_20_seeds_half_the_exposure_gives_the_same_uncertainty_of_the_shift(iron):
    """The same estimator on both sides; the even scan has 1 s at each of 110 energies, closer at the edge already."""
    even, spent = [], []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        shift = rng.uniform(-1, 1)
        for found, seconds in (
            (even, np.ones(len(GRID))),
            (spent, allocated(GRID, iron, 0.0, np.ones(len(GRID)), len(GRID) / 2)),
        ):
            told = shift_of(GRID, *counted(iron.at(GRID - shift), seconds, rng), iron)
            assert told is not None
            assert abs(told.value - shift) < 5 * told.sigma
            found.append((told.value - shift, told.sigma))
    even_error, half_error = (np.sqrt(np.mean(np.square(found), axis=0)) for found in (even, spent))
    assert half_error[0] <= 1.1 * even_error[0]  # of 20 seeds: known to 16 %
    assert half_error[1] <= even_error[1]


def test_a_shift_is_followed_and_another_shape_is_exposed_evenly(iron):
    """Four spectra that move by 1.5 eV; the third is of another compound."""
    energy, exposure = SynAxis(name="energy", value=7082.0, egu="eV"), Signal(name="exposure_s", value=0.1)
    places = GRID[::2]
    rng, shifts, taken = np.random.default_rng(1), [0.0, 0.5, 1.0, 1.5], []

    def mu() -> float:
        number = len(taken) // len(places)
        x = float(energy.position)
        other = 0.3 * math.exp(-(((x - 7118) / 2) ** 2)) if number == 2 else 0.0
        taken.append((x, float(exposure.get())))
        return float(iron.at(np.array([x - shifts[min(number, 3)]]))[0]) + other

    detector = SynSignal(func=mu, name="mu")
    taken.clear()

    def read(readings: Any) -> Feature:
        value, sigma = counted(readings["mu"]["value"], readings["exposure_s"]["value"], rng)
        return Feature(float(value), "", sigma=float(sigma))

    reference = (iron.energy.tolist(), iron.mu.tolist())
    plan = (None, [detector], energy, places.tolist(), exposure, read, reference, 4, 5.5)
    summarize_plan(shift_scan(*plan[:-2], 1, 5.5))
    with run_engine() as engine:
        engine._call_returns_result = True
        documents: list[Any] = []
        engine.subscribe(lambda name, document: documents.append((name, document)))
        outcome = engine(shift_scan(*plan)).plan_result
    found = [f for _, f in outcome.points]
    assert len(outcome.uids) == 4
    for k in (0, 1, 3):
        assert found[k].value == pytest.approx(shifts[k], abs=6 * found[k].sigma)
    exposures = np.array([s for _, s in taken]).reshape(4, len(places))
    assert np.allclose(exposures.sum(1), 5.5)
    assert all(np.ptp(exposures[k]) < 1e-9 for k in (0, 3))  # the first, and after another shape
    assert exposures[1].min() == pytest.approx(0.02, rel=0.01)  # a fifth of the even share at least
    assert exposures[1].max() > 0.3
    assert found[1].sigma < 0.85 * found[0].sigma  # of the same exposure
    told = [d["data"]["outcome_why"] for name, d in documents if name == "event" and "outcome_why" in d["data"]]
    assert "no shifted reference" in told[3]


def test_exposures_stay_inside_limits_and_nonsense_is_refused(iron):
    from types import SimpleNamespace

    energy, exposure = SynAxis(name="energy", value=7082.0), Signal(name="exposure_s", value=0.1)
    limits = {"exposure_s": Limit(unit="s", low=0.05, high=0.2)}
    session: Any = SimpleNamespace(limits=limits, watch=lambda _: lambda: None, mode="act")
    reference = (iron.energy.tolist(), iron.mu.tolist())
    with run_engine() as engine, pytest.raises(ActionRefusedError, match=r"0.05 to 0.2"):
        engine(shift_scan(session, [], energy, GRID.tolist(), exposure, "mu", reference, 1, 110.0))
    for wrong in ({"num": 0}, {"budget_s": 0.0}, {"energies": [1.0]}):
        given = {"energies": GRID.tolist(), "num": 1, "budget_s": 11.0} | wrong
        with pytest.raises(UsageError):
            list(
                shift_scan(
                    None, [], energy, given["energies"], exposure, "mu", reference, given["num"], given["budget_s"]
                )
            )
    with pytest.raises(UsageError):
        Reference(np.arange(8.0)[::-1], np.arange(8.0))


def test_too_few_points_and_a_shift_out_of_reach_have_no_answer(iron):
    assert shift_of(GRID[:5], np.ones(5), np.ones(5), iron) is None
    mu = iron.at(GRID - 8.0)
    assert shift_of(GRID, mu, np.full(len(GRID), 1e-3), iron, reach=5.0) is None
