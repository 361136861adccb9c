"""A reader, a feature and a model that do what a test tells them."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from insitu.types import Arrival, Feature, Output, Verdict

told: dict[str, Callable[..., Any]] = {}


def arrival(k: int, **more: Any) -> Arrival:
    given = {"source": "det", "data": np.full(16, k, "u2"), "dims": ("x",), "unit": "counts", "time_ns": 10**18 + k}
    return Arrival(**{**given, "source_seq": k, **more})


def frames(count: int, pause_s: float = 0.0, **more: Any) -> Callable[[], Iterator[Arrival]]:
    def reader():
        for k in range(count):
            time.sleep(pause_s)
            yield arrival(k, **more)

    return reader


class Reader:
    """What the test yields. `adapt` only where the test has one."""

    def __init__(self) -> None:
        if "adapt" in told:
            self.adapt = told["adapt"]

    def __call__(self) -> Iterator[Arrival]:
        yield from told["reader"]()


class Feat:
    """One feature, `luck`."""

    def __init__(self) -> None:
        self.outputs = {"luck": Output(unit="")}

    def __call__(self, frame, refs, before):
        return told.get("feature", lambda frame: {"luck": Feature(1.0)})(frame)


class Model:
    def __init__(self, *, name: str = "m") -> None:
        self.name = name

    def __call__(self, measurement):
        return told.get("model", lambda m: Verdict(label="normal"))(measurement)


class Rule:
    def __call__(self, measurement, verdicts):
        return told.get("rule", lambda m: None)(measurement)
