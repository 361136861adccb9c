"""No frame makes a preparation raise: it is prepared, finite and of the promised shape, or there is a sentence."""

import warnings
from typing import Any

import numpy as np
import pytest

from insitu.models.preparing import PREPARATIONS, preparation
from insitu.types import Axis, Feature, Frame, Measurement

KINDS = ["u1", "u2", "i4", "u8", "f4", "f8"]
DIMS = {
    0: [()],
    1: [("two_theta",), ("energy",), ("sample",), ("q",), ("d",)],
    2: [("y", "x"), ("channel", "sample"), ("channel", "energy"), ("channel", "two_theta")],
    3: [("y", "x", "channel"), ("n", "y", "x")],
}
UNITS = {"two_theta": "deg", "energy": "eV", "q": "1/angstrom", "d": "angstrom"}


def hostile(rng: np.random.Generator) -> Frame:
    """A frame that nobody should send."""
    ndim = int(rng.integers(0, 4))
    dims = DIMS[ndim][int(rng.integers(len(DIMS[ndim])))]
    shape = tuple(int(rng.choice([0, 1, 2, 3, 9, 40, 300])) for _ in dims)
    if ndim == 3:
        shape = tuple(min(n, 12) for n in shape)
    dtype = np.dtype(str(rng.choice(KINDS)))
    data = rng.normal(0.0, 10.0 ** rng.uniform(-3, 8), shape)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = np.asarray(np.abs(data)).astype(dtype)
    if dtype.kind == "f" and data.size and rng.random() < 0.5:
        data = data.copy()
        data.reshape(-1)[rng.integers(0, data.size, 3)] = rng.choice(
            [np.nan, np.inf, -np.inf, 1e300 if dtype == "f8" else 1e30]
        )
    if rng.random() < 0.2:
        data = np.zeros_like(data)
    axes: dict[str, Axis] = {}
    for name, n in zip(dims, shape, strict=True):
        if name in UNITS and rng.random() < 0.9:
            low, high = {"two_theta": (-5.0, 200.0), "energy": (6900.0, 7400.0), "q": (0.0, 9.0), "d": (0.0, 9.0)}[name]
            values = np.sort(rng.uniform(low, high, n if rng.random() < 0.9 else n + 1))
            if rng.random() < 0.2:
                values = values[::-1].copy()
            if values.size and rng.random() < 0.1:
                values[0] = np.nan
            axes[name] = Axis(values, UNITS[name] if rng.random() < 0.9 else "m")
    extra: dict[str, Any] = {}
    if rng.random() < 0.3:
        extra["mask"] = rng.random(shape) < rng.random()
    if rng.random() < 0.3:
        extra["sigma"] = rng.normal(1.0, 1.0, shape)
    names = rng.choice(["wavelength", "sample_rate"], int(rng.integers(0, 3)), replace=False)
    value = float(rng.choice([0.0, -1.0, 0.4, 1.54, 1e9]))
    context = {str(n): Feature(value, str(rng.choice(["angstrom", "Hz"]))) for n in names}
    labels = {"channels": "a b"} if rng.random() < 0.5 else {"element": "Fe", "edge": "Q"}
    return Frame(
        source="x", data=data, dims=dims, unit="counts", time_ns=0, seq=0, n=0,
        axes=axes, context=context, labels=labels, **extra,
    )  # fmt: skip


PARAMS: list[tuple[str, dict[str, Any]]] = [
    ("pattern", {}),
    ("pattern", {"grid": "d", "coverage": 0.0, "cover": True, "background": 9, "scale": "log", "normalise": "robust"}),
    ("pattern", {"grid": "two_theta", "low": 1.0, "high": 100.0, "coverage": 0.0, "normalise": "area"}),
    ("spectrum", {"coverage": 0.0}),
    ("spectrum", {"element": "Fe", "derivative": True, "coverage": 0.0}),
    ("image", {}),
    ("image", {"size": [9, 9], "normalise": "standard", "flatten": 4}),
    ("image", {"shrink": 3, "normalise": "range"}),
    ("waveform", {"points": 16}),
    ("waveform", {"points": 16, "kind": "bands", "low": 10.0, "high": 100.0, "log": True}),
    ("waveform", {"points": 16, "kind": "samples", "channels": ["a"], "normalise": "none"}),
]


@pytest.mark.parametrize(("name", "params"), PARAMS)
def test_no_frame_makes_it_raise(name: str, params: dict[str, Any]) -> None:
    prepare = preparation(name, params)
    rng = np.random.default_rng(len(str(params)))
    prepared = 0
    for _ in range(250):
        found = prepare(hostile(rng))
        if found.input is None:
            assert len(found.why) > 8
            continue
        prepared += 1
        assert found.input.dtype == np.float32
        assert found.input.flags.c_contiguous
        assert np.isfinite(found.input).all()
        if name == "pattern":
            assert found.input.shape == (1 + bool(params.get("cover")), 1024)
    assert prepared or name != "waveform" or "kind" in params


def test_every_preparation_is_tried() -> None:
    assert {name for name, _ in PARAMS} | {"features"} <= set(PREPARATIONS)
    empty = Measurement(source="x", seq=0, n=0, time_ns=0)
    assert preparation("features", {"keys": ["a"]})(empty).why
