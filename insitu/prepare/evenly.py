"""An axis for frames that come without one: channels of a strip detector or a multichannel analyser over EPICS.

x_k = start + k step,    k = 0, 1, ...
"""

from dataclasses import replace
from typing import Literal

import numpy as np

from insitu.errors import ConfigError
from insitu.maths.aligned import aligned
from insitu.types import Axis, Feature, Frame, References


class Evenly:
    """Prepare: the points of the last dimension lie evenly along `dim`, from `start` in steps of `step`.

    >>> evenly = Evenly(dim="two_theta", start=Feature(20, "deg"), step=Feature(0.5, "deg"))
    >>> frame = Frame(source="det", data=np.zeros(3), dims=("x",), unit="counts", time_ns=0, seq=0, n=0)
    >>> evenly(frame, {}).dims, evenly(frame, {}).axes["two_theta"].values.tolist()
    (('two_theta',), [20.0, 20.5, 21.0])
    """

    def __init__(self, *, dim: Literal["two_theta", "energy", "q", "x"], start: Feature, step: Feature) -> None:
        for key, given in (("start", start), ("step", step)):
            if given.value is None or (key == "step" and not given.value > 0):
                raise ConfigError(f"{key} = {given.value}", where=key, expected="a number; the step above 0")
        if start.unit != step.unit:
            raise ConfigError(
                f"start is in {start.unit or 'no unit'}, step in {step.unit or 'no unit'}",
                where="step",
                expected="one unit",
            )
        self.dim, self.unit = dim, start.unit
        self._start, self._step = float(start.value or 0.0), float(step.value or 1.0)

    def __call__(self, frame: Frame, refs: References) -> Frame:
        """The same points with their axis; one that the frame has already is replaced."""
        last = frame.dims[-1]
        values = aligned(self._start + self._step * np.arange(frame.data.shape[-1], dtype=np.float64))
        axes = {name: axis for name, axis in frame.axes.items() if name != last}
        return replace(frame, dims=(*frame.dims[:-1], self.dim), axes={**axes, self.dim: Axis(values, self.unit)})
