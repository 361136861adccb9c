from pathlib import Path

import numpy as np
import pytest
from scipy.signal import find_peaks as scipy_find_peaks

from insitu.maths.noise import poisson_sigma
from insitu.maths.peaks.find_peaks import find_peaks, groups_around, prominences, windows_around


def fxye(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """two_theta in deg, intensity, esd: rows after the BANK line (centidegrees)."""
    lines = path.read_text(errors="replace").splitlines()
    bank = next(i for i, line in enumerate(lines) if line.startswith("BANK"))
    table = np.array([line.split() for line in lines[bank + 1 :] if line.strip()], dtype=np.float64)
    return table[:, 0] / 100.0, table[:, 1], table[:, 2]


@pytest.mark.parametrize("seed", range(20))
def test_prominences_are_those_of_scipy_flat_tops_included(seed: int) -> None:
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2 + seed, size=int(rng.integers(1, 400))).astype(np.float64)
    index, prominence = prominences(y)
    theirs, properties = scipy_find_peaks(y, prominence=(None, None))
    np.testing.assert_array_equal(index, theirs)
    np.testing.assert_array_equal(prominence, properties["prominences"])


def test_an_empty_or_tiny_pattern_has_no_peaks() -> None:
    for n in range(3):
        assert find_peaks(np.arange(n), np.ones(n)).top.size == 0


def test_the_strongest_peak_of_jadarite_is_found_and_prominences_agree_with_scipy(data: Path) -> None:
    x, y, esd = fxye(data / "xrd" / "ref_jadarite_11bm" / "11bmb_6231.fxye")
    assert y.size == 49497
    found = find_peaks(y, esd)
    assert x[found.top[np.argmax(found.prominence)]] == pytest.approx(7.514, abs=0.001)  # data README
    index, prominence = prominences(y)
    theirs, properties = scipy_find_peaks(y, prominence=(None, None))
    np.testing.assert_array_equal(index, theirs)
    np.testing.assert_array_equal(prominence, properties["prominences"])
    assert set(found.top) <= set(index)


def test_the_recorded_peaks_of_jadarite_above_20_sigma_are_found(data: Path) -> None:
    """The list was made once with scipy alone; the file says how."""
    x, y, esd = fxye(data / "xrd" / "ref_jadarite_11bm" / "11bmb_6231.fxye")
    recorded = np.loadtxt(Path(__file__).parent / "recorded" / "jadarite_peaks.txt")
    assert recorded.shape == (162, 3)
    assert recorded[:, 1].min() >= 20.0
    found = find_peaks(y, esd)
    away = np.abs(x[found.top][None, :] - recorded[:, :1]).min(axis=1)
    assert np.mean(away <= np.maximum(0.5 * recorded[:, 2], 0.0025)) >= 0.99
    assert found.top.size < 300  # and not by calling everything a peak


def test_noise_has_hardly_any_peaks() -> None:
    rng = np.random.default_rng(2)
    total = 0
    for level in (0.5, 5.0, 50.0, 5000.0):
        for _ in range(25):
            y = rng.poisson(level, 4096)
            total += find_peaks(y, poisson_sigma(y)).top.size
    assert total <= 2  # 400,000 points; a point-by-point prominence of 5 sigma alone would give thousands


def test_the_ripple_on_a_broad_peak_is_not_counted() -> None:
    rng = np.random.default_rng(8)
    clean = 50.0 + 1e5 * np.exp(-(((np.arange(4096) - 2000.0) / 300.0) ** 2))
    counts = [find_peaks(y := rng.poisson(clean), poisson_sigma(y)).top.size for _ in range(20)]
    assert np.mean(counts) < 1.1
    assert min(counts) == 1


def test_neighbouring_windows_meet_half_way() -> None:
    x = np.linspace(0.0, 10.0, 501)
    y = 9.0 * np.exp(-(((x - 4.0) / 0.3) ** 2)) + 6.0 * np.exp(-(((x - 5.0) / 0.3) ** 2))
    windows = windows_around(x, find_peaks(y, np.full(x.size, 0.1)), 5)
    assert len(windows) == 2
    assert windows[0][1] == windows[1][0] == pytest.approx(4.5, abs=0.01)


def test_the_strongest_windows_come_in_order_of_position() -> None:
    x = np.linspace(0.0, 10.0, 501)
    y = sum(h * np.exp(-(((x - at) / 0.1) ** 2)) for at, h in ((2.0, 5.0), (4.0, 1.0), (6.0, 9.0)))
    windows = windows_around(x, find_peaks(y, np.full(x.size, 0.05)), 2)
    assert [low < at < high for (low, high), at in zip(windows, (2.0, 6.0), strict=True)] == [True, True]


def test_neighbours_within_reach_belong_together_and_come_along() -> None:
    x = np.linspace(0.0, 20.0, 2001)
    y = sum(h * np.exp(-(((x - at) / 0.1) ** 2)) for at, h in ((4.0, 9.0), (4.5, 5.0), (12.0, 7.0), (5.0, 3.0)))
    found = find_peaks(y, np.full(x.size, 0.05))
    windows = groups_around(x, found, 2)
    assert [(round(w.low, 1), round(w.high, 1), w.asked) for w in windows] == [
        (3.5, 4.2, True),
        (4.2, 4.8, False),
        (11.5, 12.5, True),
    ]
    assert windows[0].group == windows[1].group != windows[2].group


def test_a_group_has_no_more_peaks_than_it_may() -> None:
    x = np.linspace(0.0, 20.0, 4001)
    y = sum(np.exp(-(((x - at) / 0.1) ** 2)) for at in np.arange(2.0, 18.0, 0.5))
    windows = groups_around(x, find_peaks(y, np.full(x.size, 0.01)), 32)
    sizes = np.bincount([w.group for w in windows])
    assert len(windows) == 32
    assert sizes.max() == 6
