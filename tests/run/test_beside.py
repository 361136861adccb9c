"""What a run leaves beside the raw data: array features, the log for people, the safe state."""

import json
import warnings
from pathlib import Path

import numpy as np
import xarray as xr

from insitu.replay import reanalyse, verify
from insitu.run import run
from insitu.store.runs import StoredRun
from tests.settings import RECIPE, WINDOW, detector, setup

PREPARED = {
    "prepare": [{"use": "baseline", "window": "2 deg"}],
    "features": [{"use": "prepared"}, {"use": "xrd.peaks", "windows": WINDOW}],
}


def test_array_features_open_in_xarray_with_labels_and_units_while_running_and_sealed(tmp_path):
    live = []

    def observe(status):
        path = Path(status["path"]) / "derived.zarr"
        if status["frames"]["stored"] > 60 and (path / "det/pattern/zarr.json").exists() and len(live) < 3:
            live.append(xr.open_zarr(path, group="det", consolidated=False).sizes.get("frame", 0))

    summary = run(setup(PREPARED, frames=150, rate="60 Hz"), data_root=tmp_path, observer=observe)
    assert live
    assert max(live) > 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ds = xr.open_zarr(Path(summary.path) / "derived.zarr", group="det").load()
        tree = xr.open_datatree(Path(summary.path) / "derived.zarr", engine="zarr")
    assert ds.pattern.shape == (150, 4096)
    assert ds.pattern.attrs["units"] == "counts"
    assert ds.pattern_two_theta.attrs["units"] == "deg"
    assert tree.attrs["simulated"] is True
    with StoredRun(Path(summary.path)) as stored:
        record = next(stored.records())
        assert record["arrays"]["pattern"]["shape"] == [4096]
    assert abs(np.median(ds.pattern.values[0])) < 20, "the baseline is gone"
    assert verify(Path(summary.path)).identical


def test_a_derived_run_has_the_array_features_of_its_recipe(tmp_path):
    first = run(setup(frames=12), data_root=tmp_path)
    again = reanalyse(Path(first.path), setup(PREPARED, frames=12), data_root=tmp_path)
    ds = xr.open_zarr(Path(again.path) / "derived.zarr", group="det").load()
    assert ds.pattern.shape == (12, 4096)
    assert verify(Path(again.path)).identical


def test_an_array_of_another_shape_is_left_out_and_said_once(tmp_path):
    found = {"bench": {"format": 1, "source": "det", "reader": {"use": "tests.run.broken:Growing"}}}
    recipe = {"features": [{"use": "prepared"}], "models": [], "rules": []}
    summary = run(setup(recipe, detectors=found), data_root=tmp_path)
    assert summary.frames["stored"] == 4
    assert sum("pattern" in note for note in summary.notes) == 1
    assert verify(Path(summary.path)).identical


def test_the_log_is_json_lines_and_part_of_the_seal(tmp_path):
    summary = run(setup(frames=5), data_root=tmp_path)
    lines = [json.loads(line) for line in (Path(summary.path) / "run.log").read_text().splitlines()]
    assert [line["event"] for line in lines][:: len(lines) - 1] == ["started", "ended"]
    assert "run.log" in json.loads((Path(summary.path) / "seal.json").read_bytes())["body"]["files"]


def test_a_halt_sets_the_safe_state_and_says_so(tmp_path):
    found = {
        "bench": {**detector(faults=["slipped@30"]), "limits": {"temperature_step": {"unit": "K", "min": 0, "max": 5}}}
    }
    recipe = {**RECIPE, "safe_state": {"temperature_step": "0 K"}}
    summary = run(setup(recipe, detectors=found), data_root=tmp_path, mode="act")
    assert summary.ended == "halted"
    with StoredRun(Path(summary.path)) as stored:
        (event,) = [e.body for e in stored.entries("event") if e.body["what"] == "safe_state"]
    assert event["set_by"] == ["det"]
    assert event["params"]["temperature_step"]["value"] == 0
