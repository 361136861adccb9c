"""Crops of micrographs with their masks, spoilt as microscopes spoil pictures: what a segmentation network learns from.

A crop is turned by any angle, mirrored, stretched and magnified at random (pixels beyond the picture are mirrored);
then blurred, its contrast bent by a power law, amplified and shifted, lit unevenly, and made noisy. Masks are only
moved. A picture is `(y, x)` as the preparation `image` leaves it (about 0 to 1), a mask uint8 of the same size.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np


class Pictures(NamedTuple):
    """What is learnt from: pictures float32 `(y, x)` and masks uint8 `(y, x)`, of any sizes."""

    images: Sequence[np.ndarray]
    masks: Sequence[np.ndarray]


class Nuisance(NamedTuple):
    """How strongly pictures are spoilt. `magnify`: lowest and highest factor of the scale; `turn`: largest angle, rad;
    `upright`: never upside down (a layer lies above another); `blur`: largest sigma, px; `gamma`, `gain`, `offset`,
    `shading`: standard deviations (the first two of logarithms); `noise`: largest sigma, as a part of the contrast."""

    magnify: tuple[float, float] = (0.6, 1.7)
    turn: float = math.pi
    upright: bool = False
    blur: float = 1.6
    gamma: float = 0.3
    gain: float = 0.25
    offset: float = 0.15
    shading: float = 0.2
    noise: float = 0.15


def crops(
    torch: Any, of: Pictures, random: np.random.Generator, *, size: int, count: int, how: Nuisance
) -> tuple[Any, Any]:
    """`count` crops as torch tensors: pictures float32 `(count, 1, size, size)`, masks int64 `(count, size, size)`."""
    images, masks = np.empty((count, 1, size, size), np.float32), np.empty((count, size, size), np.int64)
    for k in range(count):
        which = int(random.integers(len(of.images)))
        image, mask = of.images[which], of.masks[which]
        grid = _grid(torch, image.shape, random, size, how)
        moved = [_moved(torch, x, grid, mode) for x, mode in ((image, "bilinear"), (mask, "nearest"))]
        images[k, 0], masks[k] = spoilt(moved[0], random, how), moved[1]
    return torch.from_numpy(images), torch.from_numpy(masks)


def spoilt(x: np.ndarray, random: np.random.Generator, how: Nuisance) -> np.ndarray:
    """The picture `(y, x)` as another microscope on another day would have taken it."""
    from scipy.ndimage import gaussian_filter

    if random.random() < 0.5:
        x = gaussian_filter(x, random.uniform(0.3, max(how.blur, 0.3)))
    low, high = np.percentile(x, [1.0, 99.0])
    span = max(float(high - low), 1e-3)
    bent = np.clip((x - low) / span, -0.3, 1.3)
    x = low + span * np.sign(bent) * np.abs(bent) ** math.exp(random.normal(0.0, how.gamma))
    x = x * math.exp(random.normal(0.0, how.gain)) + random.normal(0.0, how.offset)
    down, along = np.ogrid[-0.5 : 0.5 : x.shape[0] * 1j, -0.5 : 0.5 : x.shape[1] * 1j]
    a, b, c, d, e = random.normal(0.0, how.shading, 5)
    x = x + a * down + b * along + c * down * along + d * down**2 + e * along**2
    return x + random.normal(0.0, random.uniform(0.0, how.noise), x.shape)


def _grid(torch: Any, shape: tuple[int, ...], random: np.random.Generator, size: int, how: Nuisance) -> Any:
    """Where each pixel of a crop comes from, `(1, size, size, 2)`, in torch's coordinates (-1 to 1)."""
    low, high = how.magnify
    scale = math.exp(random.uniform(-math.log(high), -math.log(low)))
    across, down = scale * np.exp(random.uniform(-0.15, 0.15, 2))
    turn = random.uniform(-how.turn, how.turn)
    mirror = random.choice([-1.0, 1.0])
    cos, sin = math.cos(turn), math.sin(turn)
    move = np.array([[across * cos * mirror, -down * sin], [across * sin * mirror, down * cos]])
    if not how.upright and random.random() < 0.5:
        move = -move
    extent = np.array([shape[1], shape[0]], float)
    reach = np.minimum(0.8 * np.abs(move).sum(axis=1).max() * size / 2, extent / 2)
    middle = random.uniform(reach, extent - reach)
    theta = np.concatenate([move * size / extent[:, None], (2.0 * middle / extent - 1.0)[:, None]], axis=1)
    matrix = torch.from_numpy(theta[None].astype(np.float32))
    return torch.nn.functional.affine_grid(matrix, (1, 1, size, size), align_corners=False)


def _moved(torch: Any, x: np.ndarray, grid: Any, mode: str) -> np.ndarray:
    given = torch.from_numpy(np.ascontiguousarray(x, np.float32))[None, None]
    found = torch.nn.functional.grid_sample(given, grid, mode=mode, padding_mode="reflection", align_corners=False)
    return found[0, 0].numpy()
