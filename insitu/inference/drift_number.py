"""One watched number of the model `drift`: how its first values are learnt, and the three tests of those after."""

from __future__ import annotations

import math

import numpy as np

from insitu.maths.line.drift import (
    LEAST_BLOCKS,
    MOST_MEMORY,
    allowed_gap,
    decay,
    departures,
    in_blocks,
    independent_blocks,
    largest_gap,
    long_run_variance,
    memory,
    of_memory,
    periodogram,
    sum_threshold,
    unseen,
    usual_range,
    widened,
)

SLACK = 0.25
"""Of a cumulative sum, in sigma: best for shifts of twice that."""
WINDOW = 80
"""Blocks that the two-sample test looks at, at most."""
FURTHEST = 6.0
"""Sigma at which a value is cut off: one wild frame is no drift."""
FEWEST = 5.0
"""Independent values that tell of a spread, at least."""
CALM, EASY = 1.0 / 20.0, 1.2
"""Weight of the newest step in what is rough now, and by how much rougher than usual it may be without counting."""
BACK = 0.5
"""A number is back where it was once its last values are closer to the first than this part of what is allowed."""
SEEN, PATIENT = 10, 20
"""What happens rarely is learnt from so many times that it happened, for at most so many times `learn`."""
TOGETHER = 3.0
"""How much rarer two tests are wrong together than the rate that each is set for (measured on noise: six times)."""
APART = 2.5
"""Standard deviations between two halves that are still at one place."""
LOOK = 1.15
"""Growth of what was learnt from one look for a long memory to the next."""
CHANGED = 0.01
"""Change of the memory from which on limits are set anew."""
SOON = 500
"""Blocks in which the smallest shift is told that is spoken of."""
AGREE = 2
"""Of the three tests."""


class Tests:
    """The three tests of one number, from its reference `(n,)` of block means on. `tame`: the same without wild values.
    `follows`: by how much the variance of a mean of many blocks exceeds that of independent ones."""

    __slots__ = (
        "_adwin", "_ago", "_allowed", "_centre", "_last", "_page", "_recent", "_reference", "_rough", "_scale",
        "_usual", "alarm", "least", "mean", "sigma", "window",
    )  # fmt: skip

    def __init__(
        self, reference: np.ndarray, tame: np.ndarray, *, once_in: float, floor: float, follows: float
    ) -> None:
        from river.drift import ADWIN, PageHinkley

        once_in /= TOGETHER
        self.mean = float(reference.mean())
        self.sigma = max(float(tame.std(ddof=1)), floor)
        self.window = min(WINDOW, len(reference))
        self._centre = float(tame.mean())
        self._scale = self.sigma * widened(_of_spread(tame)) * math.sqrt(follows)
        self._reference = np.sort(reference)
        self._allowed = allowed_gap(len(reference), self.window, 10.0 / once_in) * math.sqrt(follows)
        steps = np.clip((tame - self._centre) / self._scale, -FURTHEST, FURTHEST)
        limit = sum_threshold(SLACK, once_in) * 2.0 * SLACK / decay(steps, SLACK)
        self.least = (SLACK + limit / SOON) * self._scale / self.sigma
        """The smallest shift, in sigma, that a cumulative sum tells within `SOON` blocks."""
        self._page = PageHinkley(min_instances=1, delta=SLACK, threshold=limit, alpha=1.0)
        self._adwin = ADWIN(delta=min(0.5, 100.0 / once_in) ** follows, clock=1)
        self._recent: list[float] = reference[-self.window :].tolist()
        self.alarm: tuple[str, ...] = ()
        """The tests that agreed; until the number is back where it was."""
        self._ago = {"Page-Hinkley": math.inf, "ADWIN": math.inf, "Kolmogorov-Smirnov": math.inf}
        self._last, self._usual = float(tame[0]), float(np.mean(np.diff(tame) ** 2))
        self._rough = self._usual
        for value in tame:
            z = self._cut(float(value))
            self._page.update(z)
            self._adwin.update(z)

    def _cut(self, value: float) -> float:
        """In sigma, of what it is in these restless times: a shift makes one large step, restlessness many."""
        self._rough += CALM * ((value - self._last) ** 2 - self._rough)
        self._last = value
        restless = math.sqrt(self._rough / self._usual) / EASY if self._usual > 0.0 else 1.0
        return min(max((value - self._centre) / (self._scale * max(restless, 1.0)), -FURTHEST), FURTHEST)

    def add(self, block: float, tame: float) -> None:
        """One more block mean, and the same without wild values."""
        z = self._cut(tame)
        self._page.update(z)
        self._adwin.update(z)
        self._recent = [*self._recent[1 - self.window :], block]
        self._ago = {name: ago + 1 for name, ago in self._ago.items()}
        if self._page.drift_detected:
            self._ago["Page-Hinkley"] = 0
        if self._adwin.drift_detected:
            self._ago["ADWIN"] = 0
        if len(self._recent) == self.window:
            still = self._recent[0] == self._reference[0] == self._reference[-1] and len({*self._recent}) == 1
            gap = 0.0 if still else largest_gap(self._reference, np.array(self._recent))
            if gap > self._allowed:
                self._ago["Kolmogorov-Smirnov"] = 0
            elif gap < BACK * self._allowed and min(self._ago.values()) >= self.window:
                self.alarm = ()
                self._ago = dict.fromkeys(self._ago, math.inf)
        said = tuple(name for name, ago in self._ago.items() if ago < 2 * self.window)
        if len(said) >= AGREE and len(said) > len(self.alarm):
            self.alarm = said

    def stands(self, tame: np.ndarray) -> bool:
        """Whether all of `tame` `(n,)` may be learnt: no test has spoken, and its halves are at one place."""
        half = len(tame) // 2
        moved = abs(float(tame[:half].mean() - tame[half:].mean())) / self._scale
        return min(self._ago.values()) == math.inf and moved < APART * 2.0 / math.sqrt(len(tame))

    def shift(self) -> tuple[float, float]:
        """The mean of the last blocks, and by how many sigma of a block that is off."""
        recent = self._recent[-max(self.window // 4, 1) :]
        mean = float(np.mean(recent))
        return mean, (mean - self.mean) / self.sigma


def _of_spread(tame: np.ndarray) -> float:
    """So many independent values tell as much of the spread: restless and calm times follow each other."""
    squares = (tame - tame.mean()) ** 2
    variance = float(squares.var())
    return max(len(tame) * min(variance / long_run_variance(squares), 1.0), FEWEST) if variance > 0.0 else len(tame)


class Number:
    """One watched number of one source: its first values, then the block that is being filled, then the tests.
    `length`: values in a block, once it is known. Where the first values made few blocks, later ones are learnt too,
    until there are `learn`: as long as all tests are silent, and the later half is where the first one was. The memory
    is looked for in later ones too, `learn` at a time, except where a test spoke."""

    __slots__ = ("_blocks", "_filled", "_filling", "_floor", "_found", "_learn", "_limited", "_look", "_most",
                 "_once_in", "_power", "_range", "_seen", "_series", "_short", "_step", "length", "memory", "tests",
                 "unit")  # fmt: skip

    def __init__(self, unit: str, learn: int, blocks: int | None, once_in: float, floor: float = 0.0) -> None:
        self.unit, self._learn, self._once_in, self._floor = unit, learn, once_in, floor
        self._most, self.length, self._found = learn, blocks, blocks is None
        self._seen: list[float] = []
        self._filling: list[float] = []
        self._blocks: list[tuple[float, float]] = []
        self._look = 0
        self._range = (-math.inf, math.inf)
        self._step = math.inf
        self.tests: Tests | None = None
        self.memory = self._limited = 0.0
        """Of the blocks, where it is clearly seen (`insitu.maths.line.drift.memory`), and what limits allow for."""
        self._short = 1.0
        self._filled: list[float] = []
        self._power: np.ndarray | None = None
        self._series = 1

    def add(self, value: float) -> None:
        """One more value; the tests begin once enough are known."""
        if self.tests is not None:
            self._filling.append(value)
            if len(self._filling) == self.length:
                self._block(self.tests)
                self._filling.clear()
            return
        if self._seen and value != self._seen[-1]:
            self._step = min(self._step, abs(value - self._seen[-1]))
        self._seen.append(value)
        if len(self._seen) >= self._learn:
            self._begin()

    def _block(self, tests: Tests) -> None:
        low, high = self._range
        block = float(np.mean(self._filling)), float(np.mean([min(max(x, low), high) for x in self._filling]))
        tests.add(*block)
        if len(self._blocks) == self._most:
            self._later(block[1], tests)
            return
        self._blocks.append(block)
        if len(self._blocks) == self._look and not tests.alarm:
            self._look = min(math.ceil(LOOK * self._look), self._most)
            raw, tame = np.array(self._blocks).T
            power = periodogram(tame)
            if (self._found and memory(power, len(tame)).seen > 0.0) or tests.stands(tame):
                variance = float(tame.var())
                follows = long_run_variance(tame) / variance if self._found and variance > 0.0 else 1.0
                self._remembers(power, len(tame))
                self._test(raw, tame, max(follows, unseen(len(tame)) if self._found else 1.0))

    def _later(self, tame: float, tests: Tests) -> None:
        """A block after those that are learnt: as many again tell more of the memory, where nothing was noticed."""
        self._filled.append(tame)
        if len(self._filled) < self._most or not self._found:
            return
        block, self._filled = np.array(self._filled), []
        if tests.alarm:
            return
        raw, first = np.array(self._blocks).T
        if self._power is None:
            self._power = periodogram(first)
        self._power += periodogram(block)
        self._series += 1
        before = self._limited
        self._remembers(self._power / self._series, self._most, self._series)
        if abs(self._limited - before) > CHANGED:
            self._test(raw, first, self._short)

    def _remembers(self, power: np.ndarray, n: int, series: int = 1) -> None:
        """Take the memory that a periodogram of blocks tells; none where the length of a block was given, not found."""
        if self._found:
            found = memory(power, n, series=series)
            self.memory, self._limited = found.seen, max(found.at_least, min(found.seen, MOST_MEMORY))

    def _begin(self) -> None:
        """Where the first values tell how long a block has to be, the tests begin; else more are waited for."""
        values = np.array(self._seen)
        if self._found and 0 < (departures(values) or 0) < SEEN and len(values) < PATIENT * self._most:
            self._learn = math.ceil(1.2 * self._learn)
            return
        self._range = usual_range(values)
        tame, follows = np.clip(values, *self._range), 1.0
        if self.length is None:
            found = independent_blocks(tame, min(LEAST_BLOCKS, self._most))
            if found is None:
                self._learn = math.ceil(1.2 * self._learn)
                return
            self.length, follows = found.length, found.follows
        if not math.isfinite(self._step):
            self._step = max(abs(float(values[0])) * 1e-6, 1e-12)
        raw, tame = in_blocks(values, self.length), in_blocks(tame, self.length)
        self._blocks = list(zip(raw.tolist(), tame.tolist(), strict=True))
        self._look = min(math.ceil(LOOK * len(raw)), self._most)
        self._remembers(periodogram(tame), len(tame))
        self._test(raw, tame, follows)
        self._seen.clear()

    def _test(self, raw: np.ndarray, tame: np.ndarray, follows: float) -> None:
        length = self.length or 1
        self._short = follows
        follows = max(follows, of_memory(self._limited, len(raw), WINDOW))
        floor = max(self._step / math.sqrt(12.0), self._floor) / math.sqrt(length)
        self.tests = Tests(raw, tame, once_in=self._once_in / length, floor=floor, follows=follows)

    @property
    def learning(self) -> str:
        """How far it is, for people; empty where the tests go on."""
        return "" if self.tests is not None else f"{len(self._seen)} of {self._learn} frames"
