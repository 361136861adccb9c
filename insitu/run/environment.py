"""What a run was computed with: records are re-derived byte for byte only where all of this is the same."""

import hashlib
import os
import platform
import re
import sys
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from insitu.store.canonical import canonical, digest_bytes

PACKAGES = ("numpy", "scipy", "numba", "llvmlite", "scikit-image", "pybaselines", "onnxruntime", "numcodecs", "orjson")
_HEAD = re.compile(r"^(name|version):[ \t]*(.*?)[ \t\r]*$", re.MULTILINE | re.IGNORECASE)


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


@cache
def code_digest() -> str:
    """sha256 over our own source files: two builds of one version may differ."""
    root = Path(__file__).resolve().parent.parent
    h = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        h.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes())
    return "sha256:" + h.hexdigest()


def cpu_flags() -> str:
    """Name and flags of the processor, as far as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    found = {}
    for line in lines:
        key, _, value = line.partition(":")
        if key.strip() in ("model name", "flags", "Features"):
            found.setdefault(key.strip(), " ".join(sorted(value.split())) if "lag" in key else value.strip())
    return "; ".join(found[k] for k in sorted(found))


def blas() -> str:
    """Name and version of the BLAS that numpy was built with."""
    import numpy as np

    config: Any = np.show_config(mode="dicts")
    found = config.get("Build Dependencies", {}).get("blas", {})
    return f"{found.get('name', '')} {found.get('version', '')}".strip()


@cache
def _digest_of(text: str) -> str:
    return digest_bytes(text.encode())


def _installed() -> list[str]:
    """`name==version` of every package. Only the heads of their descriptions are read: all else in them is long."""
    found = []
    for package in metadata.distributions():
        text = package.read_text("METADATA") or package.read_text("PKG-INFO") or ""
        head = {k.lower(): v for k, v in reversed(_HEAD.findall(text.partition("\n\n")[0]))}
        if head:
            found.append(f"{head.get('name')}=={head.get('version')}".lower())
    return sorted(found)


def environment() -> dict[str, Any]:
    """The environment as a plain dict, with its digest under `digest` (host-independent parts only)."""
    from insitu import __version__

    installed = _installed()
    body = {
        "insitu": __version__,
        "code": code_digest(),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "system": platform.system(),
        "cpu": _digest_of(cpu_flags()),
        "cpu_name": cpu_flags().split(";")[0][:80],
        "blas": blas(),
        "packages": {name: _version(name) for name in PACKAGES},
        "installed": _digest_of("\n".join(installed)),
        "byteorder": sys.byteorder,
    }
    return {**body, "digest": digest_bytes(canonical(body))}


def threads_per_process() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0))
