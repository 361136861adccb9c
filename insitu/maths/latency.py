"""Latencies in bounded memory: a histogram with buckets of 2 %, from 1 microsecond to 3 hours."""

import math
from collections.abc import Mapping
from typing import Any

_STEP = math.log(1.02)
_BUCKETS = int(math.log(1e10) / _STEP) + 1


class Latency:
    """Durations in ms: median, 99th percentile and maximum (percentiles within 2 %).

    >>> l = Latency()
    >>> for k in range(1, 101): l.add(k * 1e-3)
    >>> l.as_dict()["max"], 48 < l.as_dict()["p50"] < 52
    (100.0, True)
    >>> Latency(l.state()).as_dict() == l.as_dict()
    True

    `state`: what an earlier one gave as its `state()`.
    """

    def __init__(self, state: Mapping[str, Any] | None = None) -> None:
        self._counts = [0] * _BUCKETS
        self._max = 0.0
        if state:
            self._max = float(state["max_s"])
            for k, count in state["counts"].items():
                self._counts[int(k)] = count
        self._n = sum(self._counts)

    def add(self, seconds: float, times: int = 1) -> None:
        """One duration, or several that are equal. Above 3 hours only the maximum is exact."""
        us = seconds * 1e6
        k = 0 if us <= 1.0 else min(_BUCKETS - 1, int(math.log(us) / _STEP))
        self._counts[k] += times
        self._n += times
        self._max = max(self._max, seconds)

    def percentile(self, p: float) -> float:
        """In ms; 0 where nothing was measured."""
        target, seen = p / 100 * self._n, 0
        for k, count in enumerate(self._counts):
            seen += count
            if count and seen >= target:
                return min(math.exp((k + 0.5) * _STEP) / 1e3, self._max * 1e3)
        return 0.0

    def as_dict(self) -> dict[str, float] | None:
        """p50, p99 and max in ms; None where nothing was measured."""
        if not self._n:
            return None
        return {
            "p50": round(self.percentile(50), 3),
            "p99": round(self.percentile(99), 3),
            "max": round(self._max * 1e3, 3),
        }

    def state(self) -> dict[str, Any]:
        """The histogram in JSON's types: seconds, and the count of each bucket that has one."""
        return {"max_s": self._max, "counts": {str(k): count for k, count in enumerate(self._counts) if count}}
