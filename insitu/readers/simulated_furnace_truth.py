"""One simulated experiment that several instruments watch: a sample under load in a furnace, and what becomes of it.

SIMULATED, NOT MEASURED. Everything is a pure function of the seed and of true time (s since the start):

    temperature(t) = T0 + swing * sum of waves with random periods and phases       every instrument sees it its own way
    damage(t)      = 0 before the onset, rising to 1 within `RISE_S`                 changes each instrument a little
    disturbed      one instrument at a time: haze before the camera, a dip of the beam, a pump that shakes the load cell

So a departure of one instrument alone means nothing, and small departures of all of them together mean damage.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Literal

import numpy as np

View = Literal["camera", "diffraction", "load"]
VIEWS: tuple[View, ...] = ("camera", "diffraction", "load")
RISE_S = 4.0
SLOT_S, DISTURBED_S = 16.0, 12.0
WAVES = 14
SHORTEST_S, LONGEST_S = 9.0, 50.0


class Experiment:
    """Temperature, damage and disturbances of the experiment of one seed.

    `onset_s`: when damage begins (None: never); `quiet_s`: no disturbance before; `disturbances`: whether there are
    any.

    >>> run = Experiment(seed=1, kelvin=1100.0, swing=8.0, onset_s=60.0, quiet_s=0.0, disturbances=True)
    >>> run.damage(59.0), run.damage(70.0)
    (0.0, 1.0)
    >>> sum(run.disturbed(view, 100.0) for view in VIEWS) <= 1
    True
    """

    def __init__(
        self,
        *,
        seed: int,
        kelvin: float,
        swing: float,
        onset_s: float | None,
        quiet_s: float,
        disturbances: bool,
    ) -> None:
        random = np.random.default_rng((seed, zlib.crc32(b"furnace")))
        periods = random.uniform(SHORTEST_S, LONGEST_S, WAVES)
        self._pace, self._phase = 2.0 * np.pi / periods, random.uniform(0.0, 2.0 * np.pi, WAVES)
        heights = random.normal(0.0, 1.0, WAVES)
        self._heights = heights * (swing / np.sqrt(0.5 * np.sum(heights * heights)))
        self.seed, self.kelvin, self.onset_s = seed, kelvin, onset_s
        self._quiet_s, self._disturbances = quiet_s, disturbances
        self._slots: dict[int, tuple[View, float]] = {}

    def temperature(self, time_s: float) -> float:
        """Of the sample, K."""
        return self.kelvin + float(np.sum(self._heights * np.sin(self._pace * time_s + self._phase)))

    def damage(self, time_s: float) -> float:
        """0 to 1."""
        if self.onset_s is None:
            return 0.0
        return min(max((time_s - self.onset_s) / RISE_S, 0.0), 1.0)

    def disturbed(self, view: View, time_s: float) -> bool:
        """Whether an instrument is disturbed: in every slot of 16 s one of them is for 12 s."""
        slot = int((time_s - self._quiet_s) // SLOT_S)
        if not self._disturbances or time_s < self._quiet_s:
            return False
        found = self._slots.get(slot)
        if found is None:
            found = self._slots[slot] = self._slot(slot)
        return found[0] == view and found[1] <= time_s < found[1] + DISTURBED_S

    def _slot(self, slot: int) -> tuple[View, float]:
        """Who is disturbed in a slot, and from when on."""
        turn = np.random.default_rng((self.seed, 1, slot // len(VIEWS)))
        order: Sequence[int] = turn.permutation(len(VIEWS)).tolist()
        late = float(np.random.default_rng((self.seed, 2, slot)).uniform(0.0, SLOT_S - DISTURBED_S))
        return VIEWS[order[slot % len(VIEWS)]], self._quiet_s + slot * SLOT_S + late
