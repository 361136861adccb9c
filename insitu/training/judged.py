"""A bundle with another judgement: the same network, golden outputs and figures, the next serial and version.

    python -m insitu.training.judged --bundle FOLDER --out FOLDER --serial 2 --version 1.0.1 --key FILE \\
        [--abstain-below X] [--threshold X]

For limits that need no training. The scripts that trained the networks set the same ones when they are run again.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from insitu.errors import UsageError
from insitu.models.bundle import Bundle, read_bundle
from insitu.models.quantise import write
from insitu.training.options import options


def main(arguments: Sequence[str] | None = None) -> Bundle:
    """Read, change, write; the new bundle."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--abstain-below", type=float, default=None)
    parser.add_argument("--threshold", type=float, default=None)
    own, rest = parser.parse_known_args(arguments)
    chosen = options(rest, __doc__ or "")
    bundle = read_bundle(own.bundle)
    m = bundle.manifest
    if chosen.serial <= m.serial:
        raise UsageError(f"the serial {chosen.serial}", where="--serial", expected=f"above {m.serial}")
    limits = {"abstain_below": own.abstain_below, "threshold": own.threshold}
    manifest = replace(
        m,
        serial=chosen.serial,
        version=chosen.version,
        created=datetime.now(UTC).date().isoformat(),
        parent=bundle.digest,
        decision=replace(m.decision, **{key: x for key, x in limits.items() if x is not None}),
        operators=(),
        files={},
    )
    return write(chosen.out, bundle, manifest, bundle.model, key=chosen.key)


if __name__ == "__main__":
    made = main()
    print(f"{made.manifest.name} {made.manifest.version}: {made.digest[:19]}...")
