import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from insitu.errors import ConfigError
from insitu.features.xrd import Peaks
from insitu.maths.peaks.profiles import pseudo_voigt
from insitu.types import Axis, Frame, Reference

X = np.linspace(20.0, 40.0, 2001)
TRUE = {22.5: 40.0, 28.44: 200.0, 31.0: 80.0, 36.2: 120.0}


def frame(data: np.ndarray, x: np.ndarray = X, unit: str = "counts", **keys) -> Frame:
    return Frame(
        source="det",
        data=data,
        dims=("two_theta",),
        unit=unit,
        time_ns=0,
        seq=0,
        n=0,
        axes={"two_theta": Axis(x, "deg")},
        **keys,
    )


def counts(seed: int = 0, areas: dict[float, float] = TRUE) -> np.ndarray:
    clean = sum(pseudo_voigt(X, at, 0.12, 0.4, area) for at, area in areas.items()) + 50.0
    return np.random.default_rng(seed).poisson(clean).astype(np.uint32)


def fxye(path: Path) -> tuple[float, Frame]:
    """Temperature (0 where not given) and pattern: rows after the BANK line, two_theta in centidegrees."""
    lines = path.read_text(errors="replace").splitlines()
    bank = next(i for i, line in enumerate(lines) if line.startswith("BANK"))
    table = np.array([line.split() for line in lines[bank + 1 :] if line.strip()], dtype=np.float64)
    found = re.search(r"Temp \(K\) =\s*([\d.]+)", "\n".join(lines[:bank]))
    x, y, esd = (np.ascontiguousarray(column) for column in table.T)
    return float(found[1]) if found else 0.0, frame(y, x / 100.0, sigma=esd)


def std(path: Path) -> Frame:
    """Fixed-width GSAS STD, first angle and step from the BANK line in centidegrees."""
    lines = path.read_text().splitlines()
    bank = next(i for i, line in enumerate(lines) if line.startswith("BANK"))
    _, _, points, _, _, first, step = lines[bank].split()[:7]
    fields = [line.ljust(80)[i + 2 : i + 8] for line in lines[bank + 1 :] for i in range(0, 80, 8)]
    y = np.array([float(f) for f in fields if f.strip()])[: int(points)]
    return frame(y, (float(first) + float(step) * np.arange(y.size)) / 100.0)


def test_a_planted_peak_is_measured_in_its_window() -> None:
    found = Peaks(windows=[(28.0, 28.9)])(frame(counts()), {}, ())
    assert list(found) == ["peak1_position", "peak1_height", "peak1_width", "peak1_area"]
    assert [f.unit for f in found.values()] == ["deg", "counts", "deg", "counts deg"]
    for key, truth in (("position", 28.44), ("width", 0.12), ("area", 200.0)):
        feature = found[f"peak1_{key}"]
        assert abs(feature.value - truth) < 4.0 * feature.sigma
    assert found["peak1_position"].sigma < 0.002


@pytest.mark.parametrize("method", ["fit", "moment"])
def test_windows_are_numbered_as_given(method) -> None:
    found = Peaks(name="line", windows=[(36.0, 36.6), (28.0, 28.9)], method=method)(frame(counts()), {}, ())
    assert found["line1_position"].value == pytest.approx(36.2, abs=0.01)
    assert found["line2_position"].value == pytest.approx(28.44, abs=0.01)


def test_an_empty_window_says_that_there_is_no_peak() -> None:
    found = Peaks(windows=[(25.0, 25.6)])(frame(counts()), {}, ())
    assert {f.why for f in found.values()} == {"no peak above 5 sigma in 25 to 25.6 deg"}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"windows": [(39.9, 40.5)]}, "the pattern covers 20 to 40 deg"),
        ({"windows": [(10.0, 12.0)]}, "the pattern covers 20 to 40 deg"),
        ({"windows": [(28.40, 28.45)]}, "only 6 points (a fit needs 8) in 28.4 to 28.45 deg"),
        ({"windows": [(28.0, 28.9)], "saturation": 900.0}, "saturated: "),
        ({"windows_q": [(1.9, 2.1)]}, "over two_theta, not over q"),
        ({"windows": [(28.0, 28.9)], "unit": "arb"}, "the data are in 'counts'"),
    ],
)
def test_what_cannot_be_measured_says_why(change: dict, says: str) -> None:
    peaks = Peaks(**change)
    found = peaks(frame(counts()), {}, ())
    assert found.keys() == peaks.outputs.keys()
    assert all(f.value is None and says in f.why for f in found.values())
    assert {k: f.unit for k, f in found.items()} == {k: o.unit for k, o in peaks.outputs.items()}


def test_points_that_are_no_numbers_are_said_where_they_matter() -> None:
    data = counts().astype(np.float64)
    data[845] = np.nan
    found = Peaks(windows=[(28.0, 28.9), (36.0, 36.6)])(frame(data), {}, ())
    assert "1 of 91 points are not finite numbers" in found["peak1_position"].why
    assert found["peak2_position"].value == pytest.approx(36.2, abs=0.01)
    assert "not finite" in Peaks()(frame(data), {}, ())["n_peaks"].why


def test_masked_points_are_ignored() -> None:
    data, mask = counts(), np.zeros(X.size, dtype=bool)
    data[[840, 850]], mask[[840, 850]] = 4_000_000_000, True
    for peaks in (Peaks(windows=[(28.0, 28.9)]), Peaks(max_peaks=4)):
        positions = [f.value for k, f in peaks(frame(data, mask=mask), {}, ()).items() if k.endswith("_position")]
        assert any(abs(p - 28.44) < 0.005 for p in positions)
        assert all(abs(p - 28.4) > 1e-9 for p in positions)
    nothing = Peaks()(frame(data, mask=np.ones(X.size, dtype=bool)), {}, ())
    assert "not masked" in nothing["n_peaks"].why


def test_the_strongest_peaks_come_in_order_of_position() -> None:
    found = Peaks(max_peaks=3)(frame(counts()), {}, ())
    positions = [found[f"peak{k}_position"].value for k in (1, 2, 3)]
    assert positions == pytest.approx([28.44, 31.0, 36.2], abs=0.01)
    assert found["n_peaks"].value == 4


def test_peaks_that_are_not_there_say_how_many_are() -> None:
    found = Peaks(max_peaks=6)(frame(counts()), {}, ())
    assert found["peak4_position"].value == pytest.approx(36.2, abs=0.01)
    assert found["peak5_position"].why == "fewer than 5 peaks found (4)"
    assert found.keys() == Peaks(max_peaks=6).outputs.keys()


def test_a_reference_keeps_the_numbers_when_a_peak_goes() -> None:
    lost = counts(1, {at: area for at, area in TRUE.items() if at != 28.44})
    refs = {"first": Reference(counts(), "digest", "address")}
    found = Peaks(max_peaks=4, reference="first")(frame(lost), refs, ())
    assert "no peak" in found["peak2_position"].why
    assert found["peak3_position"].value == pytest.approx(31.0, abs=0.01)
    assert found["n_peaks"].value == 4
    free = Peaks(max_peaks=4)(frame(lost), {}, ())
    assert free["peak2_position"].value == pytest.approx(31.0, abs=0.01)


def test_a_reference_that_is_not_there_or_does_not_fit_says_so() -> None:
    peaks = Peaks(reference="first")
    assert peaks(frame(counts()), {}, ())["peak1_area"].why == "there is no reference 'first' yet"
    other = {"first": Reference(np.ones(7), "digest", "address")}
    assert "7 points, the frame 2001" in peaks(frame(counts()), other, ())["peak1_area"].why


def test_the_same_frame_gives_the_same_bits_in_any_memory_layout() -> None:
    data = counts()
    strided = np.zeros((X.size, 2), dtype=np.uint32)
    strided[:, 1] = data
    frozen = data.copy()
    frozen.flags.writeable = False
    for peaks in (Peaks(windows=[(28.0, 28.9)]), Peaks(windows=[(28.0, 28.9)], method="moment"), Peaks()):
        plain = peaks(frame(data), {}, ())
        assert peaks(frame(strided[:, 1]), {}, ()) == plain
        assert peaks(frame(frozen), {}, ()) == plain


@pytest.mark.parametrize(
    ("keys", "where"),
    [
        ({"windows": []}, "windows"),
        ({"windows": [(28.7, 28.2)]}, "windows"),
        ({"windows": [(28.2, 28.7)], "windows_q": [(1.0, 2.0)]}, "windows_q"),
        ({"max_peaks": 0}, "max_peaks"),
        ({"min_significance": 0.0}, "min_significance"),
        ({"name": "Peak one"}, "name"),
        ({"windows": [(28.2, 28.7)], "reference": "first"}, "reference"),
        ({"axis": "d", "reference": "first"}, "reference"),
        ({"method": "moment", "eta": True}, "eta"),
        ({"method": "moment", "doublet": True}, "doublet"),
    ],
)
def test_impossible_settings_are_refused(keys: dict, where: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Peaks(**keys)
    assert caught.value.where == where


ANYTHING = [
    Peaks(windows=[(20.1, 20.6)]),
    Peaks(windows=[(20.1, 20.6)], method="moment"),
    Peaks(max_peaks=2),
    Peaks(windows=[(20.0, 20.4), (20.3, 20.6), (20.5, 20.9)], eta=True, wavelengths=(1.5406, 1.5444), fit_ratio=True),
]


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    data=arrays(np.float64, 100, elements=st.floats(allow_nan=True, allow_infinity=True, width=32)),
    sigma=st.none() | arrays(np.float64, 100, elements=st.floats(0.0, 1e6)),
)
def test_whatever_the_numbers_are_every_feature_has_a_value_or_says_why(data, sigma) -> None:
    for peaks in ANYTHING:
        found = peaks(frame(data, X[:100], sigma=sigma), {}, ())
        assert found.keys() == peaks.outputs.keys()


@pytest.fixture(scope="module")
def series(data: Path) -> list[tuple[float, Frame]]:
    folder = data / "xrd" / "series_cucr2o4_7-289K"
    found = sorted((fxye(path) for path in folder.glob("*.fxye")), key=lambda pair: pair[0])
    assert len(found) == 17
    return found


def of(series: list[tuple[float, Frame]], key: str, measure: Callable) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    features = [measure(f, {}, ())[key] for _, f in series]
    return (
        np.array([t for t, _ in series]),
        np.array([f.value for f in features]),
        np.array([f.sigma for f in features]),
    )


def test_the_width_of_the_040_004_pair_falls_fastest_where_the_crystal_changes(series) -> None:
    """CuCr2O4 on heating: the pair merges between 99 and 134 K (data README, from two-peak fits)."""
    t, width, _ = of(series, "peak1_width", Peaks(windows=[(11.06, 11.16)]))
    slope = np.diff(width) / np.diff(t)
    steepest = int(np.argmin(slope))
    assert t[steepest] >= 98.0
    assert t[steepest + 1] <= 135.0
    assert (np.diff(width[t < 135.0]) < 0.0).all()
    assert width[0] == pytest.approx(0.018, abs=0.002)  # FWHM read off the data: 0.0180 deg at 7 K
    assert (width[t > 130.0] < 0.009).all()


def test_the_single_peak_position_moves_as_measured_before(series) -> None:
    t, position, _ = of(series, "peak1_position", Peaks(windows=[(11.06, 11.16)]))
    for kelvin, known in ((6.778, 11.1071), (98.89, 11.1090), (134.02, 11.1127), (156.9, 11.1158), (288.7, 11.1184)):
        at = int(np.argmin(np.abs(t - kelvin)))
        assert position[at] == pytest.approx(known, abs=3e-4)  # data README, single-peak fits


def test_the_strongest_peak_of_jadarite_is_measured(data: Path) -> None:
    _, pattern = fxye(data / "xrd" / "ref_jadarite_11bm" / "11bmb_6231.fxye")
    found = Peaks()(pattern, {}, ())
    heights = {found[f"peak{k}_height"].value: found[f"peak{k}_position"].value for k in range(1, 6)}
    assert heights[max(heights)] == pytest.approx(7.514, abs=0.002)  # data README: strongest point at 7.514 deg
    assert found["n_peaks"].value > 100


PREDICTED = (25.855, 31.909, 32.235, 33.082, 34.121)
"""K-alpha1 of (002), (211), (112), (300), (202) of fluorapatite, deg (data README)."""
CU = (1.5405, 1.5443)


@pytest.fixture(scope="module")
def fluorapatite(data: Path) -> Frame:
    return std(data / "xrd" / "ref_fluorapatite_lab" / "FAP.XRA")


def test_the_strong_maxima_of_fluorapatite_are_measured(fluorapatite: Frame) -> None:
    found = Peaks(max_peaks=7)(fluorapatite, {}, ())
    positions = np.array([f.value for key, f in found.items() if key.endswith("_position")])
    for known in (25.80, 31.86, 32.20, 33.04, 34.08):  # data README: measured maxima
        # one profile on a K-alpha doublet lies a little above the maximum, which is K-alpha1
        assert np.min(np.abs(positions - known)) < 0.04


def test_the_doublets_of_fluorapatite_lie_where_the_sample_stood(fluorapatite: Frame) -> None:
    """All five lines are -0.05 deg from their predicted place (data README: zero and displacement), all alike."""
    windows = [(25.4, 26.3), (31.5, 32.07), (32.0, 32.6), (32.7, 33.5), (33.7, 34.5)]
    found = Peaks(windows=windows, wavelengths=CU, chi2=True)(fluorapatite, {}, ())
    offsets = np.array([found[f"peak{k}_position"].value for k in range(1, 6)]) - PREDICTED
    np.testing.assert_allclose(offsets, -0.05, atol=0.02)
    assert np.ptp(offsets) < 0.012
    single = Peaks(windows=windows, chi2=True)(fluorapatite, {}, ())
    for k in range(1, 6):
        assert found[f"peak{k}_chi2"].value < single[f"peak{k}_chi2"].value / 1.5
        assert single[f"peak{k}_width"].value > 1.4 * found[f"peak{k}_width"].value
    automatic = Peaks(max_peaks=8, wavelengths=CU)(fluorapatite, {}, ())
    for k, offset in enumerate(offsets):
        near = [f.value for key, f in automatic.items() if key.endswith("_position")]
        assert np.min(np.abs(np.array(near) - PREDICTED[k] - offset)) < 0.003
