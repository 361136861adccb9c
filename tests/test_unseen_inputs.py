"""Shipped networks on inputs that no training saw: other gains, units, dead and stuck channels, other pictures,
energies that are far off. They say so, or are right."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from insitu.features.channels import Channels
from insitu.features.vibration import VibrationFeatures
from insitu.inference.onnx import Onnx
from insitu.inference.onnx_verdict import Network
from insitu.readers.line import Line
from insitu.readers.waveforms import Waveforms
from insitu.training import hydraulic, trials
from insitu.training.xas_library import spectra
from insitu.types import Arrival, Axis, Extractor, Feature, Frame

MODELS = Path(__file__).resolve().parent.parent / "pipelines" / "models"


def said(name: str, frame: Frame, extractors: list[Extractor], **keys) -> tuple[str, str]:
    verdict = Network(bundle=MODELS / name, **keys)(trials.measurement(frame, [], extractors))
    assert verdict is not None
    return verdict.label, verdict.reason


def changed(frame: Frame, row: int, change: Callable[[np.ndarray], np.ndarray]) -> Frame:
    data = np.array(frame.data, np.float64)
    data[row] = change(data[row])
    return dataclasses.replace(frame, data=data)


@pytest.fixture(scope="module")
def window(data: Path) -> Frame:
    arrivals = Waveforms(str(data / "line" / "gearbox" / "b30hz30.npy"), window=Feature(2000, ""))()
    return trials.frame_of(next(a for a in arrivals if isinstance(a, Arrival)), 0)


@pytest.mark.parametrize("factor", [0.001, 0.5, 1.0, 2.0, 9.81])
def test_a_gearbox_in_another_unit_is_unknown(window: Frame, factor: float) -> None:
    frame = dataclasses.replace(window, data=window.data * np.float32(factor))
    label, reason = said("gearbox_state", frame, [VibrationFeatures(n_channels=4)], normal=["healthy"])
    assert label == ("anomaly" if factor == 1.0 else "unknown")
    assert ("far outside" in reason) == (factor != 1.0)


def test_an_accelerometer_that_gives_only_noise_makes_the_gearbox_unknown(window: Frame) -> None:
    random = np.random.default_rng(0)
    frame = changed(window, 1, lambda row: random.normal(0.0, 0.01, row.size))
    label, reason = said("gearbox_state", frame, [VibrationFeatures(n_channels=4)], normal=["healthy"])
    assert (label, "c2_rms" in reason) == ("unknown", True)


@pytest.mark.parametrize("component", ["cooler", "pump"])
def test_a_dead_a_stuck_and_a_rescaled_sensor_make_the_rig_unknown(data: Path, component: str) -> None:
    arrivals = Line(str(data / "line" / "hydraulic_dev.npz"), cycle_time=60.0)()
    frame = trials.frame_of(next(a for a in arrivals if isinstance(a, Arrival)), 0)
    measure: list[Extractor] = [Channels(channels=hydraulic.CHANNELS)]
    assert said(f"hydraulic_{component}", frame, measure)[0] != "unknown"
    row = hydraulic.CHANNELS.index("cp")
    changes: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "dead": lambda x: 0.0 * x, "stuck": lambda x: 0.0 * x + np.nanmean(x), "in W": lambda x: 1000.0 * x,
    }  # fmt: skip
    for how, change in changes.items():
        label, reason = said(f"hydraulic_{component}", changed(frame, row, change), measure)
        assert label == "unknown", how
        assert "cp_" in reason, how


@pytest.mark.parametrize(("name", "label"), [("picture", "normal"), ("noise", "unknown"), ("foam", "unknown")])
def test_a_picture_of_something_else_is_unclear(data: Path, name: str, label: str) -> None:
    from skimage import io

    folder = data / "video"
    images = {
        "picture": io.imread(folder / "superalloy_dev" / "spot3_0d_3.png")[:256, :256],
        "noise": np.random.default_rng(0).integers(0, 255, (256, 256)).astype(np.uint8),
        "foam": io.imread(folder / "foam_dev" / "foam_01.png"),
    }
    frame = Frame(source="video", data=images[name], dims=("y", "x"), unit="counts", time_ns=0, seq=0, n=0)
    assert said("precipitates", frame, [Onnx(bundle=MODELS / "precipitates")])[0] == label


@pytest.mark.parametrize("shift", [-20.0, -10.0, 0.0, 1.0, 10.0, 20.0])
def test_energies_that_are_far_off_give_no_valence(data: Path, shift: float) -> None:
    (frame,) = spectra(data / "xafs" / "columns_misc" / "fe2o3_rt1.xmu")
    axes = {**frame.axes, "energy": Axis(np.asarray(frame.axes["energy"].values) + shift, "eV")}
    moved = dataclasses.replace(frame, axes=axes)
    label, reason = said("xanes_oxidation", moved, [Onnx(bundle=MODELS / "xanes_oxidation")])
    assert label == ("normal" if abs(shift) < 5.0 else "unknown"), reason
