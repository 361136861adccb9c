"""Backfield curves: the laboratory's Bcr, computed curves, and what is none."""

import json

import numpy as np
import pytest

from insitu.maths.magnetic.backfield import backfield, kind_of


@pytest.mark.parametrize("sample", ["NED1-5c", "NED2-8c", "NED34-6c", "MA1-5-r_gelcap", "WS3-1-r"])
def test_the_laboratory_s_bcr_is_found(data, sample):
    folder = data / "magnetic" / "vsm"
    b, m = np.loadtxt(folder / f"backfield_{sample}.csv", delimiter=",", skiprows=1).T
    known = json.loads((folder / "known_answers.json").read_text())[sample]["hyst_bcr"]
    for sign in (1.0, -1.0):
        found = backfield(sign * b, sign * m)
        assert found.problems == ()
        assert found.bcr.value == pytest.approx(known, rel=0.01)
        assert found.bcr.sigma is not None
        assert abs(found.bcr.value - known) < 3 * found.bcr.sigma
    assert kind_of(b, m) == "backfield"


@pytest.mark.parametrize(("n", "noise"), [(200, 0.0), (200, 0.01), (15, 0.002), (2000, 0.05)])
def test_the_uncertainty_of_bcr_is_true(n, noise):
    found = []
    for seed in range(60):
        b = np.linspace(0.0, 0.4, n)
        m = 1.0 - 2.0 / (1.0 + (0.06 / np.maximum(b, 1e-9)) ** 2.5)  # zero at 60 mT
        found.append(backfield(-b, m + noise * np.random.default_rng(seed).standard_normal(n)).bcr)
    values = np.array([f.value for f in found], dtype=float)
    said = float(np.median([f.sigma for f in found]))
    assert abs(values.mean() - 0.06) < 2 * said + 1e-6
    assert values.std() < 2 * said + 1e-6


def test_points_in_any_order_give_the_same():
    b = -np.linspace(0.0, 0.3, 60)
    m = 1.0 - 2.0 * -b / (0.05 - b)
    mixed = np.random.default_rng(0).permutation(60)
    assert backfield(b[mixed], m[mixed]).bcr == backfield(b, m).bcr


@pytest.mark.parametrize(
    ("b", "m", "word"),
    [
        (-np.linspace(0, 0.01, 20), np.linspace(1, 0.8, 20), "does not come to zero"),
        (np.linspace(-1, 1, 20), np.linspace(1, -1, 20), "one way only"),
        (np.zeros(9), np.arange(9.0), "does not change"),
        (-np.arange(3.0), np.arange(3.0), "too few"),
        (-np.linspace(0, 1, 30), np.cos(np.linspace(0, 12, 30)), "rises again"),
        (-np.linspace(0, 1, 30), np.full(30, np.nan), "no numbers"),
    ],
)
def test_what_is_no_backfield_curve_is_said_to_be_none(b, m, word):
    found = backfield(b, m)
    assert found.bcr.value is None
    assert word in found.problems[0]


def test_a_loop_is_told_from_a_backfield_by_what_the_field_does():
    b = np.concatenate([np.linspace(1, -1, 50), np.linspace(-1, 1, 50)])
    assert kind_of(b, np.tanh(b), "backfield") == "loop"
    assert kind_of(np.linspace(0, 1, 20), np.linspace(0, 1, 20), "backfield") == "backfield"
    assert kind_of(np.linspace(0, 1, 20), np.linspace(0, 1, 20)) == "loop"
