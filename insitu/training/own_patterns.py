"""What of diffraction patterns all good runs cover: the grid of a score that is fitted to them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from insitu.errors import UsageError
from insitu.models.preparing_pattern import UNITS, places
from insitu.types import Frame

MOST, FEWEST = 2048, 128
"""Points of the grid."""
EDGE = 0.005
"""Of the range, left out at either end."""


def common(frames: Iterable[Frame], params: Mapping[str, Any]) -> dict[str, Any]:
    """`params` of the preparation `pattern` for the range that all frames cover, with as many points as they have: on
    the grid that `params` name, or on their own axis where they have no wavelength. Raises `UsageError`."""
    known = list(frames)
    grid = str(params.get("grid", "q"))
    try:
        covered = _covered(known, grid, params.get("wavelength"))
    except ValueError:
        grid = next((axis for axis in UNITS if known and axis in known[0].axes), "two_theta")
        try:
            covered = _covered(known, grid, None)
        except ValueError as e:
            raise UsageError(
                f"the frames are no diffraction patterns: {e}", where="RUN", expected="an axis two_theta, q or d",
                remedy="Of other frames a score is fitted on features: --features, or --like another bundle",
            ) from e  # fmt: skip
    low, high = max((x[0] for x in covered), default=0.0), min((x[-1] for x in covered), default=0.0)
    inside = [int(np.count_nonzero((x >= low) & (x <= high))) for x in covered]
    if not high > low or min(inside, default=0) < FEWEST:
        raise UsageError(
            f"{min(inside, default=0)} points of the patterns are where all runs have some", where="RUN",
            expected=f"{FEWEST} or more", remedy="Fit runs of one instrument and one range",
        )  # fmt: skip
    room = EDGE * (high - low)
    return {**params, "grid": grid, "low": float(f"{low + room:.6g}"), "high": float(f"{high - room:.6g}"),
            "points": int(min(MOST, *inside))}  # fmt: skip


def _covered(frames: Iterable[Frame], grid: str, wavelength: float | None) -> list[np.ndarray]:
    """Where the usable points of each frame are, upwards."""
    return [np.sort(places(frame, grid, wavelength)) for frame in frames]
