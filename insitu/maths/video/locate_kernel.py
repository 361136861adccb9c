"""Kernels of particle location: band pass, brightest pixels, centroids: see `insitu.maths.video.locate`.

All work on `(y, x)` images of whole numbers. The order of additions is fixed, so that results do not depend on the
machine's number of threads; borders are 0 for the smoothing and the nearest pixel for the background.
"""

import numba
import numpy as np


@numba.njit(cache=True, nogil=True, inline="always")
def _pairs(line, a4, b4, a3, b3, a2, b2, a1, b1, w4, w3, w2, w1):
    """Adds four pairs of lines with their weights to `line` `(w,)`, the outermost first: sums that are written out let
    the compiler work on many columns at once."""
    for x in range(line.size):
        value = line[x] + (a4[x] + b4[x]) * w4
        value += (a3[x] + b3[x]) * w3
        value += (a2[x] + b2[x]) * w2
        line[x] = value + (a1[x] + b1[x]) * w1


@numba.njit(cache=True, nogil=True)
def band_pass(raw, top, flip, weights, box, least):
    """Gaussian smoothing minus running mean, 0 where the difference is below `least`.

    `raw` `(h, w)` unsigned; with `flip` it is `top - raw`. `weights` `(k + 1,)`: half of the smoothing kernel, middle
    first. `box`: odd side of the running mean, which is cut to whole numbers along y and then along x. Returns the
    band `(h, w)` float64, its largest value, and the mean square of raw minus smoothed where nothing stands out.
    """
    height, width = raw.shape
    half, k = box // 2, (weights.size + 2) // 4 * 4  # pairs are added four at a time, those too many with weight 0
    w = np.zeros(k + 1)
    w[: weights.size] = weights
    band = np.empty((height, width), np.float64)
    # 32 bits are enough for 501 x 65535, and their conversions from float run four at a time
    sums = np.zeros(width, np.int32)
    means = np.empty(width + 2 * half, np.int32)
    level = np.zeros(width, np.int32)
    highest, squares, quiet = np.zeros(width), np.zeros(width), np.zeros(width, np.int32)
    smooth, line = np.zeros(width + 2 * k), np.empty(width)
    ring = 2 * k + 1
    rows = np.zeros((ring, width))  # those about the present one, 0 beyond the edges
    base, sign = (np.int32(top), np.int32(-1)) if flip else (np.int32(0), np.int32(1))
    for y in range(min(k, height)):
        source, target = raw[y], rows[y]
        for x in range(width):
            target[x] = base + sign * np.int32(source[x])
    inverse = 1.0 / box
    for j in range(-half - 1, half):
        source = raw[min(max(j, 0), height - 1)]
        for x in range(width):
            sums[x] += base + sign * np.int32(source[x])
    for y in range(height):
        target = rows[(y + k) % ring]
        if y + k < height:
            source = raw[y + k]
            for x in range(width):
                target[x] = base + sign * np.int32(source[x])
        else:
            target[:] = 0.0
        new, old = raw[min(y + half, height - 1)], raw[max(y - half - 1, 0)]
        middle = means[half : half + width]
        for x in range(width):
            sums[x] += sign * (np.int32(new[x]) - np.int32(old[x]))
            middle[x] = np.int32((np.float64(sums[x]) + 0.5) * inverse)
        means[:half], means[half + width :] = middle[0], middle[width - 1]
        total = np.int32(0)
        for j in range(box):
            total += means[j]
        level[0] = total
        ahead = means[box - 1 :]
        for x in range(1, width):
            total += ahead[x] - means[x - 1]
            level[x] = total
        at, here, inner = y + ring, rows[y % ring], smooth[k : k + width]
        for x in range(width):
            inner[x] = here[x] * w[0]
        for j in range(k, 0, -4):
            _pairs(
                inner, rows[(at - j) % ring], rows[(at + j) % ring], rows[(at - j + 1) % ring],
                rows[(at + j - 1) % ring], rows[(at - j + 2) % ring], rows[(at + j - 2) % ring],
                rows[(at - j + 3) % ring], rows[(at + j - 3) % ring], w[j], w[j - 1], w[j - 2], w[j - 3],
            )  # fmt: skip
        for x in range(width):
            line[x] = inner[x] * w[0]
        for j in range(k, 0, -4):
            _pairs(
                line, smooth[k - j :], smooth[k + j :], smooth[k - j + 1 :], smooth[k + j - 1 :], smooth[k - j + 2 :],
                smooth[k + j - 2 :], smooth[k - j + 3 :], smooth[k + j - 3 :], w[j], w[j - 1], w[j - 2], w[j - 3],
            )  # fmt: skip
        out = band[y]
        for x in range(width):
            value = line[x] - np.float64(np.int32((np.float64(level[x]) + 0.5) * inverse))
            value = value if value >= least else 0.0
            out[x] = value
            highest[x] = value if value > highest[x] else highest[x]
        reach = weights.size - 1
        if y % 4 == 0 and reach <= y < height - reach:
            for x in range(width):
                nothing = out[x] == 0.0
                off = here[x] - line[x]
                squares[x] += off * off if nothing else 0.0
                quiet[x] += np.int32(nothing)
    reach = weights.size - 1
    found = quiet[reach : width - reach].sum()
    return band, highest.max(), squares[reach : width - reach].sum() / found if found else 0.0


@numba.njit(cache=True, nogil=True)
def quantise(band, scale, out, histogram):
    """`out` = whole part of `scale * band` `(h, w)`; `histogram` counts its values."""
    height, width = band.shape
    parts = np.zeros((4, histogram.size), np.int32)  # neighbours are often alike: no sum waits for the one before
    even, odd, third, last = parts[0], parts[1], parts[2], parts[3]
    for y in range(height):
        line, row = band[y], out[y]
        for x in range(width):
            row[x] = np.int32(line[x] * scale)
        for x in range(0, width - 3, 4):
            even[row[x]] += 1
            odd[row[x + 1]] += 1
            third[row[x + 2]] += 1
            last[row[x + 3]] += 1
        for x in range(width // 4 * 4, width):
            even[row[x]] += 1
    for part in parts:
        for value in range(histogram.size):
            histogram[value] += part[value]


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
    size = width - 2 * margin
    if size <= 0:
        return found[:0]
    least = np.int32(max(np.floor(threshold), -1.0))
    top = np.empty(size, np.uint8)
    for y in range(margin, height - margin):
        # first the nearest eight, of all columns at once
        row, up, down = image[y, margin:], image[y - 1, margin:], image[y + 1, margin:]
        left, right = image[y, margin - 1 :], image[y, margin + 1 :]
        up_left, up_right = image[y - 1, margin - 1 :], image[y - 1, margin + 1 :]
        down_left, down_right = image[y + 1, margin - 1 :], image[y + 1, margin + 1 :]
        for x in range(size):
            beside = max(left[x], right[x], up[x], down[x])
            corners = max(up_left[x], up_right[x], down_left[x], down_right[x])
            top[x] = (row[x] > least) & (row[x] >= beside) & (row[x] >= corners)
        for i in range(size):
            if not top[i]:
                continue
            x, value = i + margin, row[i]
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
def centroids(image, raw, top, flip, places, radius, dy, dx, cosines, sines, iterations, shift, out):
    """Centres of brightness within a disc around each place, moved until it sits in the middle.

    `dy`, `dx` `(m,)`: offsets of the disc's pixels from its centre, `cosines`, `sines` `(m,)` of twice
    their directions; `shift`: px off the middle at which the disc moves
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
            cosine += value * cosines[i]
            sine += value * sines[i]
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
