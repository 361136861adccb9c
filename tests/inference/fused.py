"""Frames of two sources, and what the model `fuse` says of them."""

from collections.abc import Iterable
from typing import Any

from insitu.inference.fuse import Fuse
from insitu.types import Feature, Measurement, Verdict

S = 10**9
NORMAL = {"a.x": (Feature(0.0, "N"), Feature(1.0, "N")), "b.y": (Feature(0.0, "N"), Feature(1.0, "N"))}
UP = {"a.x": 1.0, "b.y": 1.0}


def seen(source: str, n: int, time_s: float, value: float | None = None, **context: Feature) -> Measurement:
    key = {"a": "x", "b": "y", "c": "z"}[source]
    feature = Feature(value, "N") if value is not None else Feature(None, "N", why="too dark")
    time_ns = round(time_s * S)
    return Measurement(source=source, seq=n, n=n, time_ns=time_ns, features={key: feature}, context=context)


def fuse(**keys: Any) -> Fuse:
    return Fuse(**{"features": ("a.x", "b.y"), "trigger": "a", "normal": NORMAL, "expect": UP, **keys})


def told(model: Fuse, frames: Iterable[tuple[str, float, float | None]]) -> list[Verdict]:
    """Verdicts about frames of (source, time in s, value), in the order of arrival."""
    said = (model(seen(source, n, t, value)) for n, (source, t, value) in enumerate(frames))
    return [verdict for verdict in said if verdict is not None]
