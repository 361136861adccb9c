"""Which of 70 candidate phases a powder pattern holds: a small 1-D convolutional network, several at once.

    python -m insitu.training.xrd_phases --out FOLDER [--int8 FOLDER] [--key FILE] [--quick]

Trained on simulated patterns alone (`insitu.training.xrd_patterns`); its figures on real data are of the few real
patterns that there are. Shipped are both forms: in 8 bits as `pipelines/models/xrd_phases`, and in full precision, from
which that was made, as `pipelines/models/xrd_phases_fp32`. It is made to be confirmed by the non-negative fit:
`insitu.inference.phases_agree`.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from insitu.maths.diffraction import library
from insitu.models.manifest import Judgement
from insitu.models.preparing import preparation
from insitu.models.quantise import Trial
from insitu.readers.diffraction import Patterns
from insitu.training.export import from_torch, torch_of
from insitu.training.latency import outputs
from insitu.training.metrics import bootstrap, calibration_error, temperature, wilson
from insitu.training.options import Options, options
from insitu.training.publish import data, files_digest, publish, ranges_of, settings_digest
from insitu.training.quantised import quantised
from insitu.training.xrd_patterns import Known, drawn, known, strangers
from insitu.types import Arrival, Frame

PARAMS = {
    "grid": "q", "low": 1.0, "high": 7.0, "points": 1024, "spacing": "log", "background": 24, "scale": "sqrt",
    "normalise": "max", "cover": True, "coverage": 0.4,
}  # fmt: skip
PATTERNS, QUICK = (36_000, 3_000, 4_000), (600, 200, 200)
"""Simulated patterns for training, for the temperature and threshold, and for the figures."""
EPOCHS, BATCH, RATE = 12, 128, 2e-3
CALIBRATION, TRIED = 48, 600
"""Patterns that the ranges of 8 bits are found with, and that its gate is asked about."""


class Set:
    """Simulated patterns as the network gets them: `x` float16 `(n, 2, points)`, `truth` and `judged` bool `(n, c)`,
    `kind` (n,)."""

    def __init__(self, count: int, candidates: Sequence[Known], others: Sequence[Known], seed: Sequence[int]) -> None:
        prepare, random = preparation("pattern", PARAMS), np.random.default_rng(seed)
        self.x = np.zeros((count, 2, PARAMS["points"]), np.float16)
        self.truth, self.judged = np.zeros((2, count, len(candidates)), bool)
        self.kind: list[str] = []
        while len(self.kind) < count:
            one = drawn(candidates, others, random)
            made = prepare(one.frame)
            if made.input is None:
                continue
            at = len(self.kind)
            self.x[at], self.truth[at], self.judged[at] = made.input, one.truth > 0.0, one.judged > 0.0
            self.kind.append(one.kind)


def layers(torch: Any, classes: int) -> Any:
    """1024 points in four strides to 64 places of 24 numbers; where a line lies is kept up to the dense layer.

    Wide, and nothing but convolutions and ReLU, for the sake of 8 bits: a layer of 64 channels gains four times, one of
    16 to 32 hardly twice, and what a call costs whatever its layers do then weighs little.
    """
    nn = torch.nn

    def block(i: int, o: int, size: int, stride: int) -> list[Any]:
        return [nn.Conv1d(i, o, size, stride=stride, padding=size // 2), nn.BatchNorm1d(o), nn.ReLU()]

    return nn.Sequential(
        *block(2, 64, 7, 2), *block(64, 64, 9, 2), *block(64, 64, 9, 2), *block(64, 64, 9, 2), *block(64, 24, 1, 1),
        nn.Flatten(), nn.Dropout(0.15), nn.Linear(24 * PARAMS["points"] // 16, 64), nn.ReLU(), nn.Dropout(0.1),
        nn.Linear(64, classes),
    )  # fmt: skip


def train(torch: Any, data: Set, seed: int, epochs: int) -> Any:
    """The trained layers, in evaluation mode; multiplied in bfloat16, which halves the time."""
    torch.manual_seed(seed)
    net = layers(torch, data.truth.shape[1])
    steps = epochs * (len(data.x) // BATCH)
    optimiser = torch.optim.AdamW(net.parameters(), lr=RATE, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=2 * RATE, total_steps=steps + 1)
    random = np.random.default_rng(seed)
    for epoch in range(epochs):
        order, total = random.permutation(len(data.x)), 0.0
        for first in range(0, len(order) - BATCH + 1, BATCH):
            rows = order[first : first + BATCH]
            x = torch.from_numpy(data.x[rows].astype(np.float32))
            truth = torch.from_numpy(data.truth[rows].astype(np.float32))
            judged = torch.from_numpy(data.judged[rows].astype(np.float32))
            with torch.autocast("cpu", dtype=torch.bfloat16):
                said = net(x)
            loss = torch.nn.functional.binary_cross_entropy_with_logits(said.float(), truth, weight=judged)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            total += float(loss.detach()) * BATCH / len(order)
        print(f"epoch {epoch + 1}/{epochs}: loss {total:.5f}", flush=True)
    return net.eval()


class Real(NamedTuple):
    """A measured pattern, its sample, and the candidate that it is mostly of ("": none of them)."""

    frame: Frame
    sample: str
    phase: str


REAL = (
    ("series_cucr2o4_7-289K", "copper chromite", "copper_chromite"),
    ("ref_fluorapatite_lab/FAP.XRA", "fluorapatite", "fluorapatite"),
    ("frame2d_ceo2_pilatus1m/CeO2_Pilatus1M.xy", "ceria", "ceria"),
    ("ref_jadarite_11bm/11bmb_6231.fxye", "jadarite", ""),
)
"""Measured patterns under `xrd`, and what they are of (the README there)."""


def measured(folder: Path) -> list[Real]:
    """The measured patterns; none where the measurements are not there."""
    out: list[Real] = []
    for name, sample, phase in REAL:
        path = folder / "xrd" / name
        for arrival in Patterns(str(path))() if path.exists() else ():
            if isinstance(arrival, Arrival):
                fields = {f.name: getattr(arrival, f.name) for f in dataclasses.fields(arrival)}
                out.append(Real(Frame(seq=len(out), n=len(out), **fields), sample, phase))
    return out


def scores(logits: np.ndarray, at: float) -> np.ndarray:
    """Calibrated scores of logits at a temperature."""
    return 1.0 / (1.0 + np.exp(-np.clip(logits / at, -60.0, 60.0)))


def threshold(truth: np.ndarray, judged: np.ndarray, p: np.ndarray) -> float:
    """The score above which a candidate is there: of 0.2 to 0.8 the one with the best F1."""

    def f1(level: float) -> float:
        said = (p > level) & judged
        right = float(np.sum(said & truth))
        return 2.0 * right / max(1.0, float(said.sum() + truth.sum()))

    return float(max(np.arange(0.2, 0.81, 0.05), key=f1).round(2))


def simulated_figures(test: Set, p: np.ndarray, level: float) -> list[dict[str, Any]]:
    """How good it is on simulated patterns with seeds, and with strangers, of their own."""
    kind, some = np.array(test.kind), test.truth.any(axis=1)
    best = p.argmax(axis=1)
    first = test.truth[np.arange(len(p)), best]
    alone = test.truth.sum(axis=1) == 1
    eight = np.argsort(-p, axis=1)[:, :8]
    narrowed = np.take_along_axis(test.truth, eight, axis=1)
    said = (p > level) & test.judged
    right = int(np.sum(said & test.truth))
    quiet = {name: ~said[kind == name].any(axis=1) for name in ("empty", "stranger")}
    about = {"data": "simulated", "split": "other seeds, other strangers"}
    figures = {
        "first_is_right": (wilson(int(first[some].sum()), int(some.sum())), "patterns with a candidate in them"),
        "first_is_right_single": (wilson(int(first[alone].sum()), int(alone.sum())), "one candidate that can be seen"),
        "among_first_8": (wilson(int(narrowed[some].sum()), int(test.truth[some].sum())), "candidates there"),
        "precision": (wilson(right, max(1, int(said.sum()))), f"of what is said at {level:g}"),
        "recall": (wilson(right, int(test.truth.sum())), f"candidates of more than 2 % and 4 sigma, at {level:g}"),
        "empty_is_unknown": (wilson(int(quiet["empty"].sum()), max(1, quiet["empty"].size)), "no crystal"),
        "stranger_is_unknown": (wilson(int(quiet["stranger"].sum()), max(1, quiet["stranger"].size)), "no candidate"),
    }
    out = [figure.metric(name, note=note, **about) for name, (figure, note) in figures.items()]
    rows = test.judged.any(axis=1)
    error = bootstrap(
        lambda i: calibration_error(test.truth[rows][i].ravel(), p[rows][i].ravel()), range(int(rows.sum())), draws=100
    )
    return [*out, error.metric("calibration_error", note="10 bins", **about)]


def real_figures(real: Sequence[Real], names: Sequence[str], model: bytes, at: float, level: float) -> list[dict]:
    """How good it is on measured patterns: by sample, for the patterns of one are much alike."""
    prepare = preparation("pattern", PARAMS)
    right: dict[str, list[bool]] = {}
    quiet: dict[str, list[bool]] = {}
    for one in real:
        made = prepare(one.frame)
        if made.input is None:
            continue
        p = scores(outputs(model, made.input[None])[0][0], at)
        print(f"{one.sample}: {names[int(p.argmax())]} {p.max():.3f}")
        if one.phase:
            right.setdefault(one.sample, []).append(names[int(p.argmax())] == one.phase)
        else:
            quiet.setdefault(one.sample, []).append(bool(p.max() <= level))
    out = []
    for name, found, note in (
        ("first_is_right", right, "samples all of whose patterns have the right phase first"),
        ("stranger_is_unknown", quiet, "samples of no candidate"),
    ):
        if found:
            patterns = sum(len(v) for v in found.values())
            figure = wilson(sum(all(v) for v in found.values()), len(found))
            out.append(figure.metric(name, data="real", split="not trained on", note=f"{note}: {patterns} patterns"))
    return out


def main(arguments: Sequence[str] | None = None) -> None:
    chosen: Options = options(arguments, __doc__ or "")
    torch = torch_of()
    sizes, candidates = QUICK if chosen.quick else PATTERNS, known()
    names = [one.phase.name for one in candidates]
    learnt_from, tried_on = strangers(30 if chosen.quick else 400, 1), strangers(15 if chosen.quick else 150, 2)
    learn, tune, test = (
        Set(n, candidates, others, (chosen.seed, i))
        for i, (n, others) in enumerate(zip(sizes, (learnt_from, tried_on[::2], tried_on[1::2]), strict=True))
    )
    print(f"{sum(sizes)} patterns of {len(names)} candidates", flush=True)
    net = train(torch, learn, chosen.seed, 1 if chosen.quick else EPOCHS)
    model = from_torch(net, learn.x.shape[1:], output="logits")
    judged = tune.judged.all(axis=1)
    logits = outputs(model, tune.x.astype(np.float32))[0]
    at = temperature(logits[judged], tune.truth[judged].astype(float), multilabel=True)
    level = threshold(tune.truth, tune.judged, scores(logits, at))

    def figures(kind: str, form: bytes) -> list[dict[str, Any]]:
        """The figures of one form of the network, in full precision or in 8 bits."""
        found = simulated_figures(test, scores(outputs(form, test.x.astype(np.float32))[0], at), level)
        found += real_figures(measured(chosen.data), names, form, at, level)
        for metric in found:
            print(kind, metric)
        return found

    code = [Path(__file__), Path(__file__).with_name("xrd_patterns.py"), Path(library.__file__)]
    settings = {"code": files_digest(code), **PARAMS}
    calibration = learn.x[:CALIBRATION].astype(np.float32)
    bundle = publish(
        chosen,
        name="xrd_phases_fp32",
        script="insitu.training.xrd_phases",
        task="multilabel",
        modality="xrd",
        description=(
            f"Which of {len(names)} published structures a powder pattern holds, several at once. Trained on simulated "
            "patterns only; the measured ones are of a few samples. To be confirmed by the fit of xrd.phases."
        ),
        labels=names,
        model=model,
        preparation=("pattern", PARAMS),
        golden=test.x[:8].astype(np.float32),
        output_names=("logits",),
        trained_on=[data("simulated patterns", settings_digest(settings), "simulated", sizes[0])],
        split="by seed; what is no candidate is of other structures in training, tuning and test",
        metrics=figures("fp32", model),
        ranges=ranges_of(learn.x[:2000]),
        decision=Judgement(temperature=round(at, 4), threshold=level),
        calibration=calibration,
        batch_exact=True,
    )  # fmt: skip
    rows = np.flatnonzero(judged)[:TRIED]
    trial = Trial(inputs=tune.x[rows].astype(np.float32), right=tune.truth[rows], origin="simulated patterns, tuning")
    quantised(chosen, bundle, name="xrd_phases", calibration=calibration, trial=trial, figures=figures)


if __name__ == "__main__":
    main()
