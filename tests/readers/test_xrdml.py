"""PANalytical XRDML: real files, every way of writing a scan, and every way a file can be wrong."""

from pathlib import Path

import numpy as np
import pytest

from insitu.errors import FormatError
from insitu.readers.pattern import BadScan, How, NoPattern, Pattern, Truncated
from insitu.readers.xrdml import decode, looks_like
from insitu.types import Feature
from tests.readers.written import ENDS, TIME, scan, xrdml

HOW = How(name="a.xrdml")


def one(data: bytes, how: How = HOW) -> Pattern:
    (pattern,) = decode(data, how)
    assert isinstance(pattern, Pattern), pattern
    return pattern


def bad(data: bytes, how: How = HOW) -> FormatError:
    (found,) = decode(data, how)
    assert isinstance(found, BadScan), found
    return found.error


def test_a_powder_scan_has_the_points_and_angles_of_the_data_readme(data: Path) -> None:
    pattern = one((data / "xrd/formats_lab/XRD-918-16_10.xrdml").read_bytes())
    assert pattern.two_theta.shape == pattern.intensity.shape == (5027,)
    assert pattern.two_theta[0] == pytest.approx(4.0066, abs=5e-5)
    assert pattern.two_theta[-1] == pytest.approx(69.9994, abs=5e-5)
    assert (pattern.intensity.dtype, pattern.sigma) == (np.uint32, None)
    assert pattern.intensity[:3].tolist() == [1305, 1310, 1345]
    assert pattern.intensity[-1] == 171
    assert pattern.context["wavelength"] == Feature(1.540598, "angstrom")
    assert pattern.context["wavelength2"] == Feature(1.544426, "angstrom")
    assert pattern.context["wavelength_ratio"] == Feature(0.5)
    assert pattern.context["exposure_s"] == Feature(39.27, "s")
    assert pattern.labels["wavelength_intended"] == "K-Alpha 1"
    assert pattern.time_ns == 1615889414 * 10**9  # 2021-03-16T13:10:14+03:00
    assert pattern.duration_ns == 862 * 10**9  # to 13:24:36; time per point x points is that of a detector with many


def test_the_attenuated_point_of_a_real_scan_is_the_summit_again(data: Path) -> None:
    """One point, at the substrate's reflection, was counted through nickel of factor 188: 1877 counts between 14602 and
    13749 (as in the file)."""
    pattern = one((data / "xrd/formats_lab/m54313_om2th_10.xrdml").read_bytes())
    assert pattern.two_theta.shape == (1800,)
    assert pattern.two_theta[[0, -1]].tolist() == [26.025, 79.995]
    top = int(pattern.intensity.argmax())
    assert pattern.two_theta[top] == pytest.approx(66.105, abs=1e-9)
    assert pattern.intensity[top - 1 : top + 2].tolist() == [14602, 1877 * 188, 13749]
    assert pattern.sigma is not None
    assert pattern.sigma[top - 1 : top + 2] == pytest.approx([14602**0.5, 188 * 1877**0.5, 13749**0.5])
    assert pattern.labels["monochromator"] == "Hybrid monochr. 2xGe(220) Cu asym."


@pytest.mark.parametrize("version", ["1.0", "1.3", "1.6", "2.0", "2.3"])
@pytest.mark.parametrize("tag", ["counts", "intensities"])
def test_all_versions_are_read_whatever_their_namespace(version: str, tag: str) -> None:
    pattern = one(xrdml(scan(tag=tag), version=version))
    assert pattern.two_theta.tolist() == [10, 10.5, 11, 11.5, 12]
    assert pattern.intensity.tolist() == [4, 9, 16, 25, 36]
    assert pattern.labels["sample"] == "ceria"
    assert pattern.context["omega"] == Feature(5.5, "deg")
    assert "scan" not in pattern.labels


def test_a_namespace_prefix_and_utf_16_are_read() -> None:
    text = xrdml().decode()
    prefixed = text.replace("<", "<p:").replace("<p:/", "</p:").replace("<p:?", "<?").replace("xmlns=", "xmlns:p=")
    assert looks_like(prefixed.encode())
    assert one(prefixed.encode()).intensity.tolist() == [4, 9, 16, 25, 36]
    wide = text.replace('encoding="UTF-8"', 'encoding="UTF-16"').encode("utf-16")
    assert looks_like(wide)
    assert one(wide).intensity.tolist() == [4, 9, 16, 25, 36]


def test_factors_are_multiplied_into_counts_and_not_again_into_intensities() -> None:
    factors = "<beamAttenuationFactors>1 1 10 1 1</beamAttenuationFactors>"
    counted, corrected = (one(xrdml(scan(extra=factors, tag=tag))) for tag in ("counts", "intensities"))
    assert counted.intensity.tolist() == [4, 9, 160, 25, 36]
    assert corrected.intensity.tolist() == [4, 9, 16, 25, 36]
    assert counted.sigma is not None
    assert corrected.sigma is not None
    assert counted.sigma.tolist() == [2, 3, 40, 5, 6]
    assert corrected.sigma == pytest.approx([2, 3, 10 * 1.6**0.5, 5, 6])


def test_listed_positions_and_times_are_read_and_uneven_times_scaled_to_the_longest() -> None:
    listed = "<listPositions>10 10.5 11.25 11.5 12</listPositions>"
    times = '<countingTimes unit="seconds">1 1 1 1 2</countingTimes>'
    pattern = one(xrdml(scan(positions=listed, time=times)))
    assert pattern.two_theta[2] == 11.25
    assert pattern.intensity.tolist() == [8, 18, 32, 50, 36]
    assert pattern.sigma is not None
    assert pattern.sigma.tolist() == [4, 6, 8, 10, 6]
    assert pattern.labels["counting_times"] == "1 to 2 s, scaled to 2 s"


def test_several_scans_are_several_patterns_in_order() -> None:
    parts = list(decode(xrdml(scan("1 1 1 1 1", minute=10), scan("2 2 2 2 2", minute=20)), HOW))
    patterns = [part for part in parts if isinstance(part, Pattern)]
    assert [p.intensity[0] for p in patterns] == [1, 2]
    assert [p.labels["scan"] for p in patterns] == ["1 of 2", "2 of 2"]
    assert patterns[1].time_ns is not None
    assert patterns[0].time_ns is not None
    assert patterns[1].time_ns - patterns[0].time_ns == 600 * 10**9


def test_the_temperature_of_a_chamber_is_the_mean_of_its_readings() -> None:
    inside = '<nonAmbientPoints type="Temperature"{}><nonAmbientValues>{}</nonAmbientValues></nonAmbientPoints>\n'
    kelvin = one(xrdml(scan(chamber=inside.format(' unit="K"', "298 302")))).context["temperature"]
    assert kelvin == Feature(300.0, "K", sigma=2.0)
    celsius = one(xrdml(scan(chamber=inside.format(' unit="Celsius"', "25")))).context["temperature"]
    assert celsius == Feature(298.15, "K")
    unknown = one(xrdml(scan(chamber=inside.format("", "25")))).context["temperature"]
    assert unknown.value is None
    assert unknown.why is not None
    assert "no unit" in unknown.why


def test_a_scan_downwards_is_turned_round() -> None:
    down = "<startPosition>12.0</startPosition><endPosition>10.0</endPosition>"
    pattern = one(xrdml(scan(positions=down)))
    assert (pattern.two_theta[0], pattern.intensity[0], pattern.labels["scan_direction"]) == (10.0, 36, "down")


def test_a_rocking_curve_is_no_pattern_and_the_other_scans_are_read() -> None:
    rocking = scan(positions="<commonPosition>30</commonPosition>", axis="Omega")
    first, second = decode(xrdml(rocking, scan()), HOW)
    assert isinstance(first, NoPattern)
    assert "over Omega: 2-theta stands still" in first.what
    assert isinstance(second, Pattern)


def test_rates_are_made_counts_with_the_counting_time_or_refused() -> None:
    rates = xrdml(scan()).replace(b'<counts unit="counts">', b'<counts unit="cps">')
    pattern = one(rates)
    assert pattern.intensity.tolist() == [8, 18, 32, 50, 72]
    assert (pattern.sigma, pattern.labels["unit_in_file"]) == (None, "cps")
    assert one(rates, How(unit="counts/s")).intensity.tolist() == [4, 9, 16, 25, 36]
    without = xrdml(scan(time="")).replace(b'<counts unit="counts">', b'<counts unit="cps">')
    error = bad(without)
    assert "no counting time" in error.what
    assert error.remedy == 'Set unit = "counts/s" in the detector file'


@pytest.mark.parametrize(
    ("part", "says"),
    [
        (scan("4 9 x 25 36"), "'x', number 3 of a list, is not a finite number"),
        (scan("4 9 nan 25 36"), "'nan', number 3 of a list"),
        (scan("4 9 1,6 25 36"), "'1,6', number 3 of a list"),
        (scan("4 9 -16 25 36"), "the intensity -16 is negative"),
        (scan(""), "a scan has no points"),
        (scan("4"), "fewer than 2 rows"),
        (scan(positions="<listPositions>10 11</listPositions>"), "2 positions stand beside 5 points"),
        (scan(positions="<listPositions>10 11 11 12 13</listPositions>"), "repeats that of the row before"),
        (scan(positions="<startPosition>10</startPosition>"), "'' is not a finite number"),
        (scan(positions=ENDS.replace("12.0", "10.0")), "repeats that of the row before"),
        (scan(positions=ENDS.replace("12.0", "1200")), "cannot be a 2-theta in degrees"),
        (scan(extra="<beamAttenuationFactors>1 2</beamAttenuationFactors>"), "2 attenuator factors stand beside 5"),
        (scan(extra="<beamAttenuationFactors>1 0 1 1 1</beamAttenuationFactors>"), "is not between 0 and 1e+09"),
        (scan(time=TIME.replace("2.0", "0")), "a counting time is not between 0 and 1e+09 s"),
        (scan(tag="other"), "neither counts nor intensities"),
        (scan().replace('axis="2Theta" unit="deg"', 'axis="2Theta" unit="rad"'), "2-theta is in 'rad'"),
    ],
)
def test_a_scan_that_is_wrong_is_named_with_its_line_and_the_next_one_is_read(part: str, says: str) -> None:
    first, second = decode(xrdml(part, scan()), HOW)
    assert isinstance(first, BadScan)
    assert says in first.error.what
    assert first.error.where.startswith("a.xrdml")
    assert first.payload.startswith(b"<scan ")
    assert first.payload in xrdml(part, scan())
    assert isinstance(second, Pattern)


def test_a_file_is_whole_only_with_its_last_closing_tag(data: Path) -> None:
    whole = (data / "xrd/formats_lab/XRD-918-16_10.xrdml").read_bytes()
    for end in (0, 1, 100, 5000, len(whole) // 2, len(whole) - 30, len(whole) - 3):
        with pytest.raises(Truncated):
            list(decode(whole[:end], HOW))
    assert one(whole).whole


def test_another_document_is_refused_for_what_it_is() -> None:
    for text, says in (
        (b"<a/>", "the first element is 'a'"),
        (b"10.0 5\n", "no XML"),
        (b"<xrdMeasurements/>", "no scan"),
    ):
        with pytest.raises(FormatError, match=says):
            list(decode(text, HOW))
