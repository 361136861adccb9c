"""What the session tells its process to run, and what it is told of that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from insitu.types import Limit, Output


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a process is told to run."""

    recipe: str | Path | Mapping[str, Any]
    sets: tuple[str, ...]
    detectors: Mapping[str, Any] | None
    data_root: Path
    mode: str
    operator: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """What the session needs to know of a recipe. `outputs`: {source: {feature: Output}}."""

    title: str
    models: tuple[str, ...]
    outputs: Mapping[str, Mapping[str, Output]]
    limits: Mapping[str, Limit]


def described(found: Mapping[str, Any]) -> Described:
    """What the process says of its recipe."""
    return Described(
        title=found["title"],
        models=tuple(found["models"]),
        outputs={
            source: {key: Output(unit=u, rtol=r, atol=a, array=array) for key, (u, r, a, array) in promised.items()}
            for source, promised in found["outputs"].items()
        },
        limits={
            name: Limit(unit=unit, low=low, high=high, step=step, rate_hz=rate)
            for name, (unit, low, high, step, rate) in found["limits"].items()
        },
    )
