"""Which dataset of an HDF5 file holds the images.

Looked for in this order: the dataset that was named; NeXus' own pointers (attributes `default` and `signal`); Eiger's
`data_000001`, `data_000002`, ... (links to files of their own); usual places; the only dataset that can be images.
Sources: NeXus NXdata; Dectris' Eiger file format; Lambda and LIMA files by their published layouts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from insitu.errors import FormatError

MOST_OBJECTS = 10_000
_USUAL = ("entry/data/data", "entry/instrument/detector/data", "entry_0000/measurement/data", "exchange/data")
EIGER = re.compile(r"data_\d{1,9}")
_SMALLEST = 16
"""Rows and columns that an image has at least, where it must be guessed."""


class Part(NamedTuple):
    """A dataset of frames: its path in the file, and the file it is linked to ("" where it is in this one)."""

    path: str
    linked: str


def find_parts(file: Any, dataset: str, name: str) -> list[Part]:
    """The datasets that hold the frames, in order. Raises `FormatError` that says what is there instead."""
    if dataset:
        if dataset not in file and file.get(dataset, getlink=True) is None:
            raise _none(file, name, f"there is no dataset {dataset!r}")
        return _series_of(file, dataset) or [_part(file, dataset)]
    for path in (*_signals(file), *_usual(file)):
        if _is_link_out(file, path) or is_images(file.get(path), 1):
            return [_part(file, path)]
    for group in ("entry/data", "entry/instrument/detector", "entry/data_collection", "entry"):
        if parts := _series_of(file, group):
            return parts
    found = [path for path, item in _datasets(file) if is_images(item, _SMALLEST)]
    stacks = [path for path in found if len(file[path].shape) > 2] or found
    stacks = [p for p in stacks if not re.search(r"mask|flat|dark|gain|background|correction", p.rpartition("/")[2])]
    if len(stacks) != 1:
        several = f"several datasets could be the images: {', '.join(stacks[:6])}"
        raise _none(file, name, several if stacks else "there is no dataset of images")
    return [_part(file, stacks[0])]


def _none(file: Any, name: str, what: str) -> FormatError:
    there = [f"/{path} {list(item.shape)}" for path, item in _datasets(file) if len(item.shape) > 1][:6]
    return FormatError(
        what + (f"; the file has {', '.join(there)}" if there else ""),
        where=name,
        expected="frames (n, y, x)",
        remedy='Name it: --set detector.reader.dataset="/entry/data/data"',
    )


def _part(file: Any, path: str) -> Part:
    link = _link(file, path)
    return Part(path, str(getattr(link, "filename", "")))


def _link(file: Any, path: str) -> Any:
    try:
        return file.get(path, getlink=True)
    except (KeyError, RuntimeError, OSError):
        return None


def _is_link_out(file: Any, path: str) -> bool:
    return hasattr(_link(file, path), "filename")


def _signals(file: Any) -> Iterator[str]:
    """Datasets that NeXus' attributes point to."""
    entries = [text_of(file.attrs.get("default"))] if "default" in file.attrs else []
    entries += [key for key in list(file.keys())[:100] if class_of(get(file, key)) == "NXentry" and key not in entries]
    for entry in entries:
        group = get(file, entry)
        path = entry.strip("/")
        for _ in range(4):  # default leads to default leads to the NXdata
            if group is None or not hasattr(group, "keys"):
                break
            if signal := text_of(group.attrs.get("signal")):
                yield f"{path}/{signal}"
            below = text_of(group.attrs.get("default"))
            if not below:
                break
            path = below.strip("/") if below.startswith("/") else f"{path}/{below}"
            group = get(file, path)
        group = get(file, entry)
        for key in list(group.keys())[:200] if group is not None and hasattr(group, "keys") else ():
            child = get(group, key)
            if class_of(child) == "NXdata":
                signal = text_of(child.attrs.get("signal")) or next(
                    (k for k in list(child.keys())[:50] if _signal_attribute(get(child, k))), ""
                )
                if signal:
                    yield f"{entry.strip('/')}/{key}/{signal}"


def _signal_attribute(item: Any) -> bool:
    return item is not None and str(item.attrs.get("signal", "")) in ("1", "[1]")


def _usual(file: Any) -> Iterator[str]:
    yield from (path for path in _USUAL if _link(file, path) is not None)


def _series_of(file: Any, group: str) -> list[Part]:
    """Eiger's numbered datasets of a group, in order of their numbers."""
    item = get(file, group)
    if item is None or not hasattr(item, "keys"):
        return []
    names = sorted((k for k in item if EIGER.fullmatch(k)), key=lambda k: int(k[5:]))
    return [_part(file, f"{group.strip('/')}/{k}") for k in names]


def is_images(item: Any, smallest: int) -> bool:
    shape = getattr(item, "shape", None)
    if not shape or len(shape) < 2 or getattr(getattr(item, "dtype", None), "kind", "") not in "iuf":
        return False
    return min(shape[-2:]) >= smallest


def _datasets(file: Any) -> Iterator[tuple[str, Any]]:
    """Datasets of numbers in a file, at most so many objects; links are not followed."""
    found: list[tuple[str, Any]] = []
    seen = 0

    def visit(path: str, item: Any) -> bool | None:
        nonlocal seen
        seen += 1
        if getattr(item, "shape", None) and item.dtype.kind in "iuf":
            found.append((path, item))
        return True if seen >= MOST_OBJECTS else None

    try:
        file.visititems(visit)
    except (RuntimeError, KeyError, OSError) as error:
        raise FormatError(f"the file cannot be looked through: {error}", where=str(file.filename)) from error
    return iter(found)


def get(group: Any, path: str) -> Any:
    """What is at a path; None where nothing is, or a link leads nowhere."""
    try:
        return group.get(path) if path else None
    except (KeyError, RuntimeError, OSError):
        return None


def class_of(item: Any) -> str:
    return text_of(item.attrs.get("NX_class")) if item is not None else ""


def text_of(value: Any) -> str:
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.reshape(-1)[0]
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    return value.strip("\0 ") if isinstance(value, str) else ""
