"""A trained network as an extractor: a frame through a signed bundle (`insitu.models`) to calibrated numbers.

| task | features (`name_` before each) |
|---|---|
| classification, multilabel | `<label>` score 0 to 1 each; `margin` of the best over the next |
| regression | `<label>` in the manifest's unit, with its standard uncertainty |
| segmentation | `<label>_fraction` of the pixels; array `map`, uint8 `(y, x)`: the label's number (of one label: 1) |
| | `certainty`: the mean of the pixels' highest scores |
| anomaly | `score` |
| all | `outside`: share of the prepared input that lies outside of what the network was trained on |

Scores are calibrated by the manifest's temperature (`insitu.inference.onnx_scores`). A frame that cannot be prepared
has no numbers, and each says why. The preparation is the one that training used (`insitu.models.preparing`). Pure: one
thread, one frame; where the manifest says `batch_exact`, `many` gives the same bits for several frames at once.
The model `network` makes verdicts of these numbers.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from insitu.errors import ConfigError
from insitu.inference.onnx_loading import load
from insitu.inference.onnx_scores import Range, anomaly_score, class_scores, margin, regression
from insitu.inference.onnx_tiles import cut, whole
from insitu.models.bundle import Bundle
from insitu.models.preparing import Prepared, preparations
from insitu.types import KEY, ArrayFeature, Feature, Frame, Output, References

BATCH = 64
"""Frames at once, where the bundle allows it and this processor keeps to it."""
MOST_NUMBERS = 1 << 14
"""Of their inputs: what a network makes of more does not stay in the processor's cache, and is slower."""
Numbers = dict[str, Feature | ArrayFeature]


class Onnx:
    """Extractor: a bundle's network on every frame.

    `bundle`: a folder, the name of a shipped bundle, or `registry:NAME`. `name`: prefix of the keys (default: the
    bundle's own name). `allow_unsigned`: take a bundle that nobody vouches for; recorded with the run. `stored` is
    told by the configuration: the bundle is the copy in a run.
    """

    def __init__(self, *, bundle: Path, name: str = "", allow_unsigned: bool = False, stored: bool = False) -> None:
        if name and not KEY.fullmatch(name):
            raise ConfigError(f"{name!r} cannot begin a key", where="name", expected="a-z, then a-z, 0-9 or _")
        self._loaded = load(bundle, allow_unsigned=allow_unsigned, stored=stored)
        self.bundle: Bundle = self._loaded.bundle
        self.manifest = m = self.bundle.manifest
        if m.preparation.name == "features":
            raise ConfigError(
                f"the network {m.name!r} works on features, not on frames",
                where="bundle",
                expected='[[models]] with use = "network" and this bundle',
            )
        if m.inputs.dtype != "float32":
            raise ConfigError(f"the network takes {m.inputs.dtype}", where="bundle", expected="float32")
        self.name, self._labels = name or m.name, m.keys
        self._prepare: Callable[[Sequence[Any]], list[Prepared]]
        self._prepare = preparations(m.preparation.name, m.preparation.params)
        self._shape = tuple(n or 1 for n in m.inputs.shape[1:])
        self._range = Range(m)
        self._overlap = int(m.preparation.params.get("overlap", 0))
        if m.task == "segmentation":
            for n in self._shape[1:]:
                cut(n, n, self._overlap)
        self.outputs = {f"{self.name}_{key}": output for key, output in self._promised().items()}
        self.batch = at_once(self._shape) if self._loaded.exact else 1

    def __call__(self, frame: Frame, refs: References, before: Sequence[Frame]) -> Mapping[str, Feature | ArrayFeature]:
        """The numbers of one frame."""
        if self.manifest.task != "segmentation":
            return self.many([frame])[0]
        x, why = self._inputs([frame])[0]
        return self._without(why) if x is None else self._named(self._segmented(x, frame))

    def many(self, frames: Sequence[Frame]) -> list[Mapping[str, Feature | ArrayFeature]]:
        """The numbers of several frames, bit by bit those of one after another; for bundles with `batch_exact`."""
        inputs = self._inputs(frames)
        there = [x for x, _ in inputs if x is not None]
        told = iter(self._scored(np.array(there)) if there else [])
        return [self._without(why) if x is None else next(told) for x, why in inputs]

    def _inputs(self, frames: Sequence[Frame]) -> list[tuple[np.ndarray | None, str]]:
        """The prepared input of each frame, or why there is none."""
        try:
            return [self._fitting(found) for found in self._prepare(frames)]
        except (ValueError, ArithmeticError, LookupError) as e:
            if len(frames) == 1:
                return [(None, f"the frame cannot be prepared: {e}")]
        return [self._inputs([frame])[0] for frame in frames]

    def _fitting(self, found: Prepared) -> tuple[np.ndarray | None, str]:
        x = found.input
        if x is None:
            return None, found.why
        tiled = self.manifest.task == "segmentation" and x.ndim == 3 and x.shape[0] == self._shape[0]
        if x.shape != self._shape and not tiled:
            return None, f"the prepared frame has the shape {list(x.shape)}, the network takes {list(self._shape)}"
        return x, ""

    def _scored(self, x: np.ndarray) -> list[Mapping[str, Feature | ArrayFeature]]:
        """The features of several inputs `(k, ...)`."""
        raw = self._loaded.run(x) if len(x) > 1 else [y[None] for y in self._loaded.one(x[0])]
        if all(np.isfinite(y).all() for y in raw):
            return self._told(raw, x)
        finite = np.array([all(np.isfinite(y[i]).all() for y in raw) for i in range(len(x))])
        told = iter(self._told([y[finite] for y in raw], x[finite]) if finite.any() else [])
        return [next(told) if row else self._without("the network gave a number that is not finite") for row in finite]

    def _told(self, raw: list[np.ndarray], x: np.ndarray) -> list[Mapping[str, Feature | ArrayFeature]]:
        """The same of raw outputs, all finite, and inputs, `(k, ...)` each."""
        m, found = self.manifest, self._outside(x)
        if m.task == "anomaly":
            for row, y, z in zip(found, raw[0], x, strict=True):
                row["score"] = Feature(anomaly_score(y, z), m.unit)
        elif m.task == "regression":
            for i, row in enumerate(found):
                for key, (value, sigma) in zip(self._labels, regression(m, [y[i] for y in raw]), strict=True):
                    row[key] = Feature(value, m.unit, sigma=sigma)
        else:
            scores = class_scores(m, raw[0].reshape(len(x), -1), axis=1)
            for row, each, over in zip(found, scores.tolist(), margin(scores).tolist(), strict=True):
                row |= {key: Feature(score, "") for key, score in zip(self._labels, each, strict=True)}
                row["margin"] = Feature(over, "")
        return [self._named(row) for row in found]

    def _segmented(self, x: np.ndarray, frame: Frame) -> Numbers:
        """Fractions and map of an image `(channel, y, x)`, through tiles where it is not of the network's size."""
        m = self.manifest
        logits = whole(x, (self._shape[1], self._shape[2]), self._overlap, lambda tile: self._loaded.one(tile)[0])
        found = self._outside(x[None])[0]
        if not np.isfinite(logits).all():
            why = "the network gave a number that is not finite"
            return {key.removeprefix(f"{self.name}_"): f for key, f in self._without(why).items()}
        scores = class_scores(m, logits)
        if logits.shape[0] == 1:
            level = m.decision.threshold
            level = level[0] if isinstance(level, tuple) else level
            labels = (scores[0] >= (0.5 if level is None else level)).astype(np.uint8)
            numbers, best = [1], np.maximum(scores[0], 1.0 - scores[0])
        else:
            best = scores.max(axis=0)
            labels = logits.argmax(axis=0).astype(np.uint8)
            numbers = list(range(len(m.labels)))
        seen = None if frame.mask is None or frame.mask.shape != labels.shape else ~np.asarray(frame.mask, bool)
        counted, sure = (labels, best) if seen is None else (labels[seen], best[seen])
        found["certainty"] = Feature(float(sure.mean()) if sure.size else 0.0, "")
        for key, number in zip(self._labels, numbers, strict=True):
            found[f"{key}_fraction"] = Feature(np.count_nonzero(counted == number) / max(1, counted.size), "")
        return {**found, "map": ArrayFeature(values=labels, dims=("y", "x"))}

    def _outside(self, x: np.ndarray) -> list[Numbers]:
        """How far each of several inputs lies outside."""
        if not self._range.known:
            why = "the manifest does not say what the network was trained on"
            return [{"outside": Feature(None, "", why=why)} for _ in x]
        return [{"outside": Feature(share, "")} for share in self._range.shares(x)]

    def _promised(self) -> dict[str, Output]:
        """Keys without prefix. Elsewhere the numbers may differ as far as the golden outputs may."""
        m = self.manifest
        rtol, atol = m.tolerance.relative, m.tolerance.absolute
        outside = {"outside": Output(unit="", rtol=0.0, atol=0.01)}
        if m.task == "segmentation":
            keys = {f"{key}_fraction": Output(unit="", rtol=0.0, atol=1e-3) for key in m.keys}
            sure = {"certainty": Output(unit="", rtol=0.0, atol=0.01)}
            return {**keys, "map": Output(unit="", array=True), **sure, **outside}
        if m.task == "anomaly":
            return {"score": Output(unit=m.unit, rtol=rtol, atol=atol), **outside}
        if m.task == "regression":
            return {key: Output(unit=m.unit, rtol=rtol, atol=atol) for key in m.keys} | outside
        return {key: Output(unit="", rtol=rtol, atol=atol) for key in (*m.keys, "margin")} | outside

    def _named(self, found: Numbers) -> Mapping[str, Feature | ArrayFeature]:
        return {f"{self.name}_{key}": value for key, value in found.items()}

    def _without(self, why: str) -> Mapping[str, Feature | ArrayFeature]:
        """No numbers at all, and why."""
        return {key: Feature(None, output.unit, why=why) for key, output in self.outputs.items()}


def at_once(shape: tuple[int, ...]) -> int:
    """How many prepared inputs of a shape are best given to a network at once.

    >>> at_once((1, 64)), at_once((2, 1024))
    (64, 8)
    """
    return max(1, min(BATCH, MOST_NUMBERS // max(1, math.prod(shape))))
