"""Settings of the simulated diffractometer: refusals that name the key, and times and temperatures after a change."""

import numpy as np
import pytest

from insitu.errors import ConfigError
from insitu.readers.simulated import Diffractometer
from insitu.readers.simulated_settings import Settings, first_time_ns
from insitu.types import Detector, Feature


def test_a_change_of_exposure_moves_later_frames_only():
    settings = Settings(300.0, 1.0, None, 0.5, None, 10)
    before = [settings.time_ns(i) for i in range(4)]
    settings.change(3, exposure_s=2.0, temperature_step=0.25)
    assert [settings.time_ns(i) for i in range(4)] == before
    assert settings.time_ns(5) == before[3] + 4_000_000_000
    assert [settings.temperature(i) for i in (2, 3, 5)] == [302.0, 303.0, 303.5]
    assert [settings.exposure_s(i) for i in (2, 3)] == [0.5, 2.0]


def test_a_second_change_at_the_same_frame_replaces_the_first():
    settings = Settings(300.0, 1.0, None, 0.5, None, 0)
    settings.change(3, exposure_s=2.0)
    settings.change(3, temperature_step=0.0)
    assert settings.exposure_s(3) == 2.0
    assert settings.temperature(9) == 303.0


def test_a_cooling_ramp_stops_where_it_should():
    settings = Settings(450.0, -20.0, 390.0, 1.0, None, 0)
    assert [settings.temperature(i) for i in range(5)] == [450.0, 430.0, 410.0, 390.0, 390.0]


def test_frames_come_no_faster_than_the_rate():
    assert Settings(300.0, 0.0, None, 0.01, 10.0, 0).time_ns(3) == 300_000_000


def test_the_first_time_is_fixed_unless_live():
    assert first_time_ns("", live=False) == 1_767_225_600_000_000_000
    assert first_time_ns("2026-01-01T01:00:00+01:00", live=True) == 1_767_225_600_000_000_000
    assert first_time_ns("", live=True) > 1_767_225_600_000_000_000


@pytest.mark.parametrize(
    ("keys", "where"),
    [
        ({"seed": -1}, "seed"),
        ({"frames": 0}, "frames"),
        ({"rate": 0.0}, "rate"),
        ({"exposure": -1.0}, "exposure"),
        ({"start": "yesterday"}, "start"),
        ({"sample": "water"}, "sample"),
        ({"temperature_start": -5.0}, "temperature_start"),
        ({"temperature_step": -1.0, "temperature_stop": 400.0}, "temperature_step"),
        ({"points": 3}, "two_theta_start"),
        ({"two_theta_start": 50.0, "two_theta_stop": 40.0}, "two_theta_start"),
        ({"two_theta_stop": 181.0}, "two_theta_start"),
        ({"wavelength": 0.0}, "wavelength"),
        ({"peak_counts": 0.0}, "peak_counts"),
        ({"saturation": 0.0}, "saturation"),
        ({"faults": ("nonsense@1",)}, "faults"),
    ],
)
def test_impossible_settings_are_refused_with_their_key(keys, where):
    with pytest.raises(ConfigError) as caught:
        Diffractometer(**keys)
    assert caught.value.where == where


def test_the_detector_gives_shape_dtype_wavelength_and_counter():
    detector = Detector(
        name="other",
        source="left",
        shape=(512,),
        dtype="uint16",
        counter_bits=4,
        calibration={"wavelength": Feature(0.7093, "angstrom")},
    )
    reader = Diffractometer(frames=1, counter_start=17, two_theta_start=5.0, two_theta_stop=30.0, detector=detector)
    (arrival,) = reader()
    assert arrival is not None
    assert (arrival.source, arrival.data.shape, arrival.data.dtype, arrival.source_seq) == (
        "left",
        (512,),
        np.uint16,
        1,
    )
    assert arrival.context["wavelength"] == Feature(0.7093, "angstrom")


def test_points_that_contradict_the_detector_are_refused():
    with pytest.raises(ConfigError, match="does not agree with the detector's shape"):
        Diffractometer(points=100, detector=Detector(name="d", source="d", shape=(512,)))


def test_a_wavelength_in_another_unit_is_refused():
    detector = Detector(name="d", source="d", calibration={"wavelength": Feature(12.0, "keV")})
    with pytest.raises(ConfigError, match="angstrom"):
        Diffractometer(detector=detector)
