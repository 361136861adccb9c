"""How the model `departure` got its two constants, and what it promises: simulated autocorrelated series.

    python -m benchmarks.line_rates [--quick]

The series are first-order autoregressive Gaussian ones, x(i) = r x(i-1) + sqrt(1 - r^2) e(i), from white noise to a
correlation time of 500 frames. None of them holds an anomaly, so every alarm is a false one. For each candidate of
`EFFICIENCY` the script counts alarms (an alarm lasts until no span departs for `APART` frames) with one false alarm
allowed in `ONCE_IN` frames. The largest candidate that keeps the promise for every r within a tenth is the
constant: 0.6 (rates 1.05, 0.94, 0.69, 0.64, 0.48, 0.50 for the six r). No measured series takes part.
"""

import argparse

import numpy as np

from insitu.maths.line import anomaly

ONCE_IN = 2016
"""Frames of a week, one every 5 minutes."""
SPANS = (1, 8, 64, 288)
APART = 100
CORRELATIONS = (0.0, 0.5, 0.9, 0.98, 0.995, 0.998)
CANDIDATES = (0.4, 0.6, 0.8, 1.0, 1.5)


def series(r: float, n: int, seed: int) -> np.ndarray:
    """A first-order autoregressive series `(n,)` of unit variance."""
    from scipy.signal import lfilter

    noise = np.random.default_rng((seed, round(1000 * r))).normal(size=n)
    return np.asarray(lfilter([np.sqrt(1.0 - r * r)], [1.0, -r], noise, zi=[r * noise[0]])[0])


def alarms(values: np.ndarray, once_in: float = ONCE_IN) -> int:
    """Alarms that all spans together give over the values `(n,)`."""
    share = once_in * len(SPANS)
    spans = [anomaly.Span(s, memory=4000, once_in=share, learn=288, relearn_after=2016) for s in SPANS]
    count, last = 0, -APART
    for i, value in enumerate(values):
        found = [span.judge(float(value)) for span in spans]
        if any(d is not None and d.ratio > 1.0 for d in found):
            count += i - last >= APART
            last = i
    return count


def main(quick: bool = False) -> None:
    """Print the alarms per promised alarm of every candidate and correlation."""
    n, seeds = (22_000, 1) if quick else (22_000, 4)
    print(f"false alarms per promised one ({n} frames, {seeds} seeds, promised {n / ONCE_IN:.1f} each)")
    print("efficiency " + "".join(f"  r={r:<6g}" for r in CORRELATIONS))
    kept = anomaly.EFFICIENCY
    for candidate in CANDIDATES:
        anomaly.EFFICIENCY = candidate
        rates = [sum(alarms(series(r, n, seed)) for seed in range(seeds)) * ONCE_IN / (n * seeds) for r in CORRELATIONS]
        print(f"{candidate:<10g} " + "".join(f"  {rate:<8.2f}" for rate in rates), flush=True)
    anomaly.EFFICIENCY = kept


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    main(parser.parse_args().quick)
