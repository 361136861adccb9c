"""A re-fitted bundle as what has changed of it: some kilobytes for a slow line, in place of the whole.

An update is a folder: `update.json` (the digest of the bundle that it changes), `head.npz` (the new last layer),
`golden.npz` (the new golden outputs), and the new bundle's own manifest, parts list and signature. Applied to that
bundle it gives the new one byte for byte, and that is what the signature is of: nothing is believed on the way.
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from insitu.errors import ModelError, StorageError
from insitu.models.arrays import read_arrays, write_arrays
from insitu.models.bundle import Bundle
from insitu.models.folder import write_folder
from insitu.models.head import cut, graft

NAME = "update.json"
OWN = (NAME, "head.npz", "golden.npz")
TAKEN = ("manifest.json", "mlbom.json", "signature.json")
"""Files of the new bundle that an update holds as they are."""
LARGEST = 16 * 1024 * 1024
FORMAT = 1
_REMEDY = "Get the update again from where it comes from, or the whole bundle"


def is_update(folder: Path) -> bool:
    """Whether a folder is an update, and no bundle."""
    return (folder / NAME).is_file()


def write_update(parent: Bundle, new: Bundle, folder: Path) -> int:
    """What makes `new` of `parent`, in a folder that must not exist. Gives its size in bytes. Raises `ModelError` where
    they differ in more than their heads."""
    if new.manifest.parent != parent.digest:
        raise ModelError("this bundle was made from another one", where=new.manifest.name, expected=parent.digest)
    head = cut(new.model)
    if graft(parent.model, head.weight, head.bias) != new.model:
        raise ModelError("more than the last layer differs", where="model.onnx", remedy="Give the whole bundle")
    outputs = _golden(new)
    del outputs["input"]
    files = {
        NAME: orjson.dumps({"format": FORMAT, "parent": parent.digest}),
        "head.npz": write_arrays({"weight": head.weight.astype(np.float32), "bias": head.bias.astype(np.float32)}),
        "golden.npz": write_arrays(outputs),
    } | {name: new.files[name] for name in TAKEN if name in new.files}
    try:
        folder.mkdir(parents=True)
        for name, content in files.items():
            (folder / name).write_bytes(content)
    except OSError as e:
        raise StorageError(f"cannot write an update: {e.strerror}", where=str(folder)) from e
    return sum(map(len, files.values()))


def with_update(folder: Path, find: Callable[[str], Bundle], use: Callable[[Path], Any]) -> Any:
    """Make the new bundle in a temporary folder and `use` it there (to verify and keep it). `find` gives the bundle of
    a digest, or raises. What `use` gives is given back."""
    files = _read(folder)
    try:
        told = orjson.loads(files[NAME])
        digest, version = str(told["parent"]), told["format"]
    except (orjson.JSONDecodeError, KeyError, TypeError) as e:
        raise ModelError(
            "this is no update", where=str(folder / NAME), expected="format and parent", remedy=_REMEDY
        ) from e
    if version != FORMAT:
        raise ModelError(f"format {version}", where=str(folder / NAME), expected=str(FORMAT))
    parent = find(digest)
    beside = Path(tempfile.mkdtemp(prefix="insitu-update-"))
    place = beside / parent.manifest.name
    try:
        write_folder(place, _made(files, parent, folder))
        return use(place)
    except ModelError as e:  # of the bundle that was made of it, or of a file here
        e.where = e.where.replace(str(place), str(folder)) if "/" in e.where else f"{folder}/{e.where}"
        raise
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _made(files: dict[str, bytes], parent: Bundle, folder: Path) -> dict[str, bytes]:
    """The files of the new bundle."""
    old = cut(parent.model)
    head = read_arrays(files["head.npz"], "head.npz", ("weight", "bias"))
    if head["weight"].shape != old.weight.shape or head["bias"].shape != old.bias.shape:
        raise ModelError(
            f"a head of {list(head['weight'].shape)}",
            where=str(folder / "head.npz"),
            expected=f"{list(old.weight.shape)}",
        )
    golden = _golden(parent)
    golden |= read_arrays(files["golden.npz"], "golden.npz", tuple(name for name in golden if name != "input"))
    kept = {name: parent.files[name] for name in ("LICENSE", "calibration.npz") if name in parent.files}
    return {
        "model.onnx": graft(parent.model, head["weight"].astype(np.float64), head["bias"].astype(np.float64)),
        "golden.npz": write_arrays(golden),
        **kept,
        **{name: files[name] for name in TAKEN if name in files},
    }


def _golden(bundle: Bundle) -> dict[str, np.ndarray]:
    names = ("input", "output", *(f"output{i}" for i in range(1, len(bundle.manifest.outputs))))
    return dict(read_arrays(bundle.files["golden.npz"], "golden.npz", names))


def _read(folder: Path) -> dict[str, bytes]:
    """The files of an update, plain ones within limits."""
    found: dict[str, bytes] = {}
    for name in (*OWN, *TAKEN):
        try:
            fd = os.open(folder / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError as e:
            if name == "signature.json":
                continue
            raise ModelError(f"{name} is missing", where=str(folder), expected="a whole update", remedy=_REMEDY) from e
        except OSError as e:
            raise ModelError(f"cannot be read: {e.strerror}", where=str(folder / name), remedy=_REMEDY) from e
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise ModelError("this is no plain file", where=str(folder / name), remedy=_REMEDY)
        with open(fd, "rb") as file:
            found[name] = file.read(LARGEST + 1)
        if len(found[name]) > LARGEST:
            raise ModelError("this file is too large", where=str(folder / name), expected=f"at most {LARGEST:,} bytes")
    return found
