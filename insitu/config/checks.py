"""What only the whole shows: a policy, signals and a credit against features, limits and frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from insitu import units
from insitu.config.document import At, Problems
from insitu.config.roles import Entry
from insitu.config.settings import Budget, Policy
from insitu.errors import UnitError
from insitu.sinks.policy import BESIDE_BYTES, DTYPE_BYTES, RESERVED, ArrayRule, matching
from insitu.sinks.streams import OWN
from insitu.types import KEY, Detector, Feature, Output


def policy(
    given: Policy,
    outputs: Mapping[str, Mapping[str, Output]],
    models: Sequence[str],
    at: At,
    problems: Problems,
) -> None:
    """Refuse what cannot be meant: patterns that name nothing, arrays among the numbers, names that are taken."""
    promised = {key: output for keys in outputs.values() for key, output in keys.items()}
    numbers, arrays = ([k for k in sorted(promised) if promised[k].array is is_array] for is_array in (False, True))
    _patterns(given.features, numbers, "feature", at / "features", problems, arrays)
    _patterns(given.verdicts, sorted(models), "model", at / "verdicts", problems)
    for i, rule in enumerate(given.arrays):
        with problems.gather():
            _array(rule, arrays, given, at / "arrays" / i)
    taken = [*OWN, *(name for key in numbers for name in (key, f"{key}_sigma", f"{key}_status"))]
    for i, name in enumerate(given.context):
        if name in taken:
            problems.add((at / "context" / i).wrong(f'"{name}" is a key of something else', expected="another name"))
    for key in (k for k in matching(given.features, numbers) if k in OWN):
        what = f'the feature "{key}" has the name of a key of every event'
        problems.add((at / "features").wrong(what, expected=f"none of {', '.join(OWN)}", remedy="Name it otherwise"))
    for field in ("metadata", "pseudonyms"):
        for i, name in enumerate(getattr(given, field)):
            if name in RESERVED or not KEY.fullmatch(name):
                expected = "the plain name of one thing, no pattern" if name not in RESERVED else "another name"
                problems.add((at / field / i).wrong(f'"{name}" cannot leave under this name', expected=expected))
    if given.triage and not models:
        what = "nothing is judged normal: there are no models"
        problems.add((at / "triage").wrong(what, expected="false, or a model"))


def _patterns(
    patterns: Sequence[str], names: Sequence[str], what: str, at: At, problems: Problems, arrays: Sequence[str] = ()
) -> None:
    """Refuse patterns that match no name."""
    expected = f"a key or pattern of {', '.join(names)}" if names else f"no pattern: there is no such {what}"
    for i, pattern in enumerate(patterns):
        if matching([pattern], names):
            continue
        if matching([pattern], arrays):
            remedy = "An array leaves by an entry of [[policy.arrays]] with feature, shape, dtype and max_rate"
            problems.add((at / i).wrong(f'"{pattern}" matches arrays only', expected=expected, remedy=remedy))
        else:
            remedy = units.did_you_mean(pattern, names)
            problems.add((at / i).wrong(f'"{pattern}" matches no {what}', expected=expected, remedy=remedy))


def _array(rule: ArrayRule, arrays: Sequence[str], given: Policy, at: At) -> None:
    """Refuse an array that no feature gives, one named twice, and one that could never pass the ceiling of bytes."""
    if rule.feature not in arrays:
        expected = f"one of {', '.join(arrays)}" if arrays else "no entry: no feature gives an array"
        remedy = units.did_you_mean(rule.feature, arrays)
        raise (at / "feature").wrong(f'no array feature is named "{rule.feature}"', expected=expected, remedy=remedy)
    if [r.feature for r in given.arrays].count(rule.feature) > 1:
        raise (at / "feature").wrong(f'"{rule.feature}" is named twice', expected="each array once")
    largest = rule.size * DTYPE_BYTES + BESIDE_BYTES
    if largest > given.max_bytes:
        raise (at / "shape").wrong(
            f"one such array may take {largest} bytes, more than max_bytes, {given.max_bytes}",
            expected=f"at most {max(0, (given.max_bytes - BESIDE_BYTES) // DTYPE_BYTES)} numbers",
        )


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
