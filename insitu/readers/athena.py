"""Athena project files (`.prj`) as absorption spectra: one for each group of mu(E). The file itself:
`maths.absorption.athena`."""

from __future__ import annotations

import numpy as np

from insitu.errors import FormatError
from insitu.maths.absorption.athena import Cut, Group, groups_of
from insitu.maths.absorption.athena import looks_like as looks_like
from insitu.readers.header import read_time, zone
from insitu.readers.pattern import Truncated
from insitu.readers.spectrum import How, Spectrum, ordered
from insitu.readers.xdi import SYMBOLS
from insitu.types import Axis


def decode(data: bytes, how: How = How()) -> list[Spectrum]:  # noqa: B008 (frozen)
    """One spectrum for each group of mu(E). Raises `FormatError`; `Truncated` where the end is missing."""
    try:
        groups = groups_of(data, how.name)
    except Cut as e:
        raise Truncated(e.what, where=e.where, expected=e.expected, remedy=e.remedy) from e
    found = [s for i, group in enumerate(groups, 1) if (s := _spectrum(group, i, how))]
    if not found:
        raise FormatError("no group in it is mu(E)", where=how.name, expected="a project with absorption spectra")
    return found


def _spectrum(group: Group, number: int, how: How) -> Spectrum | None:
    """One group; None where it is no mu(E) (chi(k), a detector alone)."""
    where, told, arrays = f"{how.name}: group {number}", group.told, group.arrays
    if not group.is_mu:
        return None
    x, y = arrays.get("x", np.empty(0)), arrays.get("y", np.empty(0))
    if x.size != y.size:
        raise FormatError(f"it has {x.size} energies and {y.size} values", where=where, expected="as many of both")
    extra = {name: arrays[name] for name in ("i0", "signal") if name in arrays and arrays[name].size == x.size}
    energy, values, _ = ordered(x, np.array([y, *extra.values()]), lambda _: where, energy=True)
    labels = {"sample": str(told.get("label", f"group {number}"))[:200]}
    if (symbol := str(told.get("bkg_z", "")).capitalize()) in SYMBOLS:
        labels["element"] = symbol
    if edge := str(told.get("fft_edge", "")).capitalize():
        labels["edge"] = edge
    texts = (str(told.get(key, "")) for key in ("xdi_scan_start_time", "titles"))
    start = next((t for text in texts if (t := read_time(text, zone(how.timezone)))), None)
    return Spectrum(
        dim="energy",
        axis=Axis(energy, "eV"),
        values=values,
        names=("mu", *extra),
        units=("",) * (1 + len(extra)),
        labels=labels,
        time_ns=start[0] if start else None,
        clock_sigma_ns=start[1] if start else 0,
    )
