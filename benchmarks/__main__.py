"""`python -m benchmarks`: all of them, or those named."""

import argparse
import importlib
import os
import platform
from pathlib import Path

NAMES = (
    "store", "engine", "latency", "memory", "startup", "forwarder", "outage", "backlog", "parse", "fits", "azimuthal",
    "recipe_2d", "xafs", "xafs_recipe", "locate", "defects", "barkhausen", "loops", "line", "permeability", "pva",
    "session", "tiled", "refine", "bundle", "int8", "scoring", "refit",
    "drift", "budgets",
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*NAMES, []], help=f"out of {', '.join(NAMES)}; all if none")
    parser.add_argument("--quick", action="store_true", help="fewer frames and rounds")
    parser.add_argument("--folder", type=Path, default=Path(), help="a folder on the disk to be measured")
    a = parser.parse_args()
    cores = len(os.sched_getaffinity(0))
    print(f"{platform.machine()}, {cores} cores, load {os.getloadavg()[0]:.1f}, Python {platform.python_version()}")
    for name in a.names or NAMES:
        importlib.import_module(f"benchmarks.{name}").main(a.folder.resolve(), quick=a.quick)


if __name__ == "__main__":
    main()
