"""Detectors for tests of plans: what they would count where a motor stands."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from ophyd.sim import SynAxis, SynSignal

from insitu.types import Axis, Feature, Frame, Output


def played(name: str, motor: SynAxis, pattern: Callable[[float], np.ndarray]) -> SynSignal:
    """A detector whose frame is a function of the motor's position."""
    return SynSignal(func=lambda: pattern(float(motor.position)), name=name)


class Angles:
    """Prepare: points evenly from `low` deg on get their two_theta axis, and the uncertainty of counting."""

    def __init__(self, *, low: float, step: float) -> None:
        self.low, self.step = low, step

    def __call__(self, frame: Frame, refs: Any) -> Frame:
        from dataclasses import replace

        x = self.low + self.step * np.arange(frame.data.shape[-1])
        return replace(frame, axes={"two_theta": Axis(x, "deg")})


class Middle:
    """Extractor: the middle of the intensity, in points; `fail`: a frame with so many counts or more is a fault."""

    def __init__(self, *, name: str = "middle", fail: float = 0.0) -> None:
        self.key, self.fail = name, fail
        self.outputs = {self.key: Output(unit="")}

    def __call__(self, frame: Frame, refs: Any, before: Sequence[Frame]) -> dict[str, Feature]:
        counts = frame.data.astype(float)
        if self.fail and counts.sum() >= self.fail:
            raise RuntimeError("planted")
        x = np.arange(len(counts))
        at = float((counts * x).sum() / counts.sum())
        sigma = float(np.sqrt((counts * (x - at) ** 2).sum()) / counts.sum())
        return {self.key: Feature(at, "", sigma=sigma)}


class Moments:
    """Extractor of an assembled scan: where its intensity lies, and 2.35 times how wide, along its axis."""

    def __init__(self, *, name: str = "line") -> None:
        self.name = name
        self.outputs = {f"{name}_position": Output(unit=""), f"{name}_width": Output(unit="")}

    def __call__(self, frame: Frame, refs: Any, before: Sequence[Frame]) -> dict[str, Feature]:
        x, y = next(iter(frame.axes.values())).values, frame.data.astype(float)
        if y.sum() <= 0:
            return {key: Feature(None, why="no counts") for key in self.outputs}
        at = float((y * x).sum() / y.sum())
        wide = 2.35 * float(np.sqrt((y * (x - at) ** 2).sum() / y.sum()))
        return {f"{self.name}_position": Feature(at), f"{self.name}_width": Feature(wide)}
