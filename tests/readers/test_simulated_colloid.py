"""The simulated colloid: it moves as declared, and its faults are where they were put."""

import numpy as np
import pytest

from insitu.errors import ConfigError
from insitu.readers.simulated_colloid import Colloid
from insitu.testing import ReaderContract, items
from insitu.types import Arrival


class TestColloid(ReaderContract):
    @pytest.fixture
    def make(self):
        return lambda: Colloid(frames=4, shape=(64, 80), particles=8, faults=("missing@1", "blur@2"))

    @pytest.fixture
    def bad(self):
        return lambda: Colloid(faults=("beam_loss@3",))


def test_displacements_have_the_variance_and_the_mean_that_were_asked_for():
    reader = Colloid(frames=40, particles=400, diffusion=0.4, pixel_size=0.35, drift_x=0.5, drift_y=-0.25)
    paths = np.stack([reader.truth(i).positions for i in range(40)])
    steps = np.diff(paths, axis=0)
    shape = np.array(reader.shape)
    steps = ((steps + shape / 2) % shape - shape / 2).reshape(-1, 2)  # what left comes in on the other side
    n = len(steps)
    wanted = 2.0 * 0.4 / 0.35**2 / 24.0
    assert reader.diffusion_px == pytest.approx(wanted / 2.0)
    assert steps.var(axis=0) == pytest.approx(wanted, rel=6.0 * np.sqrt(2.0 / n))
    assert steps.mean(axis=0) == pytest.approx([-0.25, 0.5], abs=6.0 * np.sqrt(wanted / n))


def test_faults_change_the_frames_they_name_and_no_others():
    plain = Colloid(frames=8, particles=40, noise=0.0)
    faulty = Colloid(frames=8, particles=40, noise=0.0, faults=("blur@1=3", "exposure@2=1.5", "burst@3=50", "lost@4"))
    same = [np.array_equal(plain.arrival(i).data, faulty.arrival(i).data) for i in range(8)]
    assert same == [True, False, False, False, False, True, True, True]
    assert faulty.arrival(1).data.std() < 0.7 * plain.arrival(1).data.std()
    assert faulty.arrival(2).data.mean() == pytest.approx(1.5 * plain.arrival(2).data.mean(), rel=0.01)
    assert faulty.arrival(3).data.mean() < plain.arrival(3).data.mean()
    assert faulty.arrival(4).data.max() == 0
    assert faulty.truth(4).faults == ("lost",)


def test_a_shifted_stage_moves_the_particles_and_the_truth():
    faulty = Colloid(frames=3, particles=10, faults=("shift@1=7",))
    moved = faulty.truth(1).positions - Colloid(frames=3, particles=10).truth(1).positions
    np.testing.assert_allclose(moved, np.tile([0.0, 7.0], (10, 1)))
    assert faulty.truth(1).drift[1] == 7.0


def test_a_missing_frame_leaves_its_number_out():
    found = [a for a in items(Colloid(frames=5, faults=("missing@2",), particles=3)) if isinstance(a, Arrival)]
    assert [a.source_seq for a in found] == [0, 1, 3, 4]


def test_dust_stays_and_a_deep_camera_uses_its_bits():
    reader = Colloid(frames=2, particles=0, dust=5, noise=0.0, depth=12, level=2000.0, contrast=-500.0)
    first, second = (a.data for a in items(reader) if isinstance(a, Arrival))
    assert first.dtype == np.uint16
    assert first.min() < 1800
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize(
    "keys",
    [
        {"shape": (8, 8)},
        {"depth": 20},
        {"width": 0.0},
        {"rate": 0.0},
        {"diffusion": -1.0},
        {"faults": ("burst@1=0",)},
        {"faults": ("blur@3=x",)},
        {"faults": ("nonsense",)},
    ],
    ids=str,
)
def test_impossible_settings_are_refused(keys):
    with pytest.raises(ConfigError):
        Colloid(**keys)
