"""Drift as features: the stage's jump, and the first frame."""

from itertools import pairwise

import cv2
import numpy as np
import pytest

from insitu.features.video_drift import Drift
from insitu.readers.simulated_colloid import Colloid
from insitu.types import Arrival
from tests.movies import framed


def test_the_jump_of_a_stage_is_measured_with_its_uncertainty():
    reader = Colloid(particles=100, diffusion=0.01, faults=("shift@1=6.5",))
    before, now = (framed(reader.arrival(i), i) for i in range(2))
    found = Drift()(now, {}, (before,))
    assert found["drift_x"].value == pytest.approx(6.5, abs=0.2)
    assert found["drift_y"].value == pytest.approx(0.0, abs=0.2)
    assert 0.0 < found["drift_x"].sigma < 0.2
    assert found["drift_correlation"].value > 0.9


def test_the_first_frame_and_a_changed_shape_have_no_drift_and_say_why():
    extract = Drift(name="stage")
    now = framed(Colloid(particles=10).arrival(0), 0)
    assert "no frame before" in extract(now, {}, ())["stage_x"].why
    other = framed(Colloid(particles=10, shape=(64, 64)).arrival(0), 0)
    found = extract(now, {}, (other,))
    assert found.keys() == extract.outputs.keys()
    assert all("shapes" in feature.why for feature in found.values())


def test_what_appeared_is_a_part_of_the_picture():
    y, x = np.mgrid[:200, :200]
    random = np.random.default_rng(0)
    scene = 120 + 40 * np.sin(x / 9.0) * np.cos(y / 7.0)
    first, second = (framed(pictured(scene + random.normal(0, 3, scene.shape)), n) for n in range(2))
    dusty = scene + random.normal(0, 3, scene.shape)
    dusty[60:80, 50:90] = 20
    assert Drift()(second, {}, (first,))["drift_changed"].value == 0.0
    found = Drift()(framed(pictured(dusty), 1), {}, (first,))["drift_changed"].value
    assert found == pytest.approx(20 * 40 / 200**2, rel=0.5)


def pictured(image: np.ndarray) -> Arrival:
    data = np.clip(np.rint(image), 0, 255).astype(np.uint8)
    return Arrival(source="v", data=data, dims=("y", "x"), unit="counts", time_ns=0)


def test_drift_of_the_real_colloid_is_that_of_its_tracks_within_its_uncertainty(data):
    """The reference is the mean of trackpy's tracks (the data's README); particles diffuse, so that it and the contrast
    of the picture weigh different steps."""
    files = sorted((data / "video" / "bulk_water_dev").glob("*.png"))
    frames = [framed(pictured(cv2.imread(str(file), -1)), n) for n, file in enumerate(files)]
    found = [Drift()(now, {}, (before,)) for before, now in pairwise(frames)]
    for key, reference in (("drift_x", 7.25), ("drift_y", 2.73)):
        total = sum(f[key].value for f in found)
        sigma = sum(f[key].sigma ** 2 for f in found) ** 0.5
        assert abs(total - reference) < 2 * sigma < 0.5
