"""Who may act: what stands between a decision and the instrument.

Checked in this order: the mode of the run, the operator's hold, the life time of the decision, then for each signal
it wants to set: whether the beamline allows it at all, the unit, the range, the largest step, the rate. A refusal is a
sentence with the signal, the value, the limit and the remedy; the run logs it. A late HALT is refused like any other:
rules say HALT on every frame while the cause lasts, so that a fresh one follows.

This is no interlock: nothing here protects people or equipment.
"""

from collections.abc import Mapping
from typing import Literal, NamedTuple

from insitu.errors import UnitError
from insitu.maths.watch import contrast, quantity
from insitu.types import Decision, Feature, Limit


class _Moved(NamedTuple):
    value: float
    at_ns: int


class Guard:
    """Says why a decision may not be carried out, by what the beamline allows and what was set before.

    `limits`: {signal: Limit}. Times are ns of one clock of the caller. No I/O.

    >>> from insitu.types import Action
    >>> guard = Guard({"exposure_s": Limit(unit="s", low=0.01, high=10.0)}, "act")
    >>> longer = Decision(action=Action.ADAPT, reason="", params={"exposure_s": Feature(20.0, "s")})
    >>> guard.refusal(longer, arrived_ns=0, now_ns=0, held=False)
    'exposure_s 20 s is above the largest value allowed, 10 s: propose at most that, or have [limits] changed'
    """

    def __init__(self, limits: Mapping[str, Limit], mode: Literal["advise", "act"]) -> None:
        self.limits, self.mode = dict(limits), mode
        self._moved: dict[str, _Moved] = {}

    def refusal(
        self,
        decision: Decision,
        *,
        arrived_ns: int,
        now_ns: int,
        held: bool,
        present: Mapping[str, Feature] | None = None,
    ) -> str | None:
        """Why `decision` may not be carried out now; None where it may.

        `arrived_ns`: when the frame it is about arrived. `present`: values of the signals as read back with that frame
        (its context); the largest step is counted from what was set last, or else from these.
        """
        action = decision.action.name
        if self.mode != "act":
            return f"{action} is recorded and shown only, because the run is in mode advise: start it with --mode act"
        if held:
            return f"{action} is held by the operator: insitu release lets the rules act again"
        age_s = (now_ns - arrived_ns) / 1e9
        if age_s > decision.valid_s:
            age, life = contrast(age_s, decision.valid_s, "s")
            return (
                f"{action} is stale, {age} after its frame arrived (valid {life}): "
                "the analysis is behind; make the recipe faster or raise the rule's valid_s"
            )
        for signal, wanted in decision.params.items():
            refused = self._refused(signal, wanted, now_ns, (present or {}).get(signal))
            if refused:
                return refused
        return None

    def moved(self, decision: Decision, now_ns: int) -> None:
        """`decision` was carried out: remembers the values set and when."""
        for signal, wanted in decision.params.items():
            limit = self.limits.get(signal)
            if limit is not None and wanted.value is not None:
                self._moved[signal] = _Moved(_in(wanted, limit.unit), now_ns)

    def _refused(self, signal: str, wanted: Feature, now_ns: int, present: Feature | None) -> str | None:
        limit = self.limits.get(signal)
        if limit is None:
            allowed = ", ".join(sorted(self.limits)) or "none"
            return f"{signal} may not be set (allowed: {allowed}): the beamline can add it to [limits] of the detector"
        if wanted.value is None:
            return f"{signal} has no value to set ({wanted.why}): the rule must give a number in {limit.unit}"
        try:
            value = _in(wanted, limit.unit)
        except UnitError as error:
            return f"{signal} {quantity(wanted.value, wanted.unit)} is not in a unit like {limit.unit}: {error}"
        return (
            _out_of_range(signal, value, limit)
            or self._step_too_large(signal, value, limit, present)
            or self._too_soon(signal, limit, now_ns)
        )

    def _step_too_large(self, signal: str, value: float, limit: Limit, present: Feature | None) -> str | None:
        if limit.step is None:
            return None
        last = self._last(signal, limit, present)
        if last is None:
            return (
                f"{signal} {quantity(value, limit.unit)}: its present value is not known, so its largest step, "
                f"{quantity(limit.step, limit.unit)}, cannot be checked: "
                f"let the reader give {signal} with each frame"
            )
        step = abs(value - last)
        if step <= limit.step * (1.0 + 1e-9):  # 0.3 - 0.2 is more than 0.1 by rounding
            return None
        asked, largest = contrast(step, limit.step, limit.unit)
        return (
            f"{signal} {quantity(value, limit.unit)} is {asked} away from {quantity(last, limit.unit)}, "
            f"more than the largest step allowed, {largest}: propose smaller steps"
        )

    def _last(self, signal: str, limit: Limit, present: Feature | None) -> float | None:
        moved = self._moved.get(signal)
        if moved is not None:
            return moved.value
        if present is None or present.value is None:
            return None
        try:
            return _in(present, limit.unit)
        except UnitError:
            return None  # not a value of this signal: as good as not known, and refused as such

    def _too_soon(self, signal: str, limit: Limit, now_ns: int) -> str | None:
        moved = self._moved.get(signal)
        if limit.rate_hz is None or moved is None:
            return None
        since_s = (now_ns - moved.at_ns) / 1e9
        if since_s * limit.rate_hz >= 1.0 - 1e-9:
            return None
        return (
            f"{signal} was set {since_s:.3g} s ago, and may change {limit.rate_hz:g} times a second at most: "
            f"propose it again in {1.0 / limit.rate_hz - since_s:.3g} s, or give the rule a longer cool_down"
        )


def _in(wanted: Feature, unit: str) -> float:
    if wanted.unit == unit:
        return float(wanted.value or 0.0)
    from insitu.units import convert

    return convert(float(wanted.value or 0.0), wanted.unit, unit)


def _out_of_range(signal: str, value: float, limit: Limit) -> str | None:
    if limit.low <= value <= limit.high:
        return None
    above = value > limit.high
    said, bound = contrast(value, limit.high if above else limit.low, limit.unit)
    which = "above the largest" if above else "below the smallest"
    return (
        f"{signal} {said} is {which} value allowed, {bound}: "
        f"propose at {'most' if above else 'least'} that, or have [limits] changed"
    )
