import numpy as np
import pytest

from insitu.errors import ConfigError
from insitu.features.xrd import Peaks
from insitu.features.xrd_pattern import radiation
from insitu.maths.peaks.profiles import pseudo_voigt
from insitu.types import Axis, Detector, Feature, Frame

X = np.arange(44.0, 47.0, 0.02)
SECOND = 2.0 * np.degrees(np.arcsin(1.5443 / 1.5405 * np.sin(np.radians(22.5))))


def frame(**context: Feature) -> Frame:
    clean = pseudo_voigt(X, 45.0, 0.1, 0.4, 900.0) + pseudo_voigt(X, SECOND, 0.1, 0.4, 450.0) + 50.0
    data = np.random.default_rng(2).poisson(clean)
    axes = {"two_theta": Axis(X, "deg")}
    return Frame(
        source="det", data=data, dims=("two_theta",), unit="counts", time_ns=0, seq=0, n=0, axes=axes, context=context
    )


def detector(**calibration: Feature) -> Detector:
    return Detector(name="lab", source="det", calibration=calibration)


ODD = detector(wavelength=Feature(1.5, "deg"), wavelength2=Feature(1.5443, "angstrom"))
LAB = detector(wavelength=Feature(1.5405, "angstrom"), wavelength2=Feature(0.15443, "nm"))


def position(f: Frame, **keys) -> Feature:
    return Peaks(windows=[(44.4, 45.8)], **keys)(f, {}, ())["peak1_position"]


def test_a_detector_with_a_second_wavelength_has_doublets() -> None:
    found = position(frame(), detector=LAB)
    assert abs(found.value - 45.0) < 4.0 * found.sigma
    assert position(frame(), detector=LAB, doublet=False).value > 45.015
    assert position(frame(), detector=detector(wavelength=Feature(1.5405, "angstrom"))).value > 45.015


def test_wavelengths_of_the_recipe_win_over_the_detectors() -> None:
    other = detector(wavelength=Feature(0.7, "angstrom"), wavelength2=Feature(0.71, "angstrom"))
    assert position(frame(), detector=other, wavelengths=(1.5405, 1.5443)) == position(frame(), detector=LAB)


def test_a_doublet_that_is_asked_for_takes_its_wavelengths_from_the_frame() -> None:
    waves = {"wavelength": Feature(1.5405, "angstrom"), "wavelength2": Feature(1.5443, "angstrom")}
    assert position(frame(**waves), doublet=True).value == pytest.approx(45.0, abs=0.003)
    assert position(frame(**waves)).value > 45.015  # not asked for: files name K-alpha2 even where it was filtered out
    assert "second wavelength of the doublet is not known" in position(frame(), doublet=True).why


@pytest.mark.parametrize(
    ("keys", "where"),
    [
        ({"wavelengths": (1.5406, 1.5406)}, "wavelengths"),
        ({"wavelengths": (1.5406, 1.3922)}, None),
        ({"wavelengths": (1.5406, 0.7)}, "wavelengths"),
        ({"wavelengths": (1.5406, -1.0)}, "wavelengths"),
        ({"ratio": 0.0}, "ratio"),
        ({"ratio": 1.5}, "ratio"),
        ({"detector": detector(wavelength2=Feature(1.5443, "angstrom"))}, "calibration.wavelength"),
        ({"detector": ODD}, "calibration.wavelength"),
    ],
)
def test_wavelengths_that_are_no_doublet_are_refused(keys: dict, where: str | None) -> None:
    settings = {"doublet": None, "wavelengths": None, "ratio": 0.5, "fit_ratio": False, "axis": "q", "detector": None}
    if where is None:
        radiation(**(settings | keys))
        return
    with pytest.raises(ConfigError) as caught:
        radiation(**(settings | keys))
    assert caught.value.where == where
