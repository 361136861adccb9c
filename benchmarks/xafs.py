"""XAFS against larch: normalise, E0, background and chi(R) on the operando series (58 spectra of 1,649 points).

Ours one by one on a warm grid (matrices kept), cold (nothing kept, every spectrum pays for its own), and as a series
with a fixed E0; the peer one by one. Needs the measurements (INSITU_DATA) and, for the peer, a Python that has
xraylarch, named by INSITU_LARCH_PYTHON: larch is no dependency of ours. What both computed is compared: chi(k) within
1e-5 of its largest value and edge steps within 1e-9 at the E0 that larch found.
"""

import io
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from benchmarks.timing import interleave, table
from insitu.maths.absorption.series import Plans, exafs, exafs_series

RANGES = {"pre1": -150.0, "pre2": -50.0, "norm1": 150.0, "norm2": 1000.0, "nnorm": 2}
GOALS = {"one by one, warm": 12.0, "one by one, cold": 6.0, "series, fixed E0": 60.0}

PEER = """
import sys, time, warnings
import numpy as np
warnings.filterwarnings("ignore")
from larch import Group
from larch.xafs import autobk, pre_edge, xftf
energy, series = (np.load(p) for p in sys.argv[1:3])
out, sys.stdout = sys.stdout, sys.stderr
def one(mu):
    g = Group(energy=energy.copy(), mu=mu)
    pre_edge(g, pre1=-150, pre2=-50, norm1=150, norm2=1000, nnorm=2)
    autobk(g, rbkg=1.0, kweight=2)
    xftf(g, kmin=3, kmax=12, dk=1, kweight=2, window="hanning")
    return g
one(series[0])
for line in sys.stdin:
    began = time.perf_counter()
    groups = [one(mu) for mu in series]
    took = time.perf_counter() - began
    n = min(len(g.k) for g in groups)
    np.savez(sys.argv[3], e0=[g.e0 for g in groups], step=[g.edge_step for g in groups],
             chi=np.array([g.chi[:n] for g in groups]))
    print(took, file=out, flush=True)
"""


def measurements() -> tuple[np.ndarray, np.ndarray]:
    """The operando series: energy (1649,) and mu (58, 1649)."""
    folder = Path(os.environ.get("INSITU_DATA", "../shared/data")) / "xafs/series_lno_ni_k_operando"
    files = sorted(folder.glob("norm_*.txt"))
    if not files:
        sys.exit(f"no spectra in {folder}: INSITU_DATA names the folder of the measurements")
    tables = [np.loadtxt(io.StringIO(path.read_text(encoding="utf-8"))) for path in files]
    return tables[0][:, 0].copy(), np.stack([t[:, 1] for t in tables])


def same_work(energy: np.ndarray, series: np.ndarray, found: Path, fixed: np.ndarray, e0: float) -> str:
    """Compare with what larch left, and the series with one by one; says how well."""
    peer = np.load(found)
    plans, worst = Plans(), 0.0
    for row, mu in enumerate(series):
        own = exafs(energy, mu, plans, normalisation=RANGES)
        assert abs(own.e0 - peer["e0"][row]) < 2.0, (own.e0, peer["e0"][row])
        alone = exafs(energy, mu, plans, e0=e0, normalisation=RANGES)
        assert np.array_equal(fixed[row], alone.background.chi)
        ours = exafs(energy, mu, plans, e0=float(peer["e0"][row]), normalisation=RANGES)
        n = peer["chi"].shape[1]
        assert abs(ours.normalised.step.value / peer["step"][row] - 1.0) < 1e-9
        off = float(np.max(np.abs(ours.background.chi[:n] - peer["chi"][row])) / np.max(np.abs(peer["chi"][row])))
        assert off < 1e-5, off
        worst = max(worst, off)
    return f"chi(k) of {len(series)} spectra, at the E0 that larch found, within {worst:.1e} of its largest value"


def main(folder: Path, *, quick: bool) -> None:
    """All ways, interleaved; figures in spectra/s."""
    energy, series = measurements()
    warm, kept = Plans(), Plans()
    e0 = exafs(energy, series[0], warm, normalisation=RANGES).e0
    results: dict[str, np.ndarray] = {}

    def rate(job) -> float:
        began = time.perf_counter()
        job()
        return len(series) / (time.perf_counter() - began)

    def together() -> None:
        results["chi"] = exafs_series(energy, series, e0, kept, normalisation=RANGES).chi

    jobs = {
        "one by one, warm": lambda: rate(lambda: [exafs(energy, mu, warm, normalisation=RANGES) for mu in series]),
        "one by one, cold": lambda: rate(lambda: [exafs(energy, mu, Plans(), normalisation=RANGES) for mu in series]),
        "series, fixed E0": lambda: rate(together),
    }
    python = os.environ.get("INSITU_LARCH_PYTHON")
    if not python:
        print("INSITU_LARCH_PYTHON does not name a Python with xraylarch: no peer, only our own figures")
        for name, values in interleave(jobs, 3 if quick else 7).items():
            print(f"  {name:<20} {statistics.median(values):>8.4g} spectra/s  ({min(values):.4g} to {max(values):.4g})")
        return
    names = [folder / f"xafs_{part}" for part in ("energy.npy", "series.npy", "found.npz")]
    np.save(names[0], energy)
    np.save(names[1], series)
    command = [python, "-c", PEER, *(str(name) for name in names)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as peer:
        assert peer.stdin is not None
        assert peer.stdout is not None

        def larch() -> float:
            peer.stdin.write("go\n")
            peer.stdin.flush()
            answer = peer.stdout.readline()
            if not answer:
                sys.exit(f"{python} ended without an answer: does it have xraylarch?")
            return len(series) / float(answer)

        figures = interleave({**jobs, "larch": larch}, 3 if quick else 7)
        peer.stdin.close()
    said = same_work(energy, series, names[2], results["chi"], e0)
    for name in names:
        name.unlink()
    for ours, goal in GOALS.items():
        table(f"XAFS, {ours}", {k: figures[k] for k in (ours, "larch")}, "spectra/s", ours, {"larch": goal})
    print(f"  {said}")
