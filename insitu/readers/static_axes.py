"""Axes that no frame brings with it: what a detector file says of the points along a dimension."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from insitu import units
from insitu.errors import ConfigError, UnitError
from insitu.types import Axis, Feature

Declared = Mapping[str, dict[str, Feature] | tuple[Path, str]]
"""Dimension: `{start, step}`, or `(file, unit)` with a number for each point (.npy, or text with one a line)."""

NATURAL = {"two_theta": "deg", "energy": "eV"}
"""Units in which axes of these names are kept."""


class StaticAxes:
    """The axes of frames, by their dims and shape. `ConfigError` for what cannot be one, with the key.

    >>> axes = StaticAxes({"two_theta": {"start": Feature(5.0, "deg"), "step": Feature(0.5, "deg")}}, ("two_theta",))
    >>> axes(("two_theta",), (3,))["two_theta"].values
    array([5. , 5.5, 6. ])
    """

    def __init__(self, declared: Declared | None, dims: Sequence[str] = ()) -> None:
        self._lines: dict[str, tuple[float, float, str]] = {}
        self._files: dict[str, Axis] = {}
        for name, said in (declared or {}).items():
            where = f"axes.{name}"
            if name not in dims:
                raise ConfigError(
                    "no dimension is called so", where=where, expected=f'dims = ["{name}"] and the others'
                )
            try:
                if isinstance(said, tuple):
                    self._files[name] = _from_file(*said, name, where)
                else:
                    self._lines[name] = _line(said, name, where)
            except UnitError as e:
                raise ConfigError(e.what, where=where, expected=e.expected, remedy=e.remedy) from e
        self._of = lru_cache(64)(self._made)

    def __call__(self, dims: tuple[str, ...], shape: tuple[int, ...]) -> Mapping[str, Axis]:
        """The same objects for the same dims and shape. `ValueError` where a file has another number of points."""
        return self._of(dims, shape) if self._lines or self._files else {}

    def _made(self, dims: tuple[str, ...], shape: tuple[int, ...]) -> dict[str, Axis]:
        found: dict[str, Axis] = {}
        for name, n in zip(dims, shape, strict=True):
            if name in self._lines:
                start, step, unit = self._lines[name]
                values = start + step * np.arange(n)
                values.flags.writeable = False
                found[name] = Axis(values, unit)
            elif name in self._files:
                axis = self._files[name]
                if len(axis.values) != n:
                    raise ValueError(f"the file of the axis {name} has {len(axis.values)} points, the frame has {n}")
                found[name] = axis
        return found


def _line(said: Mapping[str, Feature], name: str, where: str) -> tuple[float, float, str]:
    if said.keys() != {"start", "step"}:
        raise ConfigError(
            f"it says {', '.join(said) or 'nothing'}", where=where, expected='{ start = "5 deg", step = "0.01 deg" }'
        )
    unit = NATURAL.get(name, said["step"].unit)
    start, step = (units.convert(float(said[k].value or 0.0), said[k].unit, unit) for k in ("start", "step"))
    if step == 0.0:
        raise ConfigError("all points would lie at one place", where=f"{where}.step", expected="a step that is not 0")
    return start, step, unit


def _from_file(path: Path, unit: str, name: str, where: str) -> Axis:
    units.check_unit(unit)
    try:
        values = np.load(path, allow_pickle=False) if path.suffix == ".npy" else np.loadtxt(path, dtype=float, ndmin=1)
    except (OSError, ValueError) as e:
        raise ConfigError(f"{path.name} cannot be read: {e}", where=where, expected="one number for each point") from e
    values = np.ascontiguousarray(values, dtype=float)
    if values.ndim != 1 or not len(values) or not np.all(np.isfinite(values)):
        raise ConfigError(f"{path.name} is no axis", where=where, expected="one finite number for each point")
    natural = NATURAL.get(name, unit)
    values = values * units.convert(1.0, unit, natural) if unit != natural else values
    values.flags.writeable = False
    return Axis(values, natural)
