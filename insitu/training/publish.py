"""A trained network as a bundle: manifest, golden inputs and outputs, latency, signature."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
import orjson

from insitu.models.bundle import Bundle, write_bundle
from insitu.models.manifest import (
    Judgement,
    Latency,
    Manifest,
    Metric,
    Preparation,
    Ranges,
    Tensor,
    Tolerance,
    Training,
    TrainingData,
)
from insitu.models.preparing import digest
from insitu.training.latency import latency, outputs
from insitu.training.options import Options

YEARS = 5
LICENCE = (
    "BSD 3-Clause License. The weights of this network were made by the scripts of insitu and are part of it; the\n"
    "licence of insitu applies: https://spdx.org/licenses/BSD-3-Clause.html\n"
)


def files_digest(paths: Iterable[Path]) -> str:
    """`sha256:...` over names and contents of files, in order of names."""
    total = hashlib.sha256()
    for path in sorted(paths, key=lambda p: p.name):
        total.update(path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return f"sha256:{total.hexdigest()}"


def settings_digest(settings: Mapping[str, Any]) -> str:
    """`sha256:...` over the settings of a simulator."""
    body = orjson.dumps(dict(settings), option=orjson.OPT_SORT_KEYS | orjson.OPT_SERIALIZE_NUMPY, default=str)
    return f"sha256:{hashlib.sha256(body).hexdigest()}"


def data(name: str, digest: str, kind: Literal["real", "simulated"], n: int) -> TrainingData:
    """One body of training data."""
    return TrainingData(name=name, digest=digest, kind=kind, n=n)


def publish(
    options: Options,
    *,
    name: str,
    script: str,
    task: Literal["classification", "multilabel", "regression", "segmentation", "anomaly"],
    modality: str,
    description: str,
    labels: Sequence[str],
    model: bytes,
    preparation: tuple[str, Mapping[str, Any]],
    golden: np.ndarray,
    trained_on: Sequence[TrainingData],
    split: str,
    metrics: Sequence[Mapping[str, Any]],
    unit: str = "",
    input_unit: str = "",
    output_names: Sequence[str] = ("output",),
    ranges: Ranges | None = None,
    decision: Judgement | None = None,
    calibration: np.ndarray | None = None,
    batch_exact: bool = False,
    tolerance: Tolerance | None = None,
    input_name: str = "input",
    parent: str = "",
) -> Bundle:
    """Write the bundle to `options.out` and read it back.

    `golden`: some prepared inputs `(k, ...)`, float32; their outputs are computed here. `metrics`: as
    `metrics.Figure.metric` gives them. `output_names` are those of the graph, in order.
    """
    made = outputs(model, golden)
    today = datetime.now(UTC).date()
    params = dict(preparation[1])
    manifest = Manifest(
        name=name,
        version=options.version,
        serial=options.serial,
        created=today.isoformat(),
        expires=today.replace(year=today.year + YEARS, day=min(today.day, 28)).isoformat(),
        task=task,
        modality=modality,
        description=description,
        labels=tuple(labels),
        unit=unit,
        inputs=Tensor(name=input_name, shape=(None, *golden.shape[1:]), unit=input_unit),
        outputs=tuple(
            Tensor(name=n, shape=(None, *y.shape[1:]), unit=unit) for n, y in zip(output_names, made, strict=True)
        ),
        preparation=Preparation(name=preparation[0], params=params, digest=digest(preparation[0], params)),
        ranges=ranges or Ranges(),
        decision=decision or Judgement(),
        training=Training(script=script, data=tuple(trained_on), split=split, seed=options.seed),
        metrics=tuple(Metric(**m) for m in metrics),
        latency=Latency(**latency(model, golden[0])),
        batch_exact=batch_exact,
        tolerance=tolerance or Tolerance(),
        parent=parent,
    )
    bundle = write_bundle(
        options.out, manifest, model=model, golden=(golden, *made), calibration=calibration, licence=LICENCE,
        key=options.key,
    )  # fmt: skip
    size = sum(len(content) for content in bundle.files.values())
    print(f"{options.out}: {name} {options.version}, {size / 1e3:.0f} kB, {bundle.digest[:19]}...")
    return bundle


def ranges_of(inputs: np.ndarray, *, share: float = 0.02, room: float = 0.1) -> Ranges:
    """Ranges of each channel (first axis without batch) of training inputs `(n, c, ...)`, with some room."""
    flat = np.moveaxis(np.asarray(inputs, np.float32), 1, 0).reshape(inputs.shape[1], -1)
    low, high = flat.min(axis=1), flat.max(axis=1)
    wide = np.maximum(high - low, 1e-6) * room
    return Ranges(
        low=tuple(float(v) for v in (low - wide).round(6)), high=tuple(float(v) for v in (high + wide).round(6)),
        share=share,
    )  # fmt: skip
