"""Single values of the tables, checked: numbers above zero, units, shapes, time zones. Each error names its key."""

from __future__ import annotations

from insitu import units
from insitu.errors import ConfigError
from insitu.types import Feature


def above_zero(value: float, where: str) -> None:
    if not value > 0:
        raise ConfigError(f"{value:g} is not above 0", where=where, expected="more than 0")


def known_unit(unit: str) -> None:
    try:
        units.check_unit(unit)
    except units.UnitError as e:
        raise units.UnitError(e.what, where="unit", expected=e.expected, remedy=e.remedy) from e


def shaped(shape: tuple[int, ...] | None, dtype: str | None, dims: tuple[str, ...], live: bool) -> None:
    if live and (shape is None or dtype is None):
        missing = "shape" if shape is None else "dtype"
        raise ConfigError(
            f'a live source needs "{missing}": memory and time are promised before the first frame',
            where="live",
            expected='for example shape = [4096] and dtype = "uint32"',
        )
    if shape is not None and (not shape or any(n < 1 for n in shape)):
        raise ConfigError(f"{list(shape)} is no shape", where="shape", expected="positive whole numbers")
    if shape is not None and dims and len(shape) != len(dims):
        raise ConfigError(
            f"shape has {len(shape)} and dims has {len(dims)} dimensions", where="dims", expected="one name for each"
        )
    if dtype is not None and dtype not in DTYPES:
        raise ConfigError(
            f'"{dtype}" is no dtype', where="dtype", expected=f"one of {', '.join(DTYPES)}",
            remedy=units.did_you_mean(dtype, DTYPES),
        )  # fmt: skip


DTYPES = ("uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float32", "float64")


def timezone(name: str) -> str:
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

    if name != "UTC":
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError) as e:
            raise ConfigError(
                f'"{name}" is not a time zone',
                where="timezone",
                expected='a name such as "UTC" or "Europe/Berlin"',
                remedy=units.did_you_mean(name, available_timezones()),
            ) from e
    return name


def in_unit(value: Feature | None, unit: str, where: str) -> float | None:
    """A number in `unit`; a plain one is in it already."""
    if value is None or value.value is None:
        return None
    try:
        return units.convert(value.value, value.unit or unit, unit)
    except units.UnitError as e:
        raise units.UnitError(e.what, where=where, expected=e.expected, remedy=e.remedy) from e


def difference_in_unit(value: Feature | None, unit: str) -> float | None:
    """A difference in `unit`: steps of 2 degC are steps of 2 K."""
    if value is None:
        return None
    zero = in_unit(Feature(0.0, value.unit), unit, "step")
    number = in_unit(value, unit, "step")
    return None if number is None or zero is None else number - zero
