"""What models and rules share to watch one number: find it in a measurement, bring bounds to its unit, say it.

A number is named by its feature key, or by the name of a context value (`temperature`): features are looked up
first. `context.temperature` names the context value only, and may be one that the recipe cannot know beforehand
(a file header brings it).
"""

import difflib
from collections.abc import Callable, Mapping

from insitu.errors import ConfigError, UnitError
from insitu.types import Feature, Measurement

Convert = Callable[[float, str, str], float]
"""`convert(value, from_unit, to_unit)`, e.g. `insitu.units.convert`."""

CONTEXT = "context."
LARGEST = 1e100
"""A larger number has no square in a float, and no place in nature."""


class Watch:
    """Picks one number out of measurements; None where a measurement is not about it.

    A measurement is not about it where it is of another source, or provisional (`complete` is False: the whole
    frame follows, and would be counted twice). Without a `source`, every source that carries the number is watched;
    a source that carried it once and then does not gives a `Feature` without value, which says so.

    >>> watch = Watch("width", None, {"width": "deg"})
    >>> watch(Measurement(source="det", seq=0, n=0, time_ns=0, features={"width": Feature(0.2, "deg")})).value
    0.2
    """

    def __init__(self, feature: str, source: str | None, units: Mapping[str, str] | None) -> None:
        self.context_only = feature.startswith(CONTEXT)
        self.key = feature.removeprefix(CONTEXT)
        self.source = source
        if units is not None and not self.context_only and self.key not in units:
            raise _unknown_key(self.key, units)
        self.unit = units.get(self.key) if units is not None else None
        """The number's unit where it is declared, else None (known with the first measurement)."""
        self._carriers: set[str] = set()

    def __call__(self, measurement: Measurement) -> Feature | None:
        """The number with its unit, perhaps without value; None where the measurement is not about it."""
        if not measurement.complete or (self.source is not None and measurement.source != self.source):
            return None
        found = None if self.context_only else measurement.features.get(self.key)
        if found is None:
            found = measurement.context.get(self.key)
        if found is not None:
            self._carriers.add(measurement.source)
            if found.value is not None and max(abs(found.value), found.sigma or 0.0) > LARGEST:
                return Feature(
                    None, found.unit, why=f"{found.value:g} or its uncertainty is beyond anything measurable"
                )
            return found
        if self.source is None and measurement.source not in self._carriers:
            return None
        return Feature(None, self.unit or "", why=f"the frame carries no {self.key}")


def _unknown_key(key: str, units: Mapping[str, str]) -> ConfigError:
    near = difflib.get_close_matches(key, units, n=1)
    remedy = f"Did you mean {near[0]!r}? " if near else ""
    return ConfigError(
        f"no feature is named {key!r}",
        where="feature",
        expected=f"one of {', '.join(sorted(units))}" if units else "a key that [[features]] declare",
        remedy=f"{remedy}A number that comes with the frame, such as a temperature, is written {CONTEXT + key!r}",
    )


class InUnit:
    """A number of the recipe in the unit of what it is compared with; converted once per unit.

    `difference`: it is a difference (2 degC of hysteresis are 2 K, not 275 K). UnitError where it cannot be
    converted, and where a plain number meets a unit, because nobody can say which unit was meant.

    >>> InUnit(Feature(500.0, "ms"), "high", lambda x, a, b: x / 1000.0)("s")
    0.5
    """

    def __init__(self, wanted: Feature, where: str, convert: Convert, *, difference: bool = False) -> None:
        if wanted.value is None:
            raise ConfigError("a number is needed here", where=where, expected='a number with unit, such as "1.5 deg"')
        self.value, self.unit, self.where = float(wanted.value), wanted.unit, where
        self._convert, self._difference = convert, difference
        self._known: dict[str, float] = {self.unit: self.value}

    def __call__(self, unit: str) -> float:
        """The number in `unit`."""
        known = self._known.get(unit)
        if known is None:
            known = self._known[unit] = self._converted(unit)
        return known

    def _converted(self, unit: str) -> float:
        if not self.unit:
            raise UnitError(
                f"{self.value:g} has no unit, and is compared with a number in {unit}",
                where=self.where,
                expected=f'a number with unit, such as "{self.value:g} {unit}"',
            )
        try:
            zero = self._convert(0.0, self.unit, unit) if self._difference else 0.0
            return self._convert(self.value, self.unit, unit) - zero
        except UnitError as error:
            raise UnitError(
                error.what, where=self.where, expected=error.expected or f"a unit like {unit}", remedy=error.remedy
            ) from error


def in_unit(
    wanted: Feature | None, where: str, convert: Convert, unit: str | None, *, difference: bool = False
) -> InUnit | None:
    """`InUnit` of an optional number, tried at once where the unit is known, so that a recipe fails early."""
    if wanted is None:
        return None
    number = InUnit(wanted, where, convert, difference=difference)
    if unit is not None:
        number(unit)
    return number


def ordered(low: InUnit | None, high: InUnit | None) -> None:
    """ConfigError where `low` is not below `high` (checked where both have the same unit as written)."""
    if low is None or high is None:
        return
    if low.value >= high.value if low.unit == high.unit else low(high.unit) >= high.value:
        raise ConfigError(
            f"low {quantity(low.value, low.unit)} is not below high {quantity(high.value, high.unit)}",
            where="low",
            expected="low below high",
        )


def at_least(value: float, smallest: float, where: str) -> None:
    """ConfigError where `value` is below `smallest` (or not a number)."""
    if not value >= smallest:
        raise ConfigError(f"{value:g} is too small", where=where, expected=f"at least {smallest:g}")


def quantity(value: float, unit: str = "", sigma: float | None = None, digits: int = 5) -> str:
    """A number for people, with its unit and uncertainty.

    >>> quantity(28.91, "deg", 0.0213), quantity(1204311.0, "counts", 513.2), quantity(3, "")
    ('28.91 ± 0.021 deg', '1204311 ± 510 counts', '3')
    """
    text = _number(value, digits)
    if sigma:
        text += f" ± {_number(float(f'{sigma:.2g}'), 2)}"
    return f"{text} {unit}" if unit else text


def contrast(value: float, bound: float, unit: str = "", sigma: float | None = None) -> tuple[str, str]:
    """`value` and `bound` for people, with as many digits as it takes to tell them apart.

    >>> contrast(28.700004, 28.7, "deg")
    ('28.700004 deg', '28.7 deg')
    """
    digits = 5
    while digits < 17 and value != bound and _number(value, digits) == _number(bound, digits):
        digits += 1
    return quantity(value, unit, sigma, digits), quantity(bound, unit, digits=digits)


def _number(value: float, digits: int) -> str:
    if 10.0**digits <= abs(value) < 1e12:
        return f"{value:.0f}" if digits < 12 else f"{value:.15g}"
    return f"{value:.{digits}g}"
