import numpy as np
import pytest

from insitu.maths.absorption.edge import find_e0
from insitu.maths.absorption.normalise import normalise, prepare_normalisation
from insitu.maths.absorption.quality import find_glitches, median_of_five, point_noise, repeatability, residuals
from insitu.maths.absorption.spectrum import NotMeasurable
from tests.maths.absorption import xafs_files as files

FOLDER = "xafs/glitch_dnd/dnd_"


def dnd(data, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Energy and the column that holds ln(I0/I1) of the transmission chamber (the 18th)."""
    columns = files.table(data / f"{FOLDER}{name}.dat")
    return columns[:, 0], columns[:, 17]


def test_the_glitch_file_is_flagged_at_its_two_glitches(data) -> None:
    energy, mu = dnd(data, "glitchfile")
    found = find_glitches(energy, mu, find_e0(energy, mu).value)
    places = [glitch.energy for glitch in sorted(found, key=lambda g: -g.significance)[:2]]
    assert sorted(places) == pytest.approx([7387.3, 7552.3], abs=1.0)


@pytest.mark.parametrize("name", ["testfile1", "testfile2", "testfile3"])
def test_its_three_siblings_are_not_flagged(data, name: str) -> None:
    energy, mu = dnd(data, name)
    assert find_glitches(energy, mu, find_e0(energy, mu).value) == []


def test_operando_spectra_are_not_flagged(data) -> None:
    energy, series = files.operando(data / "xafs")
    assert [n for n, mu in enumerate(series) if find_glitches(energy, mu, find_e0(energy, mu).value)] == []


@pytest.mark.parametrize("size", [0.05, -0.2, 1.0])
@pytest.mark.parametrize("off", [-100.0, 120.0, 400.0])
def test_a_glitch_that_was_put_in_is_found_where_it_is(size: float, off: float) -> None:
    energy, mu = files.simulated(noise=0.0005)
    assert find_glitches(energy, mu, 7112.0) == []
    at = int(np.searchsorted(energy, 7112.0 + off))
    mu[at] += size
    (glitch,) = find_glitches(energy, mu, 7112.0)
    assert glitch.energy == energy[at]
    assert glitch.first <= at <= glitch.last
    assert glitch.size == pytest.approx(size, rel=0.3)


@pytest.mark.parametrize(("width", "fine"), [(1.5, 0.25), (3.0, 0.25), (1.5, 0.1), (4.0, 0.5), (1.5, 0.5)])
def test_a_dip_of_many_points_is_one_glitch_with_its_depth(width: float, fine: float) -> None:
    """Each point of it lies on the curve of its neighbours. Without the dip there is none."""
    energy = np.arange(6962.0, 7612.0, fine)
    k = np.sqrt(np.maximum(energy - 7112.0, 0.0) / 3.81)
    mu = 0.5 + np.arctan((energy - 7112.0) / 1.5) / np.pi
    mu += 0.4 * np.sin(5.0 * k) * np.exp(-0.01 * k * k) / (1.0 + k) / (1.0 + np.exp(-(energy - 7124.0) / 2.0))
    mu += np.random.default_rng(1).normal(0.0, 0.001, energy.size)
    assert find_glitches(energy, mu, 7112.0) == []
    for at in (7052.3, 7312.1):
        dip = mu - 0.36 * np.exp(-4.0 * np.log(2.0) * ((energy - at) / width) ** 2)
        (glitch,) = find_glitches(energy, dip, 7112.0)
        assert glitch.energy == pytest.approx(at, abs=fine + 0.2 * width)
        assert glitch.size == pytest.approx(-0.36, rel=0.25)
        assert energy[glitch.last] - energy[glitch.first] > 0.8 * width


def test_another_edge_in_the_spectrum_is_no_glitch() -> None:
    energy = np.arange(7000.0, 7800.0, 0.25)
    mu = sum(share / (1.0 + np.exp(-(energy - at) / 1.5)) for share, at in ((1.0, 7112.0), (0.3, 7500.0)))
    mu = mu + np.random.default_rng(1).normal(0.0, 0.001, energy.size)
    assert find_glitches(energy, mu, 7112.0) == []


def test_foils_and_the_library_of_spectra_are_as_clean_with_wide_glitches_as_without(data) -> None:
    """The three scans of Cr2O3 have jumps of two points; one more has two small ones. No other is flagged."""
    flagged = []
    for one in files.library(data / "xafs"):
        if find_glitches(one.energy, one.mu, find_e0(one.energy, one.mu).value):
            flagged.append(one.path.rsplit("/", 1)[-1])
    assert flagged == ["cr2o3_15K_001.xdi"] + [f"cr2o3_ssrl4_1_rt_00{n}.xdi" for n in (1, 2, 3)]
    assert not any(find_glitches(*foil, find_e0(*foil).value) for foil in files.cu_foils(data / "xafs").values())


def test_white_noise_has_no_glitches() -> None:
    for seed in range(20):
        energy, mu = files.simulated(noise=0.01, seed=seed)
        assert find_glitches(energy, mu, 7112.0) == []


def test_noise_is_told_apart_below_and_above_the_edge() -> None:
    energy = np.arange(6900.0, 7500.0, 0.5)
    rng = np.random.default_rng(1)
    mu = np.where(energy < 7112.0, rng.normal(0.0, 0.001, energy.size), 1.0 + rng.normal(0.0, 0.005, energy.size))
    sigma = point_noise(energy, mu, 7112.0)
    assert sigma[0] == pytest.approx(0.001, rel=0.2)
    assert sigma[-1] == pytest.approx(0.005, rel=0.2)


def test_the_noise_on_the_flank_lies_between_that_below_and_above() -> None:
    """Transmission: variance (1 + exp(mu))/N; half way up it is neither that of the foot nor that of the top."""
    rng, energy = np.random.default_rng(1), np.arange(6900.0, 7500.0, 0.25)
    mu = 0.3 + 1.0 / (1.0 + np.exp(-(energy - 7112.0) / 2.0))
    measured = np.log(rng.poisson(1e5, energy.size) / rng.poisson(1e5 * np.exp(-mu)))
    sigma = point_noise(energy, measured, 7112.0)
    true = np.sqrt((1.0 + np.exp(mu)) / 1e5)
    np.testing.assert_allclose(sigma, true, rtol=0.1)
    middle = np.abs(energy - 7112.0) < 0.3
    assert sigma[0] * 1.08 < sigma[middle].min() <= sigma[middle].max() < sigma[-1] / 1.05


def test_a_cubic_leaves_no_residual_on_any_grid() -> None:
    x = np.sort(np.random.default_rng(4).uniform(0.0, 10.0, 60))
    np.testing.assert_allclose(residuals(x, x**3 - 4.0 * x)[2:-2], 0.0, atol=1e-6)


def test_the_running_median_is_numpys() -> None:
    y = np.random.default_rng(5).normal(size=40)
    want = [np.median(y[max(i - 2, 0) : i + 3]) for i in range(40)]
    np.testing.assert_array_equal(median_of_five(y), want)


def test_two_repeats_of_a_scan_agree_and_another_sample_does_not(data) -> None:
    """Two repeats of the library (Cr2O3, room temperature) against chromium sulfide."""
    one, two, other = (
        next(k for k in files.library(data / "xafs") if k.path.endswith(name))
        for name in ("cr2o3_rt_001.xdi", "cr2o3_rt_003.xdi", "cr2s3_100K_001.xdi")
    )
    same = repeatability(one.energy, one.mu, two.energy, two.mu, 5960.0, 6100.0)
    different = repeatability(one.energy, one.mu, other.energy, other.mu, 5960.0, 6100.0)
    assert same.rms < 0.02
    assert different.rms > 10.0 * same.rms


def test_elements_of_one_detector_repeat_each_other_and_another_place_does_not(data) -> None:
    """Columns 23 to 29 over column 3: Fe in seven detector elements. The two files, called repeats, were taken 31 mm
    apart (`SampleStage.CoarseX`) and differ in Ca by a factor of 60: other grains, 3 eV apart in E0."""

    def elements(name: str) -> list[tuple[np.ndarray, np.ndarray, float]]:
        columns = files.table(data / f"xafs/repeat_scans/fexanes_{name}.001").T
        found = []
        for column in (22, 23, 25, 27, 28):
            energy, mu = files.sorted_once(columns[0], columns[column] / columns[2])
            e0 = find_e0(energy, mu)
            found.append((energy, normalise(mu, prepare_normalisation(energy, e0.at)).norm, e0.value))
        return found

    here, there = elements("a"), elements("b")
    assert [e0 for _, _, e0 in here] == pytest.approx([here[0][2]] * 5, abs=0.2)
    assert abs(here[0][2] - there[0][2]) > 2.0
    same = [repeatability(*here[0][:2], *other[:2], 7090.0, 7300.0) for other in here[1:]]
    apart = repeatability(*here[0][:2], *there[0][:2], 7090.0, 7300.0)
    assert max(one.rms for one in same) < 0.1 * apart.rms


def test_repeats_that_differ_by_noise_alone_have_a_ratio_of_one() -> None:
    energy, first = files.simulated(noise=0.004, seed=1)
    _, second = files.simulated(noise=0.004, seed=2)
    assert repeatability(energy, first, energy, second, 6950.0, 7800.0).ratio == pytest.approx(1.0, abs=0.25)
    with pytest.raises(NotMeasurable, match="share"):
        repeatability(energy, first, energy, second, 9000.0, 9100.0)
