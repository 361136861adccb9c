"""The shipped anomaly scores: planted faults of the simulators are found, good frames are left in peace.

A sample; `insitu.training.anomaly` measures all of them, and their manifests hold the figures.
"""

from itertools import islice
from pathlib import Path

import pytest

from insitu import readers
from insitu.inference.onnx_verdict import Network
from insitu.models.bundle import read_bundle
from insitu.training import anomaly_beams
from insitu.training.anomaly import measured
from insitu.training.anomaly_kinds import KINDS, vsm
from insitu.training.measured import measurements
from insitu.types import Measurement
from tests import clean_networks

MODELS = Path(__file__).parents[1] / "pipelines" / "models"
NAMES = tuple(KINDS)
CLEAN = {"simulated.furnace": 600, "simulated.line": 60}
"""Frames of the sample, of the fast ones; 30 of the others."""


def labels(network: Network, told: list[Measurement]) -> list[str]:
    return [verdict.label for m in told if (verdict := network(m)) is not None]


@pytest.mark.parametrize("name", NAMES)
def test_the_manifest_says_simulated_and_holds_its_figures(name: str) -> None:
    manifest = read_bundle(MODELS / f"{name}_anomaly").manifest
    metrics = {m.name: m for m in manifest.metrics}
    assert "SIMULATED" in manifest.description
    assert {m.data for m in manifest.metrics} == ({"simulated", "real"} if KINDS[name].real else {"simulated"})
    assert metrics["false_alarms"].value == 0.0
    assert metrics["false_alarms"].n >= 500
    assert metrics["faults_found"].value == 1.0
    assert metrics["faults_found"].n >= sum(len(of.faults) for of in KINDS[name].simulators)
    assert manifest.decision.false_alarms is not None
    assert manifest.decision.false_alarms <= 1e-5


def test_every_registered_simulator_has_a_network_or_a_recipe_that_finds_its_faults() -> None:
    assert set(clean_networks.READERS) == {name for name in readers.READERS if name.startswith("simulated.")}


@pytest.mark.parametrize("reader", list(clean_networks.READERS))
def test_clean_frames_of_every_simulator_are_normal(reader: str) -> None:
    """A few of those of `make prove` (`--networks`), 30,000 of each."""
    found = clean_networks.clean(reader, 77, CLEAN.get(reader, 30))
    assert found == {"frames": found["frames"]}
    assert found["frames"] >= 30


@pytest.mark.parametrize("name", NAMES)
def test_planted_faults_are_found(name: str) -> None:
    kind, network = KINDS[name], Network(bundle=MODELS / f"{name}_anomaly")
    first = kind.skip + 1
    for of in kind.simulators:
        for fault, lasts in of.faults.items():
            frames = first + min(lasts, 10)
            what, _, strength = fault.partition("=")
            strength = "100" if (name, what) == ("line", "drift") else strength
            text = f"{what}@{first}-{frames - 1}" + (f"={strength}" if strength else "")
            said = labels(network, list(measured(kind, of, 70_003, frames, [text]))[first:])
            assert set(said) & {"anomaly", "unknown"}, (of.name, fault)


def test_the_geometry_beside_the_script_is_that_of_the_simulated_detector() -> None:
    from insitu.readers.simulated_image import AreaDetector

    assert anomaly_beams.PONI.read_text() == AreaDetector(**anomaly_beams.AREA, frames=1).poni()


def test_good_measured_loops_are_normal(data: Path) -> None:
    """Of six rocks; none was learnt from, and none set the threshold."""
    network, kind = Network(bundle=MODELS / "loops_anomaly"), KINDS["loops"]
    assert labels(network, list(islice(measurements(vsm(data), kind.extractors()), 6))) == ["normal"] * 6
