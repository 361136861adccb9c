import math

import numpy as np
import pytest

from insitu.errors import ConfigError
from insitu.features.xrd import Peaks
from insitu.maths.peaks.profiles import pseudo_voigt
from insitu.prepare.axes import ToD, ToQ, d_of, q_of
from insitu.types import Axis, Feature, Frame

X = np.linspace(20.0, 40.0, 2001)
COPPER = {"wavelength": Feature(1.5406, "angstrom")}
SI_111 = 28.4427  # deg, NIST SRM 640 with Cu K-alpha1; d(111) = 3.1355 angstrom


def frame(x: np.ndarray = X, context: dict[str, Feature] | None = None, **keys) -> Frame:
    data = np.random.default_rng(0).poisson(pseudo_voigt(x, SI_111, 0.1, 0.4, 500.0) + 20.0)
    return Frame(
        source="det",
        data=data,
        dims=("two_theta",),
        unit="counts",
        time_ns=0,
        seq=0,
        n=0,
        axes={"two_theta": Axis(x, "deg")},
        context=COPPER if context is None else context,
        **keys,
    )


def test_q_and_d_are_two_pi_over_each_other() -> None:
    np.testing.assert_allclose(q_of(X, 1.5406) * d_of(X, 1.5406), 2.0 * math.pi, rtol=1e-14)


def test_the_silicon_111_peak_lies_where_nist_says() -> None:
    over_q = Peaks(windows_q=[(1.95, 2.05)])(ToQ()(frame(), {}), {}, ())
    over_d = Peaks(windows_d=[(3.09, 3.19)])(ToD()(frame(), {}), {}, ())
    assert over_d["peak1_position"].value == pytest.approx(3.1355, abs=2e-4)
    assert over_q["peak1_position"].value == pytest.approx(2.0 * math.pi / 3.1355, abs=2e-4)
    assert (over_q["peak1_position"].unit, over_q["peak1_area"].unit) == ("1/angstrom", "counts/angstrom")
    assert (over_d["peak1_position"].unit, over_d["peak1_area"].unit) == ("angstrom", "counts angstrom")


def test_d_increases_and_everything_turns_with_it() -> None:
    mask = np.zeros(X.size, dtype=bool)
    mask[3] = True
    raw = frame(sigma=np.arange(X.size, dtype=np.float64), mask=mask)
    turned = ToD()(raw, {})
    assert turned.dims == ("d",)
    assert (np.diff(turned.axes["d"].values) > 0.0).all()
    np.testing.assert_array_equal(turned.data, raw.data[::-1])
    np.testing.assert_array_equal(turned.sigma, raw.sigma[::-1])
    assert turned.mask[-4]
    assert turned.data.flags.c_contiguous


def test_q_keeps_the_order() -> None:
    turned = ToQ()(frame(), {})
    assert turned.dims == ("q",)
    assert (np.diff(turned.axes["q"].values) > 0.0).all()
    np.testing.assert_array_equal(turned.data, frame().data)


def test_the_keyword_wins_over_the_header() -> None:
    turned = ToQ(wavelength=0.7)(frame(), {})
    np.testing.assert_array_equal(turned.axes["q"].values, q_of(X, 0.7))


@pytest.mark.parametrize("factory", [ToQ, ToD])
def test_a_missing_or_wrong_wavelength_is_said(factory) -> None:
    with pytest.raises(ValueError, match="no wavelength in context"):
        factory()(frame(context={}), {})
    with pytest.raises(ValueError, match="expected angstrom"):
        factory()(frame(context={"wavelength": Feature(0.15, "nm")}), {})
    with pytest.raises(ConfigError, match="wavelength"):
        factory(wavelength=-1.0)


def test_an_angle_of_zero_has_no_d() -> None:
    with pytest.raises(ValueError, match="an angle of 0 or below has no d-spacing"):
        ToD()(frame(np.linspace(0.0, 40.0, 500)), {})


def test_angles_past_a_half_turn_are_refused() -> None:
    with pytest.raises(ValueError, match="expected -180 to 180 deg"):
        ToQ()(frame(np.linspace(10.0, 200.0, 500)), {})
