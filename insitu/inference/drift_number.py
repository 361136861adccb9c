"""One watched number of the model `drift`: how its first values are learnt, and the three tests of those after."""

from __future__ import annotations

import math

import numpy as np

from insitu.maths.line.drift import (
    LEAST_BLOCKS,
    allowed_gap,
    departures,
    in_blocks,
    independent_blocks,
    largest_gap,
    long_memory,
    long_run_variance,
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
AGREE = 2
"""Of the three tests."""


class Tests:
    """The three tests of one number, from its reference `(n,)` of block means on. `tame`: the same without wild values.
    `follows`: by how much the variance of a mean of many blocks exceeds that of independent ones."""

    __slots__ = (
        "_adwin", "_ago", "_allowed", "_centre", "_page", "_recent", "_reference", "_scale", "alarm", "mean", "sigma",
        "window",
    )  # fmt: skip

    def __init__(
        self, reference: np.ndarray, tame: np.ndarray, *, once_in: float, floor: float, follows: float
    ) -> None:
        from river.drift import ADWIN, PageHinkley

        once_in /= TOGETHER
        self.mean = float(reference.mean())
        self.sigma = max(float(tame.std(ddof=1)), floor)
        self.window = min(WINDOW, len(reference))
        self._centre, self._scale = float(tame.mean()), self.sigma * widened(len(tame)) * math.sqrt(follows)
        self._reference = np.sort(reference)
        self._allowed = allowed_gap(len(reference), self.window, 10.0 / once_in) * math.sqrt(follows)
        self._page = PageHinkley(min_instances=1, delta=SLACK, threshold=sum_threshold(SLACK, once_in), alpha=1.0)
        self._adwin = ADWIN(delta=min(0.5, 100.0 / once_in) ** follows, clock=1)
        self._recent: list[float] = []
        self.alarm: tuple[str, ...] = ()
        """The tests that agreed; until the number is back where it was."""
        self._ago = {"Page-Hinkley": math.inf, "ADWIN": math.inf, "Kolmogorov-Smirnov": math.inf}
        for value in tame:
            self._page.update(self._cut(value))
            self._adwin.update(self._cut(value))

    def _cut(self, value: float) -> float:
        return min(max((value - self._centre) / self._scale, -FURTHEST), FURTHEST)

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
            gap = largest_gap(self._reference, np.array(self._recent))
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


class Number:
    """One watched number of one source: its first values, then the block that is being filled, then the tests.
    `length`: values in a block, once it is known. Where the first values made few blocks, later ones are learnt too,
    until there are `learn`: as long as all tests are silent, and the later half is where the first one was."""

    __slots__ = ("_blocks", "_filling", "_floor", "_found", "_learn", "_look", "_most", "_next", "_once_in", "_range",
                 "_seen", "_step", "length", "memory", "tests", "unit")  # fmt: skip

    def __init__(self, unit: str, learn: int, blocks: int | None, once_in: float, floor: float = 0.0) -> None:
        self.unit, self._learn, self._once_in, self._floor = unit, learn, once_in, floor
        self._most, self.length, self._found = learn, blocks, blocks is None
        self._seen: list[float] = []
        self._filling: list[float] = []
        self._blocks: list[tuple[float, float]] = []
        self._next = self._look = 0
        self._range = (-math.inf, math.inf)
        self._step = math.inf
        self.tests: Tests | None = None
        self.memory = 0.0
        """Of the blocks that were learnt (`long_memory`); above 0 the rate of false alarms cannot be promised."""

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
        if len(self._blocks) >= self._most:
            return
        self._blocks.append(block)
        if len(self._blocks) == self._look and not tests.alarm:
            self._look = min(math.ceil(LOOK * self._look), self._most)
            raw, tame = np.array(self._blocks).T
            if self._remembers(tame):
                self._test(raw, tame, 1.0)
        if len(self._blocks) == self._next:
            self._next = min(2 * self._next, self._most)
            raw, tame = np.array(self._blocks).T
            if self.memory == 0.0 and tests.stands(tame):
                variance = float(tame.var())
                follows = long_run_variance(tame) / variance if self._found and variance > 0.0 else 1.0
                self._test(raw, tame, max(follows, unseen(len(tame)) if self._found else 1.0))

    def _remembers(self, tame: np.ndarray) -> bool:
        """Whether the blocks do follow each other, without an end; found where their length was."""
        self.memory = long_memory(tame) if self._found else 0.0
        return self.memory > 0.0

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
        self._next = min(2 * len(raw), self._most)
        self._look = min(math.ceil(LOOK * len(raw)), self._most)
        self._remembers(tame)
        self._test(raw, tame, follows)
        self._seen.clear()

    def _test(self, raw: np.ndarray, tame: np.ndarray, follows: float) -> None:
        length = self.length or 1
        if self.memory > 0.0:  # what the mean of the first and of the last blocks may be off by, in place of 1 / n
            follows = max(follows, (len(raw) + WINDOW) ** (2.0 * self.memory))
        floor = max(self._step / math.sqrt(12.0), self._floor) / math.sqrt(length)
        self.tests = Tests(raw, tame, once_in=self._once_in / length, floor=floor, follows=follows)

    @property
    def learning(self) -> str:
        """How far it is, for people; empty where the tests go on."""
        return "" if self.tests is not None else f"{len(self._seen)} of {self._learn} frames"
