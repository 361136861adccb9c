"""Peak fits and peak finding on real 11-BM patterns, beside scipy and lmfit.

Every fit has the same window, model (one pseudo-Voigt on a straight background), weights and start values; answers are
compared. lmfit is run at its fastest, a plain function without covariance, and with a Model made once.
"""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.timing import interleave, table
from insitu.maths.peaks.find_peaks import find_peaks, prominences
from insitu.maths.peaks.fit_batch import fit_windows
from insitu.maths.peaks.fit_kernel import CONVERGED
from insitu.maths.peaks.profiles import pseudo_voigt

HALF_WIDTH_DEG, APART_DEG, PEAKS = 0.06, 0.3, 5
TOLERANCE = 1e-8
"""ftol and xtol of both peers (scipy's default); ours ends below 1e-10 of chi-squared."""

Points = tuple[np.ndarray, np.ndarray, np.ndarray]


class Work(NamedTuple):
    """One pattern: its points, the five windows, and where each fit begins (position, FWHM, eta, area, b0, b1)."""

    points: Points
    first: list[int]
    last: list[int]
    start: np.ndarray


def fxye(path: Path) -> Points:
    """two_theta in deg, intensity, esd: rows after the BANK line (centidegrees)."""
    lines = path.read_text(errors="replace").splitlines()
    bank = next(i for i, line in enumerate(lines) if line.startswith("BANK"))
    table_ = np.array([line.split() for line in lines[bank + 1 :] if line.strip()], dtype=np.float64)
    return table_[:, 0] / 100.0, table_[:, 1].copy(), table_[:, 2].copy()


def prepared(path: Path) -> Work:
    """The five strongest maxima that stand apart, their windows, and start values from height and width."""
    points = fxye(path)
    x, y = points[:2]
    index, prominence = prominences(y)
    chosen: list[int] = []
    for p in index[np.argsort(-prominence, kind="stable")]:
        inside = x[0] + APART_DEG < x[p] < x[-1] - APART_DEG
        if inside and all(abs(x[p] - x[q]) > APART_DEG for q in chosen):
            chosen.append(int(p))
        if len(chosen) == PEAKS:
            break
    first, last, start = [], [], []
    for p in sorted(chosen):
        i, j = (int(np.searchsorted(x, x[p] + side * HALF_WIDTH_DEG)) for side in (-1, 1))
        base, step = float(min(y[i], y[j - 1])), float(x[1] - x[0])
        height = float(y[p]) - base
        fwhm = max(float(np.count_nonzero(y[i:j] > base + height / 2)) * step, 2.0 * step)
        first.append(i)
        last.append(j)
        start.append((float(x[p]), fwhm, 0.5, 1.1 * height * fwhm, base, 0.0))
    return Work(points, first, last, np.array(start))


def model(x: np.ndarray, position: float, fwhm: float, eta: float, area: float, b0: float, b1: float) -> np.ndarray:
    """What all fit: as in `insitu.maths.peaks.fit_kernel`, b1 the gain from the middle of the window to its end."""
    return pseudo_voigt(x, position, fwhm, eta, area) + b0 + b1 * (2.0 * x - x[0] - x[-1]) / (x[-1] - x[0])


def ours(work: Work) -> np.ndarray:
    """All five in one call; position, FWHM, eta, area, reduced chi-squared of each, `(5, 5)`."""
    fitted = fit_windows(*work.points, work.first, work.last, start=work.start)
    assert (fitted.status == CONVERGED).all(), fitted.status
    return fitted.values[:, [0, 4, 8, 6, 11]]


def one_by_one(
    fit: Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], np.ndarray],
) -> Callable[[Work], np.ndarray]:
    """A peer's fit of one window made one of five."""

    def run(work: Work) -> np.ndarray:
        x, y, sigma = work.points
        found = []
        for i, j, start in zip(work.first, work.last, work.start, strict=True):
            p = fit(x[i:j], y[i:j], sigma[i:j], start)
            chi2 = np.sum(((y[i:j] - model(x[i:j], *p)) / sigma[i:j]) ** 2) / (j - i - 6)
            found.append((p[0], p[1], p[2], p[3], chi2))
        return np.array(found)

    return run


def scipy_fit(x: np.ndarray, y: np.ndarray, sigma: np.ndarray, start: np.ndarray) -> np.ndarray:
    from scipy.optimize import curve_fit

    return curve_fit(
        model, x, y, start, sigma=sigma, absolute_sigma=True, maxfev=4000, ftol=TOLERANCE, xtol=TOLERANCE
    )[0]  # fmt: skip


def scipy_bounded(x: np.ndarray, y: np.ndarray, sigma: np.ndarray, start: np.ndarray) -> np.ndarray:
    """With the bound that eta lies in [0, 1], as ours has: slower, but the same problem."""
    from scipy.optimize import curve_fit

    low, high = [x[0], 1e-4, 0.0, 0.0, -np.inf, -np.inf], [x[-1], x[-1] - x[0], 1.0, np.inf, np.inf, np.inf]
    return curve_fit(
        model, x, y, start, sigma=sigma, absolute_sigma=True, bounds=(low, high), x_scale=np.abs(start) + 1e-3,
        max_nfev=4000, ftol=TOLERANCE, xtol=TOLERANCE,
    )[0]  # fmt: skip


class Lmfit:
    """The same function in lmfit, eta in [0, 1]. `lean`: as a plain objective, no Model in between."""

    def __init__(self, *, lean: bool) -> None:
        from lmfit import Model, Parameters

        self.lean, self.parameters, self.model = lean, Parameters, Model(model)

    def _start(self, start: np.ndarray):
        made = self.parameters()
        for name, value in zip(("position", "fwhm", "eta", "area", "b0", "b1"), start, strict=True):
            made.add(name, value=float(value))
        made["eta"].set(min=0.0, max=1.0)
        made["fwhm"].set(min=1e-5)
        return made

    def __call__(self, x: np.ndarray, y: np.ndarray, sigma: np.ndarray, start: np.ndarray) -> np.ndarray:
        if self.lean:
            from lmfit import minimize

            def residual(p) -> np.ndarray:
                return (y - model(x, *(p[name].value for name in p))) / sigma

            keys = {"ftol": TOLERANCE, "xtol": TOLERANCE, "max_nfev": 4000, "calc_covar": False}
            found: Any = minimize(residual, self._start(start), method="leastsq", **keys)
        else:
            fit_kws = {"ftol": TOLERANCE, "xtol": TOLERANCE}
            found = self.model.fit(y, self._start(start), x=x, weights=1.0 / sigma, max_nfev=4000, fit_kws=fit_kws)
        return np.array([found.params[name].value for name in ("position", "fwhm", "eta", "area", "b0", "b1")])


def agree(name: str, mine: np.ndarray, theirs: np.ndarray) -> None:
    """Ours against a peer's answers: positions within 1e-4 deg, chi-squares equal where the peer's eta is allowed."""
    away = np.abs(mine[..., 0] - theirs[..., 0]).max()
    free = (theirs[..., 2] >= 0.0) & (theirs[..., 2] <= 1.0)
    worse = (mine[..., 4] / theirs[..., 4])[free] - 1.0
    print(
        f"  {name}: positions within {away:.1e} deg; chi-squared ours/theirs - 1 from {worse.min():.1e} to"
        f" {worse.max():.1e} ({free.sum()} of {free.size} peaks; in the others its eta left 0 to 1)"
    )
    assert away < 1e-4
    assert worse.max() < 1e-4  # never a worse minimum; a better one is no fault of ours


def per_second(job: Callable[[Work], np.ndarray], work: list[Work], repeat: int) -> Callable[[], float]:
    """Patterns a second."""

    def run() -> float:
        began = time.perf_counter()
        for _ in range(repeat):
            for one in work:
                job(one)
        return repeat * len(work) / (time.perf_counter() - began)

    return run


def fits(folder: Path, *, quick: bool) -> None:
    """Five peaks a pattern."""
    paths = sorted(folder.glob("*.fxye"))
    work = [prepared(path) for path in (paths[::6] if quick else paths)]
    peers = {
        "scipy curve_fit": one_by_one(scipy_fit),
        "scipy curve_fit, bounded": one_by_one(scipy_bounded),
        "lmfit, plain function, no covariance": one_by_one(Lmfit(lean=True)),
        "lmfit, Model": one_by_one(Lmfit(lean=False)),
    }
    mine = np.array([ours(one) for one in work])
    print(f"\n{len(work)} patterns, {PEAKS} peaks each")
    for name, job in peers.items():
        agree(name, mine, np.array([job(one) for one in work]))
    jobs = {"insitu": per_second(ours, work, 20)} | {name: per_second(job, work, 1) for name, job in peers.items()}
    figures = interleave(jobs, 3 if quick else 5)
    goals = {"scipy curve_fit": 15.0, "lmfit, plain function, no covariance": 100.0, "lmfit, Model": 100.0}
    table("five separate pseudo-Voigt peaks of an 11-BM pattern", figures, "patterns/s", "insitu", goals)


def finding(path: Path, *, quick: bool) -> None:
    """All peaks of one pattern of 49,497 points by prominence, as scipy; ours then also tests each peak's area."""
    from scipy.signal import find_peaks as scipy_find_peaks

    _, y, sigma = fxye(path)
    least = 5.0 * float(np.median(sigma))
    index, prominence = prominences(y)
    theirs, properties = scipy_find_peaks(y, prominence=least)
    keep = prominence >= least
    np.testing.assert_array_equal(index[keep], theirs)
    np.testing.assert_array_equal(prominence[keep], properties["prominences"])
    jobs = {
        "insitu": lambda: prominences(y),
        "scipy find_peaks, prominence": lambda: scipy_find_peaks(y, prominence=least),
    }
    jobs["insitu, with the test of each peak's area"] = lambda: find_peaks(y, sigma)

    def rate(job: Callable[[], object], repeat: int) -> Callable[[], float]:
        def run() -> float:
            began = time.perf_counter()
            for _ in range(repeat):
                job()
            return repeat / (time.perf_counter() - began)

        return run

    figures = interleave(
        {name: rate(job, 3 if "scipy" in name else 20) for name, job in jobs.items()}, 3 if quick else 7
    )
    goals = {"scipy find_peaks, prominence": 4.0}
    title = f"peaks of {y.size} points ({theirs.size} the same by prominence)"
    table(title, figures, "patterns/s", "insitu", goals)


def main(disk: Path, *, quick: bool) -> None:
    """Both, on the measurements that `INSITU_DATA` names."""
    named = os.environ.get("INSITU_DATA")
    data = Path(named) if named else Path(__file__).resolve().parent.parent.parent / "shared" / "data"
    folder = data / "xrd"
    if not folder.is_dir():
        print(f"the measurements are not at {folder}: INSITU_DATA names the folder that holds xrd/")
        return
    fits(folder / "series_cucr2o4_7-289K", quick=quick)
    finding(folder / "ref_jadarite_11bm" / "11bmb_6231.fxye", quick=quick)
