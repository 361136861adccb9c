"""The recipes `gearbox` and `hydraulic` on real recordings: what their networks say, and what they cannot say."""

import csv
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from insitu.config import load
from insitu.models.bundle import read_bundle
from insitu.readers.line import Line
from insitu.readers.waveforms import Waveforms
from insitu.types import Arrival, Feature, Frame, Record

MODELS = Path(__file__).parents[1] / "pipelines" / "models"


def records(recipe: str, reader: Any, wanted: int = 10**9) -> list[Record]:
    """What a recipe says of the arrivals of a reader."""
    pipeline, told = load(recipe, inputs="unused").pipeline(), []
    for arrival in reader():
        if isinstance(arrival, Arrival):
            n = len(told)
            keys = {f.name: getattr(arrival, f.name) for f in fields(Arrival)}
            told.append(pipeline.step(Frame(seq=n, n=n, **keys)))
            if len(told) == wanted:
                break
    return told


@pytest.mark.parametrize(("state", "label"), [("h", "normal"), ("b", "anomaly")])
def test_a_broken_tooth_is_told_in_every_window(state: str, label: str, data: Path) -> None:
    for load_ in (0, 30, 60):
        reader = Waveforms(str(data / "line" / "gearbox" / f"{state}30hz{load_}.npy"), window=Feature(2000, ""))
        said = [record.verdicts["state"] for record in records("gearbox", reader)]
        assert {v.label for v in said} == {label}
        assert said[0].model.startswith("sha256:")


def test_the_gearbox_was_right_at_every_load_that_it_had_not_learnt() -> None:
    manifest = read_bundle(MODELS / "gearbox_state").manifest
    held = {m.name: m for m in manifest.metrics}
    assert held["windows_right"].value == 1.0
    assert held["recordings_right"].n == 6
    assert "each left out" in held["windows_right"].split


def test_the_rig_s_valve_and_accumulator_are_answered_not_observable(data: Path) -> None:
    path = data / "line" / "hydraulic_dev.npz"
    with (data / "line" / "hydraulic_dev_profile.csv").open() as file:
        profile = list(csv.DictReader(file))
    told = records("hydraulic", Line(str(path), cycle_time=60.0), 120)
    for name in ("valve", "accumulator"):
        said = [record.verdicts[name] for record in told]
        assert {v.label for v in said} == {"unknown"}
        assert "not observable" in said[0].reason
    cooler = [record.verdicts["cooler"] for record in told]
    assert np.mean([v.label == "anomaly" and "near failure" in v.reason for v in cooler]) > 0.95
    leaks = np.array([int(line["pump_leakage"]) > 0 for line in profile[:120]])
    said = np.array([record.verdicts["pump"].label == "anomaly" for record in told])
    assert (said == leaks).mean() > 0.9


@pytest.mark.parametrize(("name", "least"), [("hydraulic_cooler", 0.95), ("hydraulic_pump", 0.88)])
def test_what_the_rig_s_sensors_tell_was_measured_on_blocks_left_out(name: str, least: float) -> None:
    manifest = read_bundle(MODELS / name).manifest
    (metric,) = manifest.metrics
    assert metric.value >= least
    assert metric.low is not None
    assert metric.low > 0.8
    assert (metric.data, metric.n) == ("real", 23)
    assert not manifest.decision.unobservable


@pytest.mark.parametrize("name", ["hydraulic_valve", "hydraulic_accumulator"])
def test_what_they_do_not_tell_has_an_interval_below_the_declared_least(name: str) -> None:
    manifest = read_bundle(MODELS / name).manifest
    (metric,) = manifest.metrics
    assert metric.low is not None
    assert metric.low <= 0.8
    assert manifest.decision.unobservable.startswith("not observable")
