"""What goes between the processes that go over a stored run: what is to be done, and measurements, as msgpack.

A measurement comes back the same to the last bit.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from insitu.store.packing import Packer, unpackb
from insitu.types import ArrayFeature, Axis, Feature, Measurement

LENGTH = 8
"""Bytes that tell how long a block is."""
LEAST, MOST = -(2**63), 2**64
PLAIN = (
    "source", "seq", "n", "time_ns", "clock_sigma_ns", "source_seq", "role", "complete", "provisional", "points",
    "labels", "references", "faults", "source_run_uid",
)  # fmt: skip


class Share(NamedTuple):
    """What is to be done. `source`: the run with the frames; `settings`: the one with recipe and detectors; `left`: the
    one that says which frames were left out ("": none were); `known`: the one whose features are kept ("": none).
    Frames behind `after`, in blocks of `size`; of `of` shares this is number `place`."""

    source: str
    settings: str
    left: str
    known: str
    after: int
    size: int
    place: int
    of: int
    nice: int


def pack(measurements: list[tuple[int, Measurement]]) -> bytes:
    """Several measurements, each with the bytes of its frame.

    >>> m = Measurement(source="det", seq=0, n=7, time_ns=5, features={"x": Feature(0.1, "deg", sigma=2.0)})
    >>> unpack(pack([(8, m)]))[0][1].features
    {'x': Feature(value=0.1, unit='deg', sigma=2.0, why=None)}
    """
    rows = [[nbytes, _body(m)] for nbytes, m in measurements]
    return bytes(Packer(unicode_errors="surrogatepass").pack(rows))


def unpack(data: bytes) -> list[tuple[int, Measurement]]:
    """What `pack` was given."""
    rows = unpackb(data, unicode_errors="surrogatepass", strict_map_key=False)
    return [(nbytes, _from(body)) for nbytes, body in rows]


def _body(m: Measurement) -> list[Any]:
    arrays = {
        key: [_array(a.values), a.dims, a.unit, {name: [_array(x.values), x.unit] for name, x in a.axes.items()}]
        for key, a in m.arrays.items()
    }
    return [[getattr(m, name) for name in PLAIN], _features(m.features), _features(m.context), arrays]


def _from(body: list[Any]) -> Measurement:
    plain, features, context, arrays = body
    told = dict(zip(PLAIN, plain, strict=True))
    return Measurement(
        **{**told, "faults": tuple(told["faults"])},
        features=_features_from(features),
        context=_features_from(context),
        arrays={
            key: ArrayFeature(
                values=_array_from(values),
                dims=tuple(dims),
                unit=unit,
                axes={name: Axis(_array_from(x), of) for name, (x, of) in axes.items()},
            )
            for key, (values, dims, unit, axes) in arrays.items()
        },
    )


def _features(features: Mapping[str, Feature]) -> dict[str, list[Any]]:
    """Whole numbers beyond 64 bits go as text."""
    return {
        key: [
            f"{f.value}" if isinstance(f.value, int) and not LEAST <= f.value < MOST else f.value,
            f.unit,
            f.sigma,
            f.why,
        ]
        for key, f in features.items()
    }


def _features_from(body: Mapping[str, list[Any]]) -> dict[str, Feature]:
    return {
        key: Feature(int(value) if isinstance(value, str) else value, unit, sigma, why)
        for key, (value, unit, sigma, why) in body.items()
    }


def _array(values: np.ndarray) -> list[Any]:
    return [values.dtype.str, values.shape, values.tobytes()]


def _array_from(body: list[Any]) -> np.ndarray:
    dtype, shape, data = body
    return np.frombuffer(data, dtype).reshape(shape)
