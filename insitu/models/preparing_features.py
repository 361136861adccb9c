"""The preparation `features`: numbers of a measurement, in the order that the network knows them."""

import math
from collections.abc import Mapping

import numpy as np

from insitu.models.preparing import Prepared, given
from insitu.types import Feature, Measurement

CONTEXT = "context."


def features(
    measurement: Measurement, *, keys: tuple[str, ...], log: tuple[str, ...] = (), positive: tuple[str, ...] = ()
) -> Prepared:
    """float32 `(len(keys),)`: features, or `context.NAME`; natural logarithms of those in `log`.

    A measurement in which one of them is missing cannot be prepared, and the reason names it; nor one in which one of
    `log` or `positive` is not above 0 (the scatter of a channel that is stuck). Standardising them is the network's own
    first layer.
    """
    values = np.empty(len(keys))
    for i, key in enumerate(keys):
        found = _find(measurement, key)
        if found is None or found.value is None:
            return Prepared(None, f"{key} is not known: {found.why if found else 'the measurement has none'}")
        value = float(found.value)
        if value <= 0.0 and (key in log or key in positive):
            return Prepared(None, f"{key} is {value:g}, the network knows it above 0 only")
        values[i] = math.log(value) if key in log else value
    return given(values)


def _find(measurement: Measurement, key: str) -> Feature | None:
    place: Mapping[str, Feature] = measurement.context if key.startswith(CONTEXT) else measurement.features
    return place.get(key.removeprefix(CONTEXT))
