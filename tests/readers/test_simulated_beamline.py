"""The bench beamline: its physics without sockets."""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from insitu.errors import ConfigError
from insitu.readers.simulated_beamline import BenchSettings
from insitu.readers.simulated_beamline_bench import Bench
from insitu.readers.simulated_beamline_motion import Drive

STILL = {"ramp_K_s": 1e9, "lag_s": 0.0, "noise_K": 0.0}


CLOCK = itertools.count()


def heated(bench: Bench, kelvin: float) -> np.ndarray:
    """What it shows at a temperature; each call is a later one."""
    bench.go("furnace", kelvin, float(next(CLOCK)))
    return bench.expose(0, 0.1, float(next(CLOCK))).array.astype(float)


def test_a_furnace_lags_behind_its_ramp_as_the_equation_says() -> None:
    """dT/dt = (p - T)/lag, integrated in small steps instead."""
    drive = Drive(300.0, velocity=5.0, low=0.0, high=1000.0, unit="K", lag_s=2.0, deadband=0.1)
    drive.go(340.0, 0.0)
    programme, value, step = 300.0, 300.0, 1e-4
    for k in range(120_000):
        programme = min(340.0, programme + 5.0 * step)
        value += (programme - value) / 2.0 * step
        if k % 10_000 == 9_999:
            assert drive.at((k + 1) * step) == pytest.approx(value, abs=2e-3)
    assert not drive.done
    drive.at(30.0)
    assert drive.done
    drive.go(400.0, 30.0)
    drive.stop(31.0)
    assert drive.at(50.0) == drive.target == pytest.approx(drive.value)


@pytest.mark.parametrize(
    ("settings", "shape", "dtype"),
    [
        ({}, (4096,), "int32"),
        ({"image": (64, 96)}, (64, 96), "int32"),
        ({"sample": "nickel_oxidation"}, (3, 1000), "int32"),
        ({"sample": "grains"}, (128, 128), "uint8"),
    ],
    ids=["pattern", "image", "spectrum", "micrograph"],
)
def test_what_a_sample_shows_depends_on_its_temperature_and_on_the_light(
    settings: dict[str, Any], shape: tuple[int, ...], dtype: str
) -> None:
    bench = Bench(BenchSettings(**STILL, **settings))
    cold, again, hot = heated(bench, 380.0), heated(bench, 380.0), heated(bench, 405.0)
    assert (cold.shape, bench.sample.dtype.name) == (shape, dtype)
    assert np.array_equal(again, cold) or dtype == "uint8"  # chance is that of the frame's number
    assert np.mean(hot != cold) > 0.02
    bench.shutter = False
    assert heated(bench, 405.0).sum() < 0.02 * hot.sum()


def test_beside_the_sample_the_counter_behind_it_sees_more() -> None:
    bench = Bench(BenchSettings(**STILL))
    there = bench.expose(0, 0.1, 0.0)
    bench.go("x", 9.0, 0.0)
    beside = bench.expose(1, 0.1, 60.0)
    assert beside.array.max() < 0.1 * there.array.max()
    assert there.counters["itrans"] / there.counters["i0"] == pytest.approx(0.6, rel=0.02)
    assert beside.counters["itrans"] / beside.counters["i0"] == pytest.approx(1.0, rel=0.02)


def test_an_absorption_edge_is_scanned_point_by_point() -> None:
    bench = Bench(BenchSettings(sample="nickel_oxidation", **STILL))
    mu = []
    for k, energy in enumerate((8300.0, 8400.0)):
        bench.go("energy", energy, 100.0 * k)
        counted = bench.count(0, 0.1, 100.0 * k + 50.0)
        mu.append(np.log(counted["i0"] / counted["itrans"]))
    assert mu[1] - mu[0] > 0.8  # an edge step of 1


@pytest.mark.parametrize(
    ("fault", "seen"),
    [
        ("beam_loss@0", lambda f: f.array.max() < 20 and f.counters["i0"] == 0),
        ("shutter@0", lambda f: f.array.max() < 20 and f.counters["i0"] > 90_000),
        ("saturation@0", lambda f: f.array.max() == 100_000),
        ("lost_sample@0", lambda f: 20 < f.array.max() < 200 and f.counters["itrans"] > 90_000),
        ("dead@0=7", lambda f: set(f.array.tolist()) == {7}),
        ("shape@0", lambda f: f.array.shape == (2048,)),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_a_fault_by_option_is_seen_in_its_frames_alone(fault: str, seen: Callable[[Any], bool]) -> None:
    bench = Bench(BenchSettings(faults=(f"{fault.replace('@0', '@3-4')}",), **STILL))
    assert [seen(bench.expose(k, 0.1, float(k))) for k in range(6)] == [False] * 3 + [True] * 2 + [False]


def test_a_motor_with_the_fault_says_that_it_is_done_half_way() -> None:
    bench = Bench(BenchSettings(faults=("early@0-9",), motor_mm_s=1.0))
    bench.go("x", 10.0, 0.0)
    bench.where("x", 4.0)
    assert not bench.arrived("x", 0)
    bench.where("x", 5.1)
    assert bench.arrived("x", 0)
    assert not bench.arrived("x", 10)


def test_a_real_series_is_played_as_it_was_measured(data) -> None:
    """CuCr2O4: at the temperature of a file the array is the file's; between two, the mixture of both."""
    from insitu.readers.diffraction import Patterns

    folder = data / "xrd/series_cucr2o4_7-289K"
    bench = Bench(BenchSettings(play=str(folder), **STILL))
    files = sorted(
        (a for a in Patterns(str(folder))() if a is not None),
        key=lambda a: a.context["temperature"].value,  # type: ignore[union-attr]
    )
    first, second = files[4:6]
    kelvin = [float(f.context["temperature"].value) for f in (first, second)]  # type: ignore[union-attr]
    assert np.array_equal(heated(bench, kelvin[0]), first.data)  # type: ignore[union-attr]
    between = heated(bench, 0.25 * kelvin[0] + 0.75 * kelvin[1])
    assert between == pytest.approx(0.25 * first.data + 0.75 * second.data)  # type: ignore[union-attr]
    bench = Bench(BenchSettings(play=f"{folder}/OH_0*.fxye", along="index", **STILL))
    bench.go("index", 1.0, 0.0)
    assert np.array_equal(bench.expose(0, 0.1, 60.0).array, next(iter(Patterns(f"{folder}/OH_04.fxye")())).data)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("keys", "where"),
    [
        ({"prefix": "a b"}, "prefix"), ({"prefix": "x" * 40}, "prefix"), ({"faults": ("melted@3",)}, "faults"),
        ({"faults": ("beam_loss@3=7",)}, "faults"), ({"exposure_s": 0.0}, "exposure_s"), ({"lag_s": -1.0}, "lag_s"),
        ({"image": (4, 4)}, "image"), ({"start_K": 0.0}, "start_K"), ({"sample": "cheese"}, "sample"),
        ({"sample": "grains", "image": (64, 64)}, "image"), ({"play": ".", "reader": "nobody"}, "reader"),
        ({"play": "no/such/place"}, "play"), ({"along": "x"}, "along"), ({"along": "A b"}, "along"),
    ],
    ids=lambda v: str(v)[:30],
)  # fmt: skip
def test_impossible_settings_are_refused(keys: dict[str, Any], where: str) -> None:
    with pytest.raises(ConfigError) as e:
        Bench(BenchSettings(**keys))
    assert e.value.where == where


def test_files_without_a_temperature_cannot_be_played(tmp_path) -> None:
    (tmp_path / "a.xy").write_text("".join(f"{20 + 0.01 * k:.2f} {k % 7}\n" for k in range(100)))
    with pytest.raises(ConfigError, match=r"a\.xy has no temperature"):
        Bench(BenchSettings(play=str(tmp_path)))


# ---- the IOC ----
