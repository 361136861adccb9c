"""Lock-in and permeability of a 100 ms window of B and H at 1 MS/s against scipy's curve_fit and numpy's lstsq.

The same model in all: an offset, a drift and five harmonics of one frequency that both channels share; noise 1 %.
Against curve_fit (Levenberg-Marquardt, with its Jacobian, from the same start) the frequency is fitted too; against
lstsq it is known. What the peers found is compared: mu within 1e-6, and curve_fit's uncertainty within 25 % (ours is
read off the noise beside the drive, the peer's off all of it).
"""

import time
from pathlib import Path

import numpy as np

from benchmarks.timing import interleave, table
from insitu.maths.magnetic.lock_in import find_frequency, lock_in
from insitu.maths.magnetic.permeability import MU0, permeability

RATE, SAMPLES, HARMONICS = 1e6, 100_000, 5
GOAL = 5.0


def window(seed: int) -> tuple[np.ndarray, complex, float]:
    """B and H `(2, n)` of a core at 10,003.7 Hz with a third harmonic in H; mu_r, f."""
    rng, f, mu = np.random.default_rng(seed), 10_003.7, 2155 - 81j
    t = np.arange(SAMPLES) / RATE
    turns = 2 * np.pi * f * t + 2 * np.pi * rng.random()
    h = 0.1 / (MU0 * abs(mu))
    signal = np.stack(
        [0.1 * np.cos(turns), np.real(0.1 / (MU0 * mu) * np.exp(1j * turns)) + 0.05 * h * np.cos(3 * turns)]
    )
    return signal + np.array([[0.001], [0.01 * h]]) * rng.standard_normal(signal.shape), mu, f


def ours(signal: np.ndarray) -> tuple[complex, float]:
    """mu_r and the uncertainty of mu''."""
    seen = permeability(lock_in(signal, RATE, harmonics=HARMONICS))
    return complex(seen.mu_real.value, -seen.mu_imag.value), seen.mu_imag.sigma


def peer(signal: np.ndarray) -> tuple[complex, float]:
    """The same by `scipy.optimize.curve_fit`: both channels one after the other, scaled to one size."""
    from scipy.optimize import curve_fit

    t = (np.arange(SAMPLES) - 0.5 * (SAMPLES - 1)) / RATE
    scale = signal.std(axis=1)
    many = 2 * HARMONICS + 2

    def columns(f: float) -> np.ndarray:
        turns = 2 * np.pi * f * t
        waves = [w(k * turns) for k in range(1, HARMONICS + 1) for w in (np.cos, np.sin)]
        return np.column_stack([np.ones(SAMPLES), t / t[-1], *waves])

    kept: dict[str, np.ndarray] = {}

    def basis(f: float) -> np.ndarray:
        if kept.get("f") != f:  # the function and its Jacobian are asked at the same f
            kept["f"], kept["x"] = np.asarray(f), columns(f)
        return kept["x"]

    def model(_: np.ndarray, f: float, *numbers: float) -> np.ndarray:
        x = basis(f)
        return np.concatenate([x @ numbers[:many], x @ numbers[many:]])

    def jacobian(_: np.ndarray, f: float, *numbers: float) -> np.ndarray:
        x, out = basis(f), np.zeros((2 * SAMPLES, 2 * many + 1))
        out[:SAMPLES, 1 : many + 1] = out[SAMPLES:, many + 1 :] = x
        for c in range(2):
            own = numbers[c * many : (c + 1) * many]
            slope = sum(
                k * (own[2 * k + 1] * x[:, 2 * k] - own[2 * k] * x[:, 2 * k + 1]) for k in range(1, HARMONICS + 1)
            )
            out[c * SAMPLES : (c + 1) * SAMPLES, 0] = 2 * np.pi * t * slope
        return out

    data = (signal / scale[:, None]).reshape(-1)
    start = find_frequency(signal - signal.mean(axis=1)[:, None], RATE)
    first = np.linalg.lstsq(columns(start), data.reshape(2, -1).T, rcond=None)[0].T.reshape(-1)
    best, covariance = curve_fit(model, np.empty(0), data, [start, *first], jac=jacobian, method="lm")
    z = [(best[1 + c * many + 2] - 1j * best[1 + c * many + 3]) * scale[c] for c in range(2)]
    mu = z[0] / (MU0 * z[1])
    g0, g1 = scale[0] / (MU0 * z[1]), -mu / z[1] * scale[1]
    at = [3, 4, 3 + many, 4 + many]
    to = np.array([g0.imag, -g0.real, g1.imag, -g1.real])  # of (cos, sin): z = a - j b
    return complex(mu), float(np.sqrt(to @ covariance[np.ix_(at, at)] @ to))


def known(signal: np.ndarray, frequency: float = 10_003.7) -> complex:
    """mu_r where the frequency is known, by ours."""
    b, h = lock_in(signal, RATE, frequency, harmonics=HARMONICS, refine=False).amplitude[:, 0]
    return complex(b / (MU0 * h))


def plain(signal: np.ndarray, frequency: float = 10_003.7) -> complex:
    """mu_r where the frequency is known, by numpy."""
    t = (np.arange(SAMPLES) - 0.5 * (SAMPLES - 1)) / RATE
    turns = 2 * np.pi * frequency * t
    waves = [w(k * turns) for k in range(1, HARMONICS + 1) for w in (np.cos, np.sin)]
    numbers = np.linalg.lstsq(np.column_stack([np.ones(SAMPLES), t / t[-1], *waves]), signal.T, rcond=None)[0]
    b, h = numbers[2] - 1j * numbers[3]
    return complex(b / (MU0 * h))


def same_work() -> str:
    """Both on three windows; says how well they agree."""
    worst = 0.0
    for seed in range(3):
        signal, mu, _ = window(seed)
        (own, sigma), (other, theirs) = ours(signal), peer(signal)
        assert abs(own - mu) < 5 * 2**0.5 * sigma, (own, mu, sigma)
        assert abs(own - other) < 1e-6 * abs(mu), (own, other)
        assert 0.8 < sigma / theirs < 1.25, (sigma, theirs)
        assert abs(known(signal) - plain(signal)) < 1e-9 * abs(mu)
        worst = max(worst, abs(own - other) / abs(mu))
    return f"mu of three windows within {worst:.1e} of the peer's"


def main(folder: Path, *, quick: bool) -> None:
    """Windows a second of both, interleaved."""
    signals = [window(seed)[0] for seed in range(2 if quick else 4)]

    def rate(job) -> float:
        began = time.perf_counter()
        for signal in signals:
            job(signal)
        return len(signals) / (time.perf_counter() - began)

    told = same_work()
    jobs = {
        "ours": lambda: rate(ours),
        "curve_fit": lambda: rate(peer),
        "ours, known": lambda: rate(known),
        "lstsq, known": lambda: rate(plain),
    }
    figures = interleave(jobs, 3 if quick else 7)
    fitted, fixed = ({k: v for k, v in figures.items() if ("known" in k) == b} for b in (False, True))
    table("permeability of 100 ms at 1 MS/s, two channels", fitted, "windows/s", "ours", {"curve_fit": GOAL})
    table("the same, at a frequency that is known", fixed, "windows/s", "ours, known", {})
    print(f"  {told}")
