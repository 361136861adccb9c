"""Real series that are stationary by physics: a machine at constant load, an instrument whose sample does not change,
counts without a line in them. Whether one wanders all the same is told by another statistic than the detector's."""

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tifffile
from PIL import Image

from insitu.inference.drift_number import Number
from insitu.maths.line.drift import independent_blocks

LEVEL = 0.739
"""Of the statistic of Kwiatkowski, Phillips, Schmidt and Shin: a stationary series exceeds it once in a hundred
(J. Econometrics 54, 159 (1992), table 1)."""


class Series(NamedTuple):
    """Values `(n,)` in the order of time, of which group, and what is known of them."""

    group: str
    name: str
    values: np.ndarray


def wander(x: np.ndarray) -> float:
    """KPSS statistic of level stationarity: the squares of the cumulative sum over the long-run variance, which is
    summed with Bartlett weights over the fourth root of the length (12 (n / 100)^(1/4) lags)."""
    n, d = len(x), x - x.mean()
    power = float(d @ d) / n
    if power == 0.0:
        return 0.0
    lags = int(12.0 * (n / 100.0) ** 0.25)
    power += 2.0 * sum((1.0 - k / (lags + 1.0)) * float(d[k:] @ d[:-k]) / n for k in range(1, lags + 1))
    return float(np.sum(np.cumsum(d) ** 2)) / (n * n * max(power, 1e-300))


def gearbox(data: Path, width: int = 20) -> Iterator[Series]:
    """Vibration at constant speed and load, 40,000 samples in six files: four statistics of windows."""
    for path in sorted((data / "line" / "gearbox").glob("*.npy")):
        windows = np.load(path).T.astype(np.float64).reshape(4, -1, width)
        centred = windows - windows.mean(axis=2, keepdims=True)
        statistics = {"rms": windows.std(axis=2), "peak": np.abs(windows).max(axis=2), "mean": windows.mean(axis=2),
                      "kurtosis": (centred**4).mean(axis=2) / (centred**2).mean(axis=2) ** 2}  # fmt: skip
        for what, rows in statistics.items():
            for channel, values in enumerate(rows):
                yield Series(f"gearbox, {what} of {width} samples", f"{path.stem} a{channel + 1}", values)


def hydraulic(data: Path) -> Iterator[Series]:
    """Runs of 50 load cycles of one minute in which no component changes, as they were sampled."""
    rig = np.load(data / "line" / "hydraulic_dev.npz")
    for begin in (0, 50, 400, 750, 800):
        for channel in (c for c in rig.files if c != "cycle"):
            values = rig[channel][begin : begin + 50].astype(np.float64).ravel()
            yield Series(f"hydraulic rig, {channel}", f"cycles from row {begin}", values)


def machine(data: Path) -> Iterator[Series]:
    """Temperature of a machine that runs, between the windows in which something was wrong."""
    folder = data / "line" / "nab"
    name = "machine_temperature_system_failure.csv"
    rows = np.genfromtxt(folder / name, delimiter=",", skip_header=1, dtype=None, encoding="utf-8")
    times = np.array([datetime.fromisoformat(t).timestamp() for t, _ in rows])
    values = np.array([v for _, v in rows], float)
    windows = json.loads((folder / "labels.json").read_text())[name]["anomaly_windows"]
    edges = [times[0], *(datetime.fromisoformat(t).timestamp() for pair in windows for t in pair), times[-1]]
    for k in range(0, len(edges), 2):
        part = values[(times > edges[k]) & (times < edges[k + 1])]
        if len(part) >= 1000:
            yield Series("machine temperature between failures", f"stretch {k // 2}", part)


def battery(data: Path) -> Iterator[Series]:
    """The current that a potentiostat holds, in each half cycle."""
    (path,) = (data / "xafs" / "series_lno_ni_k_operando").glob("*.mpt")
    lines = path.read_text("latin-1").splitlines()
    head = int(lines[1].split(":")[1])
    names = lines[head - 1].rstrip("\t").split("\t")
    table = np.array([[float(v.replace(",", ".")) for v in line.rstrip("\t").split("\t")] for line in lines[head:]])
    half, current = table[:, names.index("half cycle")], table[:, names.index("<I>/mA")]
    steps = np.flatnonzero(np.diff(half) != 0) + 1
    for k, part in enumerate(np.split(current, steps)):
        part = part[2:-2]
        if len(part) >= 600 and np.ptp(part) < 0.05 * abs(part.mean()):
            yield Series("current that a potentiostat holds", f"half cycle {k}", part)


def noise(data: Path) -> Iterator[Series]:
    """A pattern before its first line, from 0.5 to 3 deg: neighbours' difference in units of its uncertainty."""
    xrd = data / "xrd"
    paths = [*sorted((xrd / "series_cucr2o4_7-289K").glob("*.fxye")), xrd / "ref_jadarite_11bm" / "11bmb_6231.fxye"]
    for path in paths:
        rows = [line.split()[:3] for line in path.read_text("latin-1").splitlines()]
        table = np.array([[float(x) for x in r] for r in rows if len(r) == 3 and _numbers(r)])
        y, sigma = table[table[:, 0] < 300.0, 1:].T  # centidegrees
        z = (y[1::2] - y[: len(y) // 2 * 2 : 2]) / np.hypot(sigma[1::2], sigma[: len(y) // 2 * 2 : 2])
        yield Series("counts of a pattern before its first line", path.stem, z[np.isfinite(z)])


def _numbers(row: list[str]) -> bool:
    try:
        return all(np.isfinite(float(x)) for x in row)
    except ValueError:
        return False


def pixels(data: Path) -> Iterator[Series]:
    """A Pilatus image of ceria between the rings: neighbours' difference / sigma, row by row of modules."""
    (path,) = (data / "xrd" / "frame2d_ceo2_pilatus1m").glob("*.tif*")
    image = tifffile.imread(path).astype(np.float64)
    for k in range(0, image.shape[0] - 100, 212):
        part = image[k : k + 195]
        a, b = part[:, 0:-1:2].ravel(), part[:, 1::2][:, : part[:, 0:-1:2].shape[1]].ravel()
        good = (a >= 0) & (b >= 0) & (np.maximum(a, b) < np.median(part[part >= 0]))
        z = (a[good] - b[good]) / np.sqrt(np.maximum(a[good] + b[good], 1.0))
        yield Series("pixels of an image between the rings", f"rows {k} to {k + 194}", z[:20_000])


def video(data: Path) -> Iterator[Series]:
    """A microscope that looks at one place: 120 pictures of a colloid, tile by tile."""
    folder = data / "video" / "bulk_water_dev"
    stack = np.stack([np.asarray(Image.open(p), np.float64) for p in sorted(folder.glob("*.png"))])
    for y in range(0, stack.shape[1] - 52, 53):
        for x in range(0, stack.shape[2] - 79, 80):
            part = stack[:, y : y + 53, x : x + 80]
            yield Series("video of a colloid, mean of a tile", f"{y},{x}", part.mean(axis=(1, 2)))
            yield Series("video of a colloid, spread of a tile", f"{y},{x}", part.std(axis=(1, 2)))


GROUPS = (gearbox, hydraulic, machine, battery, noise, pixels, video)


def wanders(x: np.ndarray) -> bool:
    """Whether the whole series is not stationary over its own length: by KPSS, or because it holds fewer than 30
    stretches that do not follow each other."""
    return wander(x) > LEVEL or independent_blocks(x) is None


def following(phi: float, noise: np.ndarray) -> np.ndarray:
    """Each value is `phi` times the one before, and new noise."""
    found = np.empty(len(noise))
    last = float(noise[0]) / np.sqrt(1.0 - phi * phi)
    for i, e in enumerate(noise):
        found[i] = last = phi * last + float(e)
    return found


def _recursive(noise: np.ndarray, weights: tuple[float, float]) -> np.ndarray:
    """Each value is made of the two before, and new noise."""
    found, one, two = np.empty(len(noise)), 0.0, 0.0
    for i, x in enumerate(noise):
        one, two = float(x) + weights[0] * one + weights[1] * two, one
        found[i] = one
    return found


def _restless(noise: np.ndarray, shock: float, lasts: float) -> np.ndarray:
    """Noise whose variance follows its own squares: T. Bollerslev, J. Econometrics 31, 307 (1986); mean variance 1."""
    found, variance = np.empty(len(noise)), 1.0
    for i, x in enumerate(noise):
        found[i] = float(x) * np.sqrt(variance)
        variance = (1.0 - shock - lasts) + shock * found[i] ** 2 + lasts * variance
    return found


def drawn(kind: str, n: int, seed: int) -> np.ndarray:
    """A drawn series `(n,)` that is stationary and stays so: one of `DRAWN`."""
    rng = np.random.default_rng([seed, 7])
    e = rng.normal(size=n)
    name, _, number = kind.partition(" ")
    match name:
        case "follows":
            return following(float(number), e)
        case "mean":
            return np.convolve(e, np.ones(int(number)), "same")
        case "t":
            return rng.standard_t(int(number), size=n)
        case "rounded":
            return np.round(0.5 * following(float(number), e))
        case "wild":  # one in a hundred is far off
            return following(float(number), e) + 50.0 * (rng.random(n) < 0.01)
        case "counts":
            return rng.poisson(float(number), size=n).astype(float)
        case "missing":
            return (rng.random(n) < float(number)).astype(float)
        case "memory":  # correlations that never end: fractional noise
            lags = np.arange(1.0, 2 * n)
            weights = np.concatenate([[1.0], np.cumprod((lags - 1.0 + float(number)) / lags)])
            long = np.concatenate([rng.normal(size=2 * n), e])
            size = 5 * n
            return np.fft.irfft(np.fft.rfft(long, size) * np.fft.rfft(weights, size), size)[2 * n : 3 * n]
        case "periodic":
            return np.sin(2.0 * np.pi * np.arange(n) / float(number) + rng.uniform(0.0, 6.0)) + 0.3 * e
        case "shifts":  # work in shifts: a plant runs two thirds of every period
            return ((np.arange(n) + rng.integers(int(number))) % int(number) < int(number) * 2 // 3) + 0.3 * e
        case "beat":  # mains against the rate of sampling: an oscillation whose amplitude comes and goes
            t = np.arange(n) + rng.integers(int(number))
            return np.sin(0.9 * t) * np.cos(np.pi * t / float(number)) + 0.1 * e
        case "arma":  # an oscillation that rings, and what follows it
            noise = np.concatenate([[0.0], e])
            return _recursive(noise[1:] + 0.5 * noise[:-1], (0.9, -0.6))
        case "telegraph":  # two states, each for so many values on the mean
            changes = rng.random(n) < 1.0 / float(number)
            return (np.cumsum(changes) + rng.integers(2)) % 2 + 0.3 * e
        case "scatter":  # calm and restless times (GARCH)
            return _restless(e, 0.1, float(number))
        case "outages":  # nothing comes for 20 values on the mean, once in so many
            found, out = np.empty(n), False
            for i, chance in enumerate(rng.random(n)):
                out = chance >= 1.0 / 20.0 if out else chance < 1.0 / float(number)
                found[i] = out
            return found
        case "constant":
            return np.full(n, float(number))
    raise ValueError(kind)


DRAWN = (
    "follows 0", "follows 0.3", "follows 0.5", "follows 0.8", "follows 0.9", "follows 0.95", "follows -0.7", "mean 10",
    "t 3", "t 2", "rounded 0", "rounded 0.9", "wild 0", "wild 0.9", "counts 0.05", "counts 3", "missing 0.01",
    "missing 0.3", "periodic 37", "periodic 233",
    "follows 0.98", "arma", "telegraph 20", "telegraph 200", "scatter 0.88", "shifts 480", "beat 900", "constant 3",
    "outages 100", "memory 0.1", "memory 0.2", "memory 0.3", "memory 0.4",
)  # fmt: skip


def alarms(x: np.ndarray, learn: int = 400, once_in: float = 100_000.0) -> tuple[int, int, Number]:
    """How often an alarm began, how many values were judged, and the number as it is then."""
    number, found, judged, on = Number("", learn, None, once_in), 0, 0, False
    for value in x.tolist():
        number.add(value)
        judged += number.tests is not None
        now = number.tests is not None and bool(number.tests.alarm)
        found += now and not on
        on = now
    return found, judged, number
