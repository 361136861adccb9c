"""From mu(E) to chi(R) in one call, with what depends on the grid and E0 kept: one spectrum or a series on one grid.

The chain is find E0 (or take a given one), normalise, remove the background, transform. `Plans` holds the prepared
matrices of the last grids, so that a series of quick scans pays for them once. A series is done spectrum by spectrum
with the very same steps, so its numbers equal those of one by one to the last bit; what makes it fast is the fixed E0
and the prepared matrices. Results depend on the arguments alone: a plan that was dropped is made again, equal.
"""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from insitu.maths.absorption.background import Background, Plan, prepare_background, remove_background
from insitu.maths.absorption.edge import EdgeEnergy, find_e0
from insitu.maths.absorption.fourier import Transform, fourier, prepare_transform
from insitu.maths.absorption.normalise import Normalised, NormPlan, normalise, prepare_normalisation
from insitu.maths.absorption.spectrum import NotMeasurable, checked

Keys = Mapping[str, Any]
NONE: Keys = {}


class Plans:
    """Prepared normalisations, backgrounds and transforms of the last `most` uses; may be shared by threads."""

    def __init__(self, most: int = 48) -> None:
        self.most = most
        self._kept: OrderedDict[tuple, Any] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._kept)

    def _get(self, key: tuple, make: Callable[[], Any]) -> Any:
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        plan = make()
        with self._lock:
            self._kept[key] = plan
            while len(self._kept) > self.most:
                self._kept.popitem(last=False)
        return plan

    def normalisation(self, energy: np.ndarray, e0: float, keys: Keys = NONE) -> NormPlan:
        """`prepare_normalisation(energy, e0, **keys)`, kept."""
        key = ("norm", digest_of(energy), e0, tuple(sorted(keys.items())))
        return self._get(key, lambda: prepare_normalisation(energy, e0, **keys))

    def background(self, energy: np.ndarray, e0: float, keys: Keys = NONE) -> Plan:
        """`prepare_background(energy, e0, **keys)`, kept."""
        key = ("background", digest_of(energy), e0, tuple(sorted(keys.items())))
        return self._get(key, lambda: prepare_background(energy, e0, **keys))

    def transform(self, points: int, keys: Keys = NONE) -> Transform:
        """`prepare_transform(points, **keys)`, kept."""
        key = ("transform", points, tuple(sorted(keys.items())))
        return self._get(key, lambda: prepare_transform(points, **keys))


def digest_of(energy: np.ndarray) -> bytes:
    """16 bytes that name an energy grid: equal for equal values only."""
    return hashlib.blake2b(np.ascontiguousarray(energy, dtype=np.float64).data, digest_size=16).digest()


class Exafs(NamedTuple):
    """All stages of one spectrum; `edge` None where E0 was given; `chi_r` complex `(1024,)` (names: `transform.r`)."""

    e0: float
    edge: EdgeEnergy | None
    normalised: Normalised
    background: Background
    transform: Transform
    chi_r: np.ndarray


class Series(NamedTuple):
    """All stages of m spectra: `step` (m,), `norm` and `flat` (m, n), `k` (p,), `chi` (m, p), `r` (q,), `chi_r`
    complex (m, q). Spectra that could not be done are nan there, and `why` {row: reason} says so."""

    e0: float
    step: np.ndarray
    norm: np.ndarray
    flat: np.ndarray
    k: np.ndarray
    chi: np.ndarray
    r: np.ndarray
    chi_r: np.ndarray
    why: dict[int, str]


def exafs(
    energy: np.ndarray,
    mu: np.ndarray,
    plans: Plans,
    *,
    e0: float | None = None,
    near: tuple[float, float] | None = None,
    normalisation: Keys = NONE,
    background: Keys = NONE,
    transform: Keys = NONE,
) -> Exafs:
    """One spectrum `(n,)` through all stages. E0 not given: the measured point nearest to the steepest rise, looked
    for between the energies `near`. The other arguments are those of the functions of the same name.

    Raises `NotMeasurable` with the reason of the first stage that this spectrum does not allow.
    """
    energy, mu = checked(energy, mu)
    edge = find_e0(energy, mu, near) if e0 is None else None
    at = edge.at if edge is not None else float(e0 or 0.0)
    return _one(energy, mu, at, edge, plans, normalisation, background, transform)


def _one(
    energy: np.ndarray, mu: np.ndarray, e0: float, edge: EdgeEnergy | None,
    plans: Plans, norm_keys: Keys, background_keys: Keys, transform_keys: Keys,
) -> Exafs:  # fmt: skip
    normal = normalise(mu, plans.normalisation(energy, e0, norm_keys))
    smooth = remove_background(mu, normal.step.value, plans.background(energy, e0, background_keys))
    prepared = plans.transform(smooth.k.size, transform_keys)
    return Exafs(e0, edge, normal, smooth, prepared, fourier(smooth.chi, prepared))


def exafs_series(
    energy: np.ndarray,
    mu: np.ndarray,
    e0: float,
    plans: Plans,
    *,
    normalisation: Keys = NONE,
    background: Keys = NONE,
    transform: Keys = NONE,
) -> Series:
    """A series `mu` (m, n) on one grid with one fixed E0; equal to `exafs(..., e0=e0)` one by one, bit for bit.

    Raises `NotMeasurable` where the grid or E0 allow none of the spectra; a spectrum that is at fault alone is named
    in `why`.
    """
    energy, mu = np.ascontiguousarray(energy, dtype=np.float64), np.ascontiguousarray(mu, dtype=np.float64)
    if mu.ndim != 2 or mu.shape[1] != energy.size:
        raise NotMeasurable(f"a series needs mu (m, {energy.size}), got {mu.shape}")
    norm_plan = plans.normalisation(energy, e0, normalisation)
    plan = plans.background(energy, e0, background)
    prepared = plans.transform(plan.k.size, transform)
    m, q = mu.shape[0], prepared.r.size
    step, norm, flat = np.full(m, np.nan), np.full(mu.shape, np.nan), np.full(mu.shape, np.nan)
    chi, chi_r = np.full((m, plan.k.size), np.nan), np.full((m, q), np.nan + 0j)
    why: dict[int, str] = {}
    for row in range(m):
        try:
            _, one = checked(energy, mu[row])
            normal = normalise(one, norm_plan)
        except NotMeasurable as reason:
            why[row] = str(reason)
            continue
        step[row], norm[row], flat[row] = normal.step.value, normal.norm, normal.flat
        chi[row] = remove_background(one, normal.step.value, plan).chi
        chi_r[row] = fourier(chi[row], prepared)[:q]
    return Series(e0, step, norm, flat, plan.k, chi, prepared.r, chi_r, why)
