"""How far a powder pattern is from what is normal: an anomaly score with a threshold for a declared false-alarm rate.

    python -m insitu.training.xrd_anomaly --out pipelines/models/xrd_anomaly [--key FILE] [--quick]

Principal components of normal patterns and what they leave, over each pattern's noise (`insitu.training.whitening`).
It knows the simulated diffractometer and its five samples, at 250 to 480 K: in the simulator's terms, and any other
sample is an anomaly to it. For a sample of yours, `insitu model fit` makes one from your own good runs.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from insitu.maths.diffraction.phases import SAMPLES
from insitu.models.manifest import Judgement
from insitu.models.preparing import preparation
from insitu.readers.simulated import Diffractometer
from insitu.training import trials, whitening
from insitu.training.metrics import threshold_for
from insitu.training.options import Options, options
from insitu.training.publish import data, publish, ranges_of, settings_digest
from insitu.types import Frame

PARAMS = {"grid": "q", "low": 1.5, "high": 4.1, "points": 768, "normalise": "area", "scale": "sqrt", "coverage": 0.98}
RATE = 2e-6
"""Share of good frames that may be called an anomaly."""
LEARN, TUNE, CLEAN, FAULTY = 500, 600, 6000, 40
"""Frames for each sample."""
QUICK = (60, 40, 20, 4)
FAULTS = ("beam_loss", "shutter", "saturation", "slipped", "zero_shift", "dead", "lost_phase")
"""All that change what is in a frame (`insitu.readers.faults`)."""
SPLIT = "other seeds, temperatures and counts"


def network_input(params: dict[str, Any]) -> trials.Input:
    """The preparation as a function of a frame."""
    prepare = preparation("pattern", params)
    return lambda frame: prepare(frame).input


def simulators(sample: str, seed: int, count: int, fault: str = "") -> list[Any]:
    """Diffractometers of one sample, each for up to 10 frames, at temperatures and counts drawn with the seed."""
    out = []
    for i in range(0, count, 10):
        random = np.random.default_rng((seed, sorted(SAMPLES).index(sample), i))
        start = float(random.uniform(250.0, 400.0))
        out.append(
            Diffractometer(
                seed=int(random.integers(1, 2**31)),
                sample=sample,  # pyright: ignore[reportArgumentType]
                temperature_start=start,
                temperature_step=float(random.uniform(0.1, 8.0)),
                temperature_stop=480.0,
                peak_counts=float(np.exp(random.uniform(np.log(1500.0), np.log(12_000.0)))),
                background_counts=float(random.uniform(30.0, 60.0)),
                faults=(f"{fault}@0",) if fault else (),
            )
        )
    return out


def frames_of(sample: str, seed: int, count: int, fault: str = "") -> list[Frame]:
    """Frames of one sample."""
    found: list[Frame] = []
    for reader in simulators(sample, seed, count, fault):
        found += trials.frames(reader, 0, min(10, count - len(found)))
    return found


def simulated(chosen: Options) -> tuple[whitening.Patterns, float, list[dict[str, Any]], np.ndarray]:
    """Learn from the simulator: the components, the threshold, metrics, inputs that were learnt from."""
    learn, tune, clean, faulty = QUICK if chosen.quick else (LEARN, TUNE, CLEAN, FAULTY)
    prepare, samples = network_input(PARAMS), sorted(SAMPLES)
    groups = [trials.inputs(frames_of(s, chosen.seed + 1, learn), prepare)[0] for s in samples]
    made, known = whitening.patterns(groups), np.concatenate(groups)
    held = [trials.trial(s, frames_of(s, chosen.seed + 2, tune), prepare, made) for s in samples]
    level = threshold_for(np.concatenate([t.scores for t in held]), RATE)
    print(f"{[len(k.components) for k in made.kinds]} components, threshold {level:.3f}", flush=True)
    good = []
    for sample in samples:
        parts = [
            trials.trial(sample, frames_of(sample, chosen.seed + 100 + i, min(500, clean - i)), prepare, made)
            for i in range(0, clean, 500)
        ]
        good.append(trials.Trial(sample, np.concatenate([p.scores for p in parts])))
        print(
            f"{sample}: {good[-1].alarms(level)} alarms of {clean}, largest {np.nanmax(good[-1].scores):.3f}",
            flush=True,
        )
    bad = []
    for fault in FAULTS:
        some = [f for s in samples for f in frames_of(s, chosen.seed + 3, faulty, fault)]
        bad.append(trials.trial(fault, some, prepare, made))
        print(f"{fault}: {bad[-1].found(level)}", flush=True)
    metrics = [trials.false_alarms(good, level, data="simulated", split=SPLIT)]
    return made, level, [dict(m) for m in (*metrics, *trials.table(bad, level, data="simulated", split=SPLIT))], known


def main(arguments: Sequence[str] | None = None) -> None:
    """Learn, set the threshold, measure, write the bundle."""
    chosen = options(arguments, __doc__ or "")
    settings = {**PARAMS, "rate": RATE, "samples": sorted(SAMPLES), "learn": LEARN, "seed": chosen.seed}
    made, level, metrics, known = simulated(chosen)
    publish(
        chosen,
        name="xrd_anomaly",
        script="insitu.training.xrd_anomaly",
        task="anomaly",
        modality="xrd",
        description=(
            f"How far a powder pattern is from those of the simulated diffractometer ({', '.join(sorted(SAMPLES))}; "
            "250 to 480 K, 1,500 to 12,000 counts). In the simulator's terms: any other sample is an anomaly to it."
        ),
        labels=[],
        model=made.graph(),
        preparation=("pattern", PARAMS),
        golden=known[:: max(1, len(known) // 12)][:12],
        output_names=("score",),
        trained_on=[data("simulated diffractometer", settings_digest(settings), "simulated", len(known))],
        split=SPLIT,
        metrics=metrics,
        ranges=ranges_of(known, share=1.0),
        decision=Judgement(threshold=round(level, 4), false_alarms=RATE),
        batch_exact=False,
    )


if __name__ == "__main__":
    main()
