"""Tables built from CIF files, kept in the user's cache folder under the digest of the file's content."""

import io
import os
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

VERSION = 1
"""Changes with what a table holds: older ones in the cache are not found any more."""
KEYS = ("g", "rotations", "hkl", "multiplicity", "sums", "f0", "z", "density")


def cache_folder() -> Path:
    """Where built tables lie: `insitu/phases` in the user's cache folder (`XDG_CACHE_HOME`, else `~/.cache`)."""
    root = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(root) if root else Path.home() / ".cache") / "insitu" / "phases"


def cached(digest: str) -> list[dict[str, np.ndarray]] | None:
    """The tables of a file, None where they are not there or damaged (they are built anew)."""
    try:
        with np.load(cache_folder() / f"{digest}-{VERSION}.npz", allow_pickle=False) as kept:
            count = int(kept["count"])
            return [{key: kept[f"{i}_{key}"] for key in KEYS} for i in range(count)]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, RuntimeError):
        return None


def keep(digest: str, tables: Sequence[dict[str, np.ndarray]]) -> None:
    """Write the tables beside their name and rename: a reader sees all or nothing. A folder that cannot be written is
    no error: the tables are built again next time."""
    content = io.BytesIO()
    arrays = {f"{i}_{key}": table[key] for i, table in enumerate(tables) for key in KEYS}
    np.savez_compressed(content, allow_pickle=False, count=np.array(len(tables)), **arrays)
    try:
        cache_folder().mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=cache_folder(), suffix=".part")
        with os.fdopen(handle, "wb") as file:
            file.write(content.getvalue())
        os.replace(name, cache_folder() / f"{digest}-{VERSION}.npz")
    except OSError:
        return
