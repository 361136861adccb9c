"""The particles of a frame as features: counts, medians, and a table of one shape."""

import numpy as np
import pytest

from insitu.errors import ConfigError
from insitu.features.particles import KEPT, Particles
from insitu.readers.simulated_colloid import Colloid
from insitu.types import ArrayFeature, Arrival, Feature
from tests.movies import framed

READER = Colloid(particles=40, noise=1.0)


def measured(arrival: Arrival, **keys):
    extract = Particles(**{"diameter": 11, "min_mass": 200.0, **keys})
    found = extract(framed(arrival, 0), {}, ())
    assert found.keys() == extract.outputs.keys()
    return found


def test_the_table_has_one_shape_and_holds_the_particles_brightest_first():
    found = measured(READER.arrival(0), most=100)
    table = found["particle_positions"]
    assert isinstance(table, ArrayFeature)
    assert table.values.shape == (100, len(KEPT))
    assert table.values.dtype == np.float32
    count = found["particle_count"].value
    assert np.isfinite(table.values[:count]).all()
    assert np.isnan(table.values[count:]).all()
    assert (np.diff(table.values[:count, KEPT.index("mass")]) <= 0).all()
    truth = READER.truth(0).positions[:, ::-1]
    near = [np.hypot(*(truth - place).T).min() for place in table.values[:count, :2]]
    assert np.median(near) < 0.1


def test_more_particles_than_rows_are_still_counted():
    few, many = measured(READER.arrival(0), most=5), measured(READER.arrival(0), most=500)
    assert few["particle_count"] == many["particle_count"]
    np.testing.assert_array_equal(few["particle_positions"].values, many["particle_positions"].values[:5])


def test_polarity_is_found_and_can_be_named():
    dark = READER.arrival(1)
    bright = Colloid(particles=40, noise=1.0, contrast=50.0).arrival(1)
    count = measured(dark, polarity="dark")["particle_count"].value
    assert measured(dark)["particle_count"].value == count
    assert measured(bright)["particle_count"].value == pytest.approx(count, abs=2)
    assert measured(bright, polarity="dark", min_mass=400.0)["particle_count"].value < 5


def test_colours_are_seen_and_other_frames_are_refused_in_words():
    arrival = READER.arrival(0)
    import dataclasses

    colour = dataclasses.replace(arrival, data=np.dstack([arrival.data] * 3), dims=("y", "x", "channel"))
    assert measured(colour)["particle_count"] == measured(arrival)["particle_count"]
    line = dataclasses.replace(arrival, data=arrival.data[0], dims=("x",))
    assert "image" in measured(line)["particle_count"].why


def test_an_empty_frame_has_no_particles_and_says_so():
    empty = Colloid(particles=0, noise=0.0).arrival(0)
    found = measured(empty)
    assert found["particle_count"] == Feature(0, "")
    assert found["particle_mass"].why == "no particle was found"


@pytest.mark.parametrize(
    "keys", [{"diameter": 10}, {"diameter": 1}, {"most": 0}, {"noise_size": 0.0}, {"separation": 0.0}, {"name": "P"}]
)
def test_impossible_settings_are_refused(keys):
    with pytest.raises(ConfigError):
        Particles(**{"diameter": 11, **keys})
