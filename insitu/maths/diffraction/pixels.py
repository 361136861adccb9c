"""Angle, azimuth, weight and use of every pixel of an area detector, in the order of the image as it comes.

pyFAI computes them from a `Setting`; the flip of `[geometry]` is folded in, so that no frame has to be turned round.

    weight = flat * solid angle (relative to the one at the point of normal incidence) * polarisation

Files (mask, dark, flat) lie as pyFAI takes them, that is as the image after the flip; frames with the role dark or flat
come from the detector and lie as its images do. A flat file is used as it is; a flat frame is divided by its mean, so
that counts stay counts. Source: G. Ashiotis et al., J. Appl. Cryst. 48 (2015) 510.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal, NamedTuple

import numpy as np

from insitu.maths.diffraction.geometry import Setting, check_shape
from insitu.types import Flip, Reference

Unit = Literal["two_theta", "q"]
UNITS: dict[Unit, tuple[str, str]] = {"two_theta": ("2th_deg", "deg"), "q": ("q_A^-1", "1/angstrom")}
"""Axis to pyFAI's unit and ours."""


class Pixels(NamedTuple):
    """One value per pixel, `(ny * nx,)`, in the image's own order.

    `angle` and `half_width` in pyFAI's inner unit (radian; 1/nm), times `scale` = the axis' unit; `chi`: azimuth in
    radian, -pi to pi, 0 along +x of the poni's image; `weight`: see above, float32, 0 where ignored; `ignore`.
    """

    angle: np.ndarray
    half_width: np.ndarray
    chi: np.ndarray
    weight: np.ndarray
    ignore: np.ndarray
    scale: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Frames:
    """What of the frames themselves belongs to a setting: digest and array of the dark and flat in force, or None."""

    dark: np.ndarray | None = field(default=None, compare=False)
    flat: np.ndarray | None = field(default=None, compare=False)
    digests: tuple[str, str] = ("", "")


NO_FRAMES = Frames()


def frames_of(refs: Mapping[str, Reference]) -> Frames:
    """The dark and the flat among the references of a frame."""
    dark, flat = refs.get("dark"), refs.get("flat")
    if dark is None and flat is None:
        return NO_FRAMES
    return Frames(
        dark=None if dark is None else dark.array,
        flat=None if flat is None else flat.array,
        digests=("" if dark is None else dark.digest, "" if flat is None else flat.digest),
    )


@lru_cache(maxsize=1)
def pixels(setting: Setting, frames: Frames, shape: tuple[int, int], unit: Unit) -> Pixels:
    """Angle, azimuth and weight of every pixel of images `(ny, nx)`; ValueError where they do not belong together.

    Takes about 0.8 s for 1 Mpx; the last result is kept (29 bytes a pixel), because several steps ask for the same.
    """
    ai = check_shape(setting, shape)
    from pyFAI.units import to_unit

    name = UNITS[unit][0]
    known: Any = to_unit(name)
    if unit == "q" and setting.wavelength is None:
        raise ValueError(f"q needs a wavelength, and neither {setting.poni.name} nor the detector file has one")
    if setting.wavelength is not None and unit == "q":  # of no use for angles, and pyFAI's setter takes 0.4 s
        ai.wavelength = 1e-10 * setting.wavelength
    turn = turned(setting.geometry.flip)
    angle = np.asarray(ai.center_array(shape, unit=name, scale=False), dtype=np.float64)[turn]
    half = np.asarray(ai.delta_array(shape, unit=name, scale=False), dtype=np.float64)[turn]
    chi = np.asarray(ai.center_array(shape, unit="chi_rad", scale=False), dtype=np.float64)[turn]
    weight, ignore = _weight(setting, frames, ai, shape)
    ignore |= ~np.isfinite(angle)
    weight[ignore] = 0.0
    flat = (np.ascontiguousarray(a).ravel() for a in (angle, half, chi, weight, ignore))
    return Pixels(*flat, scale=float(known.scale))


def dark_of(setting: Setting, frames: Frames, shape: tuple[int, int]) -> np.ndarray:
    """Counts of the dark per pixel in the image's order, float64 `(ny * nx,)`, or `(0,)`: the frame's wins."""
    if frames.dark is not None:
        _fits(frames.dark, shape, "dark")
        return np.array(frames.dark, dtype=np.float64, order="C").ravel()  # ours, as all arrays of kernels
    if setting.dark is None:
        return np.zeros(0)
    return np.ascontiguousarray(setting.dark[turned(setting.geometry.flip)]).ravel()


def turned(flip: Flip) -> tuple[slice, slice]:
    """Index that turns an image as `flip` says (its own inverse).

    >>> np.arange(4).reshape(2, 2)[turned("up_down")].tolist()
    [[2, 3], [0, 1]]
    """
    back, on = slice(None, None, -1), slice(None)
    return (back if flip in ("up_down", "both") else on, back if flip in ("left_right", "both") else on)


def _weight(setting: Setting, frames: Frames, ai: Any, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Weight float32 and True where a pixel never counts, `(ny, nx)` in the image's order."""
    geometry, turn = setting.geometry, turned(setting.geometry.flip)
    weight = np.ones(shape)
    if geometry.solid_angle:
        weight *= np.asarray(ai.solidAngleArray(shape))
    if geometry.polarization is not None:
        weight *= np.asarray(ai.polarization(shape, geometry.polarization))
    if setting.flat is not None and frames.flat is None:
        weight *= setting.flat
    ignore = np.zeros(shape, dtype=bool) if setting.mask is None else setting.mask.copy()
    own = ai.detector.mask
    if own is not None and own.shape == tuple(shape):
        ignore |= own.astype(bool)
    weight, ignore = weight[turn].copy(), ignore[turn].copy()
    if frames.flat is not None:
        weight *= _relative(frames.flat, shape, ignore)
    ignore |= ~(np.isfinite(weight) & (weight > 0.0))
    dark = dark_of(setting, frames, shape)
    if dark.size:
        ignore |= ~np.isfinite(dark.reshape(shape))
    return weight.astype(np.float32), ignore


def _relative(flat: np.ndarray, shape: tuple[int, int], ignore: np.ndarray) -> np.ndarray:
    """A flat frame over its mean, so that corrected counts stay counts."""
    _fits(flat, shape, "flat")
    values = np.asarray(flat, dtype=np.float64)
    usable = ~ignore & np.isfinite(values) & (values > 0.0)
    if not usable.any():
        raise ValueError("the flat frame has no pixel above 0")
    return values / np.mean(values[usable])


def _fits(array: np.ndarray, shape: tuple[int, int], what: str) -> None:
    if array.shape != tuple(shape):
        raise ValueError(f"the frame has {shape[0]} x {shape[1]} pixels, the {what} frame {_times(array.shape)}")


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(str(n) for n in shape)
