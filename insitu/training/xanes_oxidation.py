"""The valence of Mn, Fe, Cr, V or Cu in a compound, from one K-edge spectrum, with its uncertainty.

    python -m insitu.training.xanes_oxidation --out pipelines/models/xanes_oxidation [--key FILE] [--quick]

Trained on the measured library (`insitu.training.xas_library`): 31 compounds, too few for a network that learns its own
features. Small heads compete instead (`insitu.training.xanes_heads`): a Gaussian process on eight numbers of the
spectrum, shared between elements, won. Its uncertainty is scaled so that the errors of compounds left out fit it.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from insitu.models.manifest import Judgement
from insitu.training.export import Net
from insitu.training.gaussian_process import Process, add_process
from insitu.training.metrics import Figure, bootstrap, wilson
from insitu.training.options import options
from insitu.training.publish import data, files_digest, publish, ranges_of
from insitu.training.xanes_features import POINTS, add_features, features
from insitu.training.xanes_heads import (
    HEADS,
    KERNELS,
    PARAMS,
    PROCESS,
    Rows,
    Told,
    best_of,
    compounds_of,
    disturbed,
    enlarged,
    learn,
    measured,
    mixtures,
    nested,
    without,
)
from insitu.training.xas_library import ELEMENTS

SPLIT = "compounds left out, settings chosen without them"


def graph(process: Process) -> bytes:
    """The process as ONNX: `(batch, 6, points)` (mu, then a row for each element) to valence and its uncertainty."""
    net = Net("input", (1 + len(ELEMENTS), POINTS))
    ends = [net.constant([v], np.int64) for v in (0, 1, 1 + len(ELEMENTS))]
    axis = net.constant([1], np.int64)
    mu = net.node("Slice", net.input, ends[0], ends[1], axis)
    element = net.node("ReduceMean", net.node("Slice", net.input, ends[1], ends[2], axis), axes=[2], keepdims=0)
    mean, sigma = add_process(net, add_features(net, mu), element, process)
    return net.model({"valence": mean, "sigma": sigma})


def prepared(rows: Rows) -> np.ndarray:
    """Rows as the preparation gives them, float32 `(n, 6, points)`."""
    elements = np.repeat(rows.element[:, :, None], POINTS, axis=2)
    return np.concatenate([rows.mu[:, None], elements], axis=1).astype(np.float32)


def error(told: Sequence[Told], rows: Rows, power: int = 1) -> Figure:
    """Mean absolute (power 1) or root mean square (2) error, every compound counted once."""
    each = np.array([np.mean(np.abs(t.said - rows.valence[t.rows]) ** power) for t in told])
    return bootstrap(lambda i: float(np.mean(each[i]) ** (1.0 / power)), range(len(each)))


def scale(told: Sequence[Told], rows: Rows) -> float:
    """By how much the uncertainties must be multiplied for the errors to have a mean square of 1 in their units."""
    return float(np.sqrt(np.mean([np.mean(((t.said - rows.valence[t.rows]) / t.sigma) ** 2) for t in told])))


def most_told(told: Sequence[Told], rows: Rows) -> float:
    """The largest uncertainty with which a value is told: that of nine in ten compounds left out is less."""
    return round(scale(told, rows) * float(np.quantile([np.mean(t.sigma) for t in told], 0.9)), 2)


def within(told: Sequence[Told], rows: Rows, sigmas: float) -> Figure:
    """Share of compounds whose mean error is below so many uncertainties, scaled by the other compounds."""
    right = 0
    for one in told:
        others = scale([t for t in told if t is not one], rows)
        right += int(abs(np.mean(one.said - rows.valence[one.rows])) <= sigmas * others * float(np.mean(one.sigma)))
    return wilson(right, len(told))


def harder(rows: Rows, best: str, seed: int) -> tuple[Figure, Figure]:
    """Mean absolute errors of compounds left out: with nuisance, and in mixtures with compounds of the training."""
    random, nuisance, mixed = np.random.default_rng((seed, 9)), [], []
    blends = mixtures(rows, (0.25, 0.5, 0.75))
    for compound in compounds_of(rows):
        free, own = without(rows, compound)
        made = learn(KERNELS[best], enlarged(rows.take(free), seed))
        worse = np.stack([disturbed(mu, random) for mu in rows.mu[own]])
        said, _ = made(features(worse), rows.element[own])
        nuisance.append(float(np.mean(np.abs(said - rows.valence[own]))))
        with_it = np.flatnonzero([compound in c for c in blends.compounds])
        if with_it.size:
            said, _ = made(features(blends.mu[with_it]), blends.element[with_it])
            mixed.append(float(np.mean(np.abs(said - blends.valence[with_it]))))
    return mean_of(nuisance), mean_of(mixed)


def mean_of(errors: Sequence[float]) -> Figure:
    """Mean error over compounds."""
    each = np.array(errors)
    return bootstrap(lambda i: float(each[i].mean()), range(len(each)))


def figures_of(found: dict[str, list[Told]], rows: Rows, best: str, seed: int) -> list[dict[str, Any]]:
    """The manifest's metrics."""
    told = found[PROCESS]
    about = {"data": "real", "split": SPLIT}
    out = [error(told, rows, 2).metric("rmse", note="valence units; n compounds", **about)]
    out.append(error(told, rows).metric("mean_absolute_error", note="valence units; n compounds", **about))
    for i, element in enumerate(ELEMENTS):
        own = [t for t in told if rows.element[t.rows[0], i] > 0.5]
        out.append(error(own, rows).metric(f"mean_absolute_error_{element}", note="valence units", **about))
    out.append(within(told, rows, 1.0).metric("within_1_sigma", note="0.68 is expected", **about))
    out.append(within(told, rows, 2.0).metric("within_2_sigma", note="0.95 is expected", **about))
    nuisance, mixed = harder(rows, best, seed)
    note = "energies off by 0.5 eV rms, broadened, damped, noisy"
    out.append(nuisance.metric("mean_absolute_error_nuisance", note=note, data="real", split="compounds left out"))
    note = "computed mixtures of a compound left out with others"
    out.append(mixed.metric("mean_absolute_error_mixtures", note=note, data="real", split="compounds left out"))
    for name, other in found.items():
        if name != PROCESS:
            out.append(error(other, rows).metric("mean_absolute_error_rival", note=name, **about))
    return out


def main(arguments: Sequence[str] | None = None) -> None:
    chosen = options(arguments, __doc__ or "")
    rows, files = measured(chosen.data)
    heads = {name: dict(list(s.items())[: 2 if chosen.quick else None]) for name, s in HEADS.items()}
    found = {}
    for name, settings in heads.items():
        found[name] = nested(settings, rows, chosen.seed)
        print(f"{name}: {error(found[name], rows)}", flush=True)
    if min(found, key=lambda name: error(found[name], rows).value) != PROCESS and not chosen.quick:
        raise SystemExit("another head is better than the Gaussian process: write that one instead")
    for told in found[PROCESS]:
        truth, said, sigma = rows.valence[told.rows[0]], told.said.mean(), told.sigma.mean()
        print(f"  {told.compound}: {truth:.2f}, said {said:.2f} +- {sigma:.2f}")
    best = best_of(heads[PROCESS], rows, chosen.seed)
    larger = enlarged(rows, chosen.seed)
    model = graph(learn(KERNELS[best], larger))
    metrics = figures_of(found, rows, best, chosen.seed)
    for metric in metrics:
        print(metric)
    golden = prepared(rows)
    publish(
        chosen,
        name="xanes_oxidation",
        script="insitu.training.xanes_oxidation",
        task="regression",
        modality="xafs",
        description=(
            f"Mean valence of {', '.join(ELEMENTS)} from a K-edge spectrum, with its uncertainty, by a Gaussian "
            f"process ({best}) trained on {len(compounds_of(rows))} measured compounds. Energies must be right "
            "within about 1 eV: calibrate with a foil. Compounds unlike those of the library are told with a larger "
            "uncertainty."
        ),
        labels=["valence"],
        model=model,
        preparation=("spectrum", PARAMS),
        golden=golden[:: max(1, len(golden) // 16)][:16],
        output_names=("valence", "sigma"),
        trained_on=[data("IXAS X-ray Absorption Data Library", files_digest(files), "real", len(rows.mu))],
        split=f"by compound: {SPLIT}",
        metrics=metrics,
        ranges=ranges_of(prepared(larger), share=0.02, room=0.15),
        decision=Judgement(
            temperature=round(scale(found[PROCESS], rows), 4), threshold=most_told(found[PROCESS], rows)
        ),
        batch_exact=False,
    )


if __name__ == "__main__":
    main()
