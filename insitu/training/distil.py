"""A smaller network that says what a larger one says: a student, taught by the teacher's raw outputs.

The student sees the calibration inputs, mixtures of two of them and noise, and learns the teacher's outputs on exactly
these by least squares, in units of their spread (G. Hinton et al., arXiv 1503.02531; mixtures: H. Zhang et al., ICLR
2018). 1-D inputs `(channels, points)` get strided convolutions, features `(n,)` two dense layers. No label is needed.
The gate of `insitu.models.quantise` decides whether the student is taken. Needs torch (extra `train`).
"""

from typing import Any

import numpy as np

from insitu.errors import ModelError
from insitu.models import bundle as bundles
from insitu.models.bundle import Bundle
from insitu.models.manifest import Manifest
from insitu.models.quantise import FEWEST, Outcome, Trial, choose
from insitu.training.export import from_torch, torch_of

BATCH = 64
PLACES = 64
"""At most so many places along the axis are left before the dense layer."""
NOISE = 0.02
"""Noise that is added, as part of the inputs' spread."""


def distil(
    bundle: Bundle,
    calibration: np.ndarray,
    trial: Trial,
    *,
    width: int = 16,
    rounds: int = 200,
    seed: int = 0,
    most_loss: float = 0.5,
    least_gain: float = 1.2,
) -> Outcome:
    """The teacher beside a student of `width` channels in its first layer, taught for `rounds` passes."""
    m, output = bundle.manifest, bundle.manifest.outputs[0]
    shape = tuple(n or 1 for n in m.inputs.shape[1:])
    if len(shape) > 2 or len(m.outputs) > 1 or None not in m.inputs.shape:
        raise ModelError(
            f"no student is known for inputs {list(shape)} and {len(m.outputs)} outputs", where="manifest.json: inputs",
            expected="patterns, spectra, waveforms or features, and one output",
            remedy="`insitu model prune` and `insitu model quantise` work on images too",
        )  # fmt: skip
    if len(calibration) < FEWEST:
        raise ModelError(f"{len(calibration)} inputs to teach with", expected=f"at least {FEWEST}")
    torch = torch_of("teaching a smaller network")
    student = _taught(torch, bundle, calibration, width=width, rounds=rounds, seed=seed)
    model = from_torch(student, shape, input=m.inputs.name, output=output.name)
    forms = {m.quantisation.kind: bundle.model, f"distilled-{width}": model}
    return choose(m, forms, trial, most_loss=most_loss, least_gain=least_gain)


def _taught(torch: Any, bundle: Bundle, inputs: np.ndarray, *, width: int, rounds: int, seed: int) -> Any:
    """The student, in evaluation mode."""
    torch.manual_seed(seed)
    random = np.random.default_rng(seed)
    m, session = bundle.manifest, bundles.session(bundle)
    first = bundles.call(session, inputs, m)[0]
    centre, spread = first.mean(axis=0), np.maximum(first.std(axis=0), 1e-6 + 1e-3 * float(first.std()))
    student = layers(torch, m, width)
    student.train()
    steps = rounds * max(1, -(-len(inputs) // BATCH))
    best = torch.optim.Adam(student.parameters(), lr=3e-3)
    calmer = torch.optim.lr_scheduler.OneCycleLR(best, max_lr=6e-3, total_steps=steps)
    low, high = inputs.min(axis=0), inputs.max(axis=0)
    for _ in range(steps):
        x = _mixed(random, inputs, low, high)
        told = (bundles.call(session, x, m)[0] - centre) / spread
        best.zero_grad()
        said = student(torch.from_numpy(x))
        error = torch.nn.functional.mse_loss(said.reshape(len(x), -1), torch.from_numpy(told.reshape(len(x), -1)))
        error.backward()
        best.step()
        calmer.step()
    student.eval()
    with torch.no_grad():  # back to the teacher's own units
        last = student[-1]
        scale, shift = (torch.from_numpy(np.ascontiguousarray(v.reshape(-1), np.float32)) for v in (spread, centre))
        last.weight.mul_(scale[:, None])
        last.bias.mul_(scale).add_(shift)
    return student


def _mixed(random: np.random.Generator, inputs: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """A batch: inputs as they are, mixtures of two, noise on all; inside of what was seen."""
    one, other = (inputs[random.integers(0, len(inputs), BATCH)] for _ in range(2))
    part = np.where(random.random(BATCH) < 0.5, 1.0, random.random(BATCH)).reshape(-1, *[1] * (inputs.ndim - 1))
    mixed = part * one + (1.0 - part) * other
    noisy = mixed + NOISE * float(inputs.std()) * random.normal(size=mixed.shape)
    return np.ascontiguousarray(np.clip(noisy, low, high), np.float32)


def layers(torch: Any, m: Manifest, width: int) -> Any:
    """The student of a network with these inputs and outputs: the last layer is dense."""
    nn = torch.nn
    shape = tuple(n or 1 for n in m.inputs.shape[1:])
    outputs = int(np.prod([n or 1 for n in m.outputs[0].shape[1:]], dtype=np.int64))
    if len(shape) == 1:
        return nn.Sequential(nn.Linear(shape[0], width), nn.ReLU(), nn.Linear(width, outputs))
    channels, points = shape
    made: list[Any] = []
    for w in (width, width, 2 * width, 2 * width):
        made += [nn.Conv1d(channels, w, 7, stride=2, padding=3), nn.BatchNorm1d(w), nn.ReLU()]
        channels, points = w, -(-points // 2)
        if points < 16:
            break
    while points > PLACES:
        made.append(nn.AvgPool1d(2))
        points //= 2
    narrow = max(4, width // 2)  # where a line lies is kept up to the dense layer, in few numbers for each place
    made += [nn.Conv1d(channels, narrow, 1), nn.BatchNorm1d(narrow), nn.ReLU()]
    return nn.Sequential(*made, nn.Flatten(), nn.Linear(narrow * points, outputs))
