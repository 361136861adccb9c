"""Peaks of the simulated diffractometer against its true answers."""

from dataclasses import fields

import numpy as np

from insitu.features.xrd import Peaks
from insitu.readers.simulated import Diffractometer
from insitu.types import Arrival, Frame

PATTERNS = 1000


def test_positions_and_areas_of_a_thousand_patterns_are_unbiased() -> None:
    """Pulls (estimate - truth) / sigma: mean 0 and width 1, each within 0.1."""
    reader = Diffractometer(seed=11, frames=PATTERNS, sample="si")
    lines = reader.truth(0).peaks
    assert len(lines) == 3
    peaks = Peaks(windows=[(p.two_theta - 6.0 * p.fwhm, p.two_theta + 6.0 * p.fwhm) for p in lines])
    names = [field.name for field in fields(Arrival)]
    pulls = np.empty((PATTERNS, len(lines), 3))
    for n in range(PATTERNS):
        arrival = reader.arrival(n)
        found = peaks(Frame(**{name: getattr(arrival, name) for name in names}, seq=n, n=n), {}, ())
        for k, line in enumerate(lines):
            truth = {"position": line.two_theta, "area": line.area, "width": line.fwhm}
            for j, (what, value) in enumerate(truth.items()):
                feature = found[f"peak{k + 1}_{what}"]
                pulls[n, k, j] = (feature.value - value) / feature.sigma
    np.testing.assert_allclose(pulls.mean(axis=0), 0.0, atol=0.1)
    np.testing.assert_allclose(pulls.std(axis=0), 1.0, atol=0.1)
