"""The recipe `barkhausen`, unedited: on waveform files, on a planted change, on faults, and in peace."""

import wave
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from insitu.config import load
from insitu.readers.simulated_barkhausen import Barkhausen
from insitu.run import run
from insitu.store.runs import StoredRun
from insitu.types import Frame, Record

SMALL: dict[str, Any] = {"samples": 20_000, "sample_rate": 2e5, "correlation_time": 5e-5, "coupling": 500.0}
DELAY = 20
"""Windows of 0.25 s (five cycles) within which the planted change must be told: it is of twice their scatter."""
MODELS = ("level", "peak", "signal", "pulses", "hum", "clipped")


def records(frames: int, **keys: Any) -> list[Record]:
    """What the recipe says of simulated windows."""
    pipeline, reader = load("barkhausen", inputs="unused").pipeline(), Barkhausen(**{**SMALL, **keys})
    arrivals = [reader.arrival(i) for i in range(frames)]
    told = [
        pipeline.step(Frame(seq=i, n=i, **{f.name: getattr(a, f.name) for f in fields(a)}))
        for i, a in enumerate(arrivals)
    ]
    assert not any(record.measurement.faults for record in told)
    return told


def alarms(told: list[Record], model: str) -> list[int]:
    return [i for i, record in enumerate(told) if record.verdicts[model].label != "normal"]


@pytest.mark.parametrize("seed", range(5))
def test_a_planted_change_of_stress_is_found_within_the_declared_delay(seed: int) -> None:
    told = records(90, samples=50_000, seed=seed, change_frame=60)
    for model, fell in (("level", False), ("peak", True)):
        found = alarms(told, model)
        assert found, model
        assert 60 <= found[0] <= 60 + DELAY, (model, found[0])
        verdict = told[found[-1]].verdicts[model]
        assert abs(verdict.scores["frame"] - 60) <= 6
        assert (verdict.scores["after"] < verdict.scores["before"]) is fell


def test_a_change_of_the_driving_rate_or_of_the_peak_alone_is_told_as_what_it_is() -> None:
    rate = records(110, seed=1, change_frame=60, change_c=1.7, change_peak=1.0, change_amplitude=1.0)
    assert 60 <= alarms(rate, "level")[0] <= 60 + DELAY
    assert not alarms(rate, "peak")
    peak = records(110, seed=1, change_frame=60, change_c=1.0, change_peak=0.8, change_amplitude=1.0)
    assert 60 <= alarms(peak, "peak")[0] <= 60 + DELAY
    assert not alarms(peak, "level")


@pytest.mark.parametrize("keys", [{}, {"with_field": False, "samples": 10_000, "seed": 3}])
def test_a_thousand_windows_in_peace_raise_no_alarm(keys: dict[str, Any]) -> None:
    told = records(1000, **{"samples": 10_000, **keys})
    assert {model: alarms(told, model) for model in MODELS} == {model: [] for model in MODELS}
    assert all(record.decision.action == 0 for record in told)


@pytest.mark.parametrize(
    ("fault", "models"),
    [
        ("amplifier_off@40-44", ("signal", "pulses")),
        ("amplifier_off@40-44=0", ("signal",)),
        ("clipped@40-44", ("clipped", "signal")),
        ("hum@40-44", ("hum",)),
        ("loose_probe@40-44=0.8", ("pulses",)),
        ("magnet_off@40-44", ("signal", "pulses")),
    ],
)
def test_a_fault_of_the_measurement_is_an_anomaly_of_the_windows_that_have_it(
    fault: str, models: tuple[str, ...]
) -> None:
    told = records(50, faults=(fault,))
    for model in models:
        bad = [i for i in alarms(told, model) if told[i].verdicts[model].label == "anomaly"]
        assert bad
        assert set(bad) <= set(range(40, 45)), (model, bad)
        assert len(bad) >= 3, (model, bad)
    assert told[44].spoke or "signal" not in models


def save(folder: Path, kind: str) -> Path:
    """One second of simulated noise and field as a file."""
    reader = Barkhausen(**SMALL)
    data = np.concatenate([reader.arrival(i).data for i in range(10)], axis=1)
    path = folder / f"noise.{kind}"
    if kind == "npz":
        np.savez(path, noise=data[0], field=data[1], sample_rate=2e5)
    elif kind == "csv":
        time = np.arange(data.shape[1]) / 2e5
        np.savetxt(path, np.column_stack([time, data.T]), delimiter=",", header="time (s),noise (V),field (A/m)",
                   comments="", fmt="%.7g")  # fmt: skip
    else:
        with wave.open(str(path), "wb") as file:
            file.setparams((1, 2, 200_000, 0, "NONE", ""))
            file.writeframes((data[0] * 30_000).astype("<i2").tobytes())
    return path


@pytest.mark.parametrize("kind", ["npz", "csv", "wav"])
def test_it_runs_on_any_waveform_file(kind: str, tmp_path: Path) -> None:
    # an archive of arrays says no units: the field's must be told
    sets = ['detector.reader.channel_units={ field = "A/m" }'] if kind == "npz" else []
    summary = run(load("barkhausen", inputs=str(save(tmp_path, kind)), sets=sets), data_root=tmp_path / "data")
    assert (summary.ended, summary.exit_code) == ("complete", 0)
    with StoredRun(Path(summary.path)) as stored:
        found = list(stored.records())
    assert found
    for record in found:
        assert not record.get("faults")
        features = record["features"]
        assert features["mbn_kurtosis"]["value"] > 3.0
        assert features["mbn_n_pulses"]["value"] > 1000
        if kind == "wav":
            assert "no channel of the field" in features["mbn_peak_field"]["why"]
        else:
            assert features["mbn_peak_field"]["value"] == pytest.approx(600.0, abs=60.0)
            assert features["mbn_rms"]["sigma"] > 0.0
