"""A model that says which of some known states a machine is in, from examples: healthy or broken, worn, unbalanced.

Examples are tables of features as `insitu export RUN -o healthy-load0.csv` writes them, in one folder; the name of a
file is its class up to the first `-`, what follows names the group (a load, a day, a machine). The model is a linear
discriminant with one covariance for all classes (`insitu.maths.line.discriminant`). Numbers that are positive in all
examples are taken as logarithms: what machines do, they do by factors.

A frame further from every class than examples of a group left out of the learning were, by the factor `beyond`, is
`unknown`: it is none of the classes, or nothing like the examples.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from insitu.errors import ConfigError
from insitu.maths.line.discriminant import Discriminant, learn
from insitu.types import Measurement, Verdict


class Classes:
    """Verdicts `normal` (a class of `normal`), `anomaly` (any other class), `review` (no class is `sure`), `unknown`.

    `examples`: the folder of tables. `features`: keys that decide. `normal`: classes that are as they should be.
    `sure`: least chance of the best class. `shrink`: 0 takes the covariance of the examples as it is, 1 only variances.
    Scores: the chance of each class; `score` is the distance to the best one, over the largest of the examples.
    """

    def __init__(
        self,
        *,
        examples: Path,
        features: list[str],
        normal: list[str],
        sure: float = 0.9,
        beyond: float = 2.0,
        shrink: float = 0.2,
        source: str | None = None,
        name: str = "classes",
        units: Mapping[str, str] | None = None,
    ) -> None:
        if not features or len(set(features)) < len(features):
            raise ConfigError("the features are none, or repeat", where="features", expected="different keys")
        for where, value, low, high in (
            ("sure", sure, 0.0, 1.0),
            ("shrink", shrink, 0.0, 1.0),
            ("beyond", beyond, 1.0, 1e6),
        ):
            if not low <= value <= high:
                raise ConfigError(f"{where} is {value:g}", where=where, expected=f"{low:g} to {high:g}")
        unknown = next((k for k in features if units is not None and k not in units), None)
        if unknown is not None:
            raise ConfigError(
                f"no feature is named {unknown!r}",
                where="features",
                expected=f"some of {', '.join(sorted(units or ()))[:300]}",
            )
        self.name, self.source, self.features = name, source, tuple(features)
        self.normal, self.sure, self.beyond = tuple(normal), sure, beyond
        rows, labels, groups = _examples(examples, self.features)
        self._log = (rows > 0.0).all(axis=0)
        self._known = _learn(self._numbers(rows), labels, groups, shrink, examples)
        wrong = [c for c in normal if c not in self._known.classes]
        if wrong or not normal:
            raise ConfigError(
                f"there is no class {wrong[0]!r}" if wrong else "no class is normal",
                where="normal",
                expected=f"some of {', '.join(self._known.classes)}",
            )

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes of the examples."""
        return self._known.classes

    def __call__(self, measurement: Measurement) -> Verdict | None:
        if not measurement.complete or (self.source is not None and measurement.source != self.source):
            return None
        found = [measurement.features.get(key) for key in self.features]
        if all(f is None for f in found):
            return None
        lacking = next((key for key, f in zip(self.features, found, strict=True) if f is None or f.value is None), None)
        if lacking is not None:
            feature = measurement.features.get(lacking)
            return Verdict(label="unknown", reason=f"{lacking} is not known: {feature.why if feature else 'not there'}")
        x = np.array([float(f.value) for f in found if f is not None and f.value is not None])
        if (x[self._log] <= 0.0).any():
            key = self.features[int(np.flatnonzero(self._log & (x <= 0.0))[0])]
            return Verdict(label="unknown", reason=f"{key} is not positive, as it is in every example")
        return self._judge(self._numbers(x[None])[0])

    def _judge(self, x: np.ndarray) -> Verdict:
        distances, chances = self._known.distances(x), self._known.chances(x)
        best = int(distances.argmin())
        name, chance = self._known.classes[best], float(chances[best])
        score = float(distances[best]) / self._known.reach
        scores = dict(zip(self._known.classes, chances.tolist(), strict=True))
        if score > self.beyond:
            words = (
                f"like none of {', '.join(self._known.classes)}: {score:.1f} times as far from {name}, the nearest, "
                "as any example was"
            )
            return Verdict(label="unknown", score=score, scores=scores, reason=words)
        if chance < self.sure:
            return Verdict(
                label="review", score=score, scores=scores, reason=f"{name} with a chance of only {100 * chance:.0f} %"
            )
        label = "normal" if name in self.normal else "anomaly"
        return Verdict(label=label, score=score, scores=scores, reason=f"{name} (chance {100 * chance:.1f} %)")

    def _numbers(self, rows: np.ndarray) -> np.ndarray:
        """The numbers `(n, k)` that are compared: logarithms where all examples are positive."""
        return np.where(self._log, np.log(np.where(self._log, rows, 1.0)), rows)


def _learn(x: np.ndarray, labels: list[str], groups: list[str], shrink: float, folder: Path) -> Discriminant:
    try:
        known = learn(x, labels, groups, shrink=shrink)
    except ValueError as error:
        raise ConfigError(
            f"the examples do not suffice: {error}", where="examples", expected=f"tables in {folder.name}"
        ) from error
    if not known.reach > 0.0:
        raise ConfigError(
            "all examples of a class are the same", where="examples", expected="examples that differ as frames do"
        )
    return known


def _examples(folder: Path, features: tuple[str, ...]) -> tuple[np.ndarray, list[str], list[str]]:
    """The numbers `(n, k)`, the class and the group of every example in the folder's tables."""
    tables = sorted(folder.glob("*.csv")) if folder.is_dir() else [folder]
    rows: list[list[float]] = []
    labels: list[str] = []
    groups: list[str] = []
    for table in tables:
        name, _, group = table.stem.partition("-")
        for values in _rows(table, features):
            rows.append(values)
            labels.append(name)
            groups.append(group)
    if not rows:
        raise ConfigError(
            "there are no examples", where="examples", expected="tables such as healthy-load0.csv, by insitu export"
        )
    return np.array(rows), labels, groups


def _rows(table: Path, features: tuple[str, ...]) -> list[list[float]]:
    """The features of each frame of a table; frames without one of them are left out."""
    try:
        with table.open(encoding="utf-8", newline="") as file:
            reader = csv.reader(file)
            titles = [title.partition(" [")[0] for title in next(reader, [])]
            missing = [key for key in features if key not in titles]
            if missing:
                raise ConfigError(
                    f"the table {table.name} has no column {missing[0]!r}",
                    where="examples",
                    expected="a table written by insitu export, of a run with the same features",
                )
            at = [titles.index(key) for key in features]
            found = [[_number(row[i]) if i < len(row) else math.nan for i in at] for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(
            f"the table {table.name} cannot be read: {error}", where="examples", expected="CSV"
        ) from error
    return [values for values in found if all(map(math.isfinite, values))]


def _number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return math.nan
