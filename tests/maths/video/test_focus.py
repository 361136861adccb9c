"""Sharpness: what blur, exposure and noise do to it, and exact sums."""

from itertools import pairwise

import cv2
import numpy as np
import pytest

from insitu.maths.video.focus import sharpness


@pytest.fixture
def image(data) -> np.ndarray:
    return cv2.imread(str(data / "video" / "bulk_water_dev" / "frame_050.png"), -1)


def test_blur_lowers_the_focus_step_by_step(image):
    blurred = [cv2.GaussianBlur(image, (0, 0), s) for s in (0.8, 1.5, 3.0)]
    focus = [sharpness(i, 255).focus for i in (image, *blurred)]
    assert all(a > 1.08 * b for a, b in pairwise(focus))


def test_neither_exposure_nor_contrast_changes_the_focus(image):
    plain = sharpness(image, 255).focus
    assert sharpness(image * 0.4 + 17.0, 255).focus == pytest.approx(plain, rel=1e-9)
    assert sharpness(image.astype(np.uint16) * 200, 65535).focus == pytest.approx(plain, rel=1e-9)


def test_noise_is_measured_and_taken_out_of_the_focus():
    y, x = np.mgrid[:400, :400]
    scene = 100 + 30 * np.sin(x / 9.0) * np.cos(y / 11.0)
    noisy = sharpness(scene + np.random.default_rng(0).normal(0, 4, scene.shape), 1e9)
    assert noisy.noise == pytest.approx(4.0, rel=0.03)
    assert noisy.focus == pytest.approx(sharpness(scene, 1e9).focus, rel=0.05)


def test_mean_spread_and_saturation_are_those_of_the_pixels(image):
    found = sharpness(image, 135)
    assert found.mean == pytest.approx(image.mean(), rel=1e-12)
    assert found.spread == pytest.approx(image.std(), rel=1e-9)
    assert found.saturated == (image >= 135).mean()


def test_noise_alone_has_no_focus():
    assert sharpness(np.full((50, 50), 7, np.uint8), 255).focus is None
    noise = np.random.default_rng(1).normal(100, 5, (300, 300))
    assert sharpness(noise, 1e9).focus is None or sharpness(noise, 1e9).noise == pytest.approx(5.0, rel=0.03)
