"""What a detector file says to the reader of documents: axes of frames that come without one; nonsense is refused."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from bluesky import RunEngine, plans
from ophyd.sim import SynAxis, SynSignal

from insitu.config import load
from insitu.errors import ConfigError
from insitu.readers.documents import Documents
from insitu.run import LiveRun
from insitu.store.runs import StoredRun
from insitu.testing import items
from insitu.types import Arrival, Detector, Invalid
from tests.sessions import run_engine

bp: Any = plans
ASSEMBLE = {"axis": "mono", "channels": ["i0", "itrans"]}


@pytest.fixture
def engine() -> Iterator[RunEngine]:
    with run_engine({"sample": "nickel"}) as engine:
        yield engine


def test_patterns_of_events_get_their_axis_from_the_detector_file_and_other_plans_are_no_fault(
    engine, tmp_path, caplog
):
    at = 25.0 + 0.01 * np.arange(800)
    pattern = SynSignal(
        func=lambda: np.rint(1000 * np.exp(-(((at - 28.4) / 0.1) ** 2)) + 20).astype("i4"), name="mythen"
    )
    axes = {"two_theta": {"start": "25 deg", "step": "36 arcsec"}}
    bench = {
        "format": 1, "source": "det", "dims": ["two_theta"], "calibration": {"wavelength": "1.5406 angstrom"},
        "reader": {"use": "documents", "data": "mythen", "runs": 4, "axes": axes},
    }  # fmt: skip
    peaks = {"use": "xrd.peaks", "windows": [["28.1 deg", "28.7 deg"]]}
    recipe = {"format": 1, "title": "patterns", "detectors": ["bench"], "features": [peaks]}
    live = LiveRun(load(recipe, detectors={"bench": bench}), data_root=tmp_path)
    reader: Any = live.readers["det"]
    engine.subscribe(reader.feed)
    for devices in ([pattern], [SynAxis(name="stage")], [SynAxis(name="stage")], [pattern]):
        engine(bp.count(devices, 1))
    summary = live.wait(60)
    assert (summary.frames["stored"], summary.frames["invalid"], summary.frames["expected"]) == (2, 0, 2)
    with StoredRun(live.path) as stored:
        records = list(stored.records())
        (first, _) = stored.frames()
    assert first.axes["two_theta"].unit == "deg"
    assert np.allclose(first.axes["two_theta"].values, at)
    assert abs(records[0]["features"]["peak1_position"]["value"] - 28.4) < 0.01
    assert [r.message for r in caplog.records].count(
        "a plan whose stream primary has no data key 'mythen' gives no frames of det: there are stage, stage_setpoint"
    ) == 1


@pytest.mark.parametrize(
    ("axes", "told"),
    [
        ({"q": {"start": "1 1/angstrom", "step": "0.1 1/angstrom"}}, "no dimension"),
        ({"x": {"start": "1 mm"}}, "it says start"),
        ({"x": {"start": "1 mm", "step": "0 mm"}}, "one place"),
        ({"x": {"start": "1 mm", "step": "1 s"}}, "mm"),
        ({"x": ["not_there.npy", "mm"]}, "cannot be read"),
    ],
)
def test_an_axis_that_cannot_be_is_refused_with_its_key(axes, told):
    bench = {"format": 1, "source": "det", "dims": ["x"], "reader": {"use": "documents", "data": "c", "axes": axes}}
    recipe = {"format": 1, "title": "t", "detectors": ["bench"], "features": [{"use": "totals"}]}
    with pytest.raises(ConfigError, match=told) as e:
        load(recipe, detectors={"bench": bench}).sources[0].reader()
    assert "axes." in str(e.value)


def test_an_axis_of_a_file_that_has_other_points_than_the_frame_costs_the_frame_and_no_number(engine, tmp_path):
    np.savetxt(tmp_path / "energy.txt", [7.0, 7.1, 7.3])
    pictures = iter([np.arange(n) * 1.0 for n in (3, 3, 4, 3)])  # the first is taken when the signal is made
    detector = Detector(name="d", source="det", dims=("energy",))
    reader = Documents(data="c", axes={"energy": (tmp_path / "energy.txt", "keV")}, detector=detector)
    engine.subscribe(reader.feed)
    engine(bp.count([SynSignal(func=lambda: next(pictures), name="c")], 3))
    reader.close()
    first, wrong, last = (i for i in items(reader) if i is not None)
    assert isinstance(wrong, Invalid)
    assert "has 3 points, the frame has 4" in wrong.reason
    assert [i.source_seq for i in (first, wrong, last)] == [0, 1, 2]
    assert isinstance(last, Arrival)
    assert last.axes["energy"].values.tolist() == [7000.0, 7100.0, 7300.0]


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({}, "nothing says which data are frames"),
        ({"data": "a", "assemble": ASSEMBLE}, "both a data key and"),
        ({"assemble": {"axis": "mono"}}, "nothing says what is measured"),
        ({"assemble": {**ASSEMBLE, "evry": 1}}, "'evry' is no key"),
        ({"data": "a", "runs": 0}, "0 runs"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(keys, told):
    with pytest.raises(ConfigError, match=told):
        Documents(**keys)
