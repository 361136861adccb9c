"""What is known of a detector, and headers that say otherwise."""

from pathlib import Path

import pytest

from insitu.errors import ConfigError
from insitu.readers.image_known import known, settled
from insitu.types import Detector, Feature, Geometry

PONI_2 = """# a comment: 1
poni_version: 2
Detector: Detector
Detector_config: {"pixel1": 7.5e-05, "pixel2": 0.0001, "max_shape": [10, 10]}
Distance: 0.1
Poni1: 0.1
Poni2: 0.1
Wavelength: 1e-10
Distance: 0.2
"""


def test_a_poni_file_says_what_is_known(data: Path) -> None:
    poni = data / "xrd/frame2d_ceo2_pilatus1m/CeO2_Pilatus1M.poni"
    facts = known(Detector(name="d", source="d", geometry=Geometry(poni=poni)))
    assert {name: (fact.feature.value, fact.feature.unit) for name, fact in facts.items()} == {
        "pixel_size": (172.0, "um"),
        "distance": (0.208651380603, "m"),
        "wavelength": (0.4066, "angstrom"),
    }


def test_an_absent_poni_file_is_named() -> None:
    with pytest.raises(ConfigError, match=r"absent\.poni"):
        known(Detector(name="d", source="d", geometry=Geometry(poni=Path("absent.poni"))))


def test_the_calibration_goes_before_the_poni_file(tmp_path: Path) -> None:
    (tmp_path / "a.poni").write_text(PONI_2)
    detector = Detector(
        name="d",
        source="d",
        calibration={"distance": Feature(25, "cm")},
        geometry=Geometry(poni=tmp_path / "a.poni"),
    )
    facts = known(detector)
    assert facts["distance"].feature == Feature(0.25, "m")
    assert facts["wavelength"].feature == Feature(1.0, "angstrom")


def test_oblong_pixels_are_compared_side_by_side(tmp_path: Path) -> None:
    (tmp_path / "a.poni").write_text(PONI_2)
    facts = known(Detector(name="d", source="d", geometry=Geometry(poni=tmp_path / "a.poni")))
    told: list[str] = []
    context = settled({"pixel_size": Feature(100.0, "um")}, facts, told, "a.tif")
    assert context["pixel_size_x"] == Feature(100.0, "um")
    assert context["pixel_size_y"] == Feature(75.0, "um")
    assert context["header_pixel_size_y"] == Feature(100.0, "um")
    assert len(told) == 1


def test_headers_that_agree_say_nothing(tmp_path: Path) -> None:
    facts = known(Detector(name="d", source="d", calibration={"wavelength": Feature(1.0, "angstrom")}))
    told: list[str] = []
    assert settled({"wavelength": Feature(1.0005, "angstrom")}, facts, told, "") == {
        "wavelength": Feature(1.0, "angstrom")
    }
    assert told == []
