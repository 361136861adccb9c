"""Where pixels look: equal to pyFAI for any tilt, and what strain, texture and spots do to a ring."""

from pathlib import Path

import numpy as np
import pytest

from insitu.maths.diffraction.rings import POISSON_RATIO, FlatDetector, polarisation, spots, texture, unstrained, view

TILTED = FlatDetector(
    shape=(60, 80),
    pixel1=172e-6,
    pixel2=150e-6,
    distance=0.05,
    poni1=4e-3,
    poni2=7e-3,
    rot1=0.1,
    rot2=-0.07,
    rot3=0.3,
)


@pytest.mark.filterwarnings("ignore")
def test_the_geometry_is_that_of_pyfai(tmp_path: Path) -> None:
    import pyFAI

    (tmp_path / "a.poni").write_text(TILTED.poni(0.4066))
    judge, seen = pyFAI.load(str(tmp_path / "a.poni")), view(TILTED)
    assert judge.wavelength == pytest.approx(0.4066e-10)
    np.testing.assert_allclose(judge.twoThetaArray(TILTED.shape), seen.two_theta, atol=2e-7)
    turn = np.exp(1j * (judge.chiArray(TILTED.shape) - seen.chi))
    np.testing.assert_allclose(np.angle(turn), 0.0, atol=1e-4)
    np.testing.assert_allclose(judge.solidAngleArray(TILTED.shape), seen.solid_angle, rtol=1e-6)
    np.testing.assert_allclose(judge.polarization(TILTED.shape, factor=0.9), polarisation(seen, 0.9), rtol=1e-6)


def test_strain_moves_a_ring_along_it_and_the_other_way_across() -> None:
    flat = FlatDetector(shape=(200, 200), pixel1=1e-4, pixel2=1e-4, distance=0.1, poni1=0.01, poni2=0.01)
    seen = view(flat)
    shift = unstrained(seen, 1e-3) - np.degrees(seen.two_theta)
    relative = np.radians(shift) / (2.0 * np.tan(seen.two_theta / 2.0))
    along, across = np.abs(np.cos(seen.chi)) > 0.999, np.abs(np.sin(seen.chi)) > 0.999
    np.testing.assert_allclose(relative[along], 1e-3, rtol=0.01)
    np.testing.assert_allclose(relative[across], -1e-3 * POISSON_RATIO, rtol=0.02)


def test_texture_and_spots_keep_the_mean_of_a_ring() -> None:
    flat = FlatDetector(shape=(400, 400), pixel1=1e-4, pixel2=1e-4, distance=0.1, poni1=0.02, poni2=0.02)
    seen = view(flat)
    on_ring = np.abs(seen.two_theta - 0.15) < 0.01
    assert texture(seen, 0.7)[on_ring].mean() == pytest.approx(1.0, abs=0.01)
    ring = np.zeros(seen.chi.shape, np.int64)
    broken = spots(seen, ring, 1, 0.9, 50, (1,))[on_ring]
    assert broken.mean() == pytest.approx(1.0, abs=0.05)
    assert broken.std() > 1.0  # few bright spots
    assert spots(seen, ring, 1, 0.0, 50, (1,)).std() == 0.0
