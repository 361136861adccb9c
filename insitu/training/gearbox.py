"""A gearbox, healthy or with a broken tooth, from four accelerometers: a logistic regression on vibration features.

    python -m insitu.training.gearbox --out pipelines/models/gearbox_state [--key FILE] [--quick]

Data: `line/gearbox` of the measurements (real; one gearbox, one shaft speed, three loads). Windows of a file are never
on both sides: each load is left out once, both of its files together.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from insitu.features.vibration import VibrationFeatures
from insitu.models.manifest import Judgement
from insitu.readers.waveforms import Waveforms
from insitu.training.heads import held_out, linear
from insitu.training.measured import measurements, rows
from insitu.training.metrics import temperature, wilson
from insitu.training.options import options
from insitu.training.publish import data, files_digest, publish, ranges_of
from insitu.training.splits import leave_one_out
from insitu.types import Feature

WINDOW = 2000
"""Samples: 20 windows of a file; the sampling rate is not known."""
EACH = ("rms", "crest", "shape", "band1", "band2", "band3", "band4")
KEYS = [f"c{c}_{key}" for c in range(1, 5) for key in EACH]
PARAMS = {"keys": KEYS, "log": KEYS}
STATES = {"h": "healthy", "b": "broken tooth"}
STRENGTH = 0.1
SHARE, ROOM = 0.15, 0.25
"""A window with more of its numbers outside of what was learnt from, and a quarter more, is unknown; of loads that are
left out none is."""


class Windows(NamedTuple):
    """Features `(n, k)`, state, load and file of every window."""

    x: np.ndarray
    state: np.ndarray
    load: np.ndarray
    file: np.ndarray


def windows(files: Sequence[Path], size: int = WINDOW) -> Windows:
    """All windows of recordings named like `h30hz60.npy`."""
    x, state, load, file = [], [], [], []
    for path in files:
        reader = Waveforms(str(path), window=Feature(size, ""))
        found = rows(measurements(reader(), [VibrationFeatures(n_channels=4)]), PARAMS)
        x.append(found.x)
        state += [STATES[path.stem[0]]] * len(found.x)
        load += [path.stem.partition("hz")[2]] * len(found.x)
        file += [path.stem] * len(found.x)
    return Windows(np.concatenate(x), np.array(state), np.array(load), np.array(file))


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, measure, write the bundle."""
    chosen = options(arguments, __doc__ or "")
    files = sorted((chosen.data / "line" / "gearbox").glob("*.npy"))
    of, learn = windows(files), linear(STRENGTH)
    pairs = [(train, test) for _, train, test in leave_one_out(of.load.tolist())]
    logits = held_out(learn, of.x, of.state, pairs)
    classes = np.unique(of.state)
    right = classes[logits.argmax(axis=1)] == of.state
    whole = [bool(right[of.file == name].all()) for name in np.unique(of.file)]
    split = "by load: each left out, both files of it"
    metrics = [
        wilson(int(right.sum()), len(right)).metric(
            "windows_right", data="real", split=split, note=f"{len(files)} recordings; their windows are much alike"
        ),
        wilson(sum(whole), len(whole)).metric(
            "recordings_right", data="real", split=split, note="recordings all of whose windows are right"
        ),
    ]
    for metric in metrics:
        print(metric)
    truth = np.searchsorted(classes, of.state)
    head = learn(of.x, of.state)
    publish(
        chosen,
        name="gearbox_state",
        script="insitu.training.gearbox",
        task="classification",
        modality="line",
        description=(
            "Healthy or broken tooth, from the vibration of one gearbox at one shaft speed and three loads (real). For "
            "another gearbox it must be fitted again."
        ),
        labels=head.classes,
        model=head.model(),
        preparation=("features", PARAMS),
        golden=of.x[:: max(1, len(of.x) // 8)][:8].astype(np.float32),
        output_names=("logits",),
        trained_on=[data("gearbox recordings", files_digest(files), "real", len(of.x))],
        split=split,
        metrics=metrics,
        ranges=ranges_of(of.x, share=SHARE, room=ROOM),
        decision=Judgement(temperature=round(max(temperature(logits, truth), 0.5), 4), abstain_below=0.7),
        batch_exact=False,
    )


if __name__ == "__main__":
    main()
