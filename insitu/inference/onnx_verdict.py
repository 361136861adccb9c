"""What a network's numbers mean: known and sure, known and not wanted, or `unknown`, with the bundle's own limits.

The verdict's `model` is the digest of the bundle, so that every record says which network spoke. `unknown` is said
where the frame has no numbers, where more of the input lies outside of what the network was trained on than the
manifest allows (`ranges.share`) or a single feature lies far outside, where the best score is below
`decision.abstain_below`, where the picture of a segmentation is unclear to it or the value of a regression is less
certain than the manifest asks for, and always where training found that the data do not tell
(`decision.unobservable`).
"""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from insitu.errors import ConfigError
from insitu.inference.onnx_loading import load
from insitu.inference.onnx_scores import Range, anomaly_score, class_scores, regression
from insitu.models.bundle import Bundle
from insitu.models.manifest import Manifest
from insitu.models.preparing import Prepared, preparation
from insitu.types import Feature, Measurement, Verdict

OPTIONAL = ("certainty", "outside")
SIGMA = " sigma"
NAMED = 0.5
"""Score above which a label of a multilabel network is there, where the manifest gives no threshold."""


class Network:
    """Model: verdicts of a bundle's network.

    `bundle`: the same as that of the extractor `onnx`, whose features begin with `prefix` (default: the bundle's name);
    a bundle whose preparation is `features` runs here, on the features that its manifest names. `normal`: labels that
    are as they should be (default: every label that the network knows); any other one that is found is an anomaly.
    `source`: the only source that is judged. `allow_unsigned`, `stored`: as in the extractor.

    Scores: every label's; `outside`; of a regression the values. `score` is the one that decided.
    """

    def __init__(
        self,
        *,
        bundle: Path,
        prefix: str = "",
        normal: list[str] | None = None,
        source: str | None = None,
        allow_unsigned: bool = False,
        stored: bool = False,
        name: str = "network",
        units: Mapping[str, str] | None = None,
    ) -> None:
        self._loaded = load(bundle, allow_unsigned=allow_unsigned, stored=stored)
        self.bundle: Bundle = self._loaded.bundle
        self.manifest = m = self.bundle.manifest
        self.name, self.source, self.prefix = name, source, prefix or m.name
        self._labels, self._suffixes = m.keys, _suffixes(m)
        self._prepare: Callable[[Any], Prepared] | None = None
        if m.preparation.name == "features":
            self._prepare = preparation(m.preparation.name, m.preparation.params)
        self._keys = () if self._prepare else tuple(f"{self.prefix}_{key}" for key in self._suffixes)
        self._watched = tuple(str(k) for k in m.preparation.params.get("keys", ())) if self._prepare else self._keys
        self._range = Range(m)
        if units is not None:
            self._known(units)
        wanted = list(m.labels) if normal is None else normal
        if unknown := [label for label in wanted if label not in (*m.labels, *m.keys)]:
            raise ConfigError(
                f"the network does not know {', '.join(unknown)}",
                where="normal",
                expected=f"some of {', '.join(m.labels)}",
            )
        self.normal = frozenset(k for k, label in zip(m.keys, m.labels, strict=True) if {k, label} & set(wanted))

    def __call__(self, measurement: Measurement) -> Verdict | None:
        if not measurement.complete or (self.source is not None and measurement.source != self.source):
            return None
        if not any(self._find(measurement, key) for key in self._watched):
            return None
        numbers, why = self._run(measurement) if self._prepare else self._read(measurement)
        if why:
            return self._verdict("unknown", why)
        return self._judge(numbers)

    def _known(self, units: Mapping[str, str]) -> None:
        """Refuse a recipe in which nothing gives the features."""
        missing = [key for key in self._watched if key.removeprefix("context.") not in units and "context." not in key]
        if missing:
            told = "the bundle works on it" if self._prepare else 'the extractor "onnx" with the same bundle gives it'
            raise ConfigError(
                f"no feature is named {missing[0]!r}; {told}",
                where="bundle" if self._prepare else "prefix",
                expected=f"[[features]] that give {', '.join(self._watched)}",
            )

    @staticmethod
    def _find(measurement: Measurement, key: str) -> Feature | None:
        if key.startswith("context."):
            return measurement.context.get(key.removeprefix("context."))
        return measurement.features.get(key)

    def _read(self, measurement: Measurement) -> tuple[dict[str, float], str]:
        """The extractor's numbers by suffix, or why there are none."""
        numbers: dict[str, float] = {}
        for suffix, key in zip(self._suffixes, self._keys, strict=True):
            found = measurement.features.get(key)
            if found is not None and found.value is not None:
                numbers[suffix] = float(found.value)
                if self.manifest.task == "regression" and found.sigma is not None:
                    numbers[f"{suffix}{SIGMA}"] = float(found.sigma)
            elif suffix not in OPTIONAL:
                return {}, f"{key} is not known: {found.why if found else 'the frame has none'}"
        return numbers, ""

    def _run(self, measurement: Measurement) -> tuple[dict[str, float], str]:
        """The network on the measurement's features: numbers by suffix, or why there are none."""
        assert self._prepare is not None
        prepared, m = self._prepare(measurement), self.manifest
        x = prepared.input
        if x is None:
            return {}, prepared.why
        if m.task != "anomaly" and (far := self._range.furthest(x)) is not None:
            return {}, self._far(x, *far)
        raw = self._loaded.one(x)
        if not all(np.isfinite(y).all() for y in raw):
            return {}, "the network gave a number that is not finite"
        numbers = {"outside": self._range.share(x)} if self._range.known else {}
        if m.task == "anomaly":
            return {"score": anomaly_score(raw[0], x)} | numbers, ""
        if m.task == "regression":
            told = zip(self._labels, regression(m, raw), strict=True)
            for key, (value, sigma) in told:
                numbers |= {key: value} if sigma is None else {key: value, f"{key}{SIGMA}": sigma}
            return numbers, ""
        scores = class_scores(m, raw[0].reshape(-1))
        return {key: float(s) for key, s in zip(self._labels, scores, strict=True)} | numbers, ""

    def _far(self, x: np.ndarray, at: int, low: float, high: float) -> str:
        """That a feature is far from all that was trained on, as it was measured."""
        params = self.manifest.preparation.params
        key = str(params["keys"][at])
        log = key in params.get("log", ())
        value, low, high = (math.exp(min(v, 700.0)) if log else v for v in (float(x[at]), low, high))
        name = self.manifest.name
        return f"{key} is {value:.4g}, far outside of {low:.4g} to {high:.4g}, on which {name} was trained"

    def _judge(self, numbers: dict[str, float]) -> Verdict:
        if self.manifest.decision.unobservable:
            return self._verdict("unknown", self.manifest.decision.unobservable, None, numbers)
        outside, allowed = numbers.get("outside", 0.0), self.manifest.ranges.share
        if outside > allowed:
            return self._verdict(
                "unknown",
                f"{100 * outside:.1f} % of the input lies outside of what {self.manifest.name} was trained on (allowed "
                f"{100 * allowed:.1f} %)",
                outside,
                numbers,
            )
        task = self.manifest.task
        judge = {"classification": self._one_of, "multilabel": self._several, "anomaly": self._anomaly}.get(task)
        if judge is not None:
            return judge(numbers)
        return self._told(numbers)

    def _told(self, numbers: dict[str, float]) -> Verdict:
        """The values of a regression with their uncertainties, or the parts of a picture."""
        m = self.manifest
        sigmas = {s: numbers[f"{s}{SIGMA}"] for s in self._suffixes if f"{s}{SIGMA}" in numbers}
        said = ", ".join(
            f"{label} {numbers[key]:.4g}" + (f" \N{PLUS-MINUS SIGN} {sigmas[key]:.2g}" if key in sigmas else "")
            for label, key in zip(m.labels, (s for s in self._suffixes if s not in OPTIONAL), strict=True)
        )
        told = f"{m.name}: {said}{f' {m.unit}' if m.unit else ''}"
        most, least, sure = m.decision.threshold, m.decision.abstain_below, numbers.get("certainty", 1.0)
        if m.task == "regression" and isinstance(most, float) and max(sigmas.values(), default=0.0) > most:
            return self._verdict("unknown", f"{told}, too uncertain to be told (at most {most:g})", None, numbers)
        if m.task == "segmentation" and least is not None and sure < least:
            reason = f"the picture is unclear to {m.name}: certainty {sure:.2f}, {least:.2f} is asked for"
            return self._verdict("unknown", reason, sure, numbers)
        return self._verdict("normal", told, None, numbers)

    def _one_of(self, numbers: dict[str, float]) -> Verdict:
        """The best of several labels."""
        m = self.manifest
        best = max(self._labels, key=lambda key: numbers[key])
        score, label = numbers[best], m.labels[self._labels.index(best)]
        least = m.decision.abstain_below
        if least is not None and score < least:
            reason = f"{label} is the likeliest with {score:.2f}, and {m.name} says nothing below {least:.2f}"
            return self._verdict("unknown", reason, score, numbers)
        told = "normal" if best in self.normal else "anomaly"
        return self._verdict(told, f"{label} (score {score:.2f})", score, numbers)

    def _several(self, numbers: dict[str, float]) -> Verdict:
        """All labels that are there."""
        m, levels = self.manifest, self.manifest.decision.threshold
        each = levels if isinstance(levels, tuple) else (NAMED if levels is None else levels,) * len(self._labels)
        there = [k for k, level in zip(self._labels, each, strict=True) if numbers[k] >= level]
        names = {k: f"{label} ({numbers[k]:.2f})" for k, label in zip(self._labels, m.labels, strict=True)}
        best = max(self._labels, key=lambda key: numbers[key])
        if not there:
            reason = f"none of the {len(self._labels)} that {m.name} knows is there: the likeliest is {names[best]}"
            return self._verdict("unknown", reason, numbers[best], numbers)
        strange = [k for k in there if k not in self.normal]
        said = ", ".join(names[k] for k in strange or there)
        label = "anomaly" if strange else "normal"
        return self._verdict(label, f"{said} {'should not be there' if strange else 'found'}", numbers[best], numbers)

    def _anomaly(self, numbers: dict[str, float]) -> Verdict:
        """A score against the level that was set for a declared rate of false alarms."""
        m, score = self.manifest, numbers["score"]
        level = m.decision.threshold
        level = level[0] if isinstance(level, tuple) else level
        if level is None:
            return self._verdict("unknown", f"{m.name} has no threshold", score, numbers)
        if score <= level:
            return self._verdict("normal", f"anomaly score {score:.3g}, below {level:.3g}", score, numbers)
        rate = m.decision.false_alarms
        often = f", which {100 * rate:g} % of good frames are" if rate else ""
        return self._verdict("anomaly", f"anomaly score {score:.3g} is above {level:.3g}{often}", score, numbers)

    def _verdict(
        self, label: str, reason: str, score: float | None = None, scores: Mapping[str, float] | None = None
    ) -> Verdict:
        told = {key: value for key, value in (scores or {}).items() if not key.endswith(SIGMA)}
        return Verdict(label=label, score=score, scores=told, reason=reason, model=self.bundle.digest)


def _suffixes(m: Manifest) -> tuple[str, ...]:
    """The features of the extractor that are looked at, without its name."""
    if m.task == "anomaly":
        return ("score", "outside")
    if m.task == "segmentation":
        return (*(f"{key}_fraction" for key in m.keys), *OPTIONAL)
    return (*m.keys, "outside")
