"""Reading text patterns beside `numpy.loadtxt`, real 11-BM files (`INSITU_DATA`): the rows parsed, and the whole file
decoded (header, time, temperature, wavelength, units, every check). Values are compared bit for bit."""

import io
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.timing import interleave, table
from insitu.maths.numbers import read_table
from insitu.readers import gsas
from insitu.readers.pattern import How

FILES = ("series_cucr2o4_7-289K/OH_00.fxye", "ref_jadarite_11bm/11bmb_6231.fxye")


def _throughput(work: Callable[[], object], megabytes: float, times: int) -> Callable[[], float]:
    """MB/s of text, the best of a few: the others were disturbed."""

    def job() -> float:
        best = float("inf")
        for _ in range(times):
            began = time.perf_counter()
            work()
            best = min(best, time.perf_counter() - began)
        return megabytes / best

    return job


def one(path: Path, rounds: int, times: int) -> None:
    """The three ways over one file."""
    data = path.read_bytes()
    start = data.index(b"\n", data.index(b"BANK")) + 1
    rows, megabytes = data[start:], (len(data) - start) / 1e6
    ours, theirs, whole = read_table(data, start, 3).values, np.loadtxt(io.BytesIO(rows)), gsas.decode(data, How())
    assert ours.tobytes() == theirs.tobytes(), path
    assert whole.sigma is not None
    assert np.array_equal(whole.intensity, theirs[:, 1]), path
    assert np.array_equal(whole.sigma, theirs[:, 2]), path
    assert np.allclose(whole.two_theta, theirs[:, 0] / 100, rtol=0, atol=1e-9), path
    head = data[:start].count(b"\n")
    jobs = {
        "insitu, rows": _throughput(lambda: read_table(data, start, 3), megabytes, times),
        "insitu, whole file decoded": _throughput(lambda: gsas.decode(path.read_bytes(), How()), megabytes, times),
        "numpy.loadtxt, from memory": _throughput(lambda: np.loadtxt(io.BytesIO(rows)), megabytes, times),
        "numpy.loadtxt, the file": _throughput(lambda: np.loadtxt(path, skiprows=head), megabytes, times),
    }
    figures = interleave(jobs, rounds)
    title = f"{path.name}, {len(theirs):,} rows of 3 numbers, {megabytes:.2f} MB"
    goals = {"numpy.loadtxt, from memory": 4.0, "numpy.loadtxt, the file": 4.0}
    table(f"Parsing: {title}", figures, "MB/s", "insitu, rows", goals)
    table(f"Whole decoding: {title}", figures, "MB/s", "insitu, whole file decoded", {})


def main(_disk: Path, *, quick: bool) -> None:
    """All files."""
    named = os.environ.get("INSITU_DATA")
    folder = Path(named) if named else Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        print("\nParsing: left out, INSITU_DATA names no folder of real measurements")
        return
    for name in FILES:
        one(folder / "xrd" / name, 5 if quick else 11, 5 if quick else 15)
