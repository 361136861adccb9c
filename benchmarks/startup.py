"""`insitu --help` beside `python -c ''`."""

import subprocess
import sys
import time
from pathlib import Path

from benchmarks.timing import interleave, table


def timed(*command: str) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - began


def main(disk: Path, *, quick: bool) -> None:
    """Whole processes."""
    help_ = (sys.executable, "-c", "import sys; sys.argv = ['insitu', '--help']; from insitu.cli import main; main()")
    jobs = {"insitu --help": lambda: timed(*help_), "python -c ''": lambda: timed(sys.executable, "-c", "")}
    figures = interleave(jobs, 5 if quick else 11)
    table("Start-up (goal: at most 0.35 s longer)", figures, "s", "insitu --help", {})
