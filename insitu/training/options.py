"""The command line that all training scripts share."""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path


class Options(argparse.Namespace):
    """`out`: folder of the bundle; `int8`: folder of the same in 8 bits, where the script makes one; `key`: private key
    to sign with; `quick`: small, to see that it runs; `data`: folder of the measurements; `serial` and `version` of the
    bundle; `seed`."""

    out: Path
    int8: Path | None
    key: Path | None
    quick: bool
    data: Path
    serial: int
    version: str
    seed: int


def options(arguments: Sequence[str] | None, about: str) -> Options:
    """Parsed arguments; `about` is the script's docstring."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    measured = os.environ.get("INSITU_DATA", "../shared/data")
    parser.add_argument("--out", type=Path, required=True, help="folder that the bundle is written to")
    parser.add_argument("--int8", type=Path, default=None, help="folder of the same network in 8 bits, where it pays")
    parser.add_argument("--key", type=Path, default=None, help="private key that signs the bundle (else unsigned)")
    parser.add_argument("--quick", action="store_true", help="little data, few rounds: to see that it runs")
    parser.add_argument("--data", type=Path, default=Path(measured), help="folder of measurements (INSITU_DATA)")
    parser.add_argument("--serial", type=int, default=1, help="serial of the bundle: only ever larger")
    parser.add_argument("--version", default="1.0.0", help="version of the bundle")
    parser.add_argument("--seed", type=int, default=0, help="seed of everything drawn")
    return parser.parse_args(arguments, namespace=Options())
