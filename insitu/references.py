"""The references that `measure` uses, as a fold over the frames in order of `n`.

A frame with a role (dark, flat, background, reference) replaces the one of that name; a declared reference is the mean
of the first frames of a source, or a file. Nothing else changes them, so a replay has the same ones at every frame.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from insitu.errors import ConfigError
from insitu.maths.aligned import aligned
from insitu.store.canonical import digest_array
from insitu.types import Frame, Reference, References


class Declared(NamedTuple):
    """A declared reference: the mean of the `first` sample frames of `source`, or the array in `file`."""

    name: str
    source: str
    first: int | None
    file: Path | None


class _Mean:
    """The sum of the first frames of one shape; frames of another shape begin it anew."""

    def __init__(self, declared: Declared) -> None:
        self.declared, self.count, self.total = declared, 0, np.zeros(0)

    def add(self, data: np.ndarray) -> int:
        if not self.count or self.total.shape != data.shape:
            self.count, self.total = 0, np.zeros(data.shape, np.float64)
        self.total += np.real(data)
        self.count += 1
        return self.count


class ReferenceFold:
    """References by source. `see` every frame in order of `n`; `of` gives the frozen map for a source."""

    def __init__(self, declared: Iterable[Declared] = ()) -> None:
        self._maps: dict[str, References] = {}
        self._means: dict[str, list[_Mean]] = {}
        self.loaded: list[dict[str, Any]] = []
        for d in declared:
            if d.file is not None:
                entry = self._set(d.source, d.name, load(d.file, d.name), d.file.name)
                self.loaded.append(entry)
            else:
                self._means.setdefault(d.source, []).append(_Mean(d))

    def of(self, source: str) -> References:
        """The references in force for a source."""
        return self._maps.get(source, {})

    def waits(self, source: str) -> bool:
        """Whether a reference is still made of the frames of a source."""
        return bool(self._means.get(source))

    def see(self, frame: Frame) -> list[dict[str, Any]]:
        """Fold one frame; bodies of the `reference` entries that it causes. The frame itself is measured with the
        references from before it."""
        if frame.role != "sample":
            return [self._set(frame.source, frame.role, frame.data, f"{frame.source}/{frame.seq}")]
        waiting = self._means.get(frame.source)
        if not waiting:
            return []
        entries = []
        for mean in list(waiting):
            d = mean.declared
            if mean.add(frame.data) == d.first:
                address = f"{frame.source}: mean of the first {d.first} frames"
                entries.append(self._set(d.source, d.name, mean.total / mean.count, address))
                waiting.remove(mean)
        return entries

    def _set(self, source: str, name: str, array: np.ndarray, address: str) -> dict[str, Any]:
        reference = Reference(aligned(array), digest_array(array), address)
        self._maps[source] = {**self._maps.get(source, {}), name: reference}
        return {"source": source, "name": name, "digest": reference.digest, "address": address}


def load(path: Path, name: str) -> np.ndarray:
    """The array in a reference file: `.npy`, or text with the values in the last column."""
    try:
        if path.suffix == ".npy":
            return np.load(path, allow_pickle=False)
        table = np.loadtxt(path, ndmin=2)
    except (OSError, ValueError) as e:
        raise ConfigError(
            f"the reference {name!r} cannot be read: {e}",
            where=str(path),
            expected="a .npy array or columns of numbers",
        ) from e
    return np.ascontiguousarray(table[:, -1])


def digests(references: Mapping[str, Reference]) -> dict[str, str]:
    """Digest by name."""
    return {name: r.digest for name, r in references.items()}
