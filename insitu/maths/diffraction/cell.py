"""Lattice parameters from indexed powder lines, by weighted least squares on the reciprocal metric.

    1/d^2 = Q = g . (h^2, k^2, l^2, kl, hl, hk)
    two_theta = 2 asin(lambda sqrt(Q) / 2) + zero - displacement cos(theta)

`g` `(6,)` in 1/angstrom^2 is the reciprocal metric; symmetry leaves `k` of its numbers free: `g = basis @ p`, basis
`(6, k)`. `displacement` is 2 s / R in degrees (s: sample above the axis, R: radius), positive to lower angles; `zero`
in degrees. Angles in deg, lengths in angstrom, `hkl` `(n, 3)`.

Sources: M. U. Cohen, Rev. Sci. Instrum. 6 (1935) 68 (least squares on Q); A. J. C. Wilson, Mathematical Theory of X-ray
Powder Diffractometry (1963) (displacement); R. T. Birge, Phys. Rev. 40 (1932) 207 (sigma times the root of chi^2).
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from insitu.maths.diffraction.crystal import Cell

SYSTEMS = ("cubic", "tetragonal", "hexagonal", "rhombohedral", "orthorhombic", "monoclinic", "triclinic")
"""Crystal systems: hexagonal is also a trigonal cell on hexagonal axes; monoclinic has the unique axis b."""
_TURN_X, _TURN_Y, _TURN_Z = np.diag([1, -1, -1]), np.diag([-1, 1, -1]), np.diag([-1, -1, 1])
_QUARTER_Z = np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1]])
_DIAGONAL = np.array([[0, 0, 1], [1, 0, 0], [0, 1, 0]])
_SIXTH_Z = np.array([[1, -1, 0], [1, 0, 0], [0, 0, 1]])
_ROTATIONS = {
    "cubic": (_QUARTER_Z, _DIAGONAL),
    "tetragonal": (_QUARTER_Z, _TURN_X),
    "hexagonal": (_SIXTH_Z,),
    "rhombohedral": (_DIAGONAL,),
    "orthorhombic": (_TURN_X, _TURN_Y),
    "monoclinic": (_TURN_Y,),
    "triclinic": (),
}
OUTLIER = 4.0
"""A line further off than so many (robust) standard deviations is left out."""
STEPS = 20


class CellFit(NamedTuple):
    """`cell` (a, b, c, alpha, beta, gamma) and `cell_sigma`, volume and its sigma, zero and displacement (deg) with
    sigma, `used` `(n,)` True for lines that were kept, `residual` `(n,)` observed minus calculated in deg,
    `chi2_reduced`; `g` is the reciprocal metric. `why` is empty, or says why the numbers must not be used."""

    cell: np.ndarray
    cell_sigma: np.ndarray
    volume: tuple[float, float]
    zero: tuple[float, float]
    displacement: tuple[float, float]
    used: np.ndarray
    residual: np.ndarray
    chi2_reduced: float
    g: np.ndarray
    why: str


def terms(hkl: np.ndarray) -> np.ndarray:
    """`(n, 6)`: h^2, k^2, l^2, kl, hl, hk."""
    h, k, l = np.asarray(hkl, dtype=np.float64).T  # noqa: E741 (the field's letter)
    return np.stack([h * h, k * k, l * l, k * l, h * l, h * k], axis=1)


def reciprocal(cell: Cell) -> np.ndarray:
    """`g` of a cell, `(6,)`.

    >>> reciprocal(Cell(a=2.0, b=4.0, c=5.0)).tolist()
    [0.25, 0.0625, 0.04, 0.0, 0.0, 0.0]
    """
    inverse = np.linalg.inv(cell.metric())
    return np.array([*np.diag(inverse), 2 * inverse[1, 2], 2 * inverse[0, 2], 2 * inverse[0, 1]])


def parameters(g: np.ndarray) -> np.ndarray:
    """a, b, c, alpha, beta, gamma, volume of a reciprocal metric, `(7,)`; NaN where it is none."""
    inverse = np.array([[2 * g[0], g[5], g[4]], [g[5], 2 * g[1], g[3]], [g[4], g[3], 2 * g[2]]]) / 2.0
    determinant = float(np.linalg.det(inverse))
    if not (determinant > 0.0 and np.isfinite(inverse).all() and (np.diag(inverse) > 0.0).all()):
        return np.full(7, np.nan)
    metric = np.linalg.inv(inverse)
    if not (np.diag(metric) > 0.0).all():
        return np.full(7, np.nan)
    edges = np.sqrt(np.diag(metric))
    cosines = np.array(
        [
            metric[1, 2] / (edges[1] * edges[2]),
            metric[0, 2] / (edges[0] * edges[2]),
            metric[0, 1] / (edges[0] * edges[1]),
        ]
    )
    return np.array([*edges, *np.degrees(np.arccos(np.clip(cosines, -1.0, 1.0))), 1.0 / math.sqrt(determinant)])


def symmetry_basis(rotations: Sequence[np.ndarray]) -> np.ndarray:
    """The metrics that rotations (3, 3) of direct-space coordinates leave as they are: basis `(6, k)` of g.

    Any setting of any space group is served, without a table: `R G* R^T = G*` is linear in g.

    >>> symmetry_basis([np.array([[0, 0, 1], [1, 0, 0], [0, 1, 0]])]).T.tolist()
    [[1.0, 1.0, 1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0, 1.0, 1.0]]
    """
    rows = [np.zeros((1, 6))]
    probes = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 1, 1], [1, 0, 1], [1, 1, 0]])
    rows += [terms(probes @ np.asarray(r)) - terms(probes) for r in rotations]
    reduced, pivots = _row_echelon(np.concatenate(rows))
    free = [i for i in range(6) if i not in pivots]
    basis = np.zeros((6, len(free)))
    for column, i in enumerate(free):
        basis[i, column] = 1.0
        for row, pivot in enumerate(pivots):
            basis[pivot, column] = -reduced[row, i]
    return basis + 0.0  # no negative zeros


def system_basis(system: str) -> np.ndarray:
    """`symmetry_basis` of a crystal system (one of `SYSTEMS`)."""
    return symmetry_basis(_ROTATIONS[system])


def _row_echelon(matrix: np.ndarray) -> tuple[np.ndarray, list[int]]:
    """Reduced row echelon form from the last column on, so that leading numbers are the free ones, and its pivots."""
    m, row, pivots = matrix.copy(), 0, []
    for column in range(matrix.shape[1] - 1, -1, -1):
        best = row + int(np.argmax(np.abs(m[row:, column]))) if row < len(m) else 0
        if row >= len(m) or abs(m[best, column]) < 1e-9:
            continue
        m[[row, best]] = m[[best, row]]
        m[row] /= m[row, column]
        for other in range(len(m)):
            if other != row:
                m[other] -= m[other, column] * m[row]
        pivots.append(column)
        row += 1
    return m, pivots


def line_angles(g: np.ndarray, hkl: np.ndarray, wavelength: float) -> np.ndarray:
    """Two theta in deg of lines `(n, 3)`, NaN where a line cannot be reached."""
    sine = 0.5 * wavelength * np.sqrt(np.maximum(terms(hkl) @ g, 0.0))
    return np.degrees(2.0 * np.arcsin(np.where(sine <= 1.0, sine, np.nan)))


def angle_slopes(g: np.ndarray, hkl: np.ndarray, wavelength: float, basis: np.ndarray) -> np.ndarray:
    """d two_theta / dp in deg, `(n, k)`: `lambda^2 / (2 sin two_theta) dQ/dp`."""
    two_theta = np.radians(line_angles(g, hkl, wavelength))
    return np.degrees(0.5 * wavelength**2 / np.sin(two_theta))[:, None] * (terms(hkl) @ basis)


def refine_cell(
    hkl: np.ndarray,
    two_theta: np.ndarray,
    sigma: np.ndarray,
    *,
    wavelength: float,
    start: np.ndarray,
    basis: np.ndarray,
    zero: bool = True,
    displacement: bool = False,
) -> CellFit:
    """Fit the metric, from `start` (6,), to lines at `two_theta` with standard uncertainty `sigma`, both `(n,)`.

    Lines further off than `OUTLIER` robust standard deviations are dropped, one after the other, as long as twice as
    many lines as parameters remain. Sigma is that of least squares times the root of chi^2 where this is above 1.
    """
    count = basis.shape[1] + int(zero) + int(displacement)
    used = np.isfinite(two_theta) & np.isfinite(sigma) & (sigma > 0.0)
    if np.count_nonzero(used) <= count:
        return no_cell(f"{np.count_nonzero(used)} lines do not determine {count} numbers", len(hkl))
    values = np.concatenate([np.linalg.lstsq(basis, start, rcond=None)[0], np.zeros(2)])
    while True:
        values, cov, residual, why = _solve(
            hkl, two_theta, sigma, used, values, basis, wavelength, (zero, displacement)
        )
        if why:
            return no_cell(why, len(hkl))
        pull = np.where(used, np.abs(residual) / sigma, 0.0)
        scale = max(1.0, 1.4826 * float(np.median(pull[used])))
        worst = int(np.argmax(pull))
        if pull[worst] <= OUTLIER * scale or np.count_nonzero(used) <= max(2 * count, count + 2):
            break
        used[worst] = False
    freedom = int(np.count_nonzero(used)) - count
    chi2 = float(np.sum(pull[used] ** 2)) / freedom
    return _finished(values, cov * max(1.0, chi2), basis, used, residual, chi2)


def _solve(
    hkl: np.ndarray,
    two_theta: np.ndarray,
    sigma: np.ndarray,
    used: np.ndarray,
    values: np.ndarray,
    basis: np.ndarray,
    wavelength: float,
    options: tuple[bool, bool],
) -> tuple[np.ndarray, np.ndarray, np.ndarray, str]:
    """Gauss-Newton over the used lines: values (k + 2,), covariance, residual of all lines, complaint."""
    k = basis.shape[1]
    free = np.array([*[True] * k, *options])
    values, change = values.copy(), math.inf
    cov, residual = np.zeros((k + 2, k + 2)), np.full(len(hkl), np.nan)
    for _ in range(STEPS):
        g = basis @ values[:k]
        calculated = line_angles(g, hkl, wavelength)
        if not np.isfinite(calculated[used]).all():
            return values, cov, residual, "the fitted cell puts lines where the wavelength cannot reach them"
        cosine = np.cos(np.radians(calculated / 2.0))
        residual = two_theta - (calculated + values[k] - values[k + 1] * cosine)
        if change < 1e-3:
            return values, cov, residual, ""
        jacobian = np.column_stack([angle_slopes(g, hkl, wavelength, basis), np.ones(len(hkl)), -cosine])
        rows = (jacobian / sigma[:, None])[used][:, free]
        size = np.sqrt(np.sum(rows * rows, axis=0))
        if not (size > 0.0).all() or np.linalg.cond(rows / size) > 1e6:
            return values, cov, residual, "the lines found do not determine all lattice parameters asked for"
        inverse = np.linalg.inv((rows / size).T @ (rows / size)) / np.outer(size, size)
        step = inverse @ (rows.T @ (residual / sigma)[used])
        values[free] += step
        cov[np.ix_(free, free)] = inverse
        change = float(np.max(np.abs(step) / np.sqrt(np.diag(inverse))))
    return values, cov, residual, f"the cell did not converge ({STEPS} steps)"


def _finished(
    values: np.ndarray, cov: np.ndarray, basis: np.ndarray, used: np.ndarray, residual: np.ndarray, chi2: float
) -> CellFit:
    """Cell and uncertainties from the fitted numbers; angles that symmetry fixes come out without uncertainty."""
    k = basis.shape[1]
    g = basis @ values[:k]
    cell = parameters(g)
    if not np.isfinite(cell).all():
        return no_cell("the fitted numbers are no cell", len(used))
    slopes = np.empty((7, k))
    for i in range(k):
        step = 1e-6 * float(np.abs(g).max()) * np.eye(k)[i]
        slopes[:, i] = (parameters(basis @ (values[:k] + step)) - parameters(basis @ (values[:k] - step))) / (
            2.0 * step[i]
        )
    errors = np.sqrt(np.maximum(np.einsum("ij,jk,ik->i", slopes, cov[:k, :k], slopes), 0.0))
    errors[3:6][errors[3:6] < 1e-9] = 0.0
    root = np.sqrt(np.maximum(np.diag(cov), 0.0))
    return CellFit(
        cell=cell[:6],
        cell_sigma=errors[:6],
        volume=(float(cell[6]), float(errors[6])),
        zero=(float(values[k]), float(root[k])),
        displacement=(float(values[k + 1]), float(root[k + 1])),
        used=used,
        residual=residual,
        chi2_reduced=chi2,
        g=g,
        why="",
    )


def no_cell(why: str, lines: int = 0) -> CellFit:
    """No numbers, and why."""
    nothing, none = (0.0, 0.0), np.zeros(6)
    unused, blank = np.zeros(lines, dtype=bool), np.full(lines, np.nan)
    return CellFit(none, none, nothing, nothing, nothing, unused, blank, 0.0, none, why)
