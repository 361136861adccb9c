"""A model that notices when the world is not the one that a network was trained in, or a calibration made: features,
scores and the share of frames without an answer that slowly go elsewhere.

Every watched number is compared with its own first frames. Three tests look at it: ADWIN and Page-Hinkley (both from
river: Bifet and Gavalda, SDM 2007; Page, Biometrika 41, 100 (1954)) and a two-sample test of its last values against
the first (Kolmogorov and Smirnov). Two of the three have to agree before an alarm. Numbers of an instrument follow each
other, which none of the tests allows for: means over blocks that are long enough not to (found from the first frames)
are tested in place of single values.

An alarm asks for the cheapest remedy first: look at the calibration; then label some frames; then re-fit.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase

import numpy as np

from insitu.errors import ConfigError, MissingExtraError
from insitu.maths.line.drift import allowed_gap, independent_blocks, largest_gap, sum_threshold
from insitu.maths.watch import LARGEST, at_least, quantity
from insitu.types import Feature, Measurement, Verdict

SLACK = 0.25
"""Of a cumulative sum, in sigma: best for shifts of twice that."""
WINDOW = 80
"""Blocks that the two-sample test looks at, at most."""
FURTHEST = 6.0
"""Sigma at which a value is cut off: one wild frame is no drift."""
MISSING = "_missing"
"""What the watched share of frames without a value is called, behind the key."""
RARE = 0.05
"""Least spread of "no value" (0 or 1) from frame to frame."""
BACK = 0.5
"""A number is back where it was once its last values are closer to the first than this part of what is allowed."""
AGREE = 2
"""Of the three tests."""
DECLARED = {0.5: 400, 1.0: 100, 2.0: 30}
"""Longest delays in blocks for shifts in sigma of a block, at the defaults; the tests hold the model to them."""


class _Tests:
    """The three tests of one number, from its reference `(n,)` of block means on."""

    __slots__ = ("_adwin", "_ago", "_allowed", "_page", "_recent", "_reference", "alarm", "mean", "sigma", "window")

    def __init__(self, reference: np.ndarray, once_in: float, floor: float) -> None:
        from river.drift import ADWIN, PageHinkley

        self.mean = float(reference.mean())
        self.sigma = max(float(reference.std(ddof=1)), floor)
        self.window = min(WINDOW, len(reference))
        self._reference = np.sort(reference)
        self._allowed = allowed_gap(len(reference), self.window, 10.0 / once_in)
        self._page = PageHinkley(min_instances=1, delta=SLACK, threshold=sum_threshold(SLACK, once_in), alpha=1.0)
        self._adwin = ADWIN(delta=min(0.5, 100.0 / once_in), clock=1)
        self._recent: list[float] = []
        self.alarm: tuple[str, ...] = ()
        """The tests that agreed; until the number is back where it was."""
        self._ago = {"Page-Hinkley": math.inf, "ADWIN": math.inf, "Kolmogorov-Smirnov": math.inf}
        for value in reference:
            self._page.update(self._cut(value))
            self._adwin.update(self._cut(value))

    def _cut(self, value: float) -> float:
        return min(max((value - self.mean) / self.sigma, -FURTHEST), FURTHEST)

    def add(self, block: float) -> None:
        """One more block mean."""
        z = self._cut(block)
        self._page.update(z)
        self._adwin.update(z)
        self._recent = [*self._recent[1 - self.window :], block]
        self._ago = {name: ago + 1 for name, ago in self._ago.items()}
        if self._page.drift_detected:
            self._ago["Page-Hinkley"] = 0
        if self._adwin.drift_detected:
            self._ago["ADWIN"] = 0
        if len(self._recent) == self.window:
            gap = largest_gap(self._reference, np.array(self._recent))
            if gap > self._allowed:
                self._ago["Kolmogorov-Smirnov"] = 0
            elif gap < BACK * self._allowed and min(self._ago.values()) >= self.window:
                self.alarm = ()
                self._ago = dict.fromkeys(self._ago, math.inf)
        said = tuple(name for name, ago in self._ago.items() if ago < 2 * self.window)
        if len(said) >= AGREE and len(said) > len(self.alarm):
            self.alarm = said

    def shift(self) -> tuple[float, float]:
        """The mean of the last blocks, and by how many sigma of a block that is off."""
        recent = self._recent[-max(self.window // 4, 1) :]
        mean = float(np.mean(recent))
        return mean, (mean - self.mean) / self.sigma


class _Number:
    """One watched number of one source: its first values, then the block that is being filled, then the tests."""

    __slots__ = ("_filling", "_floor", "_learn", "_least", "_length", "_once_in", "_seen", "_step", "tests", "unit")

    def __init__(self, unit: str, learn: int, blocks: int | None, once_in: float, floor: float = 0.0) -> None:
        self.unit, self._learn, self._once_in, self._floor = unit, learn, once_in, floor
        self._length, self._least = blocks, min(30, learn)
        self._seen: list[float] = []
        self._filling: list[float] = []
        self._step = math.inf
        self.tests: _Tests | None = None

    def add(self, value: float) -> None:
        """One more value; the tests begin once enough are known."""
        if self.tests is not None:
            self._filling.append(value)
            if len(self._filling) == self._length:
                self.tests.add(float(np.mean(self._filling)))
                self._filling.clear()
            return
        if self._seen and value != self._seen[-1]:
            self._step = min(self._step, abs(value - self._seen[-1]))
        self._seen.append(value)
        if len(self._seen) >= self._learn:
            self._begin()

    def _begin(self) -> None:
        """Where the first values tell how long a block has to be, the tests begin; else more are waited for."""
        values = np.array(self._seen)
        if self._length is None:
            found = independent_blocks(values, self._least)
            if found is None:
                self._learn = math.ceil(1.2 * self._learn)
                return
            self._length, means = found
        else:
            n = len(values) // self._length
            means = values[len(values) - n * self._length :].reshape(n, self._length).mean(axis=1)
        rounding = self._step if math.isfinite(self._step) else max(abs(float(values[0])) * 1e-6, 1e-12)
        floor = max(rounding / math.sqrt(12.0), self._floor) / math.sqrt(self._length)
        self.tests = _Tests(means, self._once_in / self._length, floor)
        self._seen.clear()

    @property
    def learning(self) -> str:
        """How far it is, for people; empty where the tests go on."""
        return "" if self.tests is not None else f"{len(self._seen)} of {self._learn} frames"


class _Source:
    __slots__ = ("asked", "numbers")

    def __init__(self) -> None:
        self.numbers: dict[str, _Number] = {}
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

    Measured at the defaults, blocks of one frame, normal noise: a shift of 0.5, 1, 2 sigma is told after 125, 34, 14
    frames in the middle of 40 cases, after 400, 100, 30 at most; no alarm in 200,000 frames. Scores: by how many sigma
    of a block each number that drifts is off.
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

    def _number(self, memory: _Source, key: str, unit: str, known: int) -> _Number:
        number = memory.numbers.get(key)
        if number is None:
            floor = RARE if key.endswith(MISSING) else 0.0
            number = memory.numbers[key] = _Number(unit, self.learn, self.blocks, self.once_in * known, floor)
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
            return Verdict(label="normal", reason=words + (f"; still learning {', '.join(left[:3])}" if left else ""))
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


def _words(key: str, number: _Number, tests: _Tests, others: int) -> str:
    mean, z = tests.shift()
    if key.endswith(MISSING):
        words = f"{key.removesuffix(MISSING)} has no value in {mean:.0%} of the frames, {tests.mean:.0%} at first"
    else:
        words = f"{key} is {quantity(mean, number.unit)}, {quantity(tests.mean, number.unit)} at first ({z:+.1f} sigma)"
    words += f": {' and '.join(tests.alarm)} agree"
    return words + (f"; {others} more drift too" if others else "")
