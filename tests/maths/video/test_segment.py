"""Masks: the same pixels as scikit-image's, and what cleaning does."""

import numpy as np
import pytest
from skimage import filters

from insitu.maths.video import segment


@pytest.fixture
def image() -> np.ndarray:
    rng = np.random.default_rng(0)
    return filters.gaussian(rng.random((97, 130)), 3) * 4000


@pytest.mark.parametrize("sigma", [0.7, 2.0, 3.3])
def test_smoothing_is_that_of_scikit_image(image, sigma):
    theirs = filters.gaussian(image, sigma, preserve_range=True)
    assert np.abs(segment.smooth(image, sigma) - theirs).max() < 1e-9


@pytest.mark.parametrize("block", [3, 31, 101])
def test_the_local_mean_is_that_of_scikit_image(image, block):
    theirs = filters.threshold_local(image, block, method="mean")
    assert np.abs(segment.local_mean(image, block) - theirs).max() < 1e-8


def test_otsu_is_that_of_scikit_image(image):
    assert segment.otsu(image) == pytest.approx(filters.threshold_otsu(image), rel=1e-12)


def test_otsu_refuses_an_image_without_contrast():
    with pytest.raises(ValueError, match="all pixels are equal"):
        segment.otsu(np.full((8, 8), 3.0))


def test_the_level_of_edges_lies_halfway_up_a_step_on_both_sides_of_it():
    image = np.where(np.arange(100) < 50, 10.0, 90.0)[None].repeat(60, 0)
    level = segment.edge_level(segment.smooth(image, 1.0), 31)
    assert level[:, 30:70] == pytest.approx(50.0, abs=1.0)


def test_holes_are_filled_but_not_what_is_open_to_the_border():
    mask = np.ones((20, 20), bool)
    mask[5:8, 5:8] = False
    mask[0:3, 10:13] = False
    filled = segment.filled(mask, 100)
    assert filled[5:8, 5:8].all()
    assert not filled[0:3, 10:13].any()


def test_small_and_large_regions_go():
    mask = np.zeros((30, 30), bool)
    mask[1:3, 1:3], mask[5:10, 5:10], mask[12:28, 12:28] = True, True, True
    kept = segment.without_small(mask, 5, 100)
    assert kept.sum() == 25
    assert kept[5:10, 5:10].all()


def test_opening_removes_what_is_thin():
    mask = np.zeros((30, 30), bool)
    mask[5:25, 5:25] = True
    mask[15, :] = True
    opened = segment.opened(mask, 7)
    assert not opened[15, :5].any()
    assert opened[10:20, 10:20].all()


def test_without_opencv_the_extra_is_named(monkeypatch):
    import builtins

    from insitu.errors import MissingExtraError

    real = builtins.__import__

    def without(name, *a, **k):
        if name == "cv2":
            raise ImportError(name)
        return real(name, *a, **k)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtraError, match=r"insitu\[video\]"):
        segment.opencv("a test")
