"""What only the whole shows: a policy, signals and a credit against features, limits and frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

import numpy as np

from insitu import units
from insitu.config.document import At, Problems
from insitu.config.roles import Entry
from insitu.config.settings import Budget, Policy
from insitu.errors import UnitError
from insitu.types import Detector, Feature, Output


def policy(given: Policy, outputs: Mapping[str, Mapping[str, Output]], at: At, problems: Problems) -> None:
    """Refuse patterns that match no feature."""
    keys = sorted({key for promised in outputs.values() for key in promised})
    expected = f"a key or pattern of {', '.join(keys)}" if keys else "no pattern: there are no features"
    for i, pattern in enumerate(given.features):
        if not any(fnmatchcase(key, pattern) for key in keys):
            remedy = units.did_you_mean(pattern, keys)
            problems.add((at / i).wrong(f'"{pattern}" matches no feature', expected=expected, remedy=remedy))


def signals(rules: Sequence[Entry], detectors: Sequence[Detector], problems: Problems) -> None:
    """Refuse rules that would set what no detector file allows."""
    for rule in rules:
        name = rule.values.get("signal", rule.resolved.get("signal"))
        if isinstance(name, str):
            with problems.gather():
                signal(name, None, detectors, rule.at / "signal")


def signal(name: str, value: Feature | None, detectors: Sequence[Detector], at: At) -> None:
    """Refuse a signal that no detector allows, or a value outside of what it allows."""
    limits = {name: limit for detector in detectors for name, limit in detector.limits.items()}
    limit = limits.get(name)
    if limit is None:
        known = f"one of {', '.join(limits)}" if limits else "a signal under [limits] of a detector file; there is none"
        raise at.wrong(f'no detector allows to set "{name}"', expected=known, remedy=units.did_you_mean(name, limits))
    if value is None or value.value is None:
        return
    try:
        number = units.convert(value.value, value.unit, limit.unit)
    except UnitError as e:
        raise at.adopt(e) from e
    if not limit.low <= number <= limit.high:
        allowed = f"{limit.low:g} to {limit.high:g} {limit.unit}"
        raise at.wrong(f"{number:g} {limit.unit} is outside of what the detector allows", expected=allowed)


def credit(budget: Budget, detectors: Sequence[Detector], at: At, problems: Problems) -> None:
    """Refuse a credit into which not even one frame fits."""
    for detector in detectors:
        if detector.shape is None or detector.dtype is None:
            continue
        size = int(np.prod(detector.shape, dtype=np.int64)) * np.dtype(detector.dtype).itemsize
        if size > budget.in_flight_bytes:
            problems.add(
                at.wrong(
                    f"one frame of {detector.source} is {size / 1e6:g} MB, more than the whole credit of "
                    f"{budget.in_flight_bytes / 1e6:g} MB",
                    expected=f'a few frames at least, such as "{-(-4 * size // 1_000_000)} MB"',
                )
            )


def calibrations(detectors: Sequence[Detector]) -> dict[str, str]:
    """{name: unit} of what detector files put into every frame's context, where all agree on the unit."""
    found: dict[str, set[str]] = {}
    for detector in detectors:
        for name, feature in detector.calibration.items():
            found.setdefault(name, set()).add(feature.unit)
    return {name: next(iter(several)) for name, several in found.items() if len(several) == 1}
