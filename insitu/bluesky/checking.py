"""What is wrong with the arguments of a plan is said before anything moves."""

from __future__ import annotations

import difflib
import operator
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from inspect import iscoroutinefunction
from typing import Any

from insitu.errors import ActionRefusedError, UsageError


def checked_plan(session: Any, detectors: Any, devices: Iterable[Any], features: Sequence[str]) -> None:
    """`UsageError` where `detectors` is no list of devices, one of `devices` cannot be set, or the recipe of the
    session has no source that gives all of `features`."""
    if isinstance(detectors, str) or not isinstance(detectors, Iterable):
        raise UsageError(f"{_name(detectors)} is no list", where="detectors", expected="devices, such as [det]")
    for device in detectors:
        if not hasattr(device, "read"):
            raise UsageError(f"{_name(device)} cannot be read", where="detectors", expected="devices")
    for device in devices:
        if not (hasattr(device, "set") and hasattr(device, "name")) or getattr(device, "write_access", True) is False:
            raise UsageError(f"{_name(device)} cannot be set", expected="a motor, or a signal that may be written")
    _known(session, features)


def _known(session: Any, features: Sequence[str]) -> None:
    outputs: Mapping[str, Mapping[str, Any]] = getattr(getattr(session, "described", None), "outputs", None) or {}
    given = [{key for key, output in promised.items() if not output.array} for promised in outputs.values()]
    if not given or any(keys.issuperset(features) for keys in given):
        return
    everything = sorted(set().union(*given))
    for key in features:
        if key not in everything:
            near = difflib.get_close_matches(str(key), everything, n=1)
            raise UsageError(
                f"the recipe gives no feature {key!r}",
                where="feature",
                expected=f"one out of {', '.join(everything[:40]) or 'none: it has no features'}",
                remedy=f"Did you mean {near[0]}?" if near else "Add it to [[features]] of the recipe",
            )
    raise UsageError(
        f"no source gives all of {', '.join(features)}", where="feature", expected="features of one source"
    )


def own_range(device: Any, places: Iterable[float]) -> None:
    """`ActionRefusedError` where the device itself allows one of the places not (ophyd's `check_value`)."""
    check = getattr(device, "check_value", None)
    if not callable(check) or iscoroutinefunction(check):
        return
    for place in places:
        try:
            check(place)
        except ValueError as e:  # ophyd's LimitError is one
            limits: Any = None
            with suppress(Exception):  # a device may be anything
                limits = device.limits
            raise ActionRefusedError(
                f"{device.name} {place:g} is out of what the device itself allows, {limits or e}",
                remedy="Keep the plan (and its backlash) inside, or have the limits of the device changed",
            ) from e


def whole(name: str, value: Any) -> int:
    """A whole number, or `UsageError`."""
    try:
        return operator.index(value)
    except TypeError:
        raise UsageError(f"{name} is {value!r}", where=name, expected="a whole number") from None


def number(name: str, value: Any) -> float:
    """A number, or `UsageError`."""
    try:
        return float(value)
    except (TypeError, ValueError):
        raise UsageError(f"{name} is {value!r}", where=name, expected="a number") from None


def _name(device: Any) -> str:
    return str(getattr(device, "name", "") or repr(device)[:80])
