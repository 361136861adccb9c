"""The simulated production line: its contract, its physics, its faults."""

from collections.abc import Callable

import numpy as np
import pytest

from insitu.errors import ConfigError
from insitu.readers.simulated_line import Line
from insitu.testing import ReaderContract


class TestLine(ReaderContract):
    @pytest.fixture
    def make(self) -> Callable[[], Line]:
        return lambda: Line(frames=6, faults=["missing@2", "dropout@4"])

    @pytest.fixture
    def idle(self) -> Callable[[], Line]:
        return lambda: Line(rate=0.5)


def test_a_cycle_is_a_pure_function_of_its_number() -> None:
    first, second = Line(seed=3), Line(seed=3)
    assert first.arrival(7).data.tobytes() == second.arrival(7).data.tobytes()
    assert first.arrival(7).data.tobytes() != Line(seed=4).arrival(7).data.tobytes()


def test_faults_do_what_the_truth_says() -> None:
    clean = Line(seed=1)
    faults = ["leak@10=0.2", "drift@10=2", "bearing_wear@20", "stuck@30", "dropout@40=0.5"]
    faulty = Line(seed=1, faults=faults)
    assert faulty.truth(25).faults == {"leak": 0.2, "drift": 2.0, "bearing_wear": 10.0}
    assert np.array_equal(clean.arrival(9).data, faulty.arrival(9).data)
    change = faulty.arrival(15).data.astype(float) - clean.arrival(15).data
    assert change[1, :64].mean() / clean.arrival(15).data[1, :64].mean() == pytest.approx(-0.2, abs=0.01)
    assert change[0, :8] == pytest.approx(2.0 * 6 / 100, abs=1e-4)
    assert faulty.arrival(25).data[4].std() > 1.3 * clean.arrival(25).data[4].std()
    assert np.ptp(faulty.arrival(35).data[1, :64]) == 0.0
    assert np.isnan(faulty.arrival(45).data[2, :32]).all()
    assert faulty.arrival(45).mask[2, :32].all()  # type: ignore[index]


@pytest.mark.parametrize("fault", ["beam_loss@3", "leak@3=2", "leak", "stuck@5-3", "stuck@3=1"])
def test_faults_that_a_line_cannot_have_are_refused(fault: str) -> None:
    with pytest.raises(ConfigError):
        Line(faults=[fault])
