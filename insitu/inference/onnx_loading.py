"""A bundle, verified, with its session: made once in a process for the very bytes that were verified."""

import hashlib
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from insitu.errors import ModelError
from insitu.models.bundle import Bundle, read_bundle, session
from insitu.models.folder import read_folder
from insitu.models.manifest import Manifest
from insitu.models.signing import NAME as SIGNATURE
from insitu.models.signing import trusted

if TYPE_CHECKING:
    import onnxruntime as ort

MOST = 8
"""Sessions that are kept."""
TRIED = 19
"""Frames with which it is tried whether a batch gives the same bits: no multiple of what a processor does at once."""


class Loaded(NamedTuple):
    """A bundle and how to run it. The session is used by any thread, each run in the thread that asks. `exact`: it may
    be given several frames at once, to the same bits; so says its manifest, and so it did here with golden inputs."""

    bundle: Bundle
    session: "ort.InferenceSession"
    exact: bool = False

    @property
    def manifest(self) -> Manifest:
        return self.bundle.manifest

    def run(self, batch: np.ndarray) -> list[np.ndarray]:
        """Raw outputs, in the manifest's order, for a batch `(k, ...)` of prepared inputs."""
        m = self.bundle.manifest
        found = self.session.run([t.name for t in m.outputs], {m.inputs.name: batch})
        return [np.asarray(x) for x in found]

    def one(self, x: np.ndarray) -> list[np.ndarray]:
        """Raw outputs for one prepared input, without the batch."""
        return [y[0] if y.ndim and y.shape[0] == 1 else y for y in self.run(x[None])]


_KEPT: dict[tuple[str, ...], Loaded] = {}
_LOCK = threading.Lock()


def load(folder: Path, *, allow_unsigned: bool = False, stored: bool = False) -> Loaded:
    """The bundle in a folder. Its bytes are read each time; what was verified already in this process is not verified
    again. `stored`: it is the copy in a run, whose ledger vouches for it: neither its signature (the key may be known
    elsewhere only) nor its age counts then. Raises `ModelError`."""
    files = read_folder(folder)
    if stored:
        files.pop(SIGNATURE, None)
    key = (_digest(files), *(("stored",) if stored else _terms(allow_unsigned)))
    with _LOCK:
        kept = _KEPT.get(key)
    if kept is not None:
        return kept
    bundle = read_bundle(folder, allow_unsigned=allow_unsigned, stored=stored)
    if _digest(bundle.files) != key[0]:
        raise ModelError("changed while it was read", where=str(folder), remedy="Read it again")
    loaded = Loaded(bundle, session(bundle))
    loaded = loaded._replace(exact=_exact(loaded))
    with _LOCK:
        while len(_KEPT) >= MOST:
            _KEPT.pop(next(iter(_KEPT)))
        _KEPT[key] = loaded
    return loaded


def _exact(loaded: Loaded) -> bool:
    """Whether batches give the bits of single frames on this processor, too."""
    m = loaded.manifest
    if not m.batch_exact or m.inputs.shape[0] is not None or m.task == "segmentation":
        return False
    golden = loaded.bundle.golden()[0]
    inputs = golden[np.arange(TRIED) % len(golden)]
    single = [loaded.run(x[None]) for x in inputs]
    together = loaded.run(inputs)
    return all(np.concatenate([found[i] for found in single]).tobytes() == y.tobytes() for i, y in enumerate(together))


def _terms(allow_unsigned: bool) -> tuple[str, ...]:
    """On what it depends whether a bundle is taken, beside its bytes: what is allowed, who is trusted, and the day."""
    return str(allow_unsigned), *sorted(trusted()), datetime.now(UTC).date().isoformat()


def _digest(files: Mapping[str, bytes]) -> str:
    h = hashlib.sha256()
    for name in sorted(files):
        h.update(name.encode() + b"\0" + hashlib.sha256(files[name]).digest())
    return h.hexdigest()
