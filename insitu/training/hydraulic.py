"""Components of a hydraulic rig, worn or not, from its slow sensors: cooler, pump, valve, accumulator.

    python -m insitu.training.hydraulic --out pipelines/models/hydraulic_pump --component pump [--key FILE] [--quick]

Data: `line/hydraulic_dev.npz` of the measurements (real; one rig). Whole blocks of 50 cycles are left out, never single
ones. Whether the sensors tell a component's state at all is tested: where the 95 % interval of the balanced accuracy,
over blocks, reaches below `LEAST` (or below chance), the bundle says that it is not observable,
and every verdict of it is unknown.
"""

import csv
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from insitu.errors import UsageError
from insitu.features.channels import Channels
from insitu.models.manifest import Judgement
from insitu.readers.line import Line
from insitu.training.heads import Learner, committee, held_out, linear
from insitu.training.measured import measurements, rows
from insitu.training.metrics import Figure, balanced_accuracy, bootstrap, temperature
from insitu.training.options import options
from insitu.training.publish import data, files_digest, publish, ranges_of
from insitu.training.splits import folds

LEAST = 0.8
"""Balanced accuracy that the lower end of the interval must reach."""
SHARE = 0.1
"""A cycle with more than a tenth of its numbers outside of what was learnt from is unknown: of blocks that are left out
less than one cycle in a hundred is."""
BLOCK, FOLDS = 50, 8
CHANNELS = ["ts1", "ts2", "ts3", "ts4", "vs1", "ce", "cp", "se", "fs1", "fs2"]
EACH = ("mean", "std", "max", "slope", "rough")
ALL = [f"{c}_{key}" for c in CHANNELS for key in EACH]
UNHEATED = [key for key in ALL if not key.startswith("ts")]
"""The rig warms up over hours, and wear was set in an order: temperatures would tell the time of the day."""


class Component(NamedTuple):
    """The column of the profile, the labels of its numbers, the features, and the learner."""

    column: str
    labels: dict[int, str]
    keys: list[str]
    learner: Learner


COMPONENTS = {
    "cooler": Component("cooler_pct", {100: "full", 20: "reduced", 3: "near failure"}, ALL, linear(0.1)),
    "pump": Component("pump_leakage", {0: "no leakage", 1: "weak leakage", 2: "severe leakage"}, UNHEATED, committee()),
    "valve": Component("valve_pct", {100: "100 %", 90: "90 %", 80: "80 %", 73: "73 %"}, UNHEATED, committee()),
    "accumulator": Component(
        "accumulator_bar", {130: "130 bar", 115: "115 bar", 100: "100 bar", 90: "90 bar"}, UNHEATED, committee()
    ),
}


class Cycles(NamedTuple):
    """Features `(n, k)` of every cycle, its state, and the block of 50 cycles that it is of."""

    x: np.ndarray
    state: np.ndarray
    block: np.ndarray


def params_of(component: Component) -> dict[str, list[str]]:
    """Of the preparation: a channel whose numbers do not scatter at all is stuck."""
    return {"keys": component.keys, "positive": [key for key in component.keys if key.endswith("_rough")]}


def cycles(folder: Path, of: Component) -> Cycles:
    """The cycles of the rig as the recipe `hydraulic` measures them."""
    reader = Line(str(folder / "hydraulic_dev.npz"), cycle_time=60.0)
    found = rows(measurements(reader(), [Channels(channels=CHANNELS)]), params_of(of))
    with (folder / "hydraulic_dev_profile.csv").open(encoding="utf-8") as file:
        profile = list(csv.DictReader(file))
    state = np.array([of.labels[int(line[of.column])] for line in profile])[found.of]
    return Cycles(found.x, state, np.array([int(line["cycle"]) // BLOCK for line in profile])[found.of])


def observable(truth: np.ndarray, said: np.ndarray, block: np.ndarray) -> tuple[bool, Figure]:
    """Whether the state is told: the balanced accuracy's interval over blocks lies above chance and above `LEAST`."""
    figure = bootstrap(lambda rows: balanced_accuracy(truth[rows], said[rows]), block.tolist())
    chance = 1.0 / len(np.unique(truth))
    return figure.low > max(LEAST, chance), figure


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, measure, write the bundle."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if "--component" not in given[:-1] or (name := given[given.index("--component") + 1]) not in COMPONENTS:
        raise UsageError("which component?", where="--component", expected=", ".join(COMPONENTS))
    at = given.index("--component")
    chosen = options(given[:at] + given[at + 2 :], __doc__ or "")
    folder, part = chosen.data / "line", COMPONENTS[name]
    learn = linear(0.1) if chosen.quick else part.learner
    of = cycles(folder, part)
    pairs = list(folds(of.block.tolist(), FOLDS, chosen.seed))
    logits, classes = held_out(learn, of.x, of.state, pairs), np.unique(of.state)
    seen, figure = observable(of.state, classes[logits.argmax(axis=1)], of.block)
    split = f"by block of {BLOCK} cycles, {FOLDS} folds"
    metric = figure.metric(
        "balanced_accuracy", data="real", split=split,
        note=f"{len(of.x)} cycles of one rig; chance {1 / len(classes):.2f}; observable from {LEAST} on",
    )  # fmt: skip
    print(name, "observable" if seen else "not observable", metric)
    head = learn(of.x, of.state)
    why = (
        f"not observable: from these channels the state of the {name} is told with a balanced accuracy of only "
        f"{figure.value:.2f} ({figure.low:.2f} to {figure.high:.2f}), less than {LEAST}; the rig's pressures and motor "
        "power are missing"
    )
    truth = np.searchsorted(classes, of.state)
    publish(
        chosen,
        name=f"hydraulic_{name}",
        script="insitu.training.hydraulic",
        task="classification",
        modality="line",
        description=f"State of the {name} of one hydraulic rig (real), from ten slow sensors. "
        + ("For another rig it must be fitted again." if seen else f"It is {why}."),
        labels=head.classes,
        model=head.model(),
        preparation=("features", params_of(part)),
        golden=of.x[:: max(1, len(of.x) // 8)][:8].astype(np.float32),
        output_names=("logits",),
        trained_on=[data("hydraulic rig", files_digest([*folder.glob("hydraulic_dev*")]), "real", len(of.x))],
        split=split,
        metrics=[metric],
        ranges=ranges_of(of.x, share=SHARE, room=0.25),
        decision=Judgement(
            temperature=round(temperature(logits, truth), 4), abstain_below=0.5, unobservable="" if seen else why
        ),
        batch_exact=False,
    )


if __name__ == "__main__":
    main()
