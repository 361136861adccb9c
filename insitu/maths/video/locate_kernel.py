"""Kernels of particle location: band pass, brightest pixels, centroids: see `insitu.maths.video.locate`.

All work on `(y, x)` images of whole numbers. The order of additions is fixed, so that results do not depend on the
machine's number of threads; borders are 0 for the smoothing and the nearest pixel for the background.
"""

import numba
import numpy as np


@numba.njit(cache=True, nogil=True)
def band_pass(raw, top, flip, weights, box, least):
    """Gaussian smoothing minus running mean, 0 where the difference is below `least`.

    `raw` `(h, w)` unsigned; with `flip` it is `top - raw`. `weights` `(k + 1,)`: half of the smoothing kernel, middle
    first. `box`: odd side of the running mean, which is cut to whole numbers along y and then along x. Returns the
    band `(h, w)` float64, its largest value, and the mean square of raw minus smoothed where nothing stands out.
    """
    height, width = raw.shape
    half, k = box // 2, weights.size - 1
    band = np.empty((height, width), np.float64)
    # 32 bits are enough for 501 x 65535, and their conversions from float run four at a time
    level = np.zeros(width, np.int32)
    sums = np.zeros(width, np.int32)
    means = np.empty(width + 2 * half, np.int32)
    highest = np.zeros(width, np.float64)
    smooth = np.zeros(width + 2 * k, np.float64)
    line = np.empty(width, np.float64)
    zero = np.zeros(width, np.float64)
    rows = np.empty((height, width), np.float64)
    for y in range(height):
        for x in range(width):
            rows[y, x] = np.float64(top - raw[y, x]) if flip else np.float64(raw[y, x])
    inverse = 1.0 / box
    for j in range(-half - 1, half):
        at = min(max(j, 0), height - 1)
        for x in range(width):
            sums[x] += np.int32(rows[at, x])
    residual, quiet = 0.0, 0
    for y in range(height):
        new, old = min(y + half, height - 1), max(y - half - 1, 0)
        for x in range(width):
            sums[x] += np.int32(rows[new, x] - rows[old, x])
            means[half + x] = np.int32((np.float64(sums[x]) + 0.5) * inverse)
        for j in range(half):
            means[j], means[half + width + j] = means[half], means[half + width - 1]
        here = rows[y]
        for x in range(width):
            line[x] = here[x] * weights[0]
        for j in range(k, 0, -1):
            above, below, weight = rows[y - j] if y >= j else zero, rows[y + j] if y + j < height else zero, weights[j]
            for x in range(width):
                line[x] += (above[x] + below[x]) * weight
        for x in range(width):
            smooth[k + x] = line[x]
            line[x] = line[x] * weights[0]
        for j in range(k, 0, -1):
            weight = weights[j]
            for x in range(width):
                line[x] += (smooth[k + x - j] + smooth[k + x + j]) * weight
        total = np.int32(0)
        for j in range(box):
            total += means[j]
        level[0] = total
        for x in range(1, width):
            total += means[x + box - 1] - means[x - 1]
            level[x] = total
        out = band[y]
        for x in range(width):
            mean = np.float64(np.int32((np.float64(level[x]) + 0.5) * inverse))
            value = line[x] - mean
            out[x] = value if value >= least else 0.0
        for x in range(width):
            highest[x] = out[x] if out[x] > highest[x] else highest[x]
        if y % 4 == 0 and k <= y < height - k:
            for x in range(k, width - k):
                if out[x] == 0.0:
                    residual += (here[x] - line[x]) ** 2
                    quiet += 1
    return band, highest.max(), residual / quiet if quiet else 0.0


@numba.njit(cache=True, nogil=True)
def quantise(band, scale, out, histogram):
    """`out` = whole part of `scale * band` `(h, w)`; `histogram` counts its values."""
    height, width = band.shape
    for y in range(height):
        for x in range(width):
            value = np.int64(band[y, x] * scale)
            out[y, x] = value
            histogram[value] += 1


@numba.njit(cache=True, nogil=True)
def percentile(histogram, percent):
    """The percentile of the values above 0 that a histogram holds, by linear interpolation; -1 where there is none."""
    count = np.int64(0)
    for value in range(1, histogram.size):
        count += histogram[value]
    if count == 0:
        return -1.0
    place = percent / 100.0 * (count - 1)
    low = np.int64(np.floor(place))
    seen, first, second = np.int64(0), -1.0, -1.0
    for value in range(1, histogram.size):
        seen += histogram[value]
        if first < 0.0 and seen > low:
            first = np.float64(value)
        if first >= 0.0 and (seen > low + 1 or seen == count):
            second = np.float64(value)
            break
    return first + (second - first) * (place - low)


@numba.njit(cache=True, nogil=True)
def peaks(image, threshold, before, after, margin):
    """Places `(n, 2)` (y, x) of pixels above `threshold` that no pixel of the square from `before` behind to `after`
    ahead exceeds, at least `margin` pixels away from the edges."""
    height, width = image.shape
    found = np.empty((1024, 2), np.int64)
    count = 0
    for y in range(margin, height - margin):
        row = image[y]
        for x in range(margin, width - margin):
            value = row[x]
            if value <= threshold or row[x - 1] > value or row[x + 1] > value:
                continue
            if image[y - 1, x] > value or image[y + 1, x] > value:
                continue
            if not _is_top(image, y, x, value, before, after):
                continue
            if count == found.shape[0]:
                larger = np.empty((2 * count, 2), np.int64)
                larger[:count] = found
                found = larger
            found[count, 0], found[count, 1] = y, x
            count += 1
    return found[:count]


@numba.njit(cache=True, nogil=True)
def _is_top(image, y, x, value, before, after):
    left, right = max(x - before, 0), min(x + after, image.shape[1] - 1)
    for j in range(max(y - before, 0), min(y + after, image.shape[0] - 1) + 1):
        row = image[j]
        for i in range(left, right + 1):
            if row[i] > value:
                return False
    return True


@numba.njit(cache=True, nogil=True)
def centroids(image, raw, top, flip, places, radius, dy, dx, iterations, shift, out):
    """Centres of brightness within a disc around each place, moved until it sits in the middle.

    `dy`, `dx` `(m,)`: offsets of the disc's pixels from its centre; `shift`: px off the middle at which the disc moves
    by a pixel. Fills `out` `(n, 8)`: y, x, mass, radius of gyration, eccentricity, brightest pixel, sum of raw, and
    the sum of dx^2 (mean with that of dy^2) over the pixels above 0.
    """
    height, width = image.shape
    for n in range(places.shape[0]):
        y, x = places[n, 0], places[n, 1]
        off_y, off_x, mass = 0.0, 0.0, np.int64(0)
        at_y, at_x = y, x
        for _ in range(iterations):
            sum_y, sum_x, mass = np.int64(0), np.int64(0), np.int64(0)
            at_y, at_x = y, x
            for i in range(dy.size):
                value = np.int64(image[y + dy[i], x + dx[i]])
                sum_y += value * dy[i]
                sum_x += value * dx[i]
                mass += value
            off_y, off_x = sum_y / mass, sum_x / mass
            if abs(off_y) < shift and abs(off_x) < shift:
                break
            y += np.int64(off_y > shift) - np.int64(off_y < -shift)
            x += np.int64(off_x > shift) - np.int64(off_x < -shift)
            y = min(max(y, radius), height - 1 - radius)
            x = min(max(x, radius), width - 1 - radius)
        gyration, cosine, sine, brightest, whole, spread = 0.0, 0.0, 0.0, np.int64(0), 0.0, 0.0
        for i in range(dy.size):
            value = np.int64(image[at_y + dy[i], at_x + dx[i]])
            square = dy[i] * dy[i] + dx[i] * dx[i]
            gyration += value * square
            spread += 0.5 * square if value > 0 else 0.0
            if square > 0:  # cos and sin of twice the angle
                cosine += value * ((dx[i] * dx[i] - dy[i] * dy[i]) / square)
                sine += value * (2.0 * dx[i] * dy[i] / square)
            else:
                cosine += value
            brightest = max(brightest, value)
            pixel = np.int64(raw[at_y + dy[i], at_x + dx[i]])
            whole += top - pixel if flip else pixel
        centre = np.int64(image[at_y, at_x])
        out[n, 0], out[n, 1], out[n, 2] = at_y + off_y, at_x + off_x, mass
        out[n, 3] = np.sqrt(gyration / mass)
        out[n, 4] = np.sqrt(cosine**2 + sine**2) / (mass - centre + 1e-6)
        out[n, 5], out[n, 6], out[n, 7] = brightest, whole, spread


@numba.njit(cache=True, nogil=True)
def crowded(found, separation):
    """Which rows `(n,)` of y, x, mass, ... (in order of y, almost) lie nearer than `separation` to one of more mass;
    of equal masses the one further up and left goes."""
    n = found.shape[0]
    drop = np.zeros(n, np.bool_)
    order = np.argsort(found[:, 0])
    limit = separation * (1.0 - 1e-7)
    for a in range(n):
        i = order[a]
        for b in range(a + 1, n):
            j = order[b]
            dy = found[j, 0] - found[i, 0]
            if dy > limit:
                break
            dx = found[j, 1] - found[i, 1]
            if dy * dy + dx * dx > limit * limit:
                continue
            if found[i, 2] != found[j, 2]:
                drop[i if found[i, 2] < found[j, 2] else j] = True
            else:
                ahead = found[i, 0] + found[i, 1] > found[j, 0] + found[j, 1]
                drop[j if ahead else i] = True
    return drop
