"""Cracks across a layer: dark, thin, and steeper than the layer."""

import numpy as np

from insitu.maths.video.grains import ridges
from insitu.maths.video.segment import components, opencv


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
    # the limits of the layer are lines too: outside it is made as bright as inside
    level = np.float32(np.median(image[inside]))
    response = ridges(np.where(inside, image.astype(np.float32), level), width, 3.0 * width)
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
    """Length of all cracks, px: the longer side of the narrowest rectangle about each (bends are cut short)."""
    cv2 = opencv("cracks")
    labels, area = components(mask)
    total = 0.0
    for name in range(1, area.size):
        y, x = np.nonzero(labels == name)
        total += max(cv2.minAreaRect(np.column_stack([x, y]).astype(np.float32))[1]) + 1.0
    return total
