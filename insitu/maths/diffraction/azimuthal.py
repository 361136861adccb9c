"""Azimuthal integration: an image to mean normalised intensity per bin of angle, with its standard uncertainty.

    intensity = sum c (value - dark) / sum c weight
    sigma     = sqrt(sum c^2 variance) / sum c weight        variance = max(value, 1) for counts

c: share of a pixel in a bin (0 or 1 without splitting; with bounding boxes, the part of the pixel's range of angle that
lies in the bin). weight: flat, solid angle and polarisation (`insitu.maths.diffraction.pixels`). The sums run over the
pixels that count in this very frame; the dark is taken for a mean of many, without uncertainty (as in pyFAI's fast
paths). Everything per pixel is laid out once (`integrator_of`) and kept by the digest of the geometry: a frame costs
one pass over its pixels. Bins, formulas and the range of the axis are pyFAI's integrate1d (J. Kieffer, J. P. Wright,
Powder Diffr. 28 (2013) S339); sums of integers without splitting are exact.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np

from insitu.maths.diffraction.azimuthal_kernel import make_boxes, sum_boxes, sum_counts, sum_values
from insitu.maths.diffraction.geometry import Setting
from insitu.maths.diffraction.pixels import Frames, Pixels, Unit, dark_of, pixels

Window = tuple[float, float]
UPPER = 1.0 + float(np.finfo(np.float32).eps)
"""The largest angle lies just inside the last bin: pyFAI's factor."""
NOTHING = np.zeros(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """How an image is cut into bins. `radial`: range of the axis in its unit; `azimuth`: range of chi in deg, counted
    from +x of the poni's image towards +y, the higher end up to 360 above the lower one. `sectors`: the circle is cut
    into so many equal parts, the first from chi = 0 on (without splitting only): bins are then `(sectors * bins,)`."""

    unit: Unit = "two_theta"
    bins: int = 1000
    split: Literal["no", "bbox"] = "bbox"
    radial: Window | None = None
    azimuth: Window | None = None
    sectors: int = 1


class Range(NamedTuple):
    """Which values count: `low <= value < high`."""

    low: float
    high: float


class Pattern(NamedTuple):
    """`intensity` and `sigma` float64 `(bins,)`, 0 where no pixel counts (`empty` True); `sigma` None where the
    uncertainty of the pixels is not known. `signal`, `norm`: the sums that intensity is the ratio of."""

    intensity: np.ndarray
    sigma: np.ndarray | None
    empty: np.ndarray
    signal: np.ndarray
    norm: np.ndarray


def counting_range(dtype: np.dtype, low: float | Literal["auto"] | None, saturation: float | None) -> Range:
    """Which values of an image count: from `low` on, below `saturation`, and no marks of the detector.

    Integer types: the largest number marks a saturated or missing pixel, and the one below it a broken one where the
    type has 16 bits or more and no sign (Dectris detectors). ValueError for a type that holds no intensities.

    >>> counting_range(np.dtype("uint16"), 0.0, None)
    Range(low=0, high=65534)
    """
    if dtype.kind not in "iuf":
        raise ValueError(f"an image of {dtype} cannot be integrated, only whole or floating-point numbers")
    if low == "auto":  # a float may have had a dark subtracted: below 0 is noise there, and no mark
        low = 0.0 if dtype.kind in "iu" else None
    if dtype.kind == "f":
        bottom = -float(np.finfo(np.float64).max) if low is None else float(low)
        return Range(bottom, math.inf if saturation is None else float(saturation))
    limits = np.iinfo(dtype)
    top = min(int(limits.max), np.iinfo(np.int64).max)
    top -= dtype.kind == "u" and dtype.itemsize > 1
    first = int(limits.min) if low is None or low <= limits.min else math.ceil(min(low, top))
    return Range(first, top if saturation is None or saturation >= top else math.ceil(saturation))


class Integrator:
    """Integrates images of one shape. `axis`: middles of the bins, float64 `(bins,)`, in the unit of the cut;
    `angle`: mean over the pixels of a cell `(sectors, bins)`, the middle of its bin where it has none."""

    def __init__(self, of: Pixels, cut: Cut, dark: np.ndarray) -> None:
        self.cut, self.size = cut, of.angle.size
        self._weight, self._dark = of.weight, dark
        use = ~of.ignore & _within(of.chi, cut.azimuth)
        half = of.half_width if cut.split == "bbox" else None
        low, step = _range(of, use, half, cut)
        self.axis = np.linspace(low + 0.5 * step, low + (cut.bins - 0.5) * step, cut.bins) * of.scale
        if half is None:
            self._bins = _bin_numbers(of, use, low, step, cut)
            self.angle = _mean_angle(of, self._bins, self.axis, cut)
        else:
            self._boxes, self._pad = _boxes(of.angle, half, use, low, step, cut.bins)
        nothing = np.zeros(self.size, dtype=np.uint8)
        self._static = self._sums(nothing, NOTHING, Range(1, 0))[1]

    @property
    def cells(self) -> tuple[np.ndarray, np.ndarray]:
        """Cell and weight of every pixel, `(ny * nx,)`, without splitting: one past the last where it never counts."""
        return self._bins, self._weight

    def __call__(
        self,
        data: np.ndarray,
        counts: Range,
        *,
        skip: np.ndarray | None = None,
        variance: np.ndarray | None = None,
        poisson: bool = True,
    ) -> Pattern:
        """The pattern of one image `(ny, nx)`. `skip`: True = ignore; `variance`: of the pixels, where known, else
        that of counts if `poisson`. ValueError where no pixel counts at all."""
        values = np.ascontiguousarray(data).reshape(-1)
        if skip is not None:
            values = np.where(np.asarray(skip, dtype=bool).reshape(-1), np.nan, values)
        known = NOTHING if variance is None else np.ascontiguousarray(variance, dtype=np.float64).reshape(-1)
        sums, lost = self._sums(values, known, counts)
        left = self._static - lost
        empty = (left[:, 0] <= 1e-9 * np.maximum(self._static[:, 0], 1.0)) | (left[:, 1] <= 0.0)
        if empty.all():
            raise ValueError("no pixel of the image counts: all are masked, below the lowest value or saturated")
        norm = np.where(empty, 1.0, left[:, 1])
        signal = np.where(empty, 0.0, sums[:, 0] - left[:, 2])
        if not np.isfinite(signal).all():
            raise ValueError("the sums over pixels are no finite numbers: the image holds values beyond all measure")
        sigma = None
        if poisson or variance is not None:
            sigma = np.sqrt(np.where(empty, 0.0, sums[:, 1])) / norm
        return Pattern(signal / norm, sigma, empty, signal, np.where(empty, 0.0, norm))

    def _sums(self, data: np.ndarray, variance: np.ndarray, counts: Range) -> tuple[np.ndarray, np.ndarray]:
        """Signal and variance `(bins, 2)`, and what is lost `(bins, 3)`: pixels, weight, dark."""
        bins, low, high = self.cut.bins * self.cut.sectors, counts.low, counts.high
        if self.cut.split == "bbox":
            total = bins + 2 * self._pad + 6
            sums, lost = np.zeros((2, total, 2)), np.zeros((total, 3))
            sum_boxes(data, variance, *self._boxes, float(low), float(high), self._weight, self._dark, sums, lost)
            inside = slice(self._pad, self._pad + bins)
            return sums[0, inside] + sums[1, inside], lost[inside]
        lost = np.zeros((bins + 1, 3))
        if data.dtype.kind in "iu" and not variance.size:
            sums = np.zeros((bins + 1, 2), dtype=np.int64)
            sum_counts(data, self._bins, int(low), int(high), self._weight, self._dark, sums, lost)
        else:
            sums = np.zeros((bins + 1, 2))
            sum_values(data, variance, self._bins, float(low), float(high), self._weight, self._dark, sums, lost)
        return sums[:-1].astype(np.float64), lost[:-1]


@lru_cache(maxsize=4)
def integrator_of(setting: Setting, frames: Frames, shape: tuple[int, int], cut: Cut) -> Integrator:
    """The integrator for images `(ny, nx)` of a setting, kept by its digest (16 to 24 bytes a pixel).

    ValueError where the frames do not belong to the setting or no pixel is left in the cut.
    """
    return Integrator(pixels(setting, frames, shape, cut.unit), cut, dark_of(setting, frames, shape))


def _within(chi: np.ndarray, azimuth: Window | None) -> np.ndarray:
    """True where chi (radian) lies in the range (deg), which may pass 180 deg."""
    if azimuth is None or azimuth[1] - azimuth[0] >= 360.0:
        return np.ones(chi.shape, dtype=bool)
    return np.mod(np.degrees(chi) - azimuth[0], 360.0) <= azimuth[1] - azimuth[0]


def _range(of: Pixels, use: np.ndarray, half: np.ndarray | None, cut: Cut) -> tuple[float, float]:
    """Lower end of the first bin and width of a bin, in pyFAI's inner unit."""
    if not use.any():
        raise ValueError("no pixel is left: all are masked, or lie outside the range of azimuth")
    if cut.radial is not None:
        low, high = (end / of.scale for end in cut.radial)
    elif half is None:
        low, high = float(of.angle[use].min()), float(of.angle[use].max())
    else:
        low = max(0.0, float((of.angle[use] - half[use]).min()))
        high = float((of.angle[use] + half[use]).max())
    step = (high * UPPER - low) / cut.bins
    if not step > 0.0:
        raise ValueError(f"the range of the axis from {low * of.scale:g} to {high * of.scale:g} is empty")
    return low, step


def _bin_numbers(of: Pixels, use: np.ndarray, low: float, step: float, cut: Cut) -> np.ndarray:
    """The cell of every pixel, `(n,)`: sector by sector; one past the last for those that never count."""
    number = (of.angle - low) / step
    inside = use & (number >= 0.0) & (number < cut.bins)
    if not inside.any():
        raise ValueError("no pixel lies in the range of the axis")
    number = np.where(inside, number, 0.0).astype(np.uint32)
    if cut.sectors > 1:
        part = np.mod(of.chi, 2.0 * np.pi) * (cut.sectors / (2.0 * np.pi))
        number += np.minimum(part.astype(np.uint32), cut.sectors - 1) * np.uint32(cut.bins)
    cells = cut.bins * cut.sectors
    number[~inside] = cells
    return number.astype(np.uint16) if cells < np.iinfo(np.uint16).max else number


def _mean_angle(of: Pixels, cells: np.ndarray, axis: np.ndarray, cut: Cut) -> np.ndarray:
    """Mean angle of the pixels of every cell `(sectors, bins)`, in the unit of the axis."""
    size = cut.bins * cut.sectors
    count = np.bincount(cells, minlength=size + 1)[:size]
    total = np.bincount(cells, weights=of.angle, minlength=size + 1)[:size]
    middles = np.tile(axis, cut.sectors)
    mean = np.where(count > 0, total * of.scale / np.maximum(count, 1), middles)
    return mean.reshape(cut.sectors, cut.bins)


def _boxes(
    angle: np.ndarray, half: np.ndarray, use: np.ndarray, low: float, step: float, bins: int
) -> tuple[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray], int]:
    """First bin, number of bins between, and shares of every pixel; and how many bins lie before the first one."""
    begin, end = (angle - half - low) / step, (angle + half - low) / step
    inside = use & (end > 0.0) & (begin < bins)
    if not inside.any():
        raise ValueError("no pixel lies in the range of the axis")
    pad = int(np.ceil((end - begin)[inside].max())) + 2
    small = np.uint16 if bins + 2 * pad + 6 < np.iinfo(np.uint16).max else np.uint32
    first, more = np.empty(angle.size, small), np.empty(angle.size, np.uint16 if pad < 2**16 else np.uint32)
    shares = np.empty(angle.size, np.float32), np.empty(angle.size, np.float32)
    if not make_boxes(begin, end, inside, low == 0.0, bins, pad, first, more, *shares):
        raise ValueError("a pixel reaches over more bins than can be")
    return (first, more, *shares), pad
