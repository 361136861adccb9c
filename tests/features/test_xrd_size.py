from dataclasses import replace

import numpy as np
import pytest

from insitu.errors import ConfigError
from insitu.features.xrd_size import SizeStrain
from insitu.maths.diffraction.phases import ROOM_K, ceria
from insitu.maths.diffraction.powder import powder_lines
from insitu.maths.diffraction.size_strain import joined, parts
from insitu.maths.peaks.profiles import caglioti, pseudo_voigt
from insitu.types import Frame, Reference
from tests import patterns

LAW = (0.004, -0.002, 0.006)
WAVELENGTH = 1.5406


def sample(size: float, strain: float, seed: int = 0, counts: float = 3000.0) -> Frame:
    """CeO2 with Lorentzian broadening of integral breadth `lambda/(L cos) + 4 e tan`, on a Gaussian instrument."""
    x = np.arange(20.0, 120.0, 0.01)
    lines = powder_lines(ceria(ROOM_K), WAVELENGTH, 122.0)
    theta = np.radians(lines.two_theta) / 2.0
    breadth = np.degrees(WAVELENGTH / size / np.cos(theta) + 4.0 * strain * np.tan(theta))
    width, eta = joined(caglioti(lines.two_theta, *LAW), breadth * 2.0 / np.pi)
    y = np.full(x.size, 50.0)
    for at, area, w, e in zip(lines.two_theta, lines.area / lines.area.max() * counts, width, eta, strict=True):
        y += pseudo_voigt(x, at, w, e, area)
    return patterns.frame(x, np.random.default_rng(seed).poisson(y).astype(np.uint32), wavelength=WAVELENGTH)


def test_parts_of_a_pseudo_voigt_join_to_it_again() -> None:
    """Thompson, Cox, Hastings: their two directions agree to a per cent."""
    eta = np.linspace(0.0, 1.0, 21)
    width, shape = joined(*parts(np.full(21, 0.1), eta))
    np.testing.assert_allclose(width, 0.1, rtol=0.01)
    np.testing.assert_allclose(shape, eta, atol=0.02)


@pytest.mark.parametrize(("size", "strain"), [(300.0, 0.0), (300.0, 1e-3), (800.0, 5e-4), (150.0, 0.0)])
def test_size_and_strain_that_were_put_in_come_out(size: float, strain: float) -> None:
    extractor = SizeStrain(caglioti=LAW)
    for seed in (0, 1):
        features = extractor(sample(size, strain, seed), {}, ())
        assert features["crystallite_size"].value == pytest.approx(size, rel=0.06)
        assert features["crystallite_strain"].value == pytest.approx(strain, abs=1.5e-4)
        found = features["crystallite_strain"]
        assert abs(found.value - strain) < 4.0 * found.sigma
        if not strain:
            assert features["crystallite_size_scherrer"].value == pytest.approx(size, rel=0.03)


def test_strain_alone_gives_no_size_and_says_why() -> None:
    features = SizeStrain(caglioti=LAW)(sample(1e6, 1e-3), {}, ())
    assert features["crystallite_strain"].value == pytest.approx(1e-3, rel=0.05)
    assert features["crystallite_size"].value is None
    assert "it is above about" in features["crystallite_size"].why


def test_a_standard_serves_as_well_as_its_law() -> None:
    standard = sample(1e7, 0.0, seed=9, counts=20000.0)
    refs = {"lab6": Reference(np.asarray(standard.data), "digest", "address")}
    broad = sample(300.0, 0.0, seed=1)
    features = SizeStrain(standard="lab6")(broad, refs, ())
    assert features["crystallite_size_scherrer"].value == pytest.approx(300.0, rel=0.05)
    assert SizeStrain(standard="lab6")(broad, {}, ())["crystallite_size"].why == "there is no reference 'lab6' yet"


def test_lines_as_narrow_as_the_instrument_say_so() -> None:
    features = SizeStrain(instrument=0.3)(sample(1e7, 0.0), {}, ())
    assert "broader than the instrument's" in features["crystallite_size"].why


def test_copper_chromite_is_strained_when_cold(data) -> None:
    """The widths of the data README: 0.0180 deg at 7 K and 0.004 to 0.006 deg at 289 K near 11 deg."""
    series, extractor = patterns.copper_chromite(data), SizeStrain(instrument=0.004, low=3.0)
    cold, warm = (extractor(series[kelvin], {}, ())["crystallite_strain"] for kelvin in (6.778, 288.7))
    assert cold.value > 2.5 * warm.value
    assert cold.value - warm.value > 5.0 * (cold.sigma + warm.sigma)


def test_the_doublet_of_the_laboratory_is_not_taken_for_broadening(data) -> None:
    """Without the second wavelength lines look broader: the Scherrer size comes out smaller."""
    pattern = patterns.fluorapatite(data)
    aware = SizeStrain(instrument=0.05)(pattern, {}, ())
    single = replace(pattern, context={"wavelength": pattern.context["wavelength"]})
    unaware = SizeStrain(instrument=0.05)(single, {}, ())
    assert aware["crystallite_size_scherrer"].value > 1.1 * unaware["crystallite_size_scherrer"].value


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({}, "needed once"),
        ({"instrument": 0.1, "standard": "x"}, "needed once"),
        ({"caglioti": (0.0, -1.0, 0.0)}, "give no width"),
        ({"instrument": 0.1, "instrument_eta": 2.0}, "eta of 2"),
        ({"instrument": 0.1, "max_lines": 2}, "too few"),
    ],
)
def test_impossible_recipes_are_refused(keys: dict, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        SizeStrain(**keys)


def test_what_cannot_be_measured_says_why() -> None:
    extractor = SizeStrain(instrument=0.05)
    for says, frame in {
        "wavelength is not known": replace(sample(300.0, 0.0), context={}),
        "no peak": patterns.mixture([]),
    }.items():
        features = extractor(frame, {}, ())
        assert features.keys() == extractor.outputs.keys()
        assert all(f.value is None and says in f.why for f in features.values())
