"""Drift as features: the stage's jump, and the first frame."""

import pytest

from insitu.features.video_drift import Drift
from insitu.readers.simulated_colloid import Colloid
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
