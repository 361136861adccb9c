"""Registration: known shifts to a hundredth of a pixel, honest uncertainties, exposure without effect, and refusals."""

from itertools import pairwise

import cv2
import numpy as np
import pytest

from insitu.maths.video.register import register
from insitu.readers.simulated_colloid import Colloid


def moved(y: float, x: float, seed: int = 0, noise: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """A random scene and the same scene moved, exactly (by Fourier), cut out of a larger one."""
    random = np.random.default_rng(seed)
    scene = cv2.GaussianBlur(random.normal(size=(320, 384)), (0, 0), 2.5) * 100
    fy, fx = np.fft.fftfreq(320)[:, None], np.fft.fftfreq(384)[None]
    shifted = np.fft.ifft2(np.fft.fft2(scene) * np.exp(-2j * np.pi * (fy * y + fx * x))).real
    cut = slice(64, -64), slice(64, -64)
    return tuple(image[cut] + random.normal(0, noise, image[cut].shape) for image in (scene, shifted))


@pytest.mark.parametrize("shift", [(0.0, 0.0), (0.25, -0.5), (0.5, 0.5), (3.3, -7.8), (-20.4, 31.7), (40.0, 50.0)])
def test_a_known_shift_is_found_to_a_hundredth_of_a_pixel(shift):
    found = register(*moved(*shift))
    assert (found.y, found.x) == (pytest.approx(shift[0], abs=0.01), pytest.approx(shift[1], abs=0.01))
    assert found.correlation > 0.999


def test_the_uncertainty_is_that_of_noise():
    found = [register(*moved(1.3, -2.6, seed, noise=6.0)) for seed in range(30)]
    off = np.array([[(f.y - 1.3) / f.sigma_y, (f.x + 2.6) / f.sigma_x] for f in found])
    assert 0.5 < np.sqrt(np.mean(off**2)) < 2.0


def test_exposure_and_offset_do_not_move_the_picture():
    before, after = moved(0.4, -0.3)
    found = register(before, 3.0 * after + 70.0)
    assert (found.y, found.x) == (pytest.approx(0.4, abs=0.01), pytest.approx(-0.3, abs=0.01))


def test_the_drift_of_the_real_video_adds_up_to_that_of_the_tracks(data):
    files = sorted((data / "video" / "bulk_water_dev").glob("*.png"))
    images = [cv2.imread(str(file), -1) for file in files]
    total = np.sum([register(a, b)[:2] for a, b in pairwise(images)], axis=0)
    reference = np.array([2.730, 7.248])  # y, x: trackpy 0.7 on these frames, see the data's README
    assert np.hypot(*(total - reference)) < 0.05 * np.hypot(*reference)


def test_particles_that_diffuse_are_registered_without_bias_beyond_the_uncertainty():
    reader = Colloid(particles=120, drift_x=0.4, drift_y=-0.3, frames=40)
    steps = [register(reader.arrival(i).data, reader.arrival(i + 1).data) for i in range(12)]
    sigma = np.sqrt(np.sum([(s.sigma_y**2, s.sigma_x**2) for s in steps], axis=0))
    total = np.sum([s[:2] for s in steps], axis=0)
    assert (np.abs(total - 12 * np.array([-0.3, 0.4])) < 4 * sigma).all()


@pytest.mark.parametrize(
    ("before", "after", "why"),
    [
        (np.zeros((64, 64)), np.zeros((64, 65)), "different shapes"),
        (np.zeros((16, 64)), np.zeros((16, 64)), "32 are needed"),
        (np.zeros((64, 64)), np.ones((64, 64)), "alike"),
        (np.tile(np.sin(np.arange(64)), (64, 1)), np.tile(np.sin(np.arange(64)), (64, 1)), "one direction"),
    ],
)
def test_what_cannot_be_registered_is_said(before, after, why):
    with pytest.raises(ValueError, match=why):
        register(before, after)


def test_pixels_that_are_no_numbers_do_not_spoil_it():
    before, after = moved(0.4, -0.3)
    before[10, 10] = np.nan
    found = register(before, after)
    assert (found.y, found.x) == (pytest.approx(0.4, abs=0.02), pytest.approx(-0.3, abs=0.02))
