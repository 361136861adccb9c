"""Re-fit at the edge: a new last layer for a network from labelled stored frames, in seconds, without torch.

What the network was made with stands for its own source: its calibration and golden inputs with its own answers, so
that what it could is not unlearned. The new network is accepted only where frames left out of the fit, of every source,
say that nothing was lost and something was won.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np

from insitu.errors import ModelError, UsageError
from insitu.models.bundle import Bundle, call, open_session
from insitu.models.head import cut, graft, with_trunk
from insitu.models.manifest import Manifest, Metric, TrainingData
from insitu.rollout.fitting import STRENGTHS, Cases, Fit, Layer, left_out, new_layer, temperature
from insitu.rollout.labelled import Seen

OWN = "its own"
FEWEST = 10
LUCK = 0.01
"""Chance with which a network that is no better may be taken for one."""
UNLIKELY = 0.05
AND = "+"
"""Between labels that are right at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """One source: how many labelled frames, and the share that the old and the new network have right; the new one was
    asked about frames that it was not fitted with. `won`, `lost`: frames that only the new, or only the old one has
    right. `errors_before`, `errors_after`: share of all answers, label by label, that are wrong."""

    source: str
    n: int
    before: float
    after: float
    won: int
    lost: int
    errors_before: float
    errors_after: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Refitted:
    """A new network: its manifest (without files), model, golden arrays, head, and how it passed."""

    manifest: Manifest
    model: bytes
    golden: tuple[np.ndarray, ...]
    calibration: np.ndarray | None
    head: Layer
    gates: tuple[Gate, ...]


def refit(bundle: Bundle, cases: Sequence[Seen], *, serial: int, loss: float = 0.01) -> Refitted:
    """Fit a new head. `serial` of the new bundle; `loss`: share of right answers that a source may lose. Raises
    `UsageError` (labels that the network does not know, too few) and `ModelError` (a network without a dense last
    layer; one that did not pass, with the figures)."""
    m = bundle.manifest
    check_task(m)
    if not 0.0 <= loss <= 1.0:
        raise UsageError(f"a loss of {loss:g}", where="loss", expected="0 to 1")
    if len(cases) < FEWEST:
        raise UsageError(f"{len(cases)} labelled frames are too few", expected=f"{FEWEST} or more")
    several = m.task == "multilabel"
    old = Layer(*cut(bundle.model)[:2])
    known = _cases(bundle, cases, several=several)
    fit, t, gates = _best(m, known, old, loss)
    _pass(gates, loss, m.name)
    layer, t = _scaled(new_layer(known, old, fit), m, fit, t)
    model = graft(bundle.model, layer.weight, layer.bias)
    manifest = _manifest(bundle, cases, gates, serial, t)
    golden = bundle.golden()[0]
    outputs = tuple(call(open_session(model), golden, manifest))
    return Refitted(
        manifest=manifest,
        model=model,
        golden=(golden, *outputs),
        calibration=bundle.calibration(),
        head=layer,
        gates=gates,
    )


def check_task(m: Manifest) -> None:
    """Raises `ModelError` where the network's task has no labels to re-fit it with."""
    if m.task not in ("classification", "multilabel"):
        raise ModelError(
            f"a network for {m.task} is not re-fitted", where=m.name, expected="classification or multilabel",
            remedy="Train it anew with data of yours: `insitu model show` names its script",
        )  # fmt: skip


def _best(m: Manifest, known: Cases, old: Layer, loss: float) -> tuple[Fit, float, tuple[Gate, ...]]:
    """The fit that has most of the labelled frames right, asked about frames left out, of those by which no source
    loses too much; or of all, where every one loses. With its temperature and its gates."""
    several = m.task == "multilabel"
    asked = _asked_for(m, known) if several else np.ones(known.targets.shape[1], bool)
    found = []
    for strength in STRENGTHS:
        fit = Fit(several, asked, strength)
        crossed = left_out(known, old, fit)
        t = temperature(crossed[:, asked], known.targets[:, asked], several=several)
        scale, kept = _scale(m, fit, t)
        gates = _gates(m, replace(m, decision=replace(m.decision, temperature=kept)), known, crossed * scale)
        right = sum(g.n * g.after for g in gates if g.source != OWN)
        wrong = sum(g.n * g.errors_after for g in gates)
        found.append(((not _losing(gates, loss), right, -wrong), (fit, t, gates)))
    return max(found, key=lambda one: one[0])[1]


def _scale(m: Manifest, fit: Fit, t: float) -> tuple[np.ndarray, float]:
    """By what new rows are multiplied, and the temperature. Where labels keep their old rows they need the old one."""
    if not fit.several:
        return np.ones(len(fit.labels)), t
    return np.where(fit.labels, m.decision.temperature / t, 1.0), m.decision.temperature


def _scaled(layer: Layer, m: Manifest, fit: Fit, t: float) -> tuple[Layer, float]:
    scale, kept = _scale(m, fit, t)
    return Layer(layer.weight * scale[:, None], layer.bias * scale), kept


def targets_of(manifest: Manifest, labels: Sequence[str], *, several: bool) -> np.ndarray:
    """Labels as people write them `(n,)` to 0 and 1 `(n, labels)`. Several at once stand with `+` between them; `none`
    is none of them. Raises `UsageError`."""
    place = {
        name: i
        for i, (label, key) in enumerate(zip(manifest.labels, manifest.keys, strict=True))
        for name in (label, key)
    }
    found = np.zeros((len(labels), len(manifest.labels)))
    for row, text in enumerate(labels):
        if text in place:
            found[row, place[text]] = 1.0
            continue
        named = [part.strip() for part in text.split(AND)] if several else [text]
        wrong = [name for name in named if name not in place]
        if wrong and not (several and text == "none"):
            raise UsageError(
                f"{manifest.name} {manifest.version} knows no {wrong[0]!r}", where="label",
                expected=", ".join(manifest.labels) + (", several with + between them, or none" if several else ""),
                remedy="A label that the network never learnt needs a training, not a re-fit",
            )  # fmt: skip
        for name in named if not wrong else ():
            found[row, place[name]] = 1.0
    return found


def _cases(bundle: Bundle, cases: Sequence[Seen], *, several: bool) -> Cases:
    """The labelled frames, and the network's own source with its own answers."""
    m = bundle.manifest
    golden, calibration = bundle.golden()[0], bundle.calibration()
    own = golden if calibration is None else np.concatenate([calibration, golden])
    inputs = np.concatenate([np.stack([c.input for c in cases]), own]).astype(np.float32)
    made = open_session(with_trunk(bundle.model))
    name = cut(bundle.model).trunk
    parts = [
        made.run([m.outputs[0].name, name], {m.inputs.name: inputs[i : i + 32]}) for i in range(0, len(inputs), 32)
    ]
    logits, features = (np.concatenate([np.asarray(p[k], np.float64) for p in parts]) for k in (0, 1))
    answers = _answers(m, logits[len(cases) :], several=several)
    return Cases(
        features=features,
        logits=logits,
        targets=np.concatenate([targets_of(m, [c.label for c in cases], several=several), answers]),
        groups=np.array([c.group for c in cases] + [f"{OWN} {i}" for i in range(len(own))]),
        sources=np.array([c.source for c in cases] + [OWN] * len(own)),
    )


def _answers(manifest: Manifest, logits: np.ndarray, *, several: bool) -> np.ndarray:
    """What a network says, as 0 and 1 `(n, labels)`."""
    if not several:
        return np.eye(logits.shape[1])[logits.argmax(axis=1)]
    level = manifest.decision.threshold
    each = np.broadcast_to(np.asarray(0.5 if level is None else level, float), (logits.shape[1],))
    return (1.0 / (1.0 + np.exp(-logits / manifest.decision.temperature)) >= each).astype(float)


def _asked_for(manifest: Manifest, known: Cases) -> np.ndarray:
    """The labels `(labels,)` that labelled frames have, or were said to have. The others are not touched."""
    labelled = known.sources != OWN
    said = _answers(manifest, known.logits[labelled], several=True)
    return np.asarray(known.targets[labelled].any(axis=0) | said.any(axis=0))


def _gates(old: Manifest, new: Manifest, known: Cases, crossed: np.ndarray) -> tuple[Gate, ...]:
    """By source. Where several labels may be right, a frame is right whose best label is one of them (or that has none,
    and none is said); `errors_...` counts all labels."""
    several = old.task == "multilabel"
    before, after = (_right(m, logits, known, several=several) for m, logits in ((old, known.logits), (new, crossed)))
    wrong = [_answers(m, x, several=several) != known.targets for m, x in ((old, known.logits), (new, crossed))]
    found = []
    for source in dict.fromkeys(known.sources.tolist()):
        rows = known.sources == source
        found.append(
            Gate(
                source=source,
                n=int(np.count_nonzero(rows)),
                before=float(before[rows].mean()),
                after=float(after[rows].mean()),
                won=int(np.count_nonzero(after[rows] & ~before[rows])),
                lost=int(np.count_nonzero(before[rows] & ~after[rows])),
                errors_before=float(wrong[0][rows].mean()),
                errors_after=float(wrong[1][rows].mean()),
            )
        )
    return tuple(found)


def _right(manifest: Manifest, logits: np.ndarray, known: Cases, *, several: bool) -> np.ndarray:
    """Whether each case `(n,)` is right."""
    best = known.targets[np.arange(len(logits)), logits.argmax(axis=1)] > 0.0
    if not several:
        return best
    nothing = ~known.targets.any(axis=1)
    return np.where(nothing, ~_answers(manifest, logits, several=True).any(axis=1), best)


def _pass(gates: Sequence[Gate], loss: float, name: str) -> None:
    """Nothing lost anywhere, and something won with the labels that chance would not give (sign test)."""
    from scipy.stats import binomtest

    told = [f"{g.source}: {g.before:.1%} before, {g.after:.1%} after ({g.n} frames)" for g in gates]
    lost = _losing(gates, loss)
    won, worse = (sum(x) for x in zip(*((g.won, g.lost) for g in gates if g.source != OWN), strict=True))
    luck = binomtest(won, won + worse, alternative="greater").pvalue if won + worse else 1.0
    if not lost and not won and all(g.before == 1.0 for g in gates if g.source != OWN):
        raise ModelError(
            f"{name} has all labelled frames right already", where=name, expected="frames that it has wrong",
            remedy="There is nothing to re-fit; label frames of the state in which it is wrong",
        )  # fmt: skip
    if lost or luck > LUCK:
        raise ModelError(
            f"the re-fitted {name} is not accepted: {'; '.join(told)}",
            where=lost[0].source if lost else name,
            expected=f"no source to lose more than {loss:.1%}, and the labelled ones to win more than chance gives",
            remedy="Label more frames, of every state and spread over the run, and look for wrong labels",
        )


def _losing(gates: Sequence[Gate], loss: float) -> list[Gate]:
    """Sources that lose more frames than the allowed share explains (one in twenty would by chance), or whose answers,
    label by label, get worse by more than it."""
    from scipy.stats import binom

    return [
        g
        for g in gates
        if binom.sf(g.lost - g.won - 1, g.n, loss) < UNLIKELY or g.errors_after - g.errors_before > loss
    ]


def _manifest(bundle: Bundle, cases: Sequence[Seen], gates: Sequence[Gate], serial: int, t: float) -> Manifest:
    m = bundle.manifest
    major, minor, patch = (int(part) for part in m.version.split("."))
    rows = "\n".join(sorted(f"{c.address} {c.label}" for c in cases))
    simulated = all(c.simulated for c in cases)
    kind: Any = "simulated" if simulated else "real"
    data = TrainingData(
        name=f"labels of {datetime.now(UTC).date()}, serial {serial}", kind=kind, n=len(cases),
        digest="sha256:" + hashlib.sha256(rows.encode()).hexdigest(),
    )  # fmt: skip
    won = tuple(
        Metric(
            name=f"re-fit: right, {g.source}", value=round(g.after, 6), n=g.n, data=kind, split="by stretch of a run",
            note=f"{g.before:.4f} before; frames left out of the fit" + (
                "; against the answers of the bundle before" if g.source == OWN else ""),
        )
        for g in gates
    )  # fmt: skip
    kept = tuple(x for x in m.metrics if not x.name.startswith("re-fit: "))
    return replace(
        m,
        version=f"{major}.{minor}.{patch + 1}",
        serial=serial,
        created=datetime.now(UTC).date().isoformat(),
        decision=replace(m.decision, temperature=t),
        training=replace(m.training, data=(*m.training.data, data)),
        metrics=(*kept, *won),
        latency=m.latency,
        parent=bundle.digest,
        files={},
        operators=(),
    )
