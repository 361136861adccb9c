"""What events of bluesky documents hold: numbers with units, times, shapes."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from insitu.readers.spectrum import clean
from insitu.types import Feature

Document = Mapping[str, Any]


def burst(shape: Any) -> int:
    """How many frames one event holds."""
    return int(shape[0]) if len(shape) == 3 and shape[0] else 1


def unit_of(key: Document) -> str:
    """The unit that a data key names, or none."""
    unit = key.get("units")
    return unit if isinstance(unit, str) else ""


def nanoseconds(seconds: float) -> int:
    """Seconds since 1970 in ns, as exactly as a double tells them."""
    whole = math.floor(seconds)
    return whole * 1_000_000_000 + round((seconds - whole) * 1e9)


def numbers(event: Document, keys: Mapping[str, Document], without: Collection[str] = ()) -> dict[str, Feature]:
    """The numbers of an event, by the names that keys may have."""
    found: dict[str, Feature] = {}
    for key, value in event["data"].items():
        name = clean(key)
        if key in without or not name or isinstance(value, (str, bool)) or np.ndim(value):
            continue
        unit = unit_of(keys.get(key, {}))
        try:
            number = float(value)
        except (TypeError, ValueError):
            continue
        found[name] = Feature(number, unit) if math.isfinite(number) else Feature(None, unit, why=f"it was {number}")
    return found
