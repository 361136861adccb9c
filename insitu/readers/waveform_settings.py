"""What a recipe says about windows and channels, checked before anything is read."""

from __future__ import annotations

from collections.abc import Mapping

from insitu import units as unit_names
from insitu.errors import ConfigError, UnitError
from insitu.readers.waveform_channels import Channels
from insitu.readers.waveform_track import clean, plausible
from insitu.types import KEY, Feature


def length(told: Feature | float | None, key: str) -> Feature | None:
    """A length in samples (a whole number without unit) or in seconds.

    >>> length(Feature(100, "ms"), "window")
    Feature(value=0.1, unit='s', sigma=None, why=None)
    """
    if told is None:
        return None
    told = told if isinstance(told, Feature) else Feature(told)
    value = float(told.value or 0)
    if told.unit == "":
        if value != int(value) or not (0 if key == "overlap" else 1) <= value < 2**48:
            raise ConfigError(
                f"{told.value} is no number of samples",
                where=key,
                expected='a whole number from 1 on, or a time such as "0.1 s"',
            )
        return told
    try:
        seconds = unit_names.convert(value, told.unit, "s")
    except UnitError as error:
        raise ConfigError(error.what, where=key, expected='a time such as "0.1 s", or a number of samples') from error
    if seconds < 0 or (seconds == 0 and key == "window"):
        raise ConfigError(f"{seconds} s is no length", where=key, expected="more than 0 s")
    return Feature(seconds, "s")


def check_windows(
    window: Feature | None, overlap: Feature | None, continuous: bool | None, sample_rate: float | None
) -> None:
    """Refuse what cannot go together: `ConfigError` with the key."""
    if overlap is not None and overlap.value:
        same = window is not None and window.unit == overlap.unit
        if window is None or (same and overlap.value >= (window.value or 0)):
            raise ConfigError(
                "windows cannot overlap" + (" by their whole length" if window else " where there are none"),
                where="overlap",
                expected="less than window",
                remedy="Set window, or make overlap smaller",
            )
    if continuous and window is None:
        raise ConfigError(
            "files cannot be cut over their seams without a window",
            where="continuous",
            expected='a window, such as window = "0.1 s"',
            remedy="Set window, or leave continuous out",
        )
    if sample_rate is not None and not plausible(sample_rate):
        raise ConfigError(f"{sample_rate} Hz is no sample rate", where="sample_rate", expected="more than 0 Hz")


def checked_channels(channels: list[str] | dict[str, int | str] | None) -> Channels | None:
    """Names of channels: those of a table must be as they stand in labels and keys, each once."""
    names = list(channels or ())
    for name in names if isinstance(channels, Mapping) else ():
        if not KEY.fullmatch(name):
            raise ConfigError(
                f"{name!r} is no name of a channel",
                where="channels",
                expected="small letters, digits and _, a letter first",
                remedy=f'Call it "{clean(name, 1)}"',
            )
    if len(set(names)) < len(names) or "" in names:
        raise ConfigError(
            "a name of a channel is empty or stands twice", where="channels", expected="names that differ"
        )
    return channels or None


def checked_units(units: Mapping[str, str] | None) -> dict[str, str]:
    """Units of channels by name, each one that is known."""
    for name, unit in (units or {}).items():
        try:
            unit_names.check_unit(unit)
        except UnitError as error:
            raise ConfigError(
                error.what, where=f"channel_units.{name}", expected=error.expected, remedy=error.remedy
            ) from error
    return dict(units or {})
