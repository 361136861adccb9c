"""The simulated magnetometer: labelled, reproducible, with the truth and the faults that were asked for."""

import numpy as np
import pytest

from insitu.errors import ConfigError
from insitu.readers.simulated_loops import LoopSeries
from insitu.testing import ReaderContract, items
from insitu.types import Arrival


class TestLoops(ReaderContract):
    @pytest.fixture
    def make(self):
        return lambda: LoopSeries(frames=4, backfield_every=2, points=100)


def arrivals(**keys) -> list[Arrival]:
    return [a for a in items(LoopSeries(points=100, **keys)) if isinstance(a, Arrival)]


def test_every_frame_is_labelled_as_simulated_and_backfield_curves_come_when_asked_for():
    found = arrivals(frames=6, backfield_every=3)
    assert {a.labels["simulated"] for a in found} == {"true"}
    assert [a.labels["curve"] for a in found] == ["loop", "loop", "backfield"] * 2


def test_the_same_seed_gives_the_same_loops_and_another_one_others():
    one, two, other = arrivals(frames=2), arrivals(frames=2), arrivals(frames=2, seed=1)
    np.testing.assert_array_equal(one[1].data, two[1].data)
    assert not np.array_equal(one[1].data, other[1].data)


def test_the_coercive_field_changes_when_it_was_asked_to():
    reader = LoopSeries(points=100, change=1.5, change_at=2, over=2)
    found = [reader.truth(i).bc for i in range(6)]
    assert found[0] == found[1] == found[2] < found[3] < found[4] == found[5]


def test_faults_are_where_they_were_asked_for():
    keys = {"frames": 5, "noise": 0.0}
    plain, faulty = arrivals(**keys), arrivals(**keys, faults=("clipped@1-1=0.5", "not_closed@2-2", "missing@3"))
    assert [a.source_seq for a in faulty] == [0, 1, 2, 4]
    np.testing.assert_array_equal(faulty[0].data, plain[0].data)
    assert np.abs(faulty[1].data[1]).max() == pytest.approx(0.5 * np.abs(plain[1].data[1]).max())
    assert faulty[2].data.shape == (2, 70)
    assert LoopSeries(faults=("spike@1-1",)).truth(1).faults == ("spike",)


@pytest.mark.parametrize(
    "keys",
    [
        {"seed": -1}, {"points": 5}, {"field": 0.0}, {"ms": -1.0}, {"coupling": 1.0}, {"change": 0.0},
        {"faults": ("glitch@3",)}, {"faults": ("clipped@3=7",)}, {"noise": -1.0},
    ],
)  # fmt: skip
def test_impossible_settings_are_refused(keys):
    with pytest.raises(ConfigError):
        LoopSeries(**keys)
