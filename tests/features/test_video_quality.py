"""Quality of a frame: faults of the simulated microscope show in the number that is theirs."""

import dataclasses

import numpy as np

from insitu.features.video_quality import Quality
from insitu.readers.simulated_colloid import Colloid
from insitu.types import Arrival, Detector
from tests.movies import framed


def numbers(arrival: Arrival, **keys) -> dict[str, float | None]:
    extract = Quality(**keys)
    found = extract(framed(arrival, 0), {}, ())
    assert found.keys() == extract.outputs.keys()
    return {key.removeprefix("video_"): feature.value for key, feature in found.items()}


def test_each_fault_shows_in_its_own_number():
    def look(*faults: str) -> dict[str, float | None]:
        return numbers(Colloid(particles=100, faults=faults).arrival(0))

    plain, blurred, over, dark = look(), look("blur@0=3"), look("exposure@0=2"), look("lost@0")
    assert blurred["focus"] < 0.7 * plain["focus"]
    assert blurred["brightness"] == np.float64(blurred["brightness"])
    assert abs(blurred["brightness"] - plain["brightness"]) < 0.2
    assert over["saturated_fraction"] > 0.5 > plain["saturated_fraction"] == 0.0
    assert dark["brightness"] < 2.0


def test_saturation_is_the_detector_s_where_it_is_declared():
    arrival = Colloid(particles=10, depth=12, level=2000.0, contrast=-500.0, noise=0.0).arrival(0)
    assert numbers(arrival)["saturated_fraction"] == 0.0
    detector = Detector(name="d", source="video", saturation=1999.0)
    assert numbers(arrival, detector=detector)["saturated_fraction"] > 0.5


def test_what_cannot_be_measured_says_why():
    arrival = Colloid(particles=10).arrival(0)
    floats = dataclasses.replace(arrival, data=arrival.data.astype(np.float32))
    found = Quality()(framed(floats, 0), {}, ())
    assert "saturation" in found["video_saturated_fraction"].why
    holes = floats.data.copy()
    holes[3, 3] = np.nan
    found = Quality()(framed(dataclasses.replace(floats, data=holes), 0), {}, ())
    assert "no numbers" in found["video_brightness"].why
    flat = dataclasses.replace(arrival, data=np.full((40, 40), 9, np.uint8))
    assert Quality()(framed(flat, 0), {}, ())["video_focus"].why == "nothing but noise is seen"
