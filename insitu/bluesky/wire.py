"""Messages between a session and the process of its run: bytes in, values out, without sockets.

A message is a text that says what it is and a value: what documents hold (texts, numbers, lists, tuples, dicts, times,
numpy scalars) and numpy arrays of any type. On the wire: two lengths, the value in msgpack, and the bytes of its arrays
one behind the other, which are never copied on the way out. No pickle: what is unknown goes as its `repr`.
"""

from __future__ import annotations

import datetime as dt
import math
import struct
from collections.abc import Mapping
from enum import Enum
from pathlib import Path, PurePath
from typing import Any

import msgpack
import numpy as np
import orjson

from insitu.errors import FormatError, UsageError
from insitu.store.packing import Packer, unpackb

LENGTHS = struct.Struct("<QQ")
"""Bytes of the msgpack part, and of the arrays behind it."""
ALIGN = 64
ARRAY, SCALAR, TUPLE, WHOLE, TIME, PATH = range(1, 7)
TIMES: dict[str, Any] = {"datetime": dt.datetime, "date": dt.date, "time": dt.time}
Buffer = bytes | memoryview


class Packing:
    """Makes messages, one after the other, in one thread. `strict`: `UsageError` for what only `repr` tells."""

    def __init__(self, *, strict: bool = False) -> None:
        self._strict = strict
        self._packer = self._new()
        self._arrays: list[Buffer] = []
        self._size = 0

    def __call__(self, kind: str, value: Any) -> list[Buffer]:
        """The parts of a message, to be written one behind the other."""
        self._arrays, self._size = [], 0
        try:
            head = self._packer.pack([kind, value])
        except BaseException:
            self._packer = self._new()  # it may hold half a message
            raise
        rest = -len(head) % ALIGN
        return [LENGTHS.pack(len(head), self._size) + head + bytes(rest), *self._arrays]

    def _new(self) -> Any:
        """A packer. Its memory is small, so that it stays where it is."""
        return Packer(
            default=self._other, strict_types=True, unicode_errors="surrogatepass", use_bin_type=True, buf_size=4096
        )

    def _place(self, array: np.ndarray) -> int:
        """Put the bytes of an array behind the others; where they are."""
        at, nbytes = self._size, array.nbytes
        if nbytes:
            self._arrays.append(array.reshape(-1).view(np.uint8).data)
            rest = -nbytes % ALIGN
            if rest:
                self._arrays.append(bytes(rest))
            self._size += nbytes + rest
        return at

    def _other(self, value: Any) -> Any:
        """What msgpack does not know, as something that it does."""
        if isinstance(value, np.ndarray):
            if value.dtype.hasobject:
                return value.tolist()
            array = np.asarray(value, order="C")
            return msgpack.ExtType(ARRAY, orjson.dumps([self._place(array), array.shape, _described(array.dtype)]))
        if isinstance(value, tuple):
            return msgpack.ExtType(TUPLE, self._new().pack(list(value)))
        if isinstance(value, np.generic) and not isinstance(value, (float, str, bytes)) and not value.dtype.hasobject:
            return msgpack.ExtType(SCALAR, orjson.dumps(_described(value.dtype)) + b"\0" + value.tobytes())
        if isinstance(value, Enum):
            return value.value if type(value.value) in (int, str, float) else self._other(value.value)
        if isinstance(value, bool | int):
            plain = int(value)
            return plain if -(2**63) <= plain < 2**64 else msgpack.ExtType(WHOLE, hex(plain).encode())
        kind: Any
        for kind in (float, str, bytes, list):
            if isinstance(value, kind):
                return kind(value)
        if isinstance(value, Mapping):
            return dict(value)
        if isinstance(value, complex):
            return self._other(np.complex128(value))
        if isinstance(value, dt.datetime | dt.date | dt.time):
            name = "datetime" if isinstance(value, dt.datetime) else "time" if isinstance(value, dt.time) else "date"
            return msgpack.ExtType(TIME, f"{name} {value.isoformat()}".encode())
        if isinstance(value, PurePath):
            return msgpack.ExtType(PATH, str(value).encode(errors="surrogateescape"))
        if hasattr(value, "__array__"):
            return self._other(np.asarray(value))
        if self._strict:
            expected = 'what a recipe file can hold; what is yours goes by name: use = "module:Thing"'
            raise UsageError(f"{value!r:.80} cannot be handed to the process of the run", expected=expected)
        return repr(value)


def pack(kind: str, value: Any, *, strict: bool = False) -> list[Buffer]:
    """The parts of one message.

    >>> unpack(joined(pack("event", {"data": {"x": (1, 2.5)}})))
    ('event', {'data': {'x': (1, 2.5)}})
    """
    return Packing(strict=strict)(kind, value)


def joined(parts: list[Buffer]) -> bytes:
    """All parts as one."""
    return b"".join(parts)


def unpack(message: bytes) -> tuple[str, Any]:
    """A whole message."""
    head, behind = lengths(message)
    return opened(np.frombuffer(message, np.uint8, behind, LENGTHS.size), head)


def lengths(start: Any) -> tuple[int, int]:
    """How a message begins: bytes of its msgpack part, and of all that comes behind the lengths."""
    head, size = LENGTHS.unpack_from(start)
    return head, head + -head % ALIGN + size


def opened(body: np.ndarray, head: int) -> tuple[str, Any]:
    """(kind, value) of what comes behind the lengths: `head` bytes of msgpack and the arrays, which become views."""

    arrays = body[head + -head % ALIGN :]

    def hook(code: int, data: bytes) -> Any:
        return _value(code, data, arrays, hook)

    kind, value = _unpacked(body.data[:head], hook)
    return kind, value


def _unpacked(data: Any, hook: Any) -> Any:
    return unpackb(data, ext_hook=hook, strict_map_key=False, unicode_errors="surrogatepass", use_list=True, raw=False)


def _value(code: int, data: bytes, arrays: np.ndarray, hook: Any) -> Any:
    if code == ARRAY:
        at, shape, described = orjson.loads(data)
        dtype = _dtype(described)
        size = math.prod(shape) * dtype.itemsize
        return arrays[at : at + size].view(dtype).reshape(shape) if size else np.empty(shape, dtype)
    if code == SCALAR:
        described, _, raw = bytes(data).partition(b"\0")
        dtype = _dtype(orjson.loads(described))
        return np.frombuffer(raw, dtype, 1)[0] if raw else np.zeros((), dtype)[()]
    if code == TUPLE:
        return tuple(_unpacked(data, hook))
    if code == WHOLE:
        return int(data, 16)
    if code == TIME:
        name, _, text = bytes(data).decode().partition(" ")
        return TIMES[name].fromisoformat(text)
    if code == PATH:
        return Path(bytes(data).decode(errors="surrogateescape"))
    raise FormatError(f"a message holds an unknown kind of value, {code}")


def _described(dtype: np.dtype) -> Any:
    """A type as text, or as the list of its fields."""
    return dtype.str if dtype.names is None else np.lib.format.dtype_to_descr(dtype)


def _dtype(described: Any) -> np.dtype:
    return np.dtype(described) if isinstance(described, str) else np.lib.format.descr_to_dtype(_fields(described))


def _fields(described: Any) -> Any:
    """JSON has no tuples: fields are tuples (name, type) or (name, type, shape)."""
    return [
        (tuple(name) if isinstance(name, list) else name, _fields(kind) if isinstance(kind, list) else kind,
         *map(tuple, shape))
        for name, kind, *shape in described
    ]  # fmt: skip
