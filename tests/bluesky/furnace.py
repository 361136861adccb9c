"""A furnace with a detector, and a session on it, for the tests of plans."""

import math
from pathlib import Path
from typing import Any

import numpy as np
from bluesky import RunEngine
from ophyd.sim import SynAxis, SynSignal

from insitu.bluesky import Session
from tests.bluesky.playback import played

MIDDLE = {"use": "tests.bluesky.playback:Middle", "name": "middle"}


def session(engine: RunEngine, root: Path, *features: dict[str, Any], **more: Any) -> Session:
    recipe = {"format": 1, "title": "t", "detectors": ["bench"], "features": list(features), **more.pop("recipe", {})}
    bench = {
        "format": 1, "source": "det", "dims": ["two_theta"], "unit": "counts",
        "reader": {"use": "documents", "data": "pattern", **more.pop("reader", {})}, **more.pop("bench", {}),
    }  # fmt: skip
    return Session(engine, recipe, data_root=root, detectors={"bench": bench}, **{"mode": "act", **more})


def heated(motor: SynAxis, transition: float, seed: int, width: float = 0.8) -> SynSignal:
    """One line on 200 points: it moves slowly with temperature, and by 6 points at the transition; counting noise."""
    rng, x = np.random.default_rng(seed), np.arange(200)

    def pattern(t: float) -> np.ndarray:
        at = 90 + 0.01 * (t - 300) + 3 * math.tanh((t - transition) / width)
        return rng.poisson(400 * np.exp(-0.5 * ((x - at) / 4) ** 2)).astype("u4")

    return played("pattern", motor, pattern)


def documents_of(engine: RunEngine, plan: Any) -> tuple[Any, list[tuple[str, Any]]]:
    found: list[tuple[str, Any]] = []
    token = engine.subscribe(lambda name, document: found.append((name, document)))
    outcome = engine(plan).plan_result
    engine.unsubscribe(token)
    return outcome, found
