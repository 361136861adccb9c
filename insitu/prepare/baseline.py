"""The slowly varying background under the peaks of one pattern, estimated with pybaselines and taken away.

    data - baseline(data)

`window` says what is a peak: features narrower than it stay, wider ones go with the background. It is translated with
the distance of the points:
- snip: largest half window = window / (2 step) points (C. G. Ryan et al., Nucl. Instrum. Methods B 34 (1988) 396),
  decreasing, with smoothing over 7 points so that the noise is not followed downwards: the default, and fast;
- rolling_ball: the same half window (M. A. Kneen, H. J. Annegarn, Nucl. Instrum. Methods B 109/110 (1996) 209);
  fastest, runs low in noise;
- asls, arpls: stiffness lam = (P / 2 pi)^4 with P = four windows in points: of waves with that period half is followed
  (P. H. C. Eilers, Anal. Chem. 75 (2003) 3631; S.-J. Baek et al., Analyst 140 (2015) 250).

asls and rolling_ball follow the lower edge of the noise, 1.5 to 2 standard deviations low; the straight background of a
peak's window takes that up.

`sigma` stays that of the measured points (Poisson where the frame gives none and the unit is counts): the baseline's
own uncertainty is not known and not included. Points that cannot be seen (mask) are bridged by straight lines.
"""

import math
from dataclasses import replace
from typing import Annotated, Literal

import numpy as np

from insitu.errors import ConfigError
from insitu.maths.noise import with_sigma
from insitu.maths.pattern import pattern_axis, seen_points
from insitu.types import Frame, References


class Baseline:
    """Prepare: subtract a baseline. `window` in deg; `saturation` is the raw level that marks a point as saturated.

    Raises ValueError with a sentence for people where a frame has no two_theta axis in deg, numbers that are not
    finite, or fewer points than the window needs.
    """

    def __init__(
        self,
        *,
        window: Annotated[float, "deg"],
        method: Literal["snip", "asls", "arpls", "rolling_ball"] = "snip",
        saturation: float | None = None,
    ) -> None:
        if not (math.isfinite(window) and window > 0.0):
            raise ConfigError(
                f"a window of {window:g} deg holds no peak",
                where="window",
                expected="an angle above 0, a few times wider than the widest peak",
            )
        self.window, self.method, self.saturation = float(window), method, saturation
        self.estimate(np.ones(64), 4.0)  # what pybaselines loads or compiles late is loaded before the first frame

    def __call__(self, frame: Frame, refs: References) -> Frame:
        """The frame less its baseline: data (n,) float64, same unit."""
        x = pattern_axis(frame, "two_theta", "deg")
        points = self.window * (x.size - 1) / (x[-1] - x[0])
        if points < 3.0:
            raise ValueError(
                f"a baseline window of {self.window:g} deg is only {points:.1f} points wide in {frame.source}: "
                "make it wider than the peaks"
            )
        if x.size < 2.0 * points:
            raise ValueError(f"the pattern has {x.size} points, fewer than two baseline windows of {self.window:g} deg")
        seen = seen_points(frame)
        y = np.array(frame.data, dtype=np.float64)
        bridged = y if seen.all() else np.interp(x, x[seen], y[seen])
        data = y - self.estimate(bridged, points)
        return replace(with_sigma(frame, self.saturation), data=data)

    def estimate(self, y: np.ndarray, points: float) -> np.ndarray:
        """Baseline of `y` (n,) for a window of so many points."""
        from pybaselines import Baseline as Pybaselines

        fitter = Pybaselines(check_finite=False)
        half = max(1, round(0.5 * points))
        if self.method == "snip":
            return fitter.snip(y, max_half_window=half, decreasing=True, smooth_half_window=3)[0]
        if self.method == "rolling_ball":
            return fitter.rolling_ball(y, half_window=half, smooth_half_window=half)[0]
        stiffness = (4.0 * points / (2.0 * math.pi)) ** 4
        if self.method == "asls":
            return fitter.asls(y, lam=stiffness, p=0.01)[0]
        return fitter.arpls(y, lam=stiffness)[0]
