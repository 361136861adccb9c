"""The figures of bundles as tables for the docs, from their manifests and nothing else.

python -m insitu.training.shipped_table pipelines/models > part.md
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from insitu.models.manifest import Manifest, Metric

HEAD = "| figure | value (95 % interval) | n | data | split | note |\n|---|---|---|---|---|---|"


def section(manifest: Manifest) -> str:
    """Heading, what it is and was trained on, and one row for each figure."""
    bodies = "; ".join(f"{d.name} ({d.kind}, {d.n:,})" for d in manifest.training.data)
    lines = [
        f"### {manifest.name}", "", manifest.description, "",
        f"Trained on: {bodies}. Split: {manifest.training.split}. By `python -m {manifest.training.script}`.", "", HEAD,
    ]  # fmt: skip
    return "\n".join([*lines, *(row(m) for m in manifest.metrics), ""])


def row(metric: Metric) -> str:
    """A figure as a row of the table.

    >>> row(Metric(name="error", value=0.3507, low=0.2587, high=0.4454, n=31, data="real", split="by compound"))
    '| error | 0.351 (0.259 to 0.445) | 31 | real | by compound |  |'
    """
    interval = "" if metric.low is None or metric.high is None else f" ({metric.low:.3g} to {metric.high:.3g})"
    cells = (metric.name, f"{metric.value:.3g}{interval}", f"{metric.n:,}", metric.data, metric.split, metric.note)
    return f"| {' | '.join(cells)} |"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    for path in sorted(parser.parse_args(arguments).folder.glob("*/manifest.json")):
        print(section(Manifest.from_json(path.read_bytes())))


if __name__ == "__main__":
    main()
