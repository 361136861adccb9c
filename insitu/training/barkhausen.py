"""The state of a sample from Barkhausen noise: annealed, under tension, hardened. IN THE TERMS OF THE SIMULATOR.

    python -m insitu.training.barkhausen --out pipelines/models/barkhausen_state [--key FILE] [--quick]

SIMULATED, NOT MEASURED: no measured Barkhausen noise is at hand. A state is a region of the simulator's parameters,
relative to its defaults:

    annealed    as the defaults
    tension     driving rate c up, peak field down, amplitude up: the simulator's own change (1.25, 0.9, 1.1), to the
                power of 1.5 to 3
    hardened    c times 0.5 to 0.8, peak field times 1.3 to 1.8, width times 1.2 to 1.6, amplitude times 0.7 to 0.9

Every sample has its own scatter about its state, a coupling of the probe (gain), and a noise of the amplifier. Samples
are never on both sides of the split.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from insitu.features.barkhausen import Barkhausen
from insitu.models.manifest import Judgement
from insitu.readers.simulated_barkhausen import Barkhausen as Simulated
from insitu.training.heads import held_out, linear
from insitu.training.measured import measurements, rows
from insitu.training.metrics import balanced_accuracy, bootstrap, temperature, wilson
from insitu.training.options import options
from insitu.training.publish import data, files_digest, publish, ranges_of, settings_digest
from insitu.training.splits import folds

STATES = ("annealed", "tension", "hardened")
KEYS = ["mbn_rms", "mbn_kurtosis", "mbn_envelope_peak", "mbn_peak_field", "mbn_fwhm", "mbn_pulse_rate", "mbn_psd_slope"]
PARAMS = {"keys": KEYS, "log": ["mbn_rms", "mbn_envelope_peak", "mbn_fwhm", "mbn_pulse_rate"]}
SAMPLES, QUICK, WINDOWS = 240, 12, 2
SCATTER, GAIN = 0.05, 0.10
"""Standard deviations of logarithms: of each parameter from sample to sample, of the probe's coupling."""


class Samples(NamedTuple):
    """Features `(n, k)`, state and sample of every window."""

    x: np.ndarray
    state: np.ndarray
    sample: np.ndarray


def simulated(state: str, random: np.random.Generator, seed: int) -> Simulated:
    """A reader of one sample in a state."""
    c, peak, width, amplitude = 0.8, 600.0, 700.0, 0.05
    if state == "tension":
        power = random.uniform(1.5, 3.0)
        c, peak, amplitude = c * 1.25**power, peak * 0.9**power, amplitude * 1.1**power
    elif state == "hardened":
        c, peak = c * random.uniform(0.5, 0.8), peak * random.uniform(1.3, 1.8)
        width, amplitude = width * random.uniform(1.2, 1.6), amplitude * random.uniform(0.7, 0.9)
    c, peak, width, amplitude = np.array([c, peak, width, amplitude]) * np.exp(random.normal(0.0, SCATTER, 4))
    return Simulated(
        seed=seed, frames=WINDOWS, samples=100_000, c=c, peak_field=peak, width=width,
        amplitude=amplitude * math.exp(random.normal(0.0, GAIN)), amplifier_noise=random.uniform(1e-3, 3e-3),
        full_scale=5.0,
    )  # fmt: skip


def drawn(count: int, seed: int) -> Samples:
    """`count` samples, the states in turn, `WINDOWS` windows of each."""
    extract, x, state, sample = [Barkhausen(low=1e3)], [], [], []
    for k in range(count):
        reader = simulated(STATES[k % 3], np.random.default_rng((seed, k)), 1000 * seed + k)
        found = rows(measurements(reader(), extract), PARAMS)
        x.append(found.x)
        state += [STATES[k % 3]] * len(found.x)
        sample += [k] * len(found.x)
    return Samples(np.concatenate(x), np.array(state), np.array(sample))


def main(arguments: Sequence[str] | None = None) -> None:
    """Simulate, train, measure, write the bundle."""
    chosen = options(arguments, __doc__ or "")
    of, learn = drawn(QUICK if chosen.quick else SAMPLES, chosen.seed), linear(1.0)
    pairs = list(folds(of.sample.tolist(), 3 if chosen.quick else 6, chosen.seed))
    logits, classes = held_out(learn, of.x, of.state, pairs), np.unique(of.state)
    said = classes[logits.argmax(axis=1)]
    split = "by sample, 6 folds"
    metrics = [
        wilson(int(np.sum(said == of.state)), len(said)).metric("windows_right", data="simulated", split=split),
        bootstrap(lambda r: balanced_accuracy(of.state[r], said[r]), of.sample.tolist()).metric(
            "balanced_accuracy",
            data="simulated",
            split=split,
            note="no measured noise is at hand: good on simulated data",
        ),
    ]
    for metric in metrics:
        print(metric)
    head = learn(of.x, of.state)
    publish(
        chosen,
        name="barkhausen_state",
        script="insitu.training.barkhausen",
        task="classification",
        modality="magnetic",
        description=(
            "Annealed, under tension or hardened, in the terms of the simulator of Barkhausen noise. SIMULATED ONLY: "
            "no measured noise took part, and nothing is promised for any."
        ),
        labels=head.classes,
        model=head.model(),
        preparation=("features", PARAMS),
        golden=of.x[:8].astype(np.float32),
        output_names=("logits",),
        trained_on=[
            data(
                "simulated Barkhausen noise",
                settings_digest({"code": files_digest([Path(__file__)])}),
                "simulated",
                len(of.x),
            )
        ],
        split=split,
        metrics=metrics,
        ranges=ranges_of(of.x, share=0.1, room=0.1),
        decision=Judgement(
            temperature=round(temperature(logits, np.searchsorted(classes, of.state)), 4), abstain_below=0.6
        ),
    )


if __name__ == "__main__":
    main()
