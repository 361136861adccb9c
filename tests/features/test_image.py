from pathlib import Path

import numpy as np
import pytest

from insitu.features.image import Pixels
from insitu.types import Detector, Geometry
from tests import ceo2


@pytest.fixture
def smooth() -> np.ndarray:
    y, x = np.mgrid[:300, :280]
    rate = 60.0 + 400.0 * np.exp(-(((np.hypot(y - 150, x - 140) - 80) / 6) ** 2))
    return np.random.default_rng(0).poisson(rate).astype(np.int32)


@pytest.fixture
def detector(tmp_path: Path) -> Detector:
    path = tmp_path / "a.poni"
    path.write_text(
        "PixelSize1: 1e-4\nPixelSize2: 1e-4\nDistance: 0.1\nPoni1: 0.015\nPoni2: 0.014\n"
        "Rot1: 0\nRot2: 0\nRot3: 0\nWavelength: 4e-11\n"
    )
    return Detector(name="a", source="det", saturation=50000.0, geometry=Geometry(poni=path))


def numbers(found) -> list[int]:
    return [found[f"pixels_{key}"].value for key in ("saturated", "missing", "dead", "hot")]


def test_a_good_image_has_none(smooth, detector) -> None:
    assert numbers(Pixels(detector=detector)(ceo2.frame(smooth), {}, ())) == [0, 0, 0, 0]


def test_planted_pixels_are_counted_and_neighbours_of_a_spot_are_not_hot(smooth, detector) -> None:
    image = smooth.copy()
    image[10, 10] = image[10, 200] = 60000  # saturated
    image[:, 100] = -1  # a gap
    image[20, 20] = image[40, 41] = image[250, 30] = 0  # dead
    image[60, 200], image[200, 60] = 9000, 20000  # hot
    image[270:273, 240:243] = 9000  # a spot of the sample
    assert numbers(Pixels(detector=detector)(ceo2.frame(image), {}, ())) == [2, 300, 3, 2]
    mask = np.zeros(image.shape, bool)
    mask[:, 100] = mask[60, 200] = True
    assert numbers(Pixels(detector=detector)(ceo2.frame(image, mask=mask), {}, ())) == [2, 0, 3, 1]


def test_without_geometry_what_needs_it_says_so(smooth) -> None:
    image = smooth.astype(np.float64)
    image[0, :5], image[1, :7] = np.nan, -4.0
    found = Pixels(detector=Detector(name="a", source="det", saturation=400.0))(ceo2.frame(image), {}, ())
    assert found["pixels_saturated"].value == np.count_nonzero(image >= 400.0)
    assert found["pixels_missing"].value == 5, "below zero is a number in an image of floats"
    whole = Detector(name="a", source="det", saturation=400.0, geometry=Geometry(low=0.0))
    assert Pixels(detector=whole)(ceo2.frame(image), {}, ())["pixels_missing"].value == 12
    assert found["pixels_hot"].value is None
    assert "poni" in found["pixels_hot"].why


def test_the_real_image_has_its_gaps(data) -> None:
    found = Pixels(detector=ceo2.detector(data))(ceo2.frame(ceo2.image(data)), {}, ())
    assert found["pixels_missing"].value == 73560  # the README's number of negative pixels
    assert found["pixels_saturated"].value == 0


def test_a_frame_without_a_pixel_that_counts_says_why(detector) -> None:
    found = Pixels(detector=detector)(ceo2.frame(np.full((30, 30), np.nan)), {}, ())
    assert all(f.value is None and "no pixel" in f.why for f in found.values())


def test_the_edge_of_a_narrow_ring_has_no_dead_pixels(tmp_path: Path) -> None:
    """Rings narrower than a cell over a background of 3: a 0 beside a ring is chance."""
    path = tmp_path / "a.poni"
    path.write_text("PixelSize1: 1e-4\nPixelSize2: 1e-4\nDistance: 0.1\nPoni1: 0.05\nPoni2: 0.05\nWavelength: 4e-11\n")
    y, x = np.mgrid[:1000, :1000] + 0.5
    off = (np.hypot(y - 500.0, x - 500.0) % 25.0) - 12.0
    image = np.random.default_rng(1).poisson(3.0 + 900.0 * np.exp(-(off**2))).astype(np.int32)
    geometry = Geometry(poni=path, solid_angle=False, polarization=None)
    assert numbers(Pixels(detector=Detector(name="a", source="det", geometry=geometry))(ceo2.frame(image), {}, ()))[
        2
    ] in range(3)
