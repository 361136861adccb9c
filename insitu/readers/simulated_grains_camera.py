"""The camera of the simulated micrographs: blur, drift, exposure, dust and noise, and the faults that it can have."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from insitu.maths.aligned import empty
from insitu.readers.faults import Fault, Kind, parse_fault, with_transport

CAMERA_KINDS: dict[str, Kind] = {
    "blur": Kind("out of focus", "sigma in pixels", 4.0, 0.0, 100.0),
    "shift": Kind("the picture has jumped along x", "pixels", 20.0, -1000.0, 1000.0),
    "exposure": Kind("another exposure than that of the other frames", "factor", 3.0, 0.0, 1e3),
    "dust": Kind("dust on the window: dark spots", "spots", 5.0, 0.0, 1000.0),
}
"""Faults of pictures; beside them those of the transport (`faults.KINDS`)."""
ALLOWED = with_transport(CAMERA_KINDS)


def camera_fault(text: str) -> Fault:
    """A fault from its text, of the kinds that a picture can have.

    >>> camera_fault("blur@5-7=2.5")
    Fault(kind='blur', first=5, last=7, strength=2.5)
    """
    return parse_fault(text, ALLOWED, of="a picture")


def take(
    scene: np.ndarray, now: Mapping[str, float], *, blur: float, noise: float, dtype: np.dtype, seed: tuple[int, ...]
) -> np.ndarray:
    """A read-only picture of `scene` (float64 `(y, x)`, in the camera's units), with the faults of `now`."""
    from scipy.ndimage import gaussian_filter, shift

    random = np.random.default_rng(seed)
    picture = scene
    if "shift" in now:
        picture = shift(picture, (0.0, now["shift"]), order=1, mode="nearest")
    sigma = math.hypot(blur, now.get("blur", 0.0))
    if sigma > 0.0:
        picture = gaussian_filter(picture, sigma, mode="nearest")
    picture = picture * now.get("exposure", 1.0)
    if "dust" in now:
        y, x = np.mgrid[: scene.shape[0], : scene.shape[1]]
        for cy, cx, radius in random.random((int(now["dust"]), 3)) * (*scene.shape, 0.03 * min(scene.shape)):
            picture = np.where((y - cy) ** 2 + (x - cx) ** 2 <= (3.0 + radius) ** 2, 0.1 * picture, picture)
    picture = picture + random.normal(0.0, noise, scene.shape)
    out = empty(scene.shape, dtype)
    np.clip(np.rint(picture), 0, np.iinfo(dtype).max, out=out, casting="unsafe")
    out.flags.writeable = False
    return out
