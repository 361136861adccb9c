import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from insitu.maths.absorption.edge import find_e0
from insitu.maths.absorption.edges import edge_of
from insitu.maths.absorption.spectrum import NotMeasurable
from tests.maths.absorption import xafs_files as files


@pytest.fixture(scope="module")
def known(data):
    return files.library(data / "xafs")


def test_e0_agrees_with_an_independent_reader_on_at_least_78_of_80_files(known) -> None:
    """reference_e0.csv, 1 eV. The two that differ are V2O5 and VO2: its plain derivative takes their pre-edge peak."""
    others = [one for one in known if not one.hexavalent]
    assert len(others) == 80
    near = [find_e0(o.energy, o.mu, (o.tabulated - 40.0, o.tabulated + 60.0)).value for o in others]
    apart = [o.path for o, value in zip(others, near, strict=True) if abs(value - o.e0) > 1.0]
    assert set(apart) <= {"xaslib/V/V2O5.xdi", "xaslib/V/VO2.xdi"}


def test_e0_is_the_same_when_the_element_is_not_known(known) -> None:
    for one in known:
        near = find_e0(one.energy, one.mu, (one.tabulated - 40.0, one.tabulated + 60.0))
        assert find_e0(one.energy, one.mu).value == pytest.approx(near.value, abs=1e-6), one.path


def test_chromates_get_their_main_edge_and_not_the_pre_edge_at_5993_eV(known) -> None:
    chromates = [one for one in known if one.hexavalent]
    assert len(chromates) == 18
    for one in chromates:
        assert one.e0 < 5995.0  # where a plain maximum derivative ends up
        assert 6004.0 < find_e0(one.energy, one.mu).value < 6011.0, one.path


def test_a_step_scan_and_quick_scans_of_one_foil_agree_within_0_15_eV(data) -> None:
    """larch: 7110.80 (step), 7110.85, 7110.75, 7110.65 (quick), each 0.15."""
    spectra = files.athena(data / "xafs/athena/FeFoil_QXAFS_Compare.prj")
    values = [find_e0(energy, mu).value for energy, mu in spectra]
    assert values == pytest.approx([7110.8] * len(values), abs=0.15)


def test_v2o5_and_vo2_get_their_main_edge(known) -> None:
    for name, low, high in (("V2O5", 5479.0, 5485.0), ("VO2", 5479.0, 5485.0)):
        one = next(o for o in known if o.path.endswith(f"{name}.xdi"))
        assert low < find_e0(one.energy, one.mu).value < high


@pytest.mark.parametrize("share", [0.005, 0.02])
def test_noise_moves_e0_by_about_as_much_as_its_uncertainty_says(share: float) -> None:
    values, sigmas = [], []
    for seed in range(60):
        found = find_e0(*files.simulated(noise=share, seed=seed))
        values.append(found.value)
        sigmas.append(found.sigma)
    scatter = float(np.std(values))
    assert 0.4 < scatter / float(np.median(sigmas)) < 2.5
    assert abs(np.mean(values) - find_e0(*files.simulated()).value) < 0.5


@pytest.mark.parametrize("fine", [0.25, 0.4, 0.6, 1.0])
@pytest.mark.parametrize("photons", [1e5, 1e6, 1e7])
@pytest.mark.parametrize("width", [1.0, 2.5])
def test_the_uncertainty_of_e0_is_honest_on_any_grid(fine: float, photons: float, width: float) -> None:
    """100 sigmoid edges in transmission, anywhere on the grid: pulls 1 +- 0.25 (their own scatter: 0.07), and at
    most one beyond 4: which one of many points on a noisy flank is the highest says little of where its middle is."""
    rng, energy, pulls = np.random.default_rng(1), np.arange(7000.0, 7300.0, fine), []
    for _ in range(100):
        true = 7100.0 + rng.uniform(-0.5, 0.5) * fine
        mu = 0.3 + 1.0 / (1.0 + np.exp(-(energy - true) / width))
        found = find_e0(energy, np.log(rng.poisson(photons, energy.size) / rng.poisson(photons * np.exp(-mu))))
        pulls.append((found.value - true) / found.sigma)
    assert abs(np.mean(pulls)) < 0.35
    assert np.std(pulls) == pytest.approx(1.0, abs=0.25)
    assert np.count_nonzero(np.abs(pulls) > 4.0) <= 1


@pytest.mark.parametrize(("off", "size"), [(-50.0, 3.0), (80.0, 5.0), (60.0, -4.0), (-12.0, 1.0), (25.0, 2.0)])
def test_a_glitch_of_one_point_does_not_move_e0(known, off: float, size: float) -> None:
    for one in known[::6]:
        clean = find_e0(one.energy, one.mu)
        at = int(np.searchsorted(one.energy, clean.value + off))
        if not 5 < at < one.energy.size - 5:
            continue
        mu = one.mu.copy()
        mu[at] += size * (mu[clean.crest] - mu[clean.valley])
        assert find_e0(one.energy, mu).value == pytest.approx(clean.value, abs=0.5), one.path


@pytest.mark.parametrize(("off", "size"), [(-20.0, 0.1), (-30.0, -0.1), (40.0, 0.1)])
def test_a_step_between_scan_regions_does_not_move_e0(known, off: float, size: float) -> None:
    for one in known[::6]:
        clean = find_e0(one.energy, one.mu)
        mu = one.mu + np.where(one.energy > clean.value + off, size * (one.mu[clean.crest] - one.mu[clean.valley]), 0.0)
        assert find_e0(one.energy, mu).value == pytest.approx(clean.value, abs=1.0), one.path


@pytest.mark.parametrize("step", [2.0, 4.0])
def test_on_a_sparse_grid_e0_is_right_within_the_grid(step: float) -> None:
    energy, mu = files.simulated(fine=step)
    assert find_e0(energy, mu).value == pytest.approx(7112.0, abs=step)


def test_a_strong_white_line_of_a_soft_edge_is_not_taken_for_a_pre_edge(data) -> None:
    table = np.loadtxt(data / "xafs/xmcd_fe_pf_bl16/Fe-1_20161207215237.txt")
    assert find_e0(table[:, 0], table[:, 2] / table[:, 1]).value == pytest.approx(707.7, abs=0.5)


def test_the_edge_that_is_named_is_found_beside_a_larger_one() -> None:
    energy = np.arange(6400.0, 7300.0, 1.0)
    mu = 0.2 + 0.3 / (1.0 + np.exp(-(energy - 6546.0) / 2.0)) + 1.0 / (1.0 + np.exp(-(energy - 7121.0) / 2.0))
    assert find_e0(energy, mu).value == pytest.approx(7121.0, abs=0.5)
    assert find_e0(energy, mu, edge_of("Mn").near).value == pytest.approx(6546.0, abs=0.5)


E = np.arange(7000.0, 7300.0, 1.0)
STEP = 1.0 / (1.0 + np.exp(-(E - 7121.0) / 2.0))


@pytest.mark.parametrize(
    ("energy", "mu", "reason"),
    [
        (E[:5], STEP[:5], "only 5 points"),
        (E, np.full(E.size, 0.7), "the same at every energy"),
        (E, 0.3 + 1e-3 * (E - 7000.0), "no edge|rises"),
        (E, np.random.default_rng(1).normal(0.0, 1.0, E.size), "edge|noise|falls|does not|too close"),
        (E[::-1], STEP[::-1], "decreases"),
        (np.where(E == 7100.0, 7099.0, E), STEP, "does not increase"),
        (E, np.where(E == 7150.0, np.nan, STEP), "not finite .the first at 7150"),
        (np.where(E == 7150.0, np.nan, E), STEP, "energy is not finite at point 150"),
        (E, -STEP, "wrong sign"),
        (E[:110], STEP[:110], "edge|rises|ends|stay"),
        (E[125:], STEP[125:], "no pre-edge"),
        (E, STEP[:-1], "one mu per energy"),
    ],
)  # fmt: skip
def test_what_has_no_edge_gives_a_reason(energy: np.ndarray, mu: np.ndarray, reason: str) -> None:
    with pytest.raises(NotMeasurable, match=reason):
        find_e0(energy, mu)


def test_an_edge_outside_the_spectrum_is_named() -> None:
    with pytest.raises(NotMeasurable, match="between 8939 and 9039 eV"):
        find_e0(E, STEP, edge_of("Cu").near)


@settings(max_examples=80, deadline=None)
@given(
    e0=st.floats(2500.0, 30000.0),
    width=st.floats(0.7, 4.0),
    fine=st.floats(0.2, 1.5),
    scale=st.floats(1e-4, 1e6),
    offset=st.floats(-10.0, 10.0),
    noise=st.sampled_from([0.0, 1e-4, 0.003]),
    pre_edge=st.sampled_from([0.0, 0.2, 1.5]),
)
def test_e0_does_not_depend_on_scale_offset_pre_edge_or_sampling(
    e0: float, width: float, fine: float, scale: float, offset: float, noise: float, pre_edge: float
) -> None:
    energy, mu = files.simulated(e0, width=width, fine=fine, noise=noise, pre_edge=pre_edge)
    found = find_e0(energy, scale * (mu + offset))
    assert found.value == pytest.approx(e0, abs=1.0 + 0.6 * fine + 0.5 * width)


@settings(max_examples=120, deadline=None)
@given(
    st.lists(st.floats(-1e3, 1e3), min_size=0, max_size=60),
    st.floats(0.01, 20.0),
)
def test_anything_finite_gives_a_number_or_a_reason(values: list[float], step: float) -> None:
    mu = np.array(values)
    try:
        found = find_e0(100.0 + step * np.arange(mu.size), mu)
    except NotMeasurable:
        return
    assert 100.0 <= found.value <= 100.0 + step * mu.size
    assert np.isfinite(found.sigma)
    assert found.sigma >= 0.0
