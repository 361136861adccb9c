"""msgpack as it is, whatever other packages of the process have made of it.

`msgpack_numpy.patch()`, which bluesky-kafka and databroker call when they are imported, puts other functions under
msgpack's names: arrays then go out in a form of their own, and what comes in may be unpickled.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any


def _own() -> Any:
    """The module that msgpack has its functions from: in C, else in Python."""
    if not os.environ.get("MSGPACK_PUREPYTHON"):
        try:
            return import_module("msgpack._cmsgpack")
        except ImportError:
            pass  # built without a compiler: as msgpack does itself
    return import_module("msgpack.fallback")


_MODULE = _own()
Packer: Any = _MODULE.Packer


def packb(value: Any) -> bytes:
    """The bytes of a value."""
    return bytes(Packer().pack(value))


def unpackb(data: Any, **options: Any) -> Any:
    """The value of some bytes."""
    return _MODULE.unpackb(data, **options)
