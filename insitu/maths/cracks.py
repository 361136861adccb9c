"""Cracks across a layer: dark, thin, and steeper than the layer."""

import math

import numpy as np

from insitu.maths.grains import ridges
from insitu.maths.segment import opencv


def find_cracks(
    image: np.ndarray, inside: np.ndarray, *, width: float = 4.0, strength: float = 4.0, rise: float, skin: int = 9
) -> tuple[np.ndarray, int]:
    """Cracks as bool `(y, x)` within the bool `inside`, and how many.

    Where a dark line passes (`ridges` of sigma `width` px, three times as long) by `strength` times the typical scatter
    inside, `skin` px or more from the limits above and below. Kept is what rises over `rise` px or more, and over 0.8
    times its extent along the layer: pores drawn out along it are no cracks. ValueError where nothing is inside.
    """
    cv2 = opencv("cracks")
    core = cv2.erode(inside.view(np.uint8), np.ones((2 * skin + 1, 1), np.uint8)).astype(bool)
    if not core.any():
        raise ValueError("there is no part of the picture to look for cracks in")
    response = ridges(image, width, 3.0 * width)
    here = response[core]
    middle = float(np.median(here))
    scatter = 1.4826 * float(np.median(np.abs(here - middle)))
    mask = ((response > middle + strength * scatter) & core).astype(np.uint8)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    tall = stats[:, cv2.CC_STAT_HEIGHT]
    keep = (tall >= rise) & (tall > 0.8 * stats[:, cv2.CC_STAT_WIDTH])
    keep[0] = False
    return keep[labels], int(keep.sum())


def crack_length(mask: np.ndarray) -> float:
    """Length of all cracks, px: pixels of their middle lines, diagonal steps counted sqrt(2)."""
    from skimage.morphology import skeletonize

    thin = skeletonize(mask)
    straight = int(np.count_nonzero(thin[:, 1:] & thin[:, :-1])) + int(np.count_nonzero(thin[1:] & thin[:-1]))
    falling = thin[1:, 1:] & thin[:-1, :-1] & ~thin[1:, :-1] & ~thin[:-1, 1:]
    rising = thin[1:, :-1] & thin[:-1, 1:] & ~thin[1:, 1:] & ~thin[:-1, :-1]
    return straight + math.sqrt(2.0) * (int(np.count_nonzero(falling)) + int(np.count_nonzero(rising)))
