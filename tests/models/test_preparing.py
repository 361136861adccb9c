"""What networks see: the same numbers whatever the instrument, or a sentence why there are none."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from insitu.errors import ModelError
from insitu.maths.absorption.edges import edge_of
from insitu.maths.resample import bin_means, covered, means_between
from insitu.models.preparing import PREPARATIONS, VERSIONS, Prepared, digest, preparation
from insitu.models.preparing_image import image
from insitu.models.preparing_pattern import middles, pattern
from insitu.models.preparing_spectrum import spectrum
from insitu.models.preparing_waveform import waveform
from insitu.types import Axis, Feature, Frame, Measurement
from tests import patterns, xafs


def values(prepared: Prepared) -> np.ndarray:
    """The input, which must be there and as promised."""
    x = prepared.input
    assert x is not None, prepared.why
    assert x.dtype == np.float32
    assert x.flags.c_contiguous
    assert np.isfinite(x).all()
    return x


def picture(data: np.ndarray, **more) -> Frame:
    dims = ("y", "x") if data.ndim == 2 else ("y", "x", "channel")
    return Frame(source="cam", data=data, dims=dims, unit="counts", time_ns=0, seq=0, n=0, **more)


def sound(data: np.ndarray, rate: float | None = 1000.0, **more) -> Frame:
    context = {} if rate is None else {"sample_rate": Feature(rate, "Hz")}
    dims = ("sample",) if data.ndim == 1 else ("channel", "sample")
    return Frame(source="adc", data=data, dims=dims, unit="V", time_ns=0, seq=0, n=0, context=context, **more)


@given(st.integers(2, 60), st.integers(1, 40), st.integers(0, 2**32 - 1))
@settings(max_examples=50)
def test_means_keep_the_area(n: int, bins: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = np.cumsum(rng.uniform(0.1, 2.0, n))
    y = rng.normal(size=n)
    edges = np.linspace(x[0], x[-1], bins + 1)
    found = means_between(x, y, edges)
    assert np.sum(found * np.diff(edges)) == pytest.approx(np.trapezoid(y, x), abs=1e-9)
    assert np.mean(bin_means(y, bins)) == pytest.approx(y.mean(), abs=1e-12)


def test_a_finer_grid_is_straight_lines_and_a_hole_is_seen() -> None:
    x = np.array([0.0, 1.0, 2.0, 6.0, 7.0])
    edges = np.linspace(0.0, 7.0, 71)
    assert means_between(x, 3.0 * x + 1.0, edges) == pytest.approx(3.0 * (edges[1:] + edges[:-1]) / 2.0 + 1.0)
    seen = covered(x, edges, 2.0)
    assert seen[:20].all()
    assert not seen[20:60].any()
    assert seen[60:].all()


def test_one_substance_looks_alike_from_two_instruments() -> None:
    """CeO2 simulated for a tube and for a synchrotron: lines at the same Q."""
    params = {"low": 1.5, "high": 5.5, "points": 512, "background": 20}
    frames = []
    for wavelength in (1.5406, 0.7093):
        q = np.array([2.011, 2.322, 3.284, 3.851, 4.022, 4.644, 5.061, 5.192])
        axis = np.arange(10.0, 95.0, 0.01)
        at = 2.0 * np.degrees(np.arcsin(q * wavelength / (4.0 * np.pi)))
        y = 50.0 + sum(1000.0 / (k + 1) * np.exp(-0.5 * ((axis - a) / 0.04) ** 2) for k, a in enumerate(at))
        frames.append(patterns.frame(axis, y, wavelength=wavelength))
    one, other = (values(pattern(f, **params))[0] for f in frames)
    tops = [float(middles(1.5, 5.5, 512)[np.argmax(row)]) for row in (one, other)]
    assert tops == pytest.approx([2.011, 2.011], abs=0.01)
    assert np.corrcoef(one, other)[0, 1] > 0.8


@pytest.fixture(scope="module")
def chromite(data: Path) -> list[Frame]:
    return list(patterns.copper_chromite(data).values())[::8]


@pytest.mark.parametrize("grid", ["q", "d", "two_theta"])
@pytest.mark.parametrize("normalise", ["max", "robust", "area"])
@pytest.mark.parametrize("scale", ["linear", "sqrt", "log"])
def test_real_patterns_come_on_every_grid(chromite: list[Frame], grid: str, normalise: str, scale: str) -> None:
    low, high = {"q": (1.0, 6.0), "d": (1.0, 5.0), "two_theta": (5.0, 20.0)}[grid]
    rows = [
        values(pattern(f, grid=grid, low=low, high=high, points=300, normalise=normalise, scale=scale, background=10))  # type: ignore[arg-type]
        for f in chromite
    ]
    assert all(row.shape == (1, 300) for row in rows)
    if normalise == "max":
        assert all(float(row.max()) == 1.0 for row in rows)


def test_what_is_not_covered_is_told_and_marked() -> None:
    x = np.arange(10.0, 40.0, 0.02)
    y = 100.0 + 50.0 * np.sin(x) ** 2
    f = patterns.frame(x, y, wavelength=1.5406)
    assert "covers q = 0.7109 to 2.788 1/angstrom, 32 % of 0.8 to 7: the network needs 60 %" in pattern(f, high=7.0).why
    both = values(pattern(f, high=7.0, coverage=0.2, cover=True))
    assert both.shape == (2, 1024)
    assert set(np.unique(both[1])) == {0.0, 1.0}
    assert not both[0][both[1] == 0.0].any()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"context": {}}, "the wavelength is not known"),
        ({"data": np.full(1500, np.nan)}, "only 0 points can be used"),
        ({"data": np.full(1500, 7.0)}, "the same everywhere"),
        ({"mask": np.ones(1500, bool)}, "only 0 points can be used"),
        ({"dims": ("x",), "axes": {}}, "not over two_theta"),
        ({"context": {"wavelength": Feature(0.15, "nm")}}, "expected angstrom"),
    ],
)
def test_patterns_that_are_of_no_use_say_why(change: dict, says: str) -> None:
    x = np.arange(10.0, 40.0, 0.02)
    f = replace(patterns.frame(x, 100.0 + np.sin(x), wavelength=0.7), **change)
    prepared = pattern(f, low=1.6, high=5.0)
    assert prepared.input is None
    assert says in prepared.why


def test_masked_points_do_not_matter() -> None:
    x = np.arange(10.0, 40.0, 0.02)
    y = 100.0 + 50.0 * np.sin(x) ** 2
    clean = patterns.frame(x, y, wavelength=1.0)
    mask = np.zeros(x.size, bool)
    mask[500:503] = True
    spoilt = np.where(mask, 1e7, y)
    one, other = (values(pattern(f, high=4.0)) for f in (clean, replace(clean, data=spoilt, mask=mask)))
    assert np.abs(one - other).max() < 1e-3


@pytest.mark.parametrize("element", ["Fe", "Mn", "Cu"])
def test_real_spectra_are_normalised_about_their_edge(data: Path, element: str) -> None:
    at = edge_of(element)
    found = 0
    for path in sorted((data / "xafs" / "xaslib" / element).glob("*.xdi"))[:6]:
        for f in xafs.prepared(path):
            prepared = spectrum(f, elements=("Cr", "Cu", "Fe", "Mn", "V"), derivative=True)
            if prepared.input is None:
                assert prepared.why
                continue
            rows = values(prepared)
            found += 1
            assert rows.shape == (7, 160)
            assert abs(float(rows[0][:10].mean())) < 0.3
            assert 0.6 < float(rows[0][-20:].mean()) < 1.4
            assert rows[2:].sum() == 160.0
            assert rows[2 + ("Cr", "Cu", "Fe", "Mn", "V").index(element)].all()
    assert found >= 3, at


def test_a_shifted_edge_is_seen_as_shifted() -> None:
    steps = []
    for e0 in (7112.0, 7115.0):
        row = values(spectrum(xafs.computed(e0, labels={"element": "Fe", "edge": "K"}), low=-20.0, high=60.0))[0]
        steps.append(float(np.interp(0.5, row[: int(np.argmax(row))], np.arange(int(np.argmax(row))) * 0.5)))
    assert steps[1] - steps[0] == pytest.approx(3.0, abs=0.3)


def test_spectra_that_are_of_no_use_say_why() -> None:
    f = xafs.computed(7112.0, labels={"element": "Fe", "edge": "K"})
    assert "the network knows Cu" in spectrum(f, elements=("Cu",)).why
    assert "the network needs 95 %" in spectrum(f, high=5000.0).why
    assert "expected eV" in spectrum(replace(f, axes={"energy": Axis(f.axes["energy"].values, "keV")})).why
    assert spectrum(replace(f, data=np.full(f.data.shape, np.nan))).why
    assert "make mu(E)" in spectrum(xafs.scan(f.axes["energy"].values, {"i0": f.data, "it": f.data})).why


def test_images_come_normalised_in_any_type() -> None:
    rng = np.random.default_rng(0)
    grey = rng.normal(100.0, 20.0, (64, 48))
    one = values(image(picture(np.clip(grey, 0, 255).astype(np.uint8))))
    brighter = values(image(picture((np.clip(grey, 0, 255) * 200.0 + 7.0).astype(np.uint16))))
    assert one.shape == (1, 64, 48)
    assert np.abs(one - brighter).max() < 0.03
    assert values(image(picture(grey), shrink=4)).shape == (1, 16, 12)
    small = values(image(picture(grey), size=(10, 9), normalise="standard"))
    assert small.shape == (1, 10, 9)
    assert float(small.mean()) == pytest.approx(0.0, abs=1e-5)
    assert values(image(picture(np.stack([grey] * 3, axis=2)), normalise="range")).max() == pytest.approx(1.0)
    tilted = picture(grey + 3.0 * np.arange(48.0))
    assert abs(np.corrcoef(values(image(tilted, flatten=16))[0].mean(axis=0), np.arange(48.0))[0, 1]) < 0.5


def test_images_that_are_of_no_use_say_why() -> None:
    grey = np.random.default_rng(0).normal(100.0, 20.0, (32, 32))
    assert "one brightness" in image(picture(np.full((32, 32), 9, np.uint8))).why
    assert "more than half" in image(picture(np.full((32, 32), np.nan))).why
    assert "fewer than" in image(picture(grey), size=(64, 64)).why
    assert "too few" in image(picture(grey), shrink=16).why
    mask = np.zeros((32, 32), bool)
    mask[4:8, 4:8] = True
    filled = values(image(picture(np.where(mask, np.nan, grey))))
    assert np.array_equal(filled, values(image(picture(np.where(mask, 1e9, grey), mask=mask))))


def test_waveforms_come_with_a_fixed_number_of_points() -> None:
    t = np.arange(4096) / 1000.0
    tone = np.sin(2.0 * np.pi * 125.0 * t)
    f = sound(np.stack([tone, 3.0 + 0.0 * t]), labels={"channels": "a b"})
    both = values(waveform(f, points=64))
    assert both.shape == (2, 64)
    assert not both[1].any()
    assert np.array_equal(values(waveform(f, channels=("b", "a"), points=64))[1], both[0])
    assert values(waveform(f, channels=("a",), points=100, kind="samples", normalise="none")) == pytest.approx(
        tone[None, :100].astype(np.float32)
    )
    assert values(waveform(f, channels=("a",), points=16, kind="rms", normalise="none")) == pytest.approx(
        np.sqrt(0.5), abs=0.01
    )
    bands = values(waveform(f, channels=("a",), points=20, kind="bands", low=10.0, high=400.0, normalise="none"))[0]
    edges = np.geomspace(10.0, 400.0, 21)
    assert edges[np.argmax(bands)] <= 125.0 <= edges[np.argmax(bands) + 1]
    assert float(np.sum(bands * np.diff(edges))) == pytest.approx(0.5, rel=0.01)  # the power of a tone
    short = values(waveform(sound(tone[:40]), points=64, normalise="none"))
    assert short.shape == (1, 64)


def test_waveforms_that_are_of_no_use_say_why() -> None:
    x = np.random.default_rng(0).normal(size=200)
    assert "no channel 'z'" in waveform(sound(x), channels=("z",)).why
    assert "the network needs 1024" in waveform(sound(x), kind="samples").why
    assert "rate of the channel c1 is not known" in waveform(sound(x, None), kind="bands", low=10.0, high=100.0).why
    assert "need at least 2000 samples a second" in waveform(sound(x), kind="bands", low=10.0, high=1000.0).why
    assert "the frame has 0.2 s" in waveform(sound(x), kind="bands", low=1.0, high=100.0).why
    assert "not finite" in waveform(sound(np.where(x > 0, x, np.nan))).why


def test_features_are_taken_by_name_and_order() -> None:
    m = Measurement(
        source="det", seq=0, n=0, time_ns=0,
        features={"a": Feature(2.0, "V"), "b": Feature(None, "V", why="too few samples"), "c": Feature(-1.0, "")},
        context={"temperature": Feature(300.0, "K")},
    )  # fmt: skip
    take = preparation("features", {"keys": ["context.temperature", "a"], "log": ["a"]})
    assert values(take(m)) == pytest.approx([300.0, np.log(2.0)], rel=1e-6)
    assert preparation("features", {"keys": ["b"]})(m).why == "b is not known: too few samples"
    assert "above 0 only" in preparation("features", {"keys": ["c"], "log": ["c"]})(m).why
    assert preparation("features", {"keys": ["d"]})(m).why == "d is not known: the measurement has none"


@pytest.mark.parametrize("seed", range(4))
def test_the_same_frame_gives_the_same_bits_whatever_its_memory(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = np.arange(10.0, 60.0, 0.05)
    y = rng.poisson(100.0, x.size).astype(np.float64)
    f = patterns.frame(x, y, wavelength=1.0)
    strided = replace(f, data=np.repeat(y, 2)[::2])
    assert values(pattern(f)).tobytes() == values(pattern(strided)).tobytes()
    grey = rng.integers(0, 4000, (96, 80)).astype(np.uint16)
    for params in ({}, {"shrink": 3}, {"size": (20, 30), "flatten": 4}):
        one, other = (values(image(picture(d), **params)) for d in (grey, np.asfortranarray(grey)))  # type: ignore[arg-type]
        assert one.tobytes() == other.tobytes()
    wave = rng.normal(size=(2, 500))
    assert values(waveform(sound(wave))).tobytes() == values(waveform(sound(np.asfortranarray(wave)))).tobytes()


def test_names_and_parameters_that_are_not_known_are_refused() -> None:
    assert PREPARATIONS.keys() == VERSIONS.keys()
    assert all(callable(preparation(name, {"keys": []} if name == "features" else {})) for name in PREPARATIONS)
    with pytest.raises(ModelError, match="no preparation is named 'patern'"):
        preparation("patern", {})
    with pytest.raises(ModelError, match="does not take its parameters"):
        preparation("pattern", {"point": 3})
    with pytest.raises(ModelError, match="no preparation"):
        digest("patern", {})
    assert digest("pattern", {"low": 1.0, "high": 2.0}) == digest("pattern", {"high": 2.0, "low": 1.0})
