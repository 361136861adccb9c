"""Features of 64 channels at 10 kS/s, ten times a second, on one core: beside numpy and scipy.stats.

Ours is the extractors `channels` and `vibration` on frames of 1,000 samples. The peer gets the same numbers with
numpy, scipy.stats and scipy.signal, one call for all channels wherever they allow it. Both are checked to agree before
anything is timed. Printed: times real time (frames of 0.1 s), and the ratio.
"""

import time
from pathlib import Path

import numpy as np
from scipy import signal, stats

from benchmarks.timing import interleave, table
from insitu.features.channels import Channels
from insitu.features.vibration import VibrationFeatures
from insitu.maths.line.vibration import BANDS
from insitu.types import Feature, Frame

CHANNELS, RATE, SAMPLES = 64, 10_000.0, 1000


def frames(count: int) -> list[Frame]:
    """Vibration with a shaft, noise and bursts, float32."""
    rng, t = np.random.default_rng(0), np.arange(SAMPLES) / RATE
    names = " ".join(f"a{k + 1}" for k in range(CHANNELS))
    found = []
    for n in range(count):
        data = rng.normal(0.0, 1.0, (CHANNELS, SAMPLES)) + 2.0 * np.sin(2 * np.pi * 160.0 * (t + n / 10.0))
        data[:, ::100] += 5.0
        found.append(
            Frame(
                source="line",
                data=data.astype(np.float32),
                dims=("channel", "sample"),
                unit="m/s^2",
                time_ns=n * 100_000_000,
                seq=n,
                n=n,
                labels={"channels": names},
                context={"sample_rate": Feature(RATE, "Hz")},
            )
        )
    return found


def peer(frame: Frame) -> dict[str, np.ndarray]:
    """The same numbers, `(channels,)` each, by numpy and scipy."""
    x = frame.data.astype(np.float64)
    n = x.shape[1]
    mean = x.mean(axis=1)
    away = x - mean[:, None]
    rms = away.std(axis=1)
    peak, absolute = np.abs(away).max(axis=1), np.abs(away).mean(axis=1)
    frequency, power = signal.periodogram(away, 1.0, "hann", detrend=False, axis=1)  # type: ignore[arg-type]
    power[:, -1] *= 2.0  # one-sided: the last line is there once, and the sum below takes all lines alike
    power = power[:, 1:]
    total = power.sum(axis=1)
    lines = np.rint(frequency[1:] * n)
    found = {
        "mean": mean, "std": x.std(axis=1, ddof=1), "min": x.min(axis=1), "max": x.max(axis=1),
        "slope": np.polyfit(np.arange(n), x.T, 1)[0] * (n - 1),
        "rough": np.sqrt(np.mean(np.diff(x, axis=1) ** 2, axis=1) / 2.0),
        "rms": rms, "peak": peak, "crest": peak / rms, "shape": rms / absolute,
        "kurtosis": stats.kurtosis(x, axis=1, bias=False), "centre": (power * lines).sum(axis=1) / total / n,
    }  # fmt: skip
    for k, (low, high) in enumerate(BANDS):
        inside = (lines > np.floor(low * n)) & (lines <= np.floor(high * n + 1e-9))
        found[f"band{k + 1}"] = power[:, inside].sum(axis=1) / total
    spectrum = np.fft.fft(x, axis=1)
    keep = np.zeros(n)
    keep[int(np.ceil(0.0625 * n)) : n // 2 + 1] = 2.0
    square = np.abs(np.fft.ifft(spectrum * keep, axis=1)) ** 2
    middle = square.mean(axis=1)
    envelope = np.abs(np.fft.rfft(square - middle[:, None], axis=1))
    at = envelope[:, 1:].argmax(axis=1) + 1
    found["envelope_frequency"] = at / n
    found["envelope_height"] = 2.0 * envelope[np.arange(len(x)), at] / n / middle
    return found


def main(folder: Path, quick: bool = False) -> None:
    """Print how many times real time both reach."""
    plain, vibration = Channels(n_channels=CHANNELS), VibrationFeatures(n_channels=CHANNELS)
    given = frames(10 if quick else 40)

    def ours(frame: Frame) -> dict[str, Feature]:
        return {**plain(frame, {}, ()), **vibration(frame, {}, ())}

    mine, theirs = ours(given[0]), peer(given[0])
    for key, values in theirs.items():
        got = [mine[f"c{k + 1}_{key}"].value for k in range(CHANNELS)]
        np.testing.assert_allclose(np.array(got, float), values, rtol=1e-6, atol=1e-9, err_msg=key)

    def rate(job: object) -> float:
        began = time.process_time()
        for frame in given:
            job(frame)  # type: ignore[operator]
        return 0.1 * len(given) / (time.process_time() - began)

    figures = interleave({"insitu": lambda: rate(ours), "numpy and scipy.stats": lambda: rate(peer)}, 3 if quick else 7)
    table(
        f"{CHANNELS} channels at 10 kS/s, {len(theirs)} features each at 10 Hz, one core (processor time)", figures,
        "x real time", "insitu", {},
    )  # fmt: skip


if __name__ == "__main__":
    main(Path())
