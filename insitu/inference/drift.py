"""A model that notices when the world is not the one that a network was trained in, or a calibration made: features,
scores and the share of frames without an answer that slowly go elsewhere.

Every watched number is compared with its own first frames. Three tests look at it: ADWIN and Page-Hinkley (both from
river: Bifet and Gavalda, SDM 2007; Page, Biometrika 41, 100 (1954)) and a two-sample test of its last values against
the first (Kolmogorov and Smirnov). Two of the three have to agree before an alarm. Numbers of an instrument follow each
other, which none of the tests allows for: means over blocks that are long enough hardly to (found from the first
frames) are tested in place of single values, on a scale that allows for what is left of it, and for how little a few
blocks tell (`drift_number`).

An alarm asks for the cheapest remedy first: look at the calibration; then label some frames; then re-fit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase

from insitu.errors import ConfigError, MissingExtraError
from insitu.inference.drift_number import Number, Tests
from insitu.maths.watch import LARGEST, at_least, quantity
from insitu.types import Feature, Measurement, Verdict

MISSING = "_missing"
"""What the watched share of frames without a value is called, behind the key."""
RARE = 0.05
"""Least spread of "no value" (0 or 1) from frame to frame."""
DECLARED = {0.5: 500, 1.0: 100, 2.0: 30}
"""Longest delays in blocks for shifts in sigma of a block, after `KNOWN` blocks; the tests hold the model to them."""
KNOWN = 400
"""Blocks from which on small shifts can be told: where fewer came before, nobody knows the mean well enough."""


class _Source:
    __slots__ = ("asked", "numbers")

    def __init__(self) -> None:
        self.numbers: dict[str, Number] = {}
        self.asked = 0  # frames since the alarm


class Drift:
    """Verdicts `normal`, `anomaly` (it drifts), `change` (it drifts, as the recipe expects), `unknown` (it learns yet).

    `features`: keys of features or context values, with `*` and `?`: inputs, features, scores. How often each of them
    has no value is watched too. `zero`: those of them that tell the calibration (a foil's edge, a standard's line):
    where they stand still, an alarm does not ask for the calibration any more; where they drift, it asks for nothing
    else. `learn`: first frames, which everything is compared with. `blocks`: frames for one mean; found from the first
    frames where it is not given, and then learning goes on until it can be (a number that goes one way from the start
    has nothing to be compared with). `once_in`: frames in which one false alarm is allowed, over all numbers.
    `expected`: a drift is what the experiment is for. `patience`: frames after which an alarm asks for the next remedy.

    A shift of 0.5, 1, 2 sigma of a block is told within 500, 100, 30 blocks where 400 came before it. One false alarm
    in `once_in` frames holds for numbers that follow each other by a chain with 0.95 too, for heavy tails, rounded and
    wild values, and where correlations never end (long memory: `python -m benchmarks drift`). Memory, and few blocks,
    make limits wider: a verdict says below which shift nothing is told, where that is more than 0.5 sigma. Scores: by
    how many sigma of a block each number that drifts is off.
    """

    def __init__(
        self,
        *,
        features: list[str],
        zero: list[str] | None = None,
        learn: int = 400,
        blocks: int | None = None,
        once_in: float = 100_000.0,
        expected: bool = False,
        patience: int = 400,
        source: str | None = None,
        name: str = "drift",
        units: Mapping[str, str] | None = None,
    ) -> None:
        at_least(learn, 10, "learn")
        at_least(once_in, 100.0, "once_in")
        at_least(patience, 1, "patience")
        if blocks is not None:
            at_least(blocks, 1, "blocks")
            if learn < 10 * blocks:
                raise ConfigError(
                    f"{learn} frames are {learn / blocks:.1f} blocks", where="blocks", expected="10 or more in `learn`"
                )
        if not features:
            raise ConfigError("there is nothing to watch", where="features", expected='keys, such as ["net_*"]')
        self.features, self.zero = tuple(features), tuple(zero or ())
        for pattern in (*self.features, *self.zero) if units is not None else ():
            if not any(fnmatchcase(key, pattern) for key in units or ()):
                raise ConfigError(
                    f"no feature is like {pattern!r}",
                    where="features",
                    expected=f"keys such as {', '.join(sorted(units or ())[:8])}",
                )
        try:
            import river.drift  # noqa: F401 - before a frame waits for it
        except ImportError as e:
            raise MissingExtraError("river", "models", purpose="watching for drift") from e
        self.learn, self.blocks, self.once_in, self.expected = learn, blocks, once_in, expected
        self.patience, self.source, self.name = patience, source, name
        self._keys: dict[str, bool] = {}
        self._memory: dict[str, _Source] = {}

    def __call__(self, measurement: Measurement) -> Verdict | None:
        if not measurement.complete or (self.source is not None and measurement.source != self.source):
            return None
        found = dict(self._watched(measurement))
        if not found:
            return None
        memory = self._memory.setdefault(measurement.source, _Source())
        known = max(len(found), 1)
        for key, feature in found.items():
            value = feature.value
            usable = value is not None and abs(value) < LARGEST
            self._number(memory, key + MISSING, "", known).add(0.0 if usable else 1.0)
            if usable and value is not None:
                self._number(memory, key, feature.unit, known).add(float(value))
        return self._said(memory)

    def _watched(self, measurement: Measurement) -> Iterator[tuple[str, Feature]]:
        for key, feature in (*measurement.features.items(), *measurement.context.items()):
            wanted = self._keys.get(key)
            if wanted is None:
                wanted = self._keys[key] = any(fnmatchcase(key, p) for p in (*self.features, *self.zero))
            if wanted:
                yield key, feature

    def _number(self, memory: _Source, key: str, unit: str, known: int) -> Number:
        number = memory.numbers.get(key)
        if number is None:
            floor = RARE if key.endswith(MISSING) else 0.0
            number = memory.numbers[key] = Number(unit, self.learn, self.blocks, self.once_in * known, floor)
        return number

    def _said(self, memory: _Source) -> Verdict:
        ready = {key: n.tests for key, n in memory.numbers.items() if n.tests is not None}
        drifting = [key for key, tests in ready.items() if tests.alarm]
        if not drifting:
            memory.asked = 0
            waiting = [(key, n.learning) for key, n in memory.numbers.items() if n.learning]
            if len(waiting) == len(memory.numbers):
                return Verdict(label="unknown", reason=f"learning what is usual: {waiting[0][1]}")
            words = f"{len(ready)} numbers are where they were"
            left = [key for key, _ in waiting if not key.endswith(MISSING)]
            words += f"; still learning {', '.join(left[:3])}" if left else ""
            weak = sorted((key for key in ready if _blunt(ready[key])), key=lambda key: -ready[key].least)
            words += "".join(f"; {key}: {_strength(memory.numbers[key], ready[key])}" for key in weak[:3])
            return Verdict(label="normal", reason=words)
        memory.asked += 1
        shifts = {key: ready[key].shift() for key in drifting}
        drifting.sort(key=lambda key: -abs(shifts[key][1]))
        worst = drifting[0]
        reason = _words(worst, memory.numbers[worst], ready[worst], len(drifting) - 1)
        label, asks = ("change", "") if self.expected else ("anomaly", self._asks(memory, drifting))
        return Verdict(
            label=label,
            score=round(abs(shifts[worst][1]), 6),
            scores={key: round(shifts[key][1], 6) for key in drifting[:8]},
            reason=reason + (f". {asks}" if asks else ", as the recipe expects"),
        )

    def _asks(self, memory: _Source, drifting: Sequence[str]) -> str:
        """What a person should do, the cheapest first."""
        told = [key for key in drifting if any(fnmatchcase(key.removesuffix(MISSING), p) for p in self.zero)]
        if told:
            return f"{told[0]} tells the calibration: correct it before anything else"
        step = memory.asked // self.patience
        if self.zero:
            step += 1  # the calibration has been looked at, frame by frame
        return _REMEDIES[min(step, len(_REMEDIES) - 1)]


_REMEDIES = (
    "First check the calibration or zero against a standard",
    "The calibration is not the reason: label frames of it (`insitu label`)",
    "It stays: re-fit with the labels (`insitu model refit`)",
)


def _blunt(tests: Tests) -> bool:
    """Whether the smallest declared shift is not told."""
    return tests.least > min(DECLARED)


def _strength(number: Number, tests: Tests) -> str:
    long = "long memory, " if number.memory > 0.0 else ""
    return f"{long}shifts below {tests.least:.1f} sigma are not told"


def _words(key: str, number: Number, tests: Tests, others: int) -> str:
    mean, z = tests.shift()
    if key.endswith(MISSING):
        words = f"{key.removesuffix(MISSING)} has no value in {mean:.0%} of the frames, {tests.mean:.0%} at first"
    else:
        words = f"{key} is {quantity(mean, number.unit)}, {quantity(tests.mean, number.unit)} at first ({z:+.1f} sigma)"
    words += f": {' and '.join(tests.alarm)} agree"
    words += f" ({_strength(number, tests)})" if _blunt(tests) else ""
    return words + (f"; {others} more drift too" if others else "")
