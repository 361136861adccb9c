"""The model of Jiles and Atherton: limits that are known, loops that close, parameters that make no sense."""

import numpy as np
import pytest

from insitu.maths.magnetic.jiles_atherton import Material, coercive_field, follow, remanences, settled_loop


def cycle(top: float, n: int = 201) -> np.ndarray:
    return np.concatenate([np.linspace(top, -top, n), np.linspace(-top, top, n)])


def test_without_coupling_and_pinning_it_is_langevin_s_function():
    material = Material(ms=1.0, a=1000.0, k=1e-3 * 1000.0, alpha=0.0, c=0.0)
    h = np.linspace(0, 8000, 50)
    found = follow(h, material)
    expected = 1.0 / np.tanh(h[5:] / 1000.0) - 1000.0 / h[5:]
    np.testing.assert_allclose(found[5:], expected, rtol=2e-3)


def test_a_settled_loop_is_closed_and_its_own_image():
    h = cycle(2e4)
    m = settled_loop(h, Material())
    assert abs(m[0] - m[-1]) < 1e-6 * abs(m[0])
    np.testing.assert_allclose(m[:201], -m[201:], atol=1e-6 * abs(m[0]))


def test_the_coercive_field_grows_with_pinning():
    found = [coercive_field(Material(k=k), 5e4) for k in (200.0, 400.0, 800.0)]
    assert found[0] < found[1] < found[2]
    assert found[1] == pytest.approx(314.18975, rel=1e-4)  # the same integration with a fifth of the step


def test_remanence_falls_and_changes_its_sign_in_growing_fields():
    found = remanences(-np.linspace(0, 3000, 13), Material(), 1e5)
    assert (np.diff(found) <= 0).all()
    assert found[0] > 0 > found[-1]


@pytest.mark.parametrize("keys", [{"ms": 0.0}, {"k": -1.0}, {"c": 1.0}, {"alpha": 1.0}, {"a": float("nan")}])
def test_parameters_without_a_solution_are_refused(keys):
    with pytest.raises(ValueError, match=next(iter(keys))):
        Material(**keys)
