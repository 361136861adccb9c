"""The prepared frame itself as an array feature: what the other features saw, after baseline, normalisation, axes."""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from insitu.types import ArrayFeature, Feature, Frame, Output, References


class Prepared:
    """The data of the prepared frame with its axes, kept in `derived.zarr` beside the raw data.

    `name`: its key; `dtype`: what it is kept as. Values are those of the frame, rounded to `dtype`.
    """

    def __init__(
        self, *, name: str = "pattern", unit: str = "counts", dtype: Literal["float32", "float64"] = "float32"
    ) -> None:
        self._name, self._dtype = name, np.dtype(dtype)
        self.outputs = {name: Output(unit=unit, array=True)}

    def __call__(self, frame: Frame, refs: References, before: Sequence[Frame]) -> Mapping[str, Feature | ArrayFeature]:
        unit = frame.unit if isinstance(frame.unit, str) else ", ".join(frame.unit)
        axes = {d: frame.axes[d] for d in frame.dims if d in frame.axes}
        values = np.asarray(frame.data, self._dtype)
        return {self._name: ArrayFeature(values=values, dims=frame.dims, unit=unit, axes=axes)}
