"""The mean of repeated measurements and its standard uncertainty, one value at a time.

Weights are `w = 1/sigma^2` where values have an uncertainty, else 1. With W the sum of the weights, the uncertainty of
the mean is the larger of what the values claim, `1/sqrt(W)`, and what their scatter shows,
`sqrt(sum w (x - mean)^2 / ((n - 1) W))`: the ratio of the two is Birge's (R. T. Birge, Phys. Rev. 40 (1932) 207; the
scale factor of the Particle Data Group). Without uncertainties it is the scatter alone, `s/sqrt(n)`.
The update is D. H. D. West's (Commun. ACM 22 (1979) 532), which does not lose digits on long streams.
"""

import math


class WeightedMean:
    """Mean of values so far, and its standard uncertainty.

    A value with uncertainty after values without (or the other way round) is taken like the first ones: with weight
    1 where the first had none; left out where the first had one (it cannot be weighed). No uncertainty below the
    rounding of its value (1e-12 of it) is believed.

    >>> mean = WeightedMean()
    >>> for x in (1.0, 3.0, 2.0, 2.0):
    ...     mean.add(x, None)
    >>> mean.value, round(mean.sigma, 4), mean.count
    (2.0, 0.4082, 4)
    """

    def __init__(self) -> None:
        self.count, self.value = 0, 0.0
        self._weight = self._square = 0.0
        self._weighs: bool | None = None

    def add(self, value: float, sigma: float | None) -> None:
        """One more value and its standard uncertainty (None or 0: not known)."""
        if self._weighs is None:
            self._weighs = bool(sigma)
        if self._weighs and not sigma:
            return
        weight = 1.0
        if self._weighs and sigma:
            weight = min(max(sigma, 1e-12 * abs(value), 1e-100), 1e100) ** -2.0
        self.count += 1
        self._weight += weight
        away = value - self.value
        self.value += away * weight / self._weight
        self._square += weight * away * (value - self.value)

    @property
    def sigma(self) -> float:
        """Standard uncertainty of the mean; infinite below two values."""
        if self.count < 2:
            return math.inf
        scatter = math.sqrt(max(self._square, 0.0) / ((self.count - 1) * self._weight))
        return max(scatter, 1.0 / math.sqrt(self._weight)) if self._weighs else scatter
