"""Header texts of images: units of each format, placeholders, and numbers without a unit."""

import pytest

from insitu.readers.image_headers import dectris_pairs, quantity, read_pairs
from insitu.types import Feature


@pytest.mark.parametrize(
    ("text", "target", "unit", "expected"),
    [
        ("1.0332 A", "wavelength", "angstrom", Feature(1.0332, "angstrom")),
        ("1.0332e-10", "wavelength", "m", Feature(1.0332, "angstrom")),
        ("0.0 A", "wavelength", "angstrom", None),
        ("0", "distance", "mm", None),
        ("-1", "distance", "m", None),
        ("210.5", "distance", "mm", Feature(0.2105, "m")),
        ("25 C", "temperature", "", Feature(298.15, "K")),
        ("25", "temperature", "", Feature(None, "K", why="the header gives 25 without a unit")),
        ("abc", "distance", "m", None),
        ("1e999", "distance", "m", None),
    ],
)
def test_numbers_come_in_the_units_of_the_context(text: str, target: str, unit: str, expected: Feature | None) -> None:
    assert quantity(text, target, unit) == expected


def test_an_energy_is_a_wavelength() -> None:
    head = read_pairs([("Photon_energy", "12398.419843 eV")])
    assert head.context["wavelength"].value == pytest.approx(1.0, abs=1e-9)
    assert list(head.context) == ["wavelength"]


def test_pixels_that_are_not_square_keep_both_sizes() -> None:
    head = read_pairs(dectris_pairs("# Pixel_size 172e-6 m x 100e-6 m\r\n"))
    assert head.context == {"pixel_size_x": Feature(172.0, "um"), "pixel_size_y": Feature(100.0, "um")}


def test_motors_that_do_not_fit_their_names_are_left_out() -> None:
    assert read_pairs([("motor_mne", "a b"), ("motor_pos", "1")], "edf").context == {}


def test_addresses_and_paths_are_not_taken() -> None:
    head = read_pairs([("title", "me@lab.org"), ("comment", "/home/me"), ("sample", "ceria")], "edf")
    assert head.labels == {"sample": "ceria"}
