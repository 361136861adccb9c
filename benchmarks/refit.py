"""A diffractometer whose zero and resolution have gone: re-fit of the shipped phase network from 100 labels.

Simulated patterns of eight of its 70 phases, one at a time, on a laboratory tube. Beside it what a user does first:
correct the zero shift (told exactly), and leave the network alone. Right: the phase that is there has the highest
score. The fit runs on one core, and torch is not loaded. Then what has to travel: the update beside the whole bundle.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

PHASES = ("ceria", "corundum", "haematite", "magnetite", "quartz", "rutile", "silicon", "zincite")
SHIFT, WIDTH = 0.6, 0.35
"""Degrees: what the axis is off by, and the width of a line after the drift (0.08 before)."""
LABELS = 100


def main(disk: Path, *, quick: bool) -> None:
    """Runs itself again on one core."""
    one_core = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    code = "import sys; from benchmarks.refit import measure; measure(int(sys.argv[1]))"
    count = "400" if quick else "2000"
    with tempfile.TemporaryDirectory(dir=disk):
        subprocess.run([sys.executable, "-c", code, count], check=True, env=os.environ | one_core)


def measure(count: int) -> None:
    """`count` fresh patterns of each instrument."""
    import time

    from insitu.models.bundle import Bundle, call, open_session, read_bundle, write_bundle
    from insitu.models.preparing import preparation
    from insitu.rollout.labelled import Seen
    from insitu.rollout.refit import refit
    from insitu.rollout.updating import write_update

    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    bundle: Bundle = read_bundle(Path(__file__).parent.parent / "pipelines" / "models" / "xrd_phases")
    m = bundle.manifest
    prepare = preparation(m.preparation.name, m.preparation.params)
    random = np.random.default_rng(5)
    usual = _patterns(count, random, shift=0.0, width=0.08)
    gone = _patterns(count, random, shift=SHIFT, width=WIDTH)
    labelled = _patterns(LABELS, random, shift=SHIFT, width=WIDTH)

    def inputs(frames: Sequence) -> np.ndarray:
        made = [prepare(frame).input for frame in frames]
        assert all(x is not None for x in made)
        return np.stack(made)  # type: ignore[arg-type]

    def right(model: bytes, frames: list, names: list[str]) -> float:
        (logits,) = call(open_session(model), inputs(frames), m)
        return float(np.mean([m.labels[i] == name for i, name in zip(logits.argmax(axis=1), names, strict=True)]))

    began = time.perf_counter()
    cases = [
        Seen(f"insitu:run/det/{i}", name, x, f"run/{i // 10}", "drifted", True)
        for i, (x, name) in enumerate(zip(inputs(labelled[0]), labelled[1], strict=True))
    ]
    new = refit(bundle, cases, serial=m.serial + 1)
    took = time.perf_counter() - began
    corrected = [_moved(frame, -SHIFT) for frame in gone[0]], gone[1]
    rows = [
        ("undrifted, as shipped", right(bundle.model, *usual)),
        ("undrifted, re-fitted", right(new.model, *usual)),
        ("drifted, as shipped", right(bundle.model, *gone)),
        ("drifted, zero corrected (told exactly)", right(bundle.model, *corrected)),
        (f"drifted, re-fitted with {LABELS} labels", right(new.model, *gone)),
    ]
    print(f"\n{m.name} in {m.quantisation.kind}: right of {count} fresh patterns each")
    print(f"  zero off by {SHIFT} deg, lines {WIDTH} deg wide")
    for name, share in rows:
        print(f"  {name:<40} {share:.3f}")
    print(f"  the fit, preparing and gate included: {took:.2f} s on one core")
    assert "torch" not in sys.modules
    with tempfile.TemporaryDirectory() as folder:
        whole = write_bundle(
            Path(folder) / "new", new.manifest, model=new.model, golden=new.golden, calibration=new.calibration,
            licence=bundle.files["LICENSE"].decode(), key=None,
        )  # fmt: skip
        update, size = write_update(bundle, whole, Path(folder) / "update"), sum(map(len, whole.files.values()))
        print(f"  the update: {update:,} bytes, {update / size:.3f} of the bundle's {size:,} (both unsigned)")


def _patterns(count: int, random: np.random.Generator, *, shift: float, width: float) -> tuple[list, list[str]]:
    """Frames, and which phase each holds."""
    from insitu.training.xrd_patterns import Beamline, curve, frame_of, ground, known

    phases = {one.phase.name: one for one in known() if one.phase.name in PHASES}
    x = np.arange(18.0, 80.0, 0.02)
    beam = Beamline(1.54059, 1.54443, 0.9, x, width, 0.1 * width, 0.5)
    frames, names = [], []
    for _ in range(count):
        name = str(random.choice(PHASES))
        line = curve(phases[name], beam, random, 0.003)
        expected = 3000.0 * line / line.max() + ground(x, beam, random, 200.0)
        frames.append(_moved(frame_of(x, random.poisson(expected).astype(float), 1.54059, 1.54443), shift))
        names.append(name)
    return frames, names


def _moved(frame, by: float):
    """The frame with another zero."""
    axis = frame.axes["two_theta"]
    return replace(frame, axes={"two_theta": axis._replace(values=axis.values + by)})
