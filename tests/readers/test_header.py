"""Header lines: numbers with units, texts, and the start time."""

from zoneinfo import ZoneInfo

import pytest

from insitu.errors import ConfigError
from insitu.readers.header import read_header, read_time, title_line, zone

UTC = ZoneInfo("UTC")


@pytest.mark.parametrize(
    ("line", "key", "value", "unit"),
    [
        ("# Temp (K) =              6.778 ", "temperature", 6.778, "K"),
        ("# temperature = 300 K", "temperature", 300, "K"),
        ("! Temperature: -20.5 C", "temperature", 252.65, "K"),
        ("T (°C) = 25", "temperature", 298.15, "K"),
        ("temp_K: 12", "temperature", 12, "K"),
        ("# Wavelength: 4.066e-11 m", "wavelength", 0.4066, "angstrom"),
        ("# Wavelength: 4.066e-11", "wavelength", 0.4066, "angstrom"),
        ("Wavelength (nm) = 0.15406", "wavelength", 1.5406, "angstrom"),
        ("# Calibrated wavelength = 0.413263", "wavelength", 0.413263, "angstrom"),
        ("# Time per step (sec) =   0.1", "exposure_s", 0.1, "s"),
        ("exposure time: 10 ms", "exposure_s", 0.01, "s"),
        ("# Monitor = 12345", "monitor", 12345, "counts"),
        ("# Intensity scale = 9616.77", "intensity_scale", 9616.77, ""),
    ],
)
def test_a_number_comes_in_the_unit_of_its_key(line: str, key: str, value: float, unit: str) -> None:
    feature = read_header([line]).context[key]
    assert (feature.value, feature.unit) == (pytest.approx(value, rel=1e-9), unit)


@pytest.mark.parametrize(
    "line", ["Temperature: 300", "Temperature: -5 K", "exposure = 5", "wavelength = 400", "wavelength = one angstrom"]
)
def test_a_number_that_cannot_be_understood_has_no_value_and_says_why(line: str) -> None:
    (feature,) = read_header([line]).context.values()
    assert feature.value is None
    assert feature.why


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("APR 25, 2011 12:35:45.325926", 1303734945.325926),
        ("2011-04-25T12:35:45Z", 1303734945),
        ("2011-04-25 12:35:45+02:00", 1303727745),
        ("2011/04/25 12:35:45", 1303734945),
        ("25-Apr-2011 12:35:45", 1303734945),
        ("Mon Apr 25 12:35:45 2011", 1303734945),
    ],
)
def test_times_are_read_whatever_the_language_of_the_machine(text: str, seconds: float) -> None:
    found = read_time(text, UTC)
    assert found is not None
    assert found[0] == round(seconds * 1_000_000) * 1000


@pytest.mark.parametrize("text", ["Apr 31, 2011 12:00:00", "0001-01-01 00:00:00", "9999-01-01 00:00:00", "yesterday"])
def test_what_is_no_time_is_none(text: str) -> None:
    assert read_time(text, UTC) is None


def test_the_hour_that_comes_twice_is_uncertain_by_an_hour() -> None:
    chicago = ZoneInfo("America/Chicago")
    uncertain = read_time("2011-11-06 01:30:00", chicago)
    sure = read_time("2011-11-06 03:30:00", chicago)
    assert uncertain is not None
    assert sure is not None
    assert (uncertain[1], sure[1]) == (3600 * 10**9, 10**9)


def test_an_unknown_time_zone_is_refused() -> None:
    with pytest.raises(ConfigError, match="Mars"):
        zone("Mars/Base")


def test_addresses_and_control_characters_stay_out_of_labels() -> None:
    labels = read_header(["# Sample Comment = ask me@home.org", "# Composition = Cu\x07Cr2O4 ", "# Run no. = 7"]).labels
    assert labels == {"composition": "CuCr2O4", "run_number": "7"}
    assert title_line("# /data/x.mda") == ""


def test_the_first_of_a_kind_counts_and_the_duration_is_steps_times_exposure() -> None:
    head = read_header(["# Temp (K) = 1", "# Temp (K) = 2", "# No. steps = 10", "# Time per step (sec) = 0.5"])
    assert head.context["temperature"].value == 1
    assert head.duration_ns == 5 * 10**9
    assert "steps" not in head.context
