"""What a simulated area detector is set to: its geometry, its bad pixels, and the faults that only images have."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from insitu import units
from insitu.maths.diffraction.poni import read_poni
from insitu.maths.diffraction.rings import FlatDetector
from insitu.readers.faults import KINDS, Fault, Kind, parse_fault
from insitu.readers.simulated_settings import positive
from insitu.types import Detector

IMAGE_KINDS: dict[str, Kind] = {
    "centre_drift": Kind("the beam's centre has moved along x", "pixels", 5.0, -1000.0, 1000.0),
    "strain": Kind("the sample is strained along x: rings become ellipses", "strain", 1e-3, -0.05, 0.05),
    "texture": Kind("grains are aligned: rings are stronger along x", "amplitude", 0.8, 0.0, 1.0),
    "spotty": Kind("few coarse grains: rings break into spots", "share in spots", 0.9, 0.0, 1.0),
    "flipped": Kind("the image comes upside down", "", 0.0, 0.0, 0.0),
}
"""Faults of images, beside those of `faults.KINDS` that an image can have."""
ALLOWED = {name: kind for name, kind in {**KINDS, **IMAGE_KINDS}.items() if name != "zero_shift"}
_ROTATIONS = {"rot1": 0.0, "rot2": 0.0, "rot3": 0.0}


def image_fault(text: str) -> Fault:
    """A fault from its text, of the kinds that an image can have.

    >>> image_fault("centre_drift@20=3")
    Fault(kind='centre_drift', first=20, last=None, strength=3.0)
    """
    return parse_fault(text, ALLOWED, of="an image")


def flat_detector(
    shape: tuple[int, int],
    given: Mapping[str, float | None],
    detector: Detector | None,
) -> FlatDetector:
    """The geometry: as given (distance m, pixel_size um, beam_x and beam_y pixels, tilt_x and tilt_y deg), else the
    detector's poni file, else its calibration, else 0.2 m, 172 um, the middle, upright."""
    poni = read_poni(detector.geometry.poni) if detector and detector.geometry and detector.geometry.poni else {}
    calibration = {}
    for name, unit in (("distance", "m"), ("pixel_size", "m")):
        feature = detector.calibration.get(name) if detector else None
        if feature is not None and feature.value is not None:
            calibration[name] = units.convert(feature.value, feature.unit, unit)
    size = given["pixel_size"]
    pixel = positive(size, "pixel_size", "um") * 1e-6 if size is not None else calibration.get("pixel_size")
    pixel1, pixel2 = (pixel or poni.get(f"pixelsize{i}", 172e-6) for i in (1, 2))
    distance = given["distance"] or calibration.get("distance") or poni.get("distance", 0.2)
    middle = poni.get("poni1", shape[0] * pixel1 / 2), poni.get("poni2", shape[1] * pixel2 / 2)
    x, y, tilts = given["beam_x"], given["beam_y"], (given["tilt_y"], given["tilt_x"])
    rotations = {
        name: poni.get(name, 0.0) if tilt is None else math.radians(tilt)
        for name, tilt in zip(("rot1", "rot2"), tilts, strict=True)
    }
    # where the beam hits a tilted detector is not the point of normal incidence
    along1 = distance * math.tan(rotations["rot2"]) / math.cos(rotations["rot1"])
    along2 = -distance * math.tan(rotations["rot1"])
    return FlatDetector(
        shape=shape,
        pixel1=pixel1,
        pixel2=pixel2,
        distance=positive(distance, "distance", "m"),
        poni1=middle[0] if y is None else y * pixel1 - along1,
        poni2=middle[1] if x is None else x * pixel2 - along2,
        rot3=poni.get("rot3", 0.0),
        **rotations,
    )


def gaps(shape: tuple[int, int], module: tuple[int, int], gap: tuple[int, int]) -> np.ndarray:
    """True between the modules of a detector, `(y, x)`: modules of `module` pixels, `gap` pixels between them.

    >>> int(gaps((10, 4), (4, 4), (2, 1)).sum())
    8
    """
    y = np.arange(shape[0]) % (module[0] + gap[0]) >= module[0]
    x = np.arange(shape[1]) % (module[1] + gap[1]) >= module[1]
    return y[:, None] | x[None, :]
