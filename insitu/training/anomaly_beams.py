"""What `anomaly_kinds` needs of the beamlines: an area detector behind a standard, and a magnetic film at L3 and L2."""

import math
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np

from insitu.types import Arrival, Detector, Extractor, Geometry, Prepare

Series = Callable[[], Iterator[Arrival | None]]
Standard = Literal["ceo2", "si", "batio3"]
SHAPE = (320, 320)
AREA: dict[str, Any] = {
    "shape": SHAPE, "distance": 0.2, "pixel_size": 400.0, "beam_x": 176.0, "beam_y": 140.8, "modules": (60, 150),
    "gap": (4, 3), "hot": 0, "dead": 5,
}  # fmt: skip
"""A small detector, 128 mm wide, that the beam does not hit in the middle; its hot pixels are masked."""
PONI = Path(__file__).with_name("area_detector.poni")
"""The same as pyFAI reads it (`AreaDetector(**AREA).poni()`)."""
RINGS = 3
GLITCH_EV = 30.5
"""Above L3, where the beam before the film has a dip."""


def area(standard: Standard) -> Callable[[np.random.Generator, int, int, Sequence[str]], Series]:
    """Images at room temperature; brightness and background differ from series to series."""

    def make(random: np.random.Generator, seed: int, frames: int, faults: Sequence[str]) -> Series:
        from insitu.readers.simulated_image import AreaDetector

        return AreaDetector(
            **AREA, seed=seed, frames=frames, sample=standard, temperature_start=random.uniform(290.0, 300.0),
            peak_counts=math.exp(random.uniform(math.log(800.0), math.log(1250.0))),
            background_counts=random.uniform(3.0, 6.0), faults=tuple(faults),
        )  # fmt: skip

    return make


@cache
def area_features() -> Sequence[Extractor]:
    from insitu.features.rings import Rings
    from insitu.features.totals import Totals

    detector = Detector(name="area", source="det", shape=SHAPE, geometry=Geometry(poni=PONI))
    return [Totals(), Rings(detector=detector, rings=RINGS, bins=300)]


def film(random: np.random.Generator, seed: int, frames: int, faults: Sequence[str]) -> Series:
    """Spectra of an iron film, helicity in turns; thickness, photons and noise differ from series to series."""
    from insitu.readers.simulated_xas import XasBeamline

    return XasBeamline(
        seed=seed, frames=frames, sample="iron_film", points=400, glitches=[707.5 + GLITCH_EV],
        photons=math.exp(random.uniform(math.log(3e5), math.log(3e6))), beam_noise=random.uniform(5e-4, 1.5e-3),
        edge_step=random.uniform(0.9, 1.1), energy_jitter=0.02, faults=tuple(faults),
    )  # fmt: skip


def film_steps() -> Sequence[Prepare]:
    from insitu.prepare.absorption import Absorption

    return [Absorption()]


def film_features() -> Sequence[Extractor]:
    from insitu.features.totals import Totals
    from insitu.features.xafs_edge import EdgeFeatures
    from insitu.features.xafs_quality import Quality

    return [EdgeFeatures(), Quality(), Totals(name="mu", unit="")]
