"""Registers of a Modbus device: what a recipe says about them, which requests read them, and what their words mean.

A register is 16 bits, the high byte first. Numbers of 32 and 64 bits take two and four; which word comes first, each
maker decides (`words`). Source: MODBUS Application Protocol Specification V1.1b3, 4.2 and 6.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from insitu.errors import ConfigError, UnitError
from insitu.types import KEY
from insitu.units import check_unit, did_you_mean

TABLES = ("holding", "input", "coil", "discrete")
_TYPES = {
    "int16": (1, ">h"),
    "uint16": (1, ">H"),
    "int32": (2, ">i"),
    "uint32": (2, ">I"),
    "float32": (2, ">f"),
    "float64": (4, ">d"),
    "bool": (1, ""),
}
_KEYS = ("address", "type", "table", "words", "scale", "offset", "unit")
MOST_WORDS, MOST_BITS = 120, 1968
"""How much one request reads: a little less than the 125 registers and 2,000 bits that the protocol allows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Register:
    """One channel: `size` registers (or one bit) from `address` on in a `table`; it is `scale` * number + `offset`, in
    `unit`."""

    name: str
    address: int
    table: str
    type: str
    words: str
    scale: float
    offset: float
    unit: str

    @property
    def size(self) -> int:
        """How many registers it takes."""
        return _TYPES[self.type][0]


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for at once: `count` registers or bits of a `table` from `address` on, for these `registers`."""

    table: str
    address: int
    count: int
    registers: tuple[Register, ...]


def registers_of(told: Mapping[str, Mapping[str, int | float | str]]) -> tuple[Register, ...]:
    """The registers that a recipe names; `ConfigError` with the key for what cannot be."""
    if not told:
        raise ConfigError(
            "no register is named",
            where="registers",
            expected='registers = { oil = { address = 100, type = "float32", unit = "degC" } }',
        )
    return tuple(_register(name, keys) for name, keys in told.items())


def requests_of(registers: Sequence[Register]) -> tuple[Request, ...]:
    """As few requests as read them all without touching a register that nobody named.

    >>> a = registers_of({"a": {"address": 0}, "b": {"address": 1, "type": "int32"}, "c": {"address": 9}})
    >>> [(r.address, r.count) for r in requests_of(a)]
    [(0, 3), (9, 1)]
    """
    out: list[Request] = []
    for register in sorted(registers, key=lambda r: (TABLES.index(r.table), r.address)):
        end = register.address + register.size
        most = MOST_BITS if register.table in ("coil", "discrete") else MOST_WORDS
        last = out[-1] if out else None
        if last and last.table == register.table and register.address <= last.address + last.count:
            count = max(last.address + last.count, end) - last.address
            if count <= most:
                out[-1] = Request(last.table, last.address, count, (*last.registers, register))
                continue
        out.append(Request(register.table, register.address, register.size, (register,)))
    return tuple(out)


def value_of(register: Register, words: Sequence[int]) -> float:
    """The number in a register's words (or its bit); NaN where the device sends one.

    >>> (oil,) = registers_of({"oil": {"address": 7, "type": "int32", "words": "little", "scale": 0.1}})
    >>> round(value_of(oil, [0xFF9C, 0xFFFF]), 9)
    -10.0
    """
    if register.type == "bool":
        return float(bool(words[0]))
    ordered = words if register.words == "big" else words[::-1]
    (number,) = struct.unpack(_TYPES[register.type][1], struct.pack(f">{len(ordered)}H", *ordered))
    return number * register.scale + register.offset


def _register(name: str, keys: Mapping[str, int | float | str]) -> Register:
    where = f"registers.{name}"
    if not KEY.fullmatch(name):
        raise ConfigError(f"{name!r} is no name of a channel", where=where, expected="small letters, digits and _")
    for key in keys:
        if key not in _KEYS:
            raise ConfigError(
                f'the key "{key}" is not known', where=where, expected=", ".join(_KEYS), remedy=did_you_mean(key, _KEYS)
            )
    table = _one_of(keys.get("table", "holding"), TABLES, f"{where}.table")
    bits = table in ("coil", "discrete")
    kind = _one_of(keys.get("type", "bool" if bits else "uint16"), tuple(_TYPES), f"{where}.type")
    if bits != (kind == "bool"):
        raise ConfigError(
            f"a {table} cannot be {kind}",
            where=f"{where}.type",
            expected='"bool"' if bits else ", ".join(t for t in _TYPES if t != "bool"),
        )
    address = keys.get("address")
    if type(address) is not int or not 0 <= address <= 65536 - _TYPES[kind][0]:
        raise ConfigError(
            "the address is missing" if address is None else f"{address} is no address",
            where=f"{where}.address",
            expected="0 to 65535, counted from 0 as in the request",
            remedy="Where a manual counts from 40001 (holding) or 30001 (input), take that off",
        )
    unit = str(keys.get("unit", ""))
    try:
        check_unit(unit)
    except UnitError as error:
        expected = error.expected or 'a unit, such as "degC" or "1/min"'
        raise ConfigError(error.what, where=f"{where}.unit", expected=expected, remedy=error.remedy) from error
    return Register(
        name=name,
        address=address,
        table=table,
        type=kind,
        words=_one_of(keys.get("words", "big"), ("big", "little"), f"{where}.words"),
        scale=_number(keys.get("scale", 1.0), f"{where}.scale"),
        offset=_number(keys.get("offset", 0.0), f"{where}.offset"),
        unit=unit,
    )


def _one_of(value: object, allowed: tuple[str, ...], where: str) -> str:
    if value not in allowed:
        remedy = did_you_mean(str(value), allowed)
        raise ConfigError(f"{value!r} is not allowed", where=where, expected=", ".join(allowed), remedy=remedy)
    return str(value)


def _number(value: object, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ConfigError(f"{value!r} is not a number", where=where, expected="a number")
    return float(value)
