"""What bluesky documents hold: numbers with units, times, labels."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from insitu.readers.spectrum import clean
from insitu.types import Feature

Document = Mapping[str, Any]
MOST_LABEL = 400
LATEST_S = 9e9
"""Seconds since 1970 beyond which a time is none (they would not go into 64 bits of nanoseconds)."""


def unit_of(key: Document) -> str:
    """The unit that a data key names, or none."""
    unit = key.get("units")
    return unit if isinstance(unit, str) else ""


def nanoseconds(seconds: Any) -> int | None:
    """Seconds since 1970 in ns, as exactly as a double tells them; None for what is no time.

    >>> nanoseconds(1.5), nanoseconds(float("nan")), nanoseconds("now")
    (1500000000, None, None)
    """
    if isinstance(seconds, (str, bool)) or seconds is None:
        return None
    try:
        whole = math.floor(seconds)
        found = whole * 1_000_000_000 + round((seconds - whole) * 1e9)
    except (TypeError, ValueError, OverflowError):
        return None
    return int(found) if 0 < seconds < LATEST_S else None


def labels_of(start: Document, keys: Collection[str]) -> dict[str, str]:
    """Keys of a start document as labels."""
    told = {clean(key): start[key] for key in keys if start.get(key) is not None}
    texts = {key: value if isinstance(value, str) else repr(value)[:MOST_LABEL] for key, value in told.items()}
    return {key: text for key, text in texts.items() if text}


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
        except (TypeError, ValueError, OverflowError):
            continue
        found[name] = Feature(number, unit) if math.isfinite(number) else Feature(None, unit, why=f"it was {number}")
    return found
