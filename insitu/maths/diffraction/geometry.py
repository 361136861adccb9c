"""The `[geometry]` of an area detector with its files read and checked: pyFAI's `.poni`, mask, dark and flat.

pyFAI and fabio (extra `xrd`) read them; `insitu.maths.diffraction.poni` asks first for what must be there. Source: J.
Kieffer, D. Karkoulis, J. Phys. Conf. Ser. 425 (2013) 202012.
"""

import hashlib
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from insitu.errors import ConfigError, InsituError, MissingExtraError
from insitu.maths.diffraction.poni import EXPECTED, file_bytes, parse_poni
from insitu.types import Detector, Geometry


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Setting:
    """A `[geometry]` table with its files read and checked. Equal where the content of all files is (`digest`).

    `distance` in m. `wavelength` in angstrom: the detector file's calibration, else the poni's, else None. `mask` True
    = ignore, `dark` and `flat` float64; all in the poni's orientation, None where not given. `shape`: rows and columns
    of the images, where one of these files says them.
    """

    geometry: Geometry
    poni: Path
    distance: float
    wavelength: float | None
    mask: np.ndarray | None
    dark: np.ndarray | None
    flat: np.ndarray | None
    digest: str
    shape: tuple[int, int] | None

    def __hash__(self) -> int:
        return hash(self.digest)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Setting) and other.digest == self.digest


def read_setting(detector: Detector | None, purpose: str) -> Setting:
    """The geometry of a detector with its files; ConfigError where there is none or a file is wrong.

    `purpose`: who asks, for the message.
    """
    geometry = None if detector is None else detector.geometry
    if detector is None or geometry is None or geometry.poni is None:
        raise ConfigError(
            f"{purpose} needs the geometry of the detector, and no poni is given",
            where="geometry.poni",
            expected="a .poni file of pyFAI's calibration",
            remedy='Write poni = "FILE" under [geometry] of the detector, or --set detector.geometry.poni=FILE',
        )
    text = file_bytes(geometry.poni)
    values = parse_poni(text, geometry.poni)
    known = detector.calibration.get("wavelength")
    wavelength = None if known is None or known.value is None else float(known.value)
    if wavelength is None and values.get("wavelength"):
        wavelength = float(f"{1e10 * values['wavelength']:.12g}")  # 4.066e-11 m is 0.4066, not 0.40659999...
    setting = Setting(
        geometry=geometry,
        poni=geometry.poni,
        distance=values["distance"],
        wavelength=wavelength,
        mask=None if geometry.mask is None else read_image(geometry.mask, "mask") != 0,
        dark=None if geometry.dark is None else _numbers(geometry.dark, "dark"),
        flat=None if geometry.flat is None else _numbers(geometry.flat, "flat"),
        digest=_digest(geometry, text, wavelength),
        shape=None,
    )
    setting = replace(setting, shape=_shape(setting))
    if detector.shape is not None:
        try:
            _check_once(setting, detector.shape)
        except ValueError as wrong:
            raise ConfigError(str(wrong), where="geometry") from wrong
    return setting


def read_image(path: Path, what: str) -> np.ndarray:
    """The 2-D array in a file (`.npy`, or anything that fabio reads); ConfigError where there is none."""
    expected = "an image (.tif, .edf, .cbf, ...) or a .npy array, with as many pixels as the frames"
    try:
        if path.suffix == ".npy":
            array = np.load(path, allow_pickle=False)
        else:
            array = np.asarray(_fabio().open(str(path)).data)
    except InsituError:
        raise
    except Exception as error:
        raise ConfigError(
            f"the {what} cannot be read: {type(error).__name__}: {error}", where=str(path), expected=expected
        ) from error
    if array.ndim != 2 or array.dtype.kind not in "biuf" or array.size == 0:
        raise ConfigError(
            f"the {what} has shape {array.shape} and dtype {array.dtype}", where=str(path), expected=expected
        )
    return array


def check_shape(setting: Setting, shape: tuple[int, ...]) -> Any:
    """ValueError, with both shapes in words, where frames `(ny, nx)` do not belong to the setting.

    Returns pyFAI's object for frames of this shape, for what else is to be asked of it.
    """
    if len(shape) != 2:
        raise ValueError(f"frames of {len(shape)} dimensions have no geometry: an image has two, (y, x)")
    said = f"{shape[0]} x {shape[1]} pixels"
    for what in ("mask", "dark", "flat"):
        array = getattr(setting, what)
        if array is not None and array.shape != tuple(shape):
            file = getattr(setting.geometry, what)
            raise ValueError(f"the frame has {said}, the {what} {file.name} {array.shape[0]} x {array.shape[1]}")
    ai = integrator(setting)
    detector = ai.detector
    full = detector.max_shape
    if full is None or tuple(detector.shape) == tuple(shape):
        return ai
    binned = detector.force_pixel and not (full[0] % shape[0] or full[1] % shape[1])
    if not (binned and detector.guess_binning(tuple(shape))):
        raise ValueError(
            f"the frame has {said}, the detector {detector.name} of {setting.poni.name} {full[0]} x {full[1]}: "
            "the poni belongs to another detector or another region of it"
        )
    return ai


@lru_cache(maxsize=8)
def _check_once(setting: Setting, shape: tuple[int, ...]) -> None:
    """`check_shape`, once for the same files: pyFAI collects garbage twice for each object, which takes 0.2 s."""
    check_shape(setting, shape)


@lru_cache(maxsize=8)
def _shape(setting: Setting) -> tuple[int, int] | None:
    """The shape that mask, dark and flat have, else the detector that the poni names; ConfigError where they differ."""
    shapes = {w: a.shape for w in ("mask", "dark", "flat") if (a := getattr(setting, w)) is not None}
    if len(set(shapes.values())) > 1:
        said = ", ".join(f"{what} {shape[0]} x {shape[1]}" for what, shape in shapes.items())
        raise ConfigError(f"the files differ in shape: {said}", where="geometry", expected="one shape, the frames'")
    if shapes:
        ny, nx = next(iter(shapes.values()))
        return ny, nx
    detector = integrator(setting).detector
    return None if detector.max_shape is None else (int(detector.shape[0]), int(detector.shape[1]))


def _numbers(path: Path, what: str) -> np.ndarray:
    return np.asarray(read_image(path, what), dtype=np.float64)


def _digest(geometry: Geometry, poni: bytes, wavelength: float | None) -> str:
    """sha256 over the content of all files and every setting that has to do with pixels."""
    h = hashlib.sha256(poni)
    for path in (geometry.mask, geometry.dark, geometry.flat):
        h.update(b"none" if path is None else hashlib.sha256(file_bytes(path)).digest())
    h.update(repr((geometry.flip, geometry.polarization, geometry.solid_angle, wavelength)).encode())
    return h.hexdigest()


def integrator(setting: Setting) -> Any:
    """pyFAI's object for a setting; ConfigError where pyFAI cannot make one."""
    try:
        import pyFAI
    except ImportError as missing:
        raise MissingExtraError("pyFAI", "xrd", purpose="azimuthal integration") from missing
    try:
        ai: Any = pyFAI.load(str(setting.poni))
        sizes = float(ai.detector.pixel1 or 0.0), float(ai.detector.pixel2 or 0.0)
    except Exception as error:
        raise ConfigError(
            f"pyFAI cannot read it: {type(error).__name__}: {(str(error).splitlines() or [''])[0][:120]}",
            where=str(setting.poni),
            expected=EXPECTED,
        ) from error
    if not min(sizes) > 0.0:
        raise ConfigError(
            "it says neither a detector that pyFAI knows nor the size of the pixels",
            where=str(setting.poni),
            expected="Detector, or PixelSize1 and PixelSize2 in m",
        )
    return ai


def _fabio() -> Any:
    try:
        import fabio
    except ImportError as missing:
        raise MissingExtraError("fabio", "xrd", purpose="reading an image") from missing
    return fabio
