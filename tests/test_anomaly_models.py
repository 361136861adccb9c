"""The shipped anomaly scores: planted faults of the simulators are found, good frames are left in peace.

A sample; `insitu.training.anomaly` measures all of them, and their manifests hold the figures.
"""

from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from insitu.features.loop import Loop
from insitu.inference.onnx_verdict import Network
from insitu.models.bundle import read_bundle
from insitu.readers.loops import Loops
from insitu.training.anomaly import measured
from insitu.training.anomaly_kinds import KINDS
from insitu.training.measured import measurements
from insitu.types import Arrival, Measurement

MODELS = Path(__file__).parents[1] / "pipelines" / "models"
NAMES = tuple(KINDS)


def labels(network: Network, told: list[Measurement]) -> list[str]:
    return [verdict.label for m in told if (verdict := network(m)) is not None]


@pytest.mark.parametrize("name", NAMES)
def test_the_manifest_says_simulated_and_holds_its_figures(name: str) -> None:
    manifest = read_bundle(MODELS / f"{name}_anomaly").manifest
    metrics = {m.name: m for m in manifest.metrics}
    assert "SIMULATED" in manifest.description
    assert {m.data for m in manifest.metrics} == {"simulated"}
    assert metrics["false_alarms"].value == 0.0
    assert metrics["faults_found"].value == 1.0
    assert manifest.decision.false_alarms == 1e-5


@pytest.mark.parametrize(
    ("name", "frames"), [("line", 60), ("barkhausen", 4), ("loops", 6), ("core", 10), ("video", 20)]
)
def test_good_frames_of_other_series_are_normal(name: str, frames: int) -> None:
    kind, network = KINDS[name], Network(bundle=MODELS / f"{name}_anomaly", prefix=f"{name}_anomaly")
    for of in kind.simulators:
        for seed in (70_001, 70_002):
            told = list(islice(measured(kind, of, seed, frames), kind.skip, None))
            assert set(labels(network, told)) <= {"normal"}, (of.name, seed)


@pytest.mark.parametrize("name", ["line", "loops", "core", "video"])
def test_planted_faults_are_found(name: str) -> None:
    kind, network = KINDS[name], Network(bundle=MODELS / f"{name}_anomaly")
    first = kind.skip + 1
    for of in kind.simulators:
        for fault, lasts in of.faults.items():
            frames = first + min(lasts, 5)
            what, _, strength = fault.partition("=")
            strength = "100" if (name, what) == ("line", "drift") else strength
            text = f"{what}@{first}-{frames - 1}" + (f"={strength}" if strength else "")
            said = labels(network, list(measured(kind, of, 70_003, frames, [text]))[first:])
            assert set(said) & {"anomaly", "unknown"}, (of.name, fault)


def test_measured_loops_that_are_clipped_are_flagged(data: Path) -> None:
    network = Network(bundle=MODELS / "loops_anomaly")
    folder = data / "magnetic" / "vsm"
    arrivals = [a for path in sorted(folder.glob("hyst_*.csv")) for a in Loops(str(path))() if isinstance(a, Arrival)]
    good = list(measurements(arrivals, [Loop()]))
    assert all(m.features["curve_ok"].value == 1 for m in good)
    spoilt = []
    for arrival in arrivals:
        clipped = np.array(arrival.data)
        top = 0.6 * np.abs(clipped[1]).max()
        clipped[1] = np.clip(clipped[1], -top, top)
        spoilt.append(replace(arrival, data=clipped))
    said = labels(network, list(measurements(spoilt, [Loop()])))
    assert set(said) <= {"anomaly", "unknown"}
    assert len(said) == len(arrivals)
