from pathlib import Path

import pytest

from insitu.errors import ConfigError
from insitu.maths.diffraction.poni import parse_poni, read_poni
from tests import ceo2

LEAST = "Distance: 0.2\nPoni1: 0.1\nPoni2: -0.1\n"
PIXELS = 'Detector_config: {"pixel1": 7.5e-05, "pixel2": 0.0001, "max_shape": [10, 10]}\n'


def parsed(text: str) -> dict[str, float]:
    return parse_poni(text.encode(), Path("a.poni"))


def test_a_real_poni_file_is_read(data: Path) -> None:
    found = read_poni(data / ceo2.FOLDER / "CeO2_Pilatus1M.poni")
    assert found["distance"] == 0.208651380603
    assert found["wavelength"] == 4.066e-11
    assert found["pixelsize1"] == found["pixelsize2"] == 172e-6
    assert found["rot1"] == pytest.approx(-0.0184422457059)


def test_the_last_calibration_counts_and_comments_do_not() -> None:
    found = parsed("# Distance: 7\nDistance: 0.1\nWavelength: None\n" + PIXELS + LEAST)
    assert found == {"distance": 0.2, "poni1": 0.1, "poni2": -0.1, "pixelsize1": 7.5e-05, "pixelsize2": 0.0001}


def test_a_mark_of_the_byte_order_is_no_part_of_the_first_key() -> None:
    assert parse_poni(b"\xef\xbb\xbf" + LEAST.encode(), Path("a.poni"))["distance"] == 0.2


@pytest.mark.parametrize("config", ["{", "[1]", "{}", '{"pixel1": null}', "[" * 100_000])
def test_a_detector_without_pixels_has_none(config: str) -> None:
    assert parsed(f"Detector_config: {config}\n{LEAST}") == {"distance": 0.2, "poni1": 0.1, "poni2": -0.1}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no Distance"),
        (LEAST + "Wavelength: green\n", "'green', no number"),
        (LEAST + "Wavelength: 0\n", "Wavelength is 0"),
        (LEAST + 'Detector_config: {"pixel1": [1]}\n', "no number"),
        (LEAST + 'Detector_config: {"pixel1": -1e-4}\n', "cannot be"),
        (LEAST + "Rot1: inf\n", "Rot1 is inf"),
    ],
)
def test_what_cannot_be_is_refused_with_the_file(text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says) as wrong:
        parsed(text)
    assert "a.poni" in str(wrong.value)


def test_an_absent_file_is_named() -> None:
    with pytest.raises(ConfigError, match=r"absent\.poni"):
        read_poni(Path("absent.poni"))
