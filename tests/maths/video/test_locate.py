"""Location of particles: equal to trackpy's on real video, exact on made images, honest about its uncertainty."""

import cv2
import numpy as np
import pytest
from scipy.spatial import KDTree

from insitu.maths.video.locate import COLUMNS, locate, looks_dark, whole_numbers
from insitu.readers.simulated_colloid import Colloid


def reference(data, frame: int) -> np.ndarray:
    """trackpy 0.7's linked features of a frame: x, y, mass, size, ecc, signal."""
    table = np.genfromtxt(
        data / "video" / "bulk_water_dev_trackpy07_tracks.csv.gz", delimiter=",", names=True, encoding="utf-8"
    )
    table = table[table["frame"] == frame]
    return np.column_stack([table[name] for name in ("y", "x", "mass", "size", "ecc", "signal")])


@pytest.mark.parametrize("frame", [0, 57, 119])
def test_the_particles_of_real_frames_are_those_of_the_reference(data, frame):
    image = cv2.imread(str(data / "video" / "bulk_water_dev" / f"frame_{frame:03}.png"), -1)
    ours, theirs = locate(image, 11, min_mass=20, dark=True), reference(data, frame)
    assert len(ours) == len(theirs)
    distance, at = KDTree(ours[:, :2]).query(theirs[:, :2])
    assert distance.max() < 1e-4
    assert len(set(at)) == len(at)
    np.testing.assert_allclose(ours[at][:, 2], theirs[:, 2], rtol=1e-5)
    same = np.abs(ours[at][:, 3:5] - theirs[:, 3:5]).max(axis=1) < 1e-4
    assert same.mean() > 0.99  # where ten moves of the disc do not settle, trackpy takes another disc for the shape


def spots(places: np.ndarray, shape=(96, 128), width=2.0, height=120.0, base=40.0) -> np.ndarray:
    y, x = np.mgrid[: shape[0], : shape[1]]
    image = np.full(shape, base)
    for py, px in places:
        image += height * np.exp(-((y - py) ** 2 + (x - px) ** 2) / (2 * width**2))
    return image


PLACES = np.array([[20.3, 30.7], [20.0, 70.0], [60.5, 40.25], [70.8, 100.1]])


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int32", "float32", "float64"])
def test_spots_are_found_where_they_are_in_every_number_type(dtype):
    image = spots(PLACES)
    image = (image * (200 if dtype == "uint16" else 1)).astype(dtype)
    found = locate(image, 11, min_mass=100)
    assert found.shape == (4, len(COLUMNS))
    distance, _ = KDTree(found[:, :2]).query(PLACES)
    assert distance.max() < 0.06


def test_dark_spots_are_found_in_the_inverted_image_and_recognised():
    bright = spots(PLACES).astype(np.uint8)
    dark = 255 - bright
    np.testing.assert_allclose(locate(dark, 11, dark=True)[:, :2], locate(bright, 11)[:, :2])
    assert looks_dark(dark, 11)
    assert not looks_dark(bright, 11)


def test_the_uncertainty_is_that_of_the_places():
    reader = Colloid(frames=12, particles=60, noise=3.0)
    errors, sigmas = [], []
    for i in range(12):
        found = locate(reader.arrival(i).data, 11, min_mass=300, dark=True)
        truth = reader.truth(i).positions
        distance, at = KDTree(truth).query(found[:, :2])
        apart = KDTree(truth).query(truth, 2)[0][:, 1]
        good = (distance < 1.0) & (apart[at] > 16.0)
        errors.append((found[:, :2] - truth[at])[good])
        sigmas.append(found[good, 7])
    scatter = 1.4826 * np.median(np.abs(np.concatenate(errors)))
    assert 0.5 < scatter / np.median(np.concatenate(sigmas)) < 2.0


def test_of_two_that_are_too_near_the_fainter_goes():
    image = spots(np.array([[40.0, 40.0]]), height=120) + spots(np.array([[40.0, 51.0]]), height=90, base=0.0)
    assert len(locate(image.astype(np.uint8), 11, separation=8)) == 2
    (one,) = locate(image.astype(np.uint8), 11, separation=14)
    assert one[1] == pytest.approx(40.0, abs=0.5)


def test_nothing_is_found_in_empty_flat_and_tiny_images():
    for image in (np.zeros((64, 64), np.uint8), np.full((64, 64), 255, np.uint8), np.ones((5, 5), np.uint16)):
        assert locate(image, 11).shape == (0, len(COLUMNS))
    assert locate(np.full((64, 64), np.nan), 11).shape == (0, len(COLUMNS))


def test_wide_integers_and_infinities_are_brought_to_sixteen_bits():
    wide, step = whole_numbers(np.array([[0, 10**9], [5 * 10**8, 1]], dtype=np.int64))
    assert wide.dtype == np.uint16
    assert wide[1, 0] * step == pytest.approx(5e8, rel=1e-4)
    odd, _ = whole_numbers(np.array([[0.0, np.inf], [np.nan, 1.0]]))
    assert odd.tolist() == [[0, 65535], [0, 65535]]


@pytest.mark.parametrize("diameter", [10, 1, -3])
def test_an_even_or_tiny_diameter_is_refused(diameter):
    with pytest.raises(ValueError, match="odd"):
        locate(np.zeros((64, 64), np.uint8), diameter)
