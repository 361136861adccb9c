"""Resident memory between frame 1,000 and frame 20,000 of one run."""

import subprocess
import sys
import tempfile
from pathlib import Path

CHILD = """
import sys
from pathlib import Path
from benchmarks.sources import bench_setup, rss_mb
from insitu.run import run

seen = []

def watch(status):
    if status["frames"]["stored"] >= 1000 and status["state"] == "running":
        seen.append((status["frames"]["stored"], rss_mb()))

setup = bench_setup(frames=20000, rate=1500.0)
summary = run(setup, data_root=Path(sys.argv[1]), observer=watch)
assert summary.records == 20000, summary
print(seen[0][0], seen[0][1], seen[-1][0], seen[-1][1], max(m for _, m in seen))
"""


def main(disk: Path, *, quick: bool) -> None:
    """One run in a process of its own; `quick` is the same, the sentence needs all 20,000 frames."""
    with tempfile.TemporaryDirectory(dir=disk) as folder:
        out = subprocess.run([sys.executable, "-c", CHILD, folder], check=True, capture_output=True, text=True)
    n0, first, n1, last, most = (float(x) for x in out.stdout.split())
    print(f"\nResident memory of a run (goal: at most 50 MB more at frame 20,000 than at 1,000)\n"
          f"  frame {n0:.0f}: {first:.0f} MB, frame {n1:.0f}: {last:.0f} MB, growth {last - first:.1f} MB, "
          f"most {most:.0f} MB")  # fmt: skip
