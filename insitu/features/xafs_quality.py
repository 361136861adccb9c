"""How good a spectrum is: noise, glitches of the monochromator, and whether it shows an edge at all.

- `edge_found`: 1 or 0; `n_points`;
- `noise`: standard deviation of a point, in edge steps (without one: in parts of the range of mu);
- `n_glitches`; `glitch_size`: the largest one, in edge steps (0: none); `glitch_energy`: where.

Glitches are looked for outside the edge region: `maths.absorption.quality`. A model `limits` on `n_glitches` (high 0)
or on `glitch_size` flags spectra.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from insitu.features.xafs_frame import Seen, look, of_use, prefix, without
from insitu.maths.absorption.medians import median
from insitu.maths.absorption.quality import Glitch, find_glitches, point_noise
from insitu.maths.absorption.spectrum import KTOE
from insitu.types import Feature, Frame, Output, References

COARSEST_K = 0.15
"""Grid in k, 1/angstrom, above which the wiggles of shells up to 5 angstrom differ from point to point like noise."""
UNITS = {"edge_found": "", "n_points": "", "noise": "", "n_glitches": "", "glitch_size": "", "glitch_energy": "eV"}


class Quality:
    """Extractor: noise and glitches of a spectrum mu(E), dims (energy).

    `threshold`: how many times the scatter around it a point must be off to be a glitch. `least`: smallest glitch that
    counts, in edge steps. `element`, `edge`: as in `xafs.edge`. `name`: prefix of the keys.
    """

    def __init__(
        self, *, name: str = "", threshold: float = 15.0, least: float = 0.01, element: str = "", edge: str = ""
    ) -> None:
        of_use("threshold", threshold, 5.0, 1000.0)
        of_use("least", least, 0.0, 1.0, "edge steps")
        self.look, self._at = look(element, edge, None, None), prefix(name)
        self.threshold, self.least = threshold, least
        self.outputs = {f"{self._at}{key}": Output(unit=unit, rtol=1e-6, atol=1e-9) for key, unit in UNITS.items()}

    def __call__(self, frame: Frame, refs: References, before: Sequence[Frame]) -> dict[str, Feature]:
        """All declared features of one frame."""
        seen = self.look.seen(frame)
        if seen.energy is None or seen.mu is None:
            return without(self.outputs, frame, seen.why)
        return {f"{self._at}{key}": feature for key, feature in self._measured(seen.energy, seen.mu, seen).items()}

    def _measured(self, energy: np.ndarray, mu: np.ndarray, seen: Seen) -> dict[str, Feature]:
        """Without an edge, or a step, what there is of noise and glitches is told all the same."""
        e0 = None if seen.rise is None else seen.rise.value
        unit = float(np.ptp(mu)) if seen.looked is None else seen.looked.normal.step.value
        noise = seen.known if seen.looked is None else seen.looked.sigma
        noise = point_noise(energy, mu, e0) if noise is None else noise
        least = max(0.003, self.least * unit / float(np.ptp(mu)))
        found = find_glitches(energy, mu, e0, threshold=self.threshold, least=least)
        glitches = [g for g in found if _resolved(energy, g, e0)]
        worst = max(glitches, key=lambda g: abs(g.size), default=None)
        where = Feature(None, "eV", why="no glitch") if worst is None else Feature(worst.energy, "eV")
        return {
            "edge_found": Feature(int(e0 is not None), ""),
            "n_points": Feature(int(energy.size), ""),
            "noise": Feature(median(noise) / unit, ""),
            "n_glitches": Feature(len(glitches), ""),
            "glitch_size": Feature(0.0 if worst is None else abs(worst.size) / unit, ""),
            "glitch_energy": where,
        }


def _resolved(energy: np.ndarray, glitch: Glitch, e0: float | None) -> bool:
    """Whether points lie so close there that EXAFS is smooth from one to the next: else it is taken for no glitch."""
    low, high = energy[max(glitch.first - 1, 0)], energy[min(glitch.last + 1, energy.size - 1)]
    if e0 is None or low <= e0:
        return True
    intervals = min(glitch.last + 1, energy.size - 1) - max(glitch.first - 1, 0)
    return (np.sqrt((high - e0) / KTOE) - np.sqrt((low - e0) / KTOE)) / intervals <= COARSEST_K
