"""Extractors of machine channels: keys known beforehand, honest about what is missing, the same answers by name."""

from pathlib import Path

import numpy as np
import pytest

from insitu.errors import ConfigError
from insitu.features.channels import Channels
from insitu.features.stability import SteadyState
from insitu.features.vibration import VibrationFeatures
from insitu.types import Feature, Frame


def frame(data: np.ndarray, names: str = "", unit: str = "", mask: np.ndarray | None = None, **context: float) -> Frame:
    dims = ("channel", "sample") if data.ndim == 2 else ("sample",) if data.ndim == 1 else ("y", "x", "rgb")
    return Frame(
        source="line", data=data, dims=dims, unit=unit, time_ns=0, seq=0, n=0, mask=mask,
        labels={"channels": names} if names else {}, context={k: Feature(v, "Hz") for k, v in context.items()},
    )  # fmt: skip


EXTRACTORS = {
    "channels": lambda: Channels(n_channels=3),
    "vibration": lambda: VibrationFeatures(n_channels=3),
    "vibration in Hz": lambda: VibrationFeatures(
        channels=["a"], frequency="Hz", bands=[(1.0, 10.0)], carrier=(10.0, 40.0), name="v"
    ),
    "stability": lambda: SteadyState(n_channels=3, name="gate"),
}
HOSTILE = [
    np.zeros((2, 5)), np.full((3, 40), np.nan), np.full((1, 64), 1e300), np.arange(32.0), np.array([7.0]),
    np.zeros((4, 4, 3)), np.array([[0, 255]] * 2, np.uint8), np.full((2, 20), np.inf),
]  # fmt: skip


@pytest.mark.parametrize("kind", EXTRACTORS)
@pytest.mark.parametrize("data", HOSTILE, ids=lambda d: str(d.shape))
def test_every_frame_gives_exactly_the_declared_keys(kind: str, data: np.ndarray) -> None:
    extractor = EXTRACTORS[kind]()
    found = extractor(frame(data), {}, ())
    assert set(found) == set(extractor.outputs)
    assert all(found[key].unit == output.unit for key, output in extractor.outputs.items())


def test_channels_by_place_and_by_name_say_the_same() -> None:
    data = np.random.default_rng(0).normal(size=(2, 50))
    place = Channels(n_channels=4)(frame(data, "ts1 ce"), {}, ())
    name = Channels(channels=["ce"])(frame(data, "ts1 ce"), {}, ())
    assert place["c2_mean"] == name["ce_mean"]
    assert place["c3_mean"].why == "the frame has 2 channels"
    assert place["n_channels"] == Feature(2, "")
    assert "no channel 'ce'" in str(Channels(channels=["ce"])(frame(data, "ts1 p"), {}, ())["ce_mean"].why)


def test_padding_is_not_missing_and_missing_is_not_padding() -> None:
    data, mask = np.ones((2, 10)), np.zeros((2, 10), bool)
    data[0, 4:], mask[0, 4:] = 0.0, True  # a channel with four samples
    data[1, 0], mask[1, 0] = np.nan, True
    found = Channels(n_channels=2)(frame(data, mask=mask), {}, ())
    assert found["c1_missing"] == Feature(0.0, "")
    assert found["c1_mean"] == Feature(1.0, "")
    assert found["c2_missing"] == Feature(0.1, "")
    assert found["missing"].value == pytest.approx(1 / 14)
    held = VibrationFeatures(n_channels=2)(frame(np.tile(data, 3), mask=np.tile(mask, 3)), {}, ())
    assert "do not follow each other" in str(held["c2_rms"].why)


def test_numbers_of_a_real_rig_are_those_of_its_readme(data: Path) -> None:
    """Means over cycles of cooler state 3 (README of the data): TS1 54.57, CE 19.50, VS1 0.67."""
    held = np.load(data / "line" / "hydraulic_dev.npz")
    profile = np.genfromtxt(data / "line" / "hydraulic_dev_profile.csv", delimiter=",", names=True)
    at = np.flatnonzero(profile["cooler_pct"] == 3)
    measure = Channels(channels=["ts1", "ce", "vs1"])
    found = [measure(frame(np.stack([held[k][i] for k in ("TS1", "CE", "VS1")]), "ts1 ce vs1"), {}, ()) for i in at]
    means = [np.mean([float(f[f"{k}_mean"].value or 0.0) for f in found]) for k in ("ts1", "ce", "vs1")]
    assert means == pytest.approx([54.57, 19.50, 0.67], abs=0.006)


def test_hertz_need_a_rate_and_say_so() -> None:
    data = np.sin(2 * np.pi * 5.0 * np.arange(200) / 100.0)[None]
    measure = EXTRACTORS["vibration in Hz"]()
    assert measure(frame(data, "a"), {}, ())["v_a_rms"].why == "the sampling rate is not known"
    found = measure(frame(data, "a", sample_rate=100.0), {}, ())
    assert found["v_a_centre"].unit == "Hz"
    assert found["v_a_centre"].value == pytest.approx(5.0, abs=0.1)
    assert "above half" in str(measure(frame(data, "a", sample_rate=50.0), {}, ())["v_a_rms"].why)
    with pytest.raises(ConfigError, match="Hz"):
        VibrationFeatures(frequency="Hz")


def test_a_channel_in_another_unit_is_refused() -> None:
    found = Channels(n_channels=1, unit="bar")(frame(np.ones((1, 5)), unit="psi"), {}, ())
    assert "in 'psi'" in str(found["c1_mean"].why)


def test_the_gate_opens_for_what_is_steady_over_several_frames() -> None:
    rng = np.random.default_rng(4)
    level = [frame(np.full((1, 1), 5.0 + rng.normal(0.0, 0.1))) for _ in range(32)]
    rising = [frame(np.full((1, 1), 5.0 + 0.1 * i + rng.normal(0.0, 0.1))) for i in range(32)]
    gate = SteadyState(n_channels=1, before=31, smallest={"c1": 0.5})
    assert gate(level[-1], {}, level[:-1])["steady"] == Feature(1, "")
    assert gate(rising[-1], {}, rising[:-1])["steady"] == Feature(0, "")
    assert "16 are needed" in str(gate(level[0], {}, ())["steady"].why)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Channels(n_channels=0),
        lambda: Channels(channels=["TS1"]),
        lambda: Channels(channels=["a", "a"]),
        lambda: VibrationFeatures(bands=[(0.4, 0.6)]),
        lambda: SteadyState(error=0.0),
        lambda: SteadyState(channels=["a"], smallest={"b": 1.0}),
    ],
)
def test_impossible_settings_are_refused(make: object) -> None:
    with pytest.raises(ConfigError):
        make()  # type: ignore[operator]
