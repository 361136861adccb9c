"""The camera of the simulated micrographs: blur, drift, exposure, dust and noise, and the faults that it can have."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

import numpy as np

from insitu.errors import ConfigError
from insitu.maths.aligned import empty
from insitu.readers.faults import KINDS, SYNTAX, Fault, Kind, parse_fault

CAMERA_KINDS: dict[str, Kind] = {
    "blur": Kind("out of focus", "sigma in pixels", 4.0, 0.0, 100.0),
    "shift": Kind("the picture has jumped along x", "pixels", 20.0, -1000.0, 1000.0),
    "exposure": Kind("another exposure than that of the other frames", "factor", 3.0, 0.0, 1e3),
    "dust": Kind("dust on the window: dark spots", "spots", 5.0, 0.0, 1000.0),
}
"""Faults of pictures; beside them those of the transport (`faults.KINDS`)."""
ALLOWED = {**CAMERA_KINDS, **{name: kind for name, kind in KINDS.items() if kind.transport}}


def camera_fault(text: str) -> Fault:
    """A fault from its text, of the kinds that a picture can have.

    >>> camera_fault("blur@5-7=2.5")
    Fault(kind='blur', first=5, last=7, strength=2.5)
    """
    match = SYNTAX.fullmatch(text.strip())
    name = match["kind"] if match else ""
    if match and name not in ALLOWED:
        allowed = f"one of {', '.join(ALLOWED)}"
        raise ConfigError(f"fault {text!r} is of no kind that a picture has", where="faults", expected=allowed)
    if name not in CAMERA_KINDS:
        return parse_fault(text)
    kind = CAMERA_KINDS[name]
    # the shared parser knows only its own kinds: it reads the frames, and the strength is read here
    frames, _, strength = text.strip().partition("=")
    plain = parse_fault(re.sub(r"^\w+", "beam_loss", frames))
    try:
        value = float(strength) if strength else kind.default
    except ValueError:
        value = math.nan
    if not kind.low <= value <= kind.high:
        allowed = f"{kind.low:g} to {kind.high:g} ({kind.strength})"
        raise ConfigError(f"fault {text!r} has the strength {strength!r}", where="faults", expected=allowed)
    return Fault(name, plain.first, plain.last, value)


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
