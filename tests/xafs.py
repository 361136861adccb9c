"""Frames of absorption spectra for tests: real files through the reader and `absorption`, or computed ones."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from insitu.prepare.absorption import Absorption
from insitu.readers.spectra import Spectra
from insitu.types import Arrival, Axis, Feature, Frame
from tests.maths.absorption.xafs_files import simulated


def frames(path: Path, **keys) -> list[Frame]:
    """What the reader gives of a file or a folder."""
    found = [item for item in Spectra(str(path), **keys)() if isinstance(item, Arrival)]
    return [
        Frame(seq=i, n=i, **{f.name: getattr(item, f.name) for f in dataclasses.fields(item)})
        for i, item in enumerate(found)
    ]


def prepared(path: Path, **keys) -> list[Frame]:
    """The same as mu(E)."""
    return [Absorption(**keys)(frame, {}) for frame in frames(path)]


def spectrum(energy: np.ndarray, mu: np.ndarray, *, seq: int = 0, **more) -> Frame:
    """A frame of mu(E)."""
    return Frame(
        source="xas", data=mu, dims=("energy",), unit="", time_ns=seq * 10**9, seq=seq, n=seq,
        axes={"energy": Axis(energy, "eV")}, **more,
    )  # fmt: skip


def scan(energy: np.ndarray, channels: Mapping[str, np.ndarray], **labels: str) -> Frame:
    """A frame of channels."""
    return Frame(
        source="xas", data=np.stack(list(channels.values())), dims=("channel", "energy"), unit=("",) * len(channels),
        time_ns=0, seq=0, n=0, axes={"energy": Axis(energy, "eV")}, labels={"channels": " ".join(channels), **labels},
    )  # fmt: skip


def computed(e0: float = 7112.0, *, seq: int = 0, labels: Mapping[str, str] | None = None, **keys) -> Frame:
    """A computed spectrum: `tests.maths.absorption.xafs_files.simulated`."""
    return spectrum(*simulated(e0, **keys), seq=seq, labels=dict(labels or {}))


def value(feature) -> float:
    """A number that must be there."""
    assert isinstance(feature, Feature)
    assert feature.value is not None, feature.why
    return float(feature.value)
