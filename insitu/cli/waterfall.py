"""The map of a run's picture: one line per frame, of the frames themselves or of an array feature.

It is made no finer than a picture shows, or narrow peaks would come and go with its pixels: at most `MOST_POINTS`
rows, each the highest of its points.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from insitu.errors import UsageError

if TYPE_CHECKING:
    from insitu.store.runs import StoredRun
    from insitu.types import Frame

MOST_POINTS = 400


class Map(NamedTuple):
    """`axis` (points,) along a line, `values` (points, frames), the axis' label, the unit of the values and how they
    were gathered, and what they are called."""

    axis: np.ndarray
    values: np.ndarray
    label: str
    unit: str
    name: str = "intensity"


class _Line(NamedTuple):
    """One frame as a curve: `axis` and `values`, both (n,)."""

    axis: np.ndarray
    values: np.ndarray
    label: str
    unit: str


def waterfall(run: StoredRun, raw: StoredRun, source: str, seqs: Sequence[int], *, key: str = "") -> Map:
    """The map of the frames `seqs`. `key`: an array feature; without it the frames themselves, or, where those are
    images, the first curve that was made of them. `raw` holds the frames, `run` the array features."""
    curves = _curves(run.path, source)
    if key and key not in curves:
        known = ", ".join(curves) or "none: the recipe's feature `prepared` makes one"
        raise UsageError(f"no array feature {key!r} with one value per point", where=str(run.path), expected=known)
    first = raw.frame(source, seqs[0])
    if not key and first.data.ndim > 1 and curves:
        key = next(iter(curves))
    if key:
        drawn = _gather(_stored(run.path, source, key, seqs))
        return drawn if key == "pattern" else drawn._replace(name=key)
    return _gather([_line(raw.frame(source, seq)) for seq in seqs])


def _curves(path: Path, source: str) -> list[str]:
    """Array features with one value per point."""
    import zarr

    root = path / "derived.zarr" / source
    if not (root / "zarr.json").is_file():
        return []
    group: Any = zarr.open_group(root, mode="r", use_consolidated=False)
    return sorted(name for name, array in group.arrays() if array.ndim == 2)


def _stored(path: Path, source: str, key: str, seqs: Sequence[int]) -> list[_Line]:
    """The rows of an array feature; those that were never made are NaN."""
    import zarr

    group: Any = zarr.open_group(path / "derived.zarr" / source, mode="r", use_consolidated=False)
    array = group[key]
    dim = array.metadata.dimension_names[1]
    name, unit, along = dim.removeprefix(f"{key}_"), array.attrs.get("units", ""), ""
    axis = np.arange(array.shape[1], dtype=np.float64)
    if dim in group:
        axis, along = np.asarray(group[dim][:], np.float64), group[dim].attrs.get("units", "")
    none = np.full(array.shape[1], np.nan)
    label = f"{name} ({along})" if along else name if dim in group else f"{name} (index)"
    rows = (np.asarray(array[s], np.float64) if s < array.shape[0] else none for s in seqs)
    return [_Line(axis, row if row.any() else none, label, unit) for row in rows]


def _gather(lines: Sequence[_Line]) -> Map:
    """Curves on another axis than the first one are interpolated onto it; outside of their own range they are NaN."""
    axis, _, label, unit = lines[0]
    edges = np.unique(np.linspace(0, len(axis), min(len(axis), MOST_POINTS) + 1).astype(int))[:-1]
    sizes = np.diff([*edges, len(axis)])
    columns = []
    for line in lines:
        values = line.values
        if len(line.axis) != len(axis) or not np.array_equal(line.axis, axis):
            values = np.interp(axis, line.axis, values, left=np.nan, right=np.nan)
        columns.append(np.fmax.reduceat(values, edges))
    if len(edges) < len(axis):
        unit = f"{unit}, " * bool(unit) + f"highest of {int(sizes.max())} points"
    return Map(np.add.reduceat(axis, edges) / sizes, np.array(columns).T, label, unit)


def _line(frame: Frame) -> _Line:
    """A frame as one curve along its last dimension: images and channels are averaged over the others."""
    data = np.asarray(frame.data, dtype=np.float64)
    if frame.mask is not None:
        data = np.where(frame.mask, np.nan, data)
    values = data.mean(axis=tuple(range(data.ndim - 1))) if data.ndim > 1 else data
    unit = frame.unit if isinstance(frame.unit, str) else frame.unit[0]
    name, mean = frame.dims[-1], " (mean over the other dimensions)" if frame.data.ndim > 1 else ""
    found = frame.axes.get(name)
    if found is None or len(found.values) != data.shape[-1]:
        return _Line(np.arange(data.shape[-1], dtype=np.float64), values, f"{name} (index){mean}", unit)
    along = f" ({found.unit})" if found.unit else ""
    return _Line(np.asarray(found.values, dtype=np.float64), values, f"{name}{along}{mean}", unit)
