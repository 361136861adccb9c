"""The simulated micrographs keep the contract of readers, repeat themselves, and have the faults asked for."""

import numpy as np
import pytest

from insitu.errors import ConfigError
from insitu.readers.simulated_grains import Grains
from insitu.readers.simulated_precipitates import Precipitates
from insitu.testing import ReaderContract, items

SMALL = {"size": 64, "frames": 4}


class TestGrains(ReaderContract):
    @pytest.fixture
    def make(self):
        return lambda: Grains(**SMALL, grains=20)


class TestPrecipitates(ReaderContract):
    @pytest.fixture
    def make(self):
        return lambda: Precipitates(**SMALL, particles=8, radius=5.0, grown=4)


@pytest.mark.parametrize("make", [lambda **k: Grains(grains=20, **k), lambda **k: Precipitates(radius=5.0, **k)])
def test_a_frame_does_not_depend_on_which_were_asked_for_before(make):
    one, other = make(size=64), make(size=64)
    for k in (3, 0, 2):
        one.arrival(k)
    assert (one.arrival(3).data == other.arrival(3).data).all()
    assert one.arrival(3).data.flags.writeable is False


@pytest.mark.parametrize(
    "make", [lambda **k: Grains(grains=20, **k), lambda **k: Precipitates(radius=5.0, grown=1, **k)]
)
def test_faults_are_in_the_picture_and_in_the_truth(make):
    clean = make(size=64)
    faulty = make(size=64, faults=("blur@1-1=4", "exposure@2-2=3", "dust@3-3", "shift@4-4=9", "missing@5"))
    assert faulty.arrival(1).data.std() < 0.8 * clean.arrival(1).data.std()
    assert faulty.arrival(2).data.mean() > 1.4 * clean.arrival(2).data.mean()
    assert faulty.arrival(3).data.min() < 40
    assert (faulty.arrival(0).data == clean.arrival(0).data).all()
    assert faulty.truth(4).faults == ("shift",)
    assert np.abs(faulty.arrival(4).data.astype(float)[:, 9:] - clean.arrival(4).data[:, :-9]).mean() < 8


def test_missing_frames_leave_a_gap_in_the_numbers():
    reader = Grains(size=64, grains=20, frames=4, faults=("missing@1",))
    assert [item.source_seq for item in items(reader)] == [0, 2, 3]


def test_grains_become_fewer_and_precipitates_grow():
    grains = Grains(size=128, grains=100)
    assert grains.truth(0).count > grains.truth(5).count > grains.truth(10).count > 2
    rain = Precipitates(size=128, particles=10, radius=6.0, grown=10)
    assert rain.truth(0).area_fraction < rain.truth(5).area_fraction < rain.truth(10).area_fraction
    assert (rain.truth(10).mask == rain.truth(11).mask).all()


@pytest.mark.parametrize("keys", [{"size": 31}, {"seed": -1}, {"noise": 2.0}, {"faults": ("beam_loss@3",)}])
@pytest.mark.parametrize("make", [Grains, Precipitates])
def test_impossible_settings_are_refused(make, keys):
    with pytest.raises(ConfigError):
        make(**keys)
