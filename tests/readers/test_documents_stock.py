"""Stock detectors that write files, driven by a stock RunEngine: their frames are read from where they lie."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
from bluesky import plan_stubs, plans, preprocessors
from ophyd.sim import SynAxis, SynSignalWithRegistry
from ophyd_async.core import StaticFilenameProvider, StaticPathProvider, TriggerInfo
from ophyd_async.plan_stubs import ensure_connected
from ophyd_async.sim import SimBlobDetector

from insitu.readers.documents import Documents
from insitu.testing import items
from insitu.types import Arrival, Invalid

bp: Any = plans
bps: Any = plan_stubs
bpp: Any = preprocessors


def arrivals(reader: Documents) -> list[Arrival]:
    reader.close()
    found = items(reader)
    assert not [i.reason for i in found if isinstance(i, Invalid)]
    return [a for a in found if isinstance(a, Arrival)]


def written(path: Path) -> np.ndarray:
    with h5py.File(path) as file:
        return file["/entry/data/data"][()]  # type: ignore[index]


def test_step_and_fly_scans_of_an_ophyd_async_detector_and_its_bursts(engine, tmp_path):
    found = {}
    for name in ("step", "fly"):
        reader = Documents(data="blob", wait=20.0)
        token = engine.subscribe(reader.feed)
        blob = SimBlobDetector(StaticPathProvider(StaticFilenameProvider(name), tmp_path), name="blob")
        motor = SynAxis(name="stage")
        engine(ensure_connected(blob))

        @bpp.stage_decorator([blob])
        @bpp.run_decorator()
        def fly(blob=blob):
            yield from bps.prepare(blob, TriggerInfo(number_of_events=3, collections_per_event=2), wait=True)
            yield from bps.declare_stream(blob, name="primary", collect=True)
            yield from bps.kickoff(blob, wait=True)
            yield from bps.collect_while_completing([blob], [blob], flush_period=0.1, stream_name="primary")

        engine(bp.scan([blob], motor, 0, 2, 3) if name == "step" else fly())
        engine.unsubscribe(token)
        found[name] = arrivals(reader)
        frames = written(tmp_path / f"{name}.h5")
        assert np.array_equal([a.data for a in found[name]], frames)
        assert found[name][0].dims == ("y", "x")
    assert [a.context["stage"].value for a in found["step"]] == [0, 1, 2]
    assert [a.clock for a in found["step"]] == ["ioc"] * 3
    assert [a.source_seq for a in found["fly"]] == list(range(6))


def test_a_detector_of_ophyd_that_registers_its_files_in_the_older_way(engine, tmp_path):
    taken: list[np.ndarray] = []

    def picture() -> np.ndarray:
        taken.append(np.random.default_rng(len(taken)).integers(0, 99, (5, 4)))
        return taken[-1]

    old = SynSignalWithRegistry(func=picture, name="old", save_path=str(tmp_path))
    reader, motor = Documents(data="old"), SynAxis(name="stage")
    engine.subscribe(reader.feed)
    taken.clear()
    engine(bp.scan([old], motor, 0, 2, 3))
    found = arrivals(reader)
    assert np.array_equal([a.data for a in found], taken)
    assert [a.context["stage"].value for a in found] == [0, 1, 2]
