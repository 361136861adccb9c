"""The simulated core: reproducible, labelled, with known answers, and every fault seen."""

from collections.abc import Callable

import numpy as np
import pytest

from insitu.errors import ConfigError
from insitu.maths.magnetic.lock_in import lock_in
from insitu.maths.magnetic.permeability import permeability
from insitu.readers.simulated_core import DrivenCore
from insitu.readers.simulated_core_settings import CORE_KINDS
from insitu.testing import ReaderContract
from insitu.types import Arrival, Detector, Reader


def arrivals(reader: DrivenCore) -> list[Arrival]:
    return [arrival for arrival in reader() if arrival is not None]


def both(reader: DrivenCore, index: int = 0) -> np.ndarray:
    return np.asarray(reader.arrival(index).data, float)


class TestContract(ReaderContract):
    @pytest.fixture
    def make(self) -> Callable[[], Reader]:
        return lambda: DrivenCore(frames=4, window=1e-4, faults=("missing@2", "clipped@1-1"))

    @pytest.fixture
    def idle(self) -> Callable[[], Reader]:
        return lambda: DrivenCore(frames=1, rate=1.0, window=0.5, sample_rate=1e6)


def test_everything_it_gives_is_labelled_as_simulated() -> None:
    assert DrivenCore.simulated is True
    for arrival in arrivals(DrivenCore(frames=2, window=1e-4, faults=("open@1",))):
        assert arrival.labels["simulated"] == "true"
        assert arrival.labels["instrument"] == "simulated.core"


def test_the_same_seed_gives_the_same_bytes_and_another_seed_or_source_others() -> None:
    reader, again = DrivenCore(seed=7, frames=3, window=1e-4), DrivenCore(seed=7, window=1e-4)
    for index, given in enumerate(arrivals(reader)):
        assert given.data.tobytes() == again.arrival(index).data.tobytes()
        assert reader.truth(index) == again.truth(index)
    other = DrivenCore(seed=8, window=1e-4)
    left = DrivenCore(seed=7, window=1e-4, detector=Detector(name="left", source="left"))
    assert len({r.arrival(0).data.tobytes() for r in (again, other, left)}) == 3


@pytest.mark.parametrize("distortion", [None, [0.02, 0.05]])
def test_permeability_loss_and_amplitudes_are_those_of_the_truth(distortion: list[float] | None) -> None:
    reader = DrivenCore(
        frames=6, noise=0.0, frequency=2e4, frequency_stop=8e5, amplitude=0.01, amplitude_stop=0.2, steps=6,
        harmonics=[0.1, 0.03], distortion=distortion,
    )  # fmt: skip
    for index in range(6):
        truth = reader.truth(index)
        seen = permeability(lock_in(both(reader, index), reader.sample_rate, truth.declared))
        assert (seen.mu_real.value, seen.mu_imag.value) == pytest.approx((truth.mu_real, truth.mu_imag), rel=1e-8)
        assert seen.loss.value == pytest.approx(truth.loss, rel=1e-8)
        assert (seen.b_peak.value, seen.h_peak.value) == pytest.approx((truth.b_peak, truth.h_peak), rel=1e-9)
    assert [reader.truth(i).declared for i in (0, 5, 6)] == pytest.approx([2e4, 8e5, 2e4])


def test_the_voltage_is_the_derivative_of_b_and_the_current_follows_h() -> None:
    keys = {"noise": 0.0, "sample_rate": 1e8, "window": 1e-4}
    bh, vi = DrivenCore(**keys), DrivenCore(channels="v i", **keys)
    (b, h), (v, i) = both(bh), both(vi)
    np.testing.assert_allclose(v[1:-1], 10.0 * 5e-5 * (b[2:] - b[:-2]) / 2e-8, atol=2e-3 * np.abs(v).max())
    np.testing.assert_allclose(i, h * 0.06 / 10.0, rtol=1e-9)
    assert vi.arrival(0).unit == ("V", "A")


def test_the_permeability_obeys_physics() -> None:
    material = DrivenCore().material
    f = np.geomspace(1e2, 1e9, 200)
    mu = material.permeability(f, 0.0)
    assert (mu.imag < 0).all(), "a core takes power"
    assert abs(mu[0] - (1 + 1400 + 700)) < 1.0
    assert abs(mu[-1] - 1.0) < 10.0
    small, large = (complex(material.permeability(1e5, b)) for b in (0.0, 0.1))
    assert large.real - small.real == pytest.approx(1300.0)
    assert small.imag - large.imag == pytest.approx(1300.0 * 4 / (3 * np.pi))
    assert complex(material.permeability(1e5, 0.0, 1e-3)).real < 1000.0


def test_every_fault_does_what_it_says() -> None:
    keys = {"window": 1e-3, "frames": 1}
    plain, peak = DrivenCore(**keys), DrivenCore().truth(0).h_peak
    assert set(CORE_KINDS) == {"no_drive", "open", "clipped", "late", "hum", "unlocked", "cracked", "noisy"}

    def with_fault(text: str) -> tuple[np.ndarray, DrivenCore]:
        reader = DrivenCore(faults=(text,), **keys)
        return both(reader), reader

    assert np.ptp(with_fault("no_drive@0")[0][0]) < 0.02 * np.ptp(both(plain)[0])
    data, _ = with_fault("open@0")
    assert np.ptp(data[0]) < 0.02 * np.ptp(both(plain)[0]) < np.ptp(data[1])
    assert np.max(with_fault("clipped@0=0.5")[0][1]) == pytest.approx(0.5 * peak)
    data, reader = with_fault("late@0=10")
    assert np.degrees(permeability(lock_in(data, 1e7, 1e5)).loss_angle.value) == pytest.approx(
        np.degrees(np.arctan2(reader.truth(0).mu_imag, reader.truth(0).mu_real)) + 10.0, abs=0.05
    )
    assert reader.truth(0).phase_error == pytest.approx(np.radians(10.0))
    assert np.std(with_fault("hum@0=2")[0][1] - both(plain)[1]) > 0.1 * peak
    assert lock_in(with_fault("unlocked@0=0.01")[0], 1e7, 1e5).frequency == pytest.approx(1.01e5, rel=1e-5)
    assert with_fault("cracked@0")[1].truth(0).mu_real < 0.5 * plain.truth(0).mu_real
    assert np.std(with_fault("noisy@0")[0][0] - both(plain)[0]) == pytest.approx(0.1 * 0.05, rel=0.05)


@pytest.mark.parametrize(
    ("keys", "word"),
    [
        ({"seed": -1}, "seed"), ({"noise": -1.0}, "noise"), ({"frequency": 5e6}, "too fast"),
        ({"window": 1e-7}, "window"),
        ({"faults": ("beam_loss@1",)}, "no kind"), ({"faults": ("clipped@1=7",)}, "strength"), ({"steps": 0}, "steps"),
        ({"detector": Detector(name="a", source="a", dtype="uint8")}, "float"), ({"amplitude_stop": 0.0}, "amplitude"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_in_words(keys: dict, word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        DrivenCore(**keys)
