"""A network in whole numbers of 8 bits, if that pays here: candidates side by side, a gate for accuracy, a table.

`static-int8`: weights signed, one scale for each output channel; activations unsigned, with ranges from calibration
inputs (QDQ nodes, so that onnxruntime picks its kernels). `static-int8-inner`: the same, but convolutions of fewer than
4 channels stay as they are (8 bits gain nothing there). `dynamic-int8`: the ranges of activations are found at each
call. Each candidate is timed on this machine beside the network as it is, one thread, one input. Taken is the fastest
that is at least `least_gain` times as fast and loses at most `most_loss` points (`quality`); else nothing is changed.
B. Jacob et al., CVPR 2018, 2704.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from insitu.errors import ModelError
from insitu.models import bundle as bundles
from insitu.models.bundle import Bundle
from insitu.models.manifest import Latency, Manifest, Metric, Quantisation, Tolerance
from insitu.models.quality import decisions, score
from insitu.models.quantise_forms import convolutions_of_few, dynamic, static
from insitu.models.stopwatch import processor, side_by_side

FULL, STATIC, INNER, DYNAMIC = "fp32", "static-int8", "static-int8-inner", "dynamic-int8"
FEWEST = 8
"""Calibration inputs without which ranges are not known."""
STEP = 1.0 / 100.0
"""Part of the largest output by which int8 kernels of two processors may differ."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trial:
    """What the candidates are tried on: prepared `inputs` `(k, ...)`, and what is `right` for them where people have
    said so (the shapes of `quality.decisions`); where the inputs are from."""

    inputs: np.ndarray
    right: np.ndarray | None = None
    origin: str = ""


class Candidate(NamedTuple):
    """One form of the network, and its row of the table."""

    kind: str
    model: bytes
    row: dict[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """Which form was taken, of which candidates; `left_out`: forms that onnxruntime does not load, and why."""

    taken: Candidate
    candidates: tuple[Candidate, ...]
    left_out: Mapping[str, str] = field(default_factory=dict)

    @property
    def table(self) -> tuple[dict[str, Any], ...]:
        return tuple(c.row for c in self.candidates)


def quantise(
    bundle: Bundle,
    calibration: np.ndarray,
    trial: Trial,
    *,
    most_loss: float = 0.5,
    least_gain: float = 1.2,
    rounds: int = 60,
) -> Outcome:
    """Try both ways of 8 bits beside the network as it is. `calibration`: prepared inputs `(k, ...)`."""
    if len(calibration) < FEWEST:
        raise ModelError(
            f"{len(calibration)} calibration inputs", where="calibration.npz", expected=f"at least {FEWEST}",
            remedy="Take some of a stored run with --run RUN",
        )  # fmt: skip
    if bundle.manifest.quantisation.kind != FULL:
        raise ModelError(
            f"this network is {bundle.manifest.quantisation.kind} already", where="manifest.json: quantisation.kind",
            expected=FULL, remedy="Quantise the bundle that it was made from (its digest is the parent)",
        )  # fmt: skip
    forms = {FULL: bundle.model, STATIC: static(bundle.model, calibration)}
    if narrow := convolutions_of_few(bundle.model):
        forms[INNER] = static(bundle.model, calibration, leave=narrow)
    forms[DYNAMIC] = dynamic(bundle.model)
    return choose(bundle.manifest, forms, trial, most_loss=most_loss, least_gain=least_gain, rounds=rounds)


def choose(
    manifest: Manifest, forms: dict[str, bytes], trial: Trial, *, most_loss: float, least_gain: float, rounds: int = 60
) -> Outcome:
    """The fastest form that pays; the first one is the network as it is, which the others are held against."""
    sessions, left_out = _loaded(forms)
    forms = {kind: forms[kind] for kind in sessions}
    times = side_by_side(sessions, trial.inputs[:1], rounds=rounds)
    raw = {kind: bundles.call(session, trial.inputs, manifest)[0] for kind, session in sessions.items()}
    said = {kind: decisions(manifest, r, trial.inputs) for kind, r in raw.items()}
    first = next(iter(forms))
    right = said[first] if trial.right is None else trial.right
    scores = {kind: score(manifest, found, right) for kind, found in said.items()}
    made = []
    for kind, model in forms.items():
        gain, loss = times[first].p50_ms / times[kind].p50_ms, scores[first] - scores[kind]
        why = "as it is" if kind == first else _why(gain, loss, most_loss, least_gain)
        row = {
            "kind": kind,
            "p50_ms": round(times[kind].p50_ms, 4),
            "p99_ms": round(times[kind].p99_ms, 4),
            "gain": round(gain, 3),
            "bytes": len(model),
            "size": round(len(model) / len(forms[first]), 4),
            "score": round(scores[kind], 3),
            "loss": round(loss, 3),
            "n": len(trial.inputs),
            "right": "labels" if trial.right is not None else f"what {first} says",
            "from": trial.origin,
            "why": why,
        }
        made.append(Candidate(kind, model, row))
    pays = [c for c in made[1:] if not c.row["why"]]
    taken = min(pays, key=lambda c: c.row["p50_ms"]) if pays else made[0]
    for c in made:
        c.row["taken"] = c is taken
    return Outcome(taken, tuple(made), left_out)


def _loaded(forms: Mapping[str, bytes]) -> tuple[dict[str, Any], dict[str, str]]:
    """A session for every form that onnxruntime takes (the first one it must), and why it does not take the others."""
    sessions: dict[str, Any] = {}
    left_out: dict[str, str] = {}
    for kind, model in forms.items():
        try:
            sessions[kind] = bundles.open_session(model)
        except ModelError as e:
            if not sessions:
                raise
            left_out[kind] = e.what
    return sessions, left_out


def _why(gain: float, loss: float, most_loss: float, least_gain: float) -> str:
    """Why a candidate is not taken; "" where it may be."""
    if not gain >= least_gain:
        return f"{gain:.2f} times as fast, less than {least_gain:g}"
    if not loss <= most_loss:  # nor one that is no number
        return f"{loss:.2f} points lost, more than {most_loss:g}"
    return ""


def successor(bundle: Bundle, taken: Candidate, outcome: Outcome, *, serial: int | None = None) -> Manifest:
    """The manifest of the new bundle: next serial and version, its parent, the table, times and tolerance."""
    m = bundle.manifest
    major, minor, patch = m.version.split(".")
    cpu, flags = processor()
    whole = taken.kind in (STATIC, INNER, DYNAMIC)
    largest = float(np.abs(bundles.call(bundles.open_session(taken.model), bundle.golden()[0], m)[0]).max())
    tolerance = Tolerance(absolute=min(1.0, max(m.tolerance.absolute, STEP * largest)), relative=m.tolerance.relative)
    return replace(
        m,
        serial=m.serial + 1 if serial is None else serial,
        version=f"{major}.{minor}.{int(patch) + 1}",
        parent=bundle.digest,
        quantisation=Quantisation(kind=taken.kind if whole else m.quantisation.kind, table=outcome.table),
        latency=Latency(p50_ms=taken.row["p50_ms"], p99_ms=taken.row["p99_ms"], cpu=cpu, flags=flags),
        tolerance=tolerance if whole else m.tolerance,
        metrics=m.metrics if taken is outcome.candidates[0] else tuple(_of_before(x, taken) for x in m.metrics),
        operators=(),
        files={},
        batch_exact=m.batch_exact and batch_exact(m, taken.model, bundle.golden()[0]),
    )


def _of_before(metric: Metric, taken: Candidate) -> Metric:
    """A figure of the network that this one was made from, marked as such."""
    row = taken.row
    said = f"before {taken.kind}, which lost {row['loss']:g} points on {row['n']} inputs ({row['right']} is right)"
    return replace(metric, note=f"{metric.note}; {said}" if metric.note else said)


def batch_exact(manifest: Manifest, model: bytes, inputs: np.ndarray) -> bool:
    """Whether several inputs at once give the bits of one by one."""
    session = bundles.open_session(model)
    together = bundles.call(session, inputs, manifest)
    single = [bundles.call(session, inputs[i : i + 1], manifest) for i in range(len(inputs))]
    return all(np.array_equal(y, np.concatenate([s[j] for s in single])) for j, y in enumerate(together))


def write(folder: Path, bundle: Bundle, manifest: Manifest, model: bytes, *, key: Path | None) -> Bundle:
    """The new bundle, with its own golden outputs, read back as a user will."""
    inputs = bundle.golden()[0]
    outputs = bundles.call(bundles.open_session(model), inputs, manifest)
    return bundles.write_bundle(
        folder, manifest, model=model, golden=(inputs, *outputs), calibration=bundle.calibration(),
        licence=bundle.files["LICENSE"].decode(), key=key,
    )  # fmt: skip
