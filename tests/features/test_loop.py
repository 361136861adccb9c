"""Features of hysteresis loops: the laboratory's answers through the reader, units, bad loops, frames that are none."""

import dataclasses
import json

import numpy as np
import pytest

from insitu.errors import ConfigError
from insitu.features.loop import Loop
from insitu.readers.loops import Loops
from insitu.readers.simulated_loops import LoopSeries
from insitu.types import Arrival, Feature, Frame

LOOP_KEYS = ("bc", "mr", "ms", "squareness", "slope", "loss", "field_offset", "moment_offset", "drift")


def frame(arrival: Arrival, n: int = 0, **changes) -> Frame:
    given = {f.name: getattr(arrival, f.name) for f in dataclasses.fields(arrival)}
    return Frame(**{**given, **changes}, seq=n, n=n)


def simulated(**keys) -> Frame:
    return frame(LoopSeries(frames=1, **keys).arrival(0))


def value(found: Feature) -> float:
    assert found.value is not None, found.why
    return float(found.value)


def test_loops_and_backfield_curves_of_the_laboratory_give_its_answers(data):
    known = json.loads((data / "magnetic" / "vsm" / "known_answers.json").read_text())
    extract = Loop()
    for arrival in Loops(str(data / "magnetic" / "vsm"))():
        assert isinstance(arrival, Arrival)
        found, answers = extract(frame(arrival), {}, ()), known[arrival.labels["sample"]]
        assert found["curve_ok"] == Feature(1)
        assert value(found["quality"]) > 1.5
        if arrival.labels["curve"] == "backfield":
            assert value(found["bcr"]) == pytest.approx(answers["hyst_bcr"], rel=0.01)
            assert all(found[key].value is None and found[key].why for key in LOOP_KEYS)
        else:
            assert value(found["bc"]) == pytest.approx(answers["hyst_bc"], rel=0.05)
            assert found["ms"].unit == "A m^2/kg"
            assert found["bcr"].why == "this is a loop: a backfield curve gives Bcr"


@pytest.mark.parametrize(
    ("units", "scales", "unit", "mass"),
    [
        (("Oe", "emu/g"), (1e4, 1.0), "A m^2/kg", None),
        (("A/m", "emu"), (1e7 / (4 * np.pi), 1e3), "A m^2", None),
        (("mT", "emu"), (1e3, 1.0), "A m^2/kg", 1e-3),
        (("kOe", "emu/cm^3"), (10.0, 1e-3), "A/m", None),
    ],
)
def test_fields_and_moments_are_converted(units, scales, unit, mass):
    plain = simulated()
    first = Loop()(plain, {}, ())
    outputs = Loop().outputs
    data = np.stack([scales[0] * plain.data[0], scales[1] * plain.data[1]])
    other = Loop(unit=unit, mass=mass)(dataclasses.replace(plain, data=data, unit=units), {}, ())
    for key in LOOP_KEYS:
        near = outputs[key].rtol
        assert value(other[key]) == pytest.approx(value(first[key]), rel=near, abs=1e-12)
        assert other[key].sigma == pytest.approx(first[key].sigma, rel=near, abs=1e-12)


def test_what_does_not_convert_is_told_and_the_rest_is_given():
    found = Loop()(dataclasses.replace(simulated(), unit=("T", "emu")), {}, ())
    assert value(found["bc"]) > 0
    assert found["ms"].value is None
    assert "mass" in (found["ms"].why or "")
    nothing = Loop()(dataclasses.replace(simulated(), unit=("", "emu")), {}, ())
    assert "field_unit" in (nothing["bc"].why or "")
    weighed = dataclasses.replace(simulated(), unit=("T", "emu"), context={"mass": Feature(1e-3, "kg")})
    assert value(Loop()(weighed, {}, ())["ms"]) == pytest.approx(1.0, rel=0.02)


@pytest.mark.parametrize(
    ("fault", "word"),
    [
        ("clipped@0=0.6", "clipped"),
        ("drift@0=0.1", "not closed"),
        ("spike@0=0.1", "spike"),
        ("not_closed@0", "one branch"),
    ],
)
def test_a_faulty_loop_has_no_numbers_but_a_reason(fault, word):
    found = Loop()(simulated(faults=(fault,)), {}, ())
    assert found["curve_ok"] == Feature(0)
    assert word in (found["quality"].why or "")
    assert found["bc"].value is None


def test_the_coercivity_of_a_changing_sample_follows_the_truth():
    reader, extract = LoopSeries(frames=80, noise=2e-3), Loop()
    for index in (0, 45, 50, 70):
        truth, found = reader.truth(index), extract(frame(reader.arrival(index)), {}, ())
        assert abs(value(found["bc"]) - truth.bc) < 4 * (found["bc"].sigma or 0.0)
        assert abs(value(found["mr"]) - truth.mr) < 4 * (found["mr"].sigma or 0.0)
        assert value(found["ms"]) == pytest.approx(1.0, rel=0.01)


@pytest.mark.parametrize(
    "changes",
    [
        {"data": np.zeros((2, 2, 2)), "dims": ("a", "b", "c"), "unit": "T"},
        {"data": np.zeros((2, 0)), "labels": {"channels": "field moment"}},
        {"data": np.full((2, 50), np.nan), "labels": {"channels": "field moment"}},
        {"labels": {"channels": "b h"}},
        {"data": np.zeros((3, 50)), "unit": ("T", "A m^2", "")},
    ],
)
def test_a_frame_that_is_no_curve_gives_reasons_and_never_raises(changes):
    extract = Loop(name="vsm")
    found = extract(dataclasses.replace(simulated(), **changes), {}, ())
    assert set(found) == set(extract.outputs)
    assert all(f.value is None and f.why for key, f in found.items() if key != "vsm_curve_ok")
    assert found["vsm_curve_ok"] == Feature(0)


@pytest.mark.parametrize("keys", [{"unit": "emu"}, {"mass": -1.0}, {"name": "9x"}])
def test_impossible_settings_are_refused(keys):
    with pytest.raises(ConfigError):
        Loop(**keys)


def test_a_field_that_no_magnet_reaches_has_a_wrong_unit() -> None:
    arrival = LoopSeries(frames=1).arrival(0)
    oersted = arrival.data * np.array([[1e4], [1.0]])
    found = Loop()(frame(arrival, data=oersted), {}, ())
    assert found["bc"].value is None
    assert "its unit is wrong" in (found["bc"].why or "")
