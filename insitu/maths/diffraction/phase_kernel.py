"""The compiled parts of the phase search: sums of lines with their slopes, matched filters, and scanning a lattice.

All lines are pseudo-Voigts of unit area (`maths.profiles`), each perhaps with a K-alpha2 companion `split` deg higher
that has `ratio` times its area. Arrays are float64 `(n,)` over points and `(m,)` over lines.
"""

import math

import numpy as np
from numba import njit

LN2 = math.log(2.0)
GAUSS = 2.0 * math.sqrt(LN2 / math.pi)
LORENTZ = 2.0 / math.pi
REACH = 12.0
"""Half-width in FWHM within which a line is added. A Lorentzian has 2.7 % of its area further out; it is the same for
every line, so that shares do not change."""
CORE = 1.5
"""Half-width in FWHM of the matched filter."""


@njit(cache=True, error_model="numpy")
def add_lines(x, position, area, width, eta, model):
    """Add lines to `model` (n,)."""
    for j in range(position.size):
        w, height = width[j], area[j] / width[j]
        lorentz, gauss = height * eta * LORENTZ, height * (1.0 - eta) * GAUSS
        first = np.searchsorted(x, position[j] - REACH * w)
        last = np.searchsorted(x, position[j] + REACH * w)
        for i in range(first, last):
            t = (x[i] - position[j]) / w
            square = t * t
            value = lorentz / (1.0 + 4.0 * square)
            if square < 9.0:
                value += gauss * math.exp(-4.0 * LN2 * square)
            model[i] += value


@njit(cache=True, error_model="numpy")
def add_slopes(x, position, area, width, eta, slopes, width_slopes, moved, shaped):
    """Add derivatives of lines: `slopes` (m, k), d position / d parameter, to the k rows of `moved` (k, n);
    `width_slopes` (m, 2), d FWHM / d parameter, to the first rows of `shaped` (3, n), whose last is d/d eta."""
    count = slopes.shape[1]
    for j in range(position.size):
        w = width[j]
        first = np.searchsorted(x, position[j] - REACH * w)
        last = np.searchsorted(x, position[j] + REACH * w)
        for i in range(first, last):
            t = (x[i] - position[j]) / w
            square = t * t
            tail = 1.0 / (1.0 + 4.0 * square)
            lorentz = area[j] * LORENTZ / w * tail
            gauss = area[j] * GAUSS / w * math.exp(-4.0 * LN2 * square) if square < 9.0 else 0.0
            pull = 8.0 * (eta * lorentz * tail + (1.0 - eta) * gauss * LN2)
            along = pull * t / w
            for k in range(count):
                moved[k, i] += along * slopes[j, k]
            across = (pull * square - eta * lorentz - (1.0 - eta) * gauss) / w
            shaped[0, i] += across * width_slopes[j, 0]
            shaped[1, i] += across * width_slopes[j, 1]
            shaped[2, i] += lorentz - gauss


@njit(cache=True, error_model="numpy")
def matched(x, y, weight, centre, width, split, ratio):
    """Area that a line at each `centre` (m,) would have, by least squares over its core, and the area's variance.

    The filter is a Pearson VII of exponent 2, half way between a Gaussian and a Lorentzian, and cheap. `split` (m,):
    the companion's distance. The variance is infinite where no point lies in the core.
    """
    area, variance = np.zeros(centre.size), np.full(centre.size, np.inf)
    first = 0
    for j in range(centre.size):
        w = width[j]
        scale = 2.0 * math.sqrt(math.sqrt(2.0) - 1.0) / w
        unit = 2.0 * scale / math.pi
        while first < x.size and x[first] < centre[j] - CORE * w:
            first += 1
        while first > 0 and x[first - 1] >= centre[j] - CORE * w:
            first -= 1
        top, bottom = 0.0, 0.0
        i = first
        while i < x.size and x[i] <= centre[j] + CORE * w:
            t = (x[i] - centre[j]) * scale
            root = 1.0 + t * t
            p = unit / (root * root)
            if ratio > 0.0:
                t -= split[j] * scale
                root = 1.0 + t * t
                p += ratio * unit / (root * root)
            wp = weight[i] * p
            top += wp * y[i]
            bottom += wp * p
            i += 1
        if bottom > 0.0 and i - first > 1:
            area[j], variance[j] = top / bottom, 1.0 / bottom
    return area, variance


@njit(cache=True, error_model="numpy")
def scan(centre, area, variance, d, strength, first, wavelength, strains, shifts, doubt, joined):
    """The best isotropic strain and shift of each phase against a trace of line areas.

    `centre`, `area`, `variance` (t,): the trace, evenly spaced. Lines of all phases, `d` and `strength` (m,), phase p
    has those from `first[p]` to `first[p + 1]`. `doubt` (p,): relative uncertainty of strengths. Lines nearer than
    `joined` trace points are one. Returns per phase: evidence, coverage, scale, strain, shift, lines found (p, 6).
    """
    phases = first.size - 1
    out = np.zeros((phases, 6))
    step = (centre[-1] - centre[0]) / (centre.size - 1)
    most = 0
    for p in range(phases):
        most = max(most, first[p + 1] - first[p])
    a, v, s = np.empty(most), np.empty(most), np.empty(most)
    for p in range(phases):
        best = -1.0
        for strain in strains:
            for shift in shifts:
                count, before = 0, -1
                for j in range(first[p], first[p + 1]):
                    sine = 0.5 * wavelength / (d[j] * (1.0 + strain))
                    if sine >= 1.0:
                        continue
                    at = (math.degrees(2.0 * math.asin(sine)) + shift - centre[0]) / step
                    i = round(at)
                    if i < 0 or i >= centre.size or not variance[i] < np.inf:
                        continue
                    if before >= 0 and i - before <= joined:  # lines come in order of angle
                        s[count - 1] += strength[j]
                        a[count - 1] = max(a[count - 1], area[i])
                        v[count - 1] = max(v[count - 1], variance[i])
                        before = i
                        continue
                    a[count], v[count], s[count] = area[i], variance[i], strength[j]
                    before = i
                    count += 1
                evidence, coverage, scale, found = judge(a[:count], v[:count], s[:count], doubt[p])
                value = evidence * coverage
                if value > best:
                    best = value
                    out[p, 0], out[p, 1], out[p, 2] = evidence, coverage, scale
                    out[p, 3], out[p, 4], out[p, 5] = strain, shift, found
    return out


@njit(cache=True, error_model="numpy")
def judge(area, variance, strength, doubt):
    """Evidence (sigma), coverage (0 to 1), scale and lines found, of measured areas against expected strengths (m,).

    The scale is the weighted mean of area over strength, each line with its own noise and a relative doubt about its
    strength (texture, form factors). A line far stronger than expected has another line upon it and tells little: its
    weight falls with the square of the excess. One that is absent speaks against. So many lines must agree, in strength
    too, before the evidence is high. Coverage: the part of the expected strength that is there, over lines strong
    enough to be seen.
    """
    scale, top = 0.0, 0.0
    for k in range(area.size):  # start: strength-weighted mean of what is there
        scale += max(area[k], 0.0)
        top += strength[k]
    if not top > 0.0 or not scale > 0.0:
        return 0.0, 0.0, 0.0, 0.0
    scale /= top
    error = np.inf
    for _ in range(15):
        above, below = 0.0, 0.0
        for k in range(area.size):
            spread = variance[k] + (doubt * scale * strength[k]) ** 2
            excess = (area[k] - scale * strength[k]) / (2.0 * math.sqrt(spread))
            weight = 1.0 / spread if excess <= 1.0 else 1.0 / (spread * excess * excess)
            above += weight * strength[k] * area[k]
            below += weight * strength[k] ** 2
        new = above / below
        error = 1.0 / math.sqrt(below)
        if not new > 0.0:
            return 0.0, 0.0, 0.0, 0.0
        if abs(new - scale) < 1e-3 * scale:
            scale = new
            break
        scale = new
    there, expected, found = 0.0, 0.0, 0.0
    for k in range(area.size):
        wanted = scale * strength[k]
        if wanted < 3.0 * math.sqrt(variance[k]):
            continue
        expected += wanted
        there += min(max(area[k], 0.0), wanted)
        if area[k] > max(2.0 * math.sqrt(variance[k]), 0.3 * wanted):
            found += 1.0
    return scale / error, (there / expected if expected > 0.0 else 0.0), scale, found
