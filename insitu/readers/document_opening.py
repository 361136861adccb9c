"""What a `stream_resource` or a `resource` points at, opened: the asset that gives its frames."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

from insitu.errors import FormatError
from insitu.readers.document_assets import NEXUS, Asset, Hdf5, Npy, Zarr
from insitu.readers.document_files import READ, Files

KINDS = (
    "application/x-hdf5, application/x-zarr, a sequence of image/tiff, image/jpeg or application/x-npy, AD_HDF5,"
    " AD_HDF5_SINGLE, AD_TIFF or NPY_SEQ"
)


def open_asset(resource: Mapping[str, Any]) -> Asset:
    """What a `stream_resource` (mimetype, uri, parameters) or an older `resource` (spec, path, kwargs) points at.
    `FormatError` for a kind that is not known here or a place that is not on this machine."""
    parameters = dict(resource.get("parameters") or resource.get("resource_kwargs") or {})
    kind = str(resource.get("mimetype") or resource.get("spec") or "").lower()
    path = _path(resource)
    if kind.startswith("ad_hdf5_single"):
        return Files(path, parameters, "hdf5")
    if "hdf5" in kind:
        return Hdf5(path, str(parameters.get("dataset") or parameters.get("path") or NEXUS))
    if "zarr" in kind:
        return Zarr(path, str(parameters.get("dataset") or ""))
    if "npy" in kind and path.suffix == ".npy":
        return Npy(path)
    for name in READ:
        if name in kind:
            return Files(path, parameters, name)
    raise FormatError(f"frames of the kind {kind!r} cannot be read", where=str(path), expected=KINDS)


def _path(resource: Mapping[str, Any]) -> Path:
    uri = resource.get("uri")
    if uri is None:
        path = Path(str(resource.get("root", ""))) / str(resource.get("resource_path", "")).lstrip("/")
        told = str(path)
    else:
        parsed = urlparse(str(uri))
        here = parsed.netloc.lower() in ("", "localhost", "127.0.0.1", os.uname().nodename.lower())
        if parsed.scheme not in ("file", "") or not here:
            raise FormatError(
                "the frames are not on this machine",
                where=str(uri),
                expected="file://localhost/...",
                remedy="Let the writer name the place where this machine sees the file",
            )
        path, told = Path(unquote(parsed.path)), str(uri)
    if not path.is_absolute():
        raise FormatError(
            "nobody knows in which folder the frames are", where=told, expected="a whole path: file://localhost/..."
        )
    return path
