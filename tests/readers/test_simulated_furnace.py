"""The simulated furnace: one experiment in three views, each with a clock and disturbances of its own."""

import numpy as np
import pytest

from insitu.errors import ConfigError
from insitu.readers.simulated_furnace import Furnace
from insitu.readers.simulated_furnace_truth import VIEWS, View
from insitu.testing import ReaderContract

SETTINGS = {"duration": 6.0, "seed": 3, "clock_ahead": 1.0, "clock_jitter": 0.05}


class TestCamera(ReaderContract):
    @pytest.fixture
    def make(self):
        return lambda: Furnace(view="camera", **SETTINGS)

    @pytest.fixture
    def idle(self):
        return lambda: Furnace(view="camera", exposure=1.0, speed=1.0, duration=1.0)

    @pytest.fixture
    def bad(self):
        return lambda: Furnace(view="camera", duration=-1.0)


class TestDiffraction(ReaderContract):
    @pytest.fixture
    def make(self):
        return lambda: Furnace(view="diffraction", exposure=0.8, **SETTINGS)


class TestLoad(ReaderContract):
    @pytest.fixture
    def make(self):
        return lambda: Furnace(view="load", rate=2.0, **SETTINGS)


def test_all_views_of_a_seed_see_one_experiment() -> None:
    truths = {view: [Furnace(view=view, seed=4, onset=30.0).truth(i) for i in range(60)] for view in VIEWS}
    camera = [(t.temperature_K, t.damage) for t in truths["camera"]]
    assert camera == [(t.temperature_K, t.damage) for t in truths["load"]]
    assert camera == [(t.temperature_K, t.damage) for t in truths["diffraction"]]
    kelvin = np.array([k for k, _ in camera])
    assert 3.0 < kelvin.std() < 14.0
    assert abs(kelvin.mean() - 1100.0) < 5.0
    assert [d for _, d in camera][:30] == [0.0] * 30
    assert camera[-1][1] == 1.0


def test_one_view_at_a_time_is_disturbed_and_each_has_its_turn() -> None:
    readers = {view: Furnace(view=view, seed=1, duration=400.0, quiet=50.0) for view in VIEWS}
    disturbed = np.array([[reader.truth(i).disturbed for i in range(400)] for reader in readers.values()])
    assert disturbed.sum(axis=0).max() == 1
    assert not disturbed[:, :50].any()
    assert np.all(disturbed.sum(axis=1) > 40)


def test_its_clock_is_ahead_gains_and_scatters_as_it_was_told() -> None:
    reader = Furnace(view="load", duration=2000.0, clock_ahead=2.0, clock_drift=500.0, clock_jitter=0.05)
    first = Furnace(view="load", duration=2000.0).arrival(0).time_ns
    shown = np.array([(reader.arrival(i).time_ns - first) * 1e-9 for i in range(0, 2000, 20)])
    true = np.arange(0.0, 2000.0, 20.0)
    off = shown - true
    drift, ahead = np.polyfit(true, off, 1)
    assert drift == pytest.approx(500e-6, abs=4 * 0.05 / (np.sqrt(100) * true.std()))
    assert ahead == pytest.approx(2.0, abs=0.05)
    assert np.std(off - ahead - drift * true) == pytest.approx(0.05, rel=0.3)
    assert reader.truth(7).clock_offset_s == pytest.approx((first - reader.arrival(7).time_ns) * 1e-9 + 7.0)


@pytest.mark.parametrize(
    ("view", "measure", "sign"),
    [
        ("camera", lambda a: np.std(a.data), 1),
        ("diffraction", lambda a: np.sum(a.data), -1),
        ("load", lambda a: np.std(a.data), 1),
    ],
)
def test_damage_changes_every_view_by_about_its_scatter(view: View, measure, sign: int) -> None:
    settings = {"view": view, "duration": 400.0, "disturbances": False, "swing": 0.0}
    well = np.array([measure(Furnace(**settings).arrival(i)) for i in range(100)])
    ill = np.array([measure(Furnace(**settings, onset=-10.0, strength=1.6).arrival(i)) for i in range(100)])
    assert sign * (ill.mean() - well.mean()) / well.std() == pytest.approx(1.5, abs=0.3)


@pytest.mark.parametrize("key", ["seed", "exposure", "swing", "strength", "clock_jitter"])
def test_an_impossible_setting_is_refused_with_its_key(key: str) -> None:
    with pytest.raises(ConfigError) as found:
        Furnace(view="camera", **{key: -1})  # type: ignore[arg-type]
    assert found.value.where == key
