"""Simulated Barkhausen noise: reproducible, labelled, timed, with known answers, and every fault seen."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from insitu.errors import ConfigError
from insitu.readers.simulated_barkhausen import Barkhausen
from insitu.readers.simulated_barkhausen_settings import BARKHAUSEN_KINDS
from insitu.testing import ReaderContract
from insitu.types import Arrival, Detector, Reader

SMALL: dict[str, Any] = {"samples": 10_000, "sample_rate": 2e5, "correlation_time": 5e-5}


class TestContract(ReaderContract):
    @pytest.fixture
    def make(self) -> Callable[[], Reader]:
        return lambda: Barkhausen(frames=4, faults=("missing@2", "hum@1"), **SMALL)

    @pytest.fixture
    def idle(self) -> Callable[[], Reader]:
        return lambda: Barkhausen(frames=1, paced=True, samples=1_000_000)


def arrivals(reader: Barkhausen) -> list[Arrival]:
    return [arrival for arrival in reader() if arrival is not None]


def test_an_arrival_is_a_waveform_as_the_house_has_them_and_says_that_it_is_simulated() -> None:
    reader = Barkhausen(frames=3, **SMALL)
    first, second, _ = arrivals(reader)
    assert (first.dims, first.data.shape, first.data.dtype) == (("channel", "sample"), (2, 10_000), np.float32)
    assert first.unit == ("V", "A/m")
    assert first.labels["channels"] == "noise field"
    assert first.labels["simulated"] == "true"
    assert Barkhausen.simulated is True
    assert first.context["sample_rate"].value == 2e5
    assert (first.context["first_sample"].value, second.context["first_sample"].value) == (0, 10_000)
    assert first.duration_ns == second.time_ns - first.time_ns == 50_000_000
    alone = Barkhausen(frames=1, with_field=False, field_unit="T", **SMALL).arrival(0)
    assert (alone.dims, alone.data.shape, alone.unit) == (("sample",), (10_000,), "V")


def test_the_same_seed_gives_the_same_bytes_and_another_seed_or_source_others() -> None:
    reader, again = Barkhausen(seed=7, frames=4, **SMALL), Barkhausen(seed=7, **SMALL)
    for index, given in enumerate(arrivals(reader)):
        assert given.data.tobytes() == again.arrival(index).data.tobytes()
        assert reader.truth(index) == again.truth(index)
    other = Barkhausen(seed=8, **SMALL)
    left = Barkhausen(seed=7, detector=Detector(name="left", source="left"), **SMALL)
    assert len({r.arrival(0).data.tobytes() for r in (reader, other, left)}) == 3


def test_the_field_goes_on_from_frame_to_frame_as_a_triangle() -> None:
    reader = Barkhausen(field=1500.0, frequency=7.0, field_noise=0.0, **SMALL)
    field = np.concatenate([reader.arrival(i).data[1] for i in range(6)]).astype(float)
    steps = np.diff(field)
    assert np.abs(np.abs(np.median(np.abs(steps))) - 4 * 1500.0 * 7.0 / 2e5) < 1e-3
    assert np.abs(steps).max() < 1.01 * 4 * 1500.0 * 7.0 / 2e5
    assert (field.min(), field.max()) == pytest.approx((-1500.0, 1500.0), rel=1e-3)


@pytest.mark.parametrize("coupling", [0.0, 500.0])
def test_height_and_place_of_the_envelope_are_what_the_truth_says(coupling: float) -> None:
    reader = Barkhausen(coupling=coupling, amplifier_noise=0.0, c=1.5, **SMALL)
    truth, squares, counts = reader.truth(0), np.zeros(81), np.zeros(81)
    for i in range(200):
        noise, field = reader.arrival(i).data.astype(float)
        up = np.gradient(np.convolve(field, np.ones(25) / 25, "same")) > 0
        at = np.clip(((np.where(up, field, -field) + 2000.0) / 4000.0 * 81).astype(int), 0, 80)
        squares += np.bincount(at, noise**2, 81)
        counts += np.bincount(at, minlength=81)
    rms = np.sqrt(squares / counts)
    centres = -2000.0 + (np.arange(81) + 0.5) * 4000.0 / 81
    near = np.abs(centres - truth.peak_field) < 0.2 * truth.fwhm
    assert rms[near].mean() == pytest.approx(truth.height, rel=0.12)
    high = rms > 0.5 * rms[near].mean()
    assert high.sum() * 4000.0 / 81 == pytest.approx(truth.fwhm, rel=0.12)
    assert float(centres @ rms**2 / (rms**2).sum()) == pytest.approx(truth.peak_field, abs=30.0)


def test_the_planted_change_begins_in_its_frame_and_is_in_the_truth() -> None:
    keys = {"change_frame": 5, "change_c": 2.0, "change_peak": 0.5, "change_amplitude": 1.5}
    reader, plain = Barkhausen(**keys, **SMALL), Barkhausen(**SMALL)
    for i in range(5):
        assert reader.arrival(i).data.tobytes() == plain.arrival(i).data.tobytes()
    assert reader.arrival(5).data.tobytes() != plain.arrival(5).data.tobytes()
    before, after = reader.truth(4), reader.truth(5)
    assert (before.changed, after.changed) == (False, True)
    assert (after.c, after.peak_field) == (2.0 * before.c, 0.5 * before.peak_field)
    assert after.height == pytest.approx(1.5 * 2.0**0.5 * before.height)


def test_every_fault_does_what_it_says() -> None:
    def noise(*faults: str, **keys: float) -> np.ndarray:
        return Barkhausen(faults=faults, **keys, **SMALL).arrival(0).data[0].astype(float)

    plain = noise()
    assert noise("amplifier_off@0").std() == pytest.approx(0.05 * 2e-3, rel=0.05)
    assert not noise("amplifier_off@0=0").any()
    clipped = noise("clipped@0=200")
    assert np.count_nonzero(np.abs(clipped) == 1.0) > 100
    hum = noise("hum@0=0.3") - plain
    spectrum = np.abs(np.fft.rfft(hum))
    assert set(np.argsort(spectrum)[-2:]) <= {2, 3, 7, 8}  # 50 and 150 Hz in bins of 20 Hz
    assert np.abs(hum).max() == pytest.approx(0.35, abs=0.06)
    loose = noise("loose_probe@0=0.6")
    blocks = loose.reshape(-1, 100).std(axis=1)
    assert np.count_nonzero(blocks < 3e-3) > np.count_nonzero(plain.reshape(-1, 100).std(axis=1) < 3e-3) + 5
    off = Barkhausen(faults=("magnet_off@0",), **SMALL).arrival(0).data.astype(float)
    assert off[0].std() == pytest.approx(2e-3, rel=0.05)
    assert off[1].std() == pytest.approx(2.0, rel=0.05)
    assert Barkhausen(faults=("hum@3-4",), **SMALL).truth(3).faults == ("hum",)
    assert set(BARKHAUSEN_KINDS) == {"amplifier_off", "clipped", "hum", "loose_probe", "magnet_off"}


@pytest.mark.parametrize(
    ("keys", "where"),
    [
        ({"seed": -1}, "seed"), ({"c": 0.0}, "c"), ({"samples": 10}, "samples"), ({"coupling": 2e5}, "coupling"),
        ({"faults": ("beam_loss@3",)}, "faults"), ({"faults": ("hum@3=x",)}, "faults"), ({"field": -5.0}, "field"),
        ({"faults": ("clipped@3=0.1",)}, "faults"), ({"amplifier_noise": -1.0}, "amplifier_noise"),
        ({"detector": Detector(name="d", source="d", dtype="int16")}, "dtype"), ({"frames": 0}, "frames"),
    ],
)  # fmt: skip
def test_impossible_settings_are_refused_with_their_key(keys: dict[str, Any], where: str) -> None:
    with pytest.raises(ConfigError) as error:
        Barkhausen(**{**SMALL, **keys})
    assert error.value.where == where
