"""The shipped XAFS networks on real spectra: what their manifests say, tried."""

from pathlib import Path

import numpy as np
import pytest

from insitu import catalog
from insitu.features.xafs_edge import EdgeFeatures
from insitu.features.xafs_foil import Foil
from insitu.features.xafs_quality import Quality
from insitu.inference.onnx import Onnx
from insitu.inference.onnx_verdict import Network
from insitu.prepare.absorption import Absorption
from insitu.readers.simulated_xas import XasBeamline
from insitu.training import trials
from insitu.types import Frame, Measurement, Verdict
from tests import xafs

SHIPPED = catalog.shipped_folder("pipelines") / "models"
ABSORPTION, EXTRACTORS = Absorption(), (EdgeFeatures(), Quality(), Foil())


@pytest.fixture(scope="module")
def valence() -> Onnx:
    return Onnx(bundle=SHIPPED / "xanes_oxidation")


def told(extractor: Onnx, frame: Frame) -> tuple[float | None, float, str]:
    """Valence, uncertainty, and why there is none."""
    feature = extractor(frame, {}, ())["xanes_oxidation_valence"]
    return feature.value, feature.sigma or 0.0, feature.why or ""  # type: ignore[union-attr]


def judged(model: Network, frame: Frame) -> Verdict:
    """What a model that works on features says of a frame."""
    prepare = [] if frame.dims == ("energy",) else [ABSORPTION]
    measurement = trials.measurement(frame, prepare, EXTRACTORS)
    return model(measurement) or Verdict(label="unknown", reason="nothing said")


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("xaslib/Mn/MnO_rt_01.xdi", 2.0),
        ("xaslib/Mn/MnO2_rt_01.xdi", 4.0),
        ("xaslib/Cr/k2cr2o7_rt_001.xdi", 6.0),
        ("xaslib/Fe/Fe2O3_rt_01.xdi", 3.0),
        ("xaslib/V/V2O5.xdi", 5.0),
        ("xaslib/Cu/Cu2S_13K_01.xdi", 1.0),
    ],
)
def test_the_valence_of_the_library_comes_out_within_its_uncertainty(
    valence: Onnx, data: Path, file: str, expected: float
) -> None:
    """Compounds of the training: what the network does with others stands in its manifest, and below."""
    (frame,) = xafs.prepared(data / "xafs" / file)
    value, sigma, _ = told(valence, frame)
    assert value == pytest.approx(expected, abs=max(0.4, 2.0 * sigma))
    assert 0.05 < sigma < 1.5


def test_the_manifest_tells_the_error_of_compounds_left_out(valence: Onnx) -> None:
    metrics = {m.name: m for m in valence.manifest.metrics}
    error = metrics["mean_absolute_error"]
    assert (error.data, error.n) == ("real", 31)
    assert error.low is not None
    assert error.high is not None
    assert error.low < error.value < error.high < 0.6
    assert 0.5 < metrics["within_1_sigma"].value < 0.85
    assert metrics["within_2_sigma"].value > 0.85
    assert {f"mean_absolute_error_{e}" for e in ("Mn", "Fe", "Cr", "V", "Cu")} <= set(metrics)


def test_a_mixture_is_told_between_its_components(valence: Onnx, data: Path) -> None:
    folder = data / "xafs" / "xaslib" / "Fe"
    (low,), (high,) = xafs.prepared(folder / "FeO_rt_01.xdi"), xafs.prepared(folder / "Fe2O3_rt_01.xdi")
    energy = low.axes["energy"].values
    ends = [told(valence, f)[0] for f in (low, high)]
    steps = [xafs.value(EdgeFeatures()(f, {}, ())["edge_step"]) for f in (low, high)]
    other = np.interp(energy, high.axes["energy"].values, np.asarray(high.data))
    mixed = 0.5 * np.asarray(low.data) / steps[0] + 0.5 * other / steps[1]
    value, sigma, _ = told(valence, xafs.spectrum(energy, mixed, labels={"element": "Fe", "edge": "K"}))
    assert ends[0] is not None
    assert ends[1] is not None
    assert value is not None
    assert ends[0] < value < ends[1]
    assert abs(value - 2.5) < max(0.4, 2.0 * sigma)


def test_other_elements_are_unknown(valence: Onnx, data: Path) -> None:
    """Nickel: the operando series. It is not asked what valence it has."""
    file = sorted((data / "xafs" / "series_lno_ni_k_operando").glob("norm*"))[0]
    (frame,) = xafs.prepared(file)
    value, _, why = told(valence, frame)
    assert value is None
    assert "Ni" in why
    verdict = Network(bundle=SHIPPED / "xanes_oxidation")(
        Measurement(source="xas", seq=0, n=0, time_ns=0, features=dict(valence(frame, {}, ())))  # type: ignore[arg-type]
    )
    assert verdict is not None
    assert verdict.label == "unknown"


def test_the_glitch_file_is_an_anomaly_and_normal_files_of_its_beamline_are_not(data: Path) -> None:
    model = Network(bundle=SHIPPED / "xafs_anomaly")
    folder = data / "xafs" / "glitch_dnd"
    for file in sorted(folder.glob("dnd_*.dat")):
        (frame,) = xafs.frames(file)
        verdict = judged(model, frame)
        assert verdict.label == ("anomaly" if "glitch" in file.name else "normal"), (file.name, verdict.reason)


def test_normal_files_of_other_beamlines_are_normal(data: Path) -> None:
    model = Network(bundle=SHIPPED / "xafs_anomaly")
    for name in ("APS10BM_2019.dat", "APS20BM_2001.dat", "CLSHXMA.dat", "PF9A_2022.dat", "SSRL1_2006.dat"):
        (frame,) = xafs.frames(data / "xafs" / "beamline_formats" / name)
        assert judged(model, frame).label == "normal", name


@pytest.mark.parametrize("fault", ["", "beam_loss", "glitch", "energy_jump", "sample_moved", "saturated"])
def test_planted_faults_of_the_simulated_beamline_are_found(fault: str) -> None:
    """A sample of what the training script runs over 30,000 clean spectra; seeds of its own."""
    model = Network(bundle=SHIPPED / "xafs_session_anomaly")
    for sample in ("nickel_oxidation", "chromium_reduction", "iron_reduction"):
        reader = XasBeamline(seed=4711, sample=sample, faults=(f"{fault}@0",) if fault else ())  # type: ignore[arg-type]
        for frame in trials.frames(reader, 0, 3, 40):
            assert (judged(model, frame).label == "normal") == (not fault), sample
