"""The manifest of a bundle: what the network is, what it was trained on, how good it is, and what it may be fed.

`manifest.json` is canonical: reading it and writing it again gives the same bytes, so there is one digest for one
content, and a doubled key or a hidden one cannot be. What is wrong raises `ModelError` with the key.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Literal

from insitu.errors import ModelError, UnitError
from insitu.models import parsing
from insitu.units import check_unit

FORMAT = 1
NAME = "manifest.json"
LARGEST = 256 * 1024
"""Bytes of a manifest."""
MOST_LABELS = 1000

DTYPES = ("float32", "float64", "uint8", "int8", "int32", "int64")
Task = Literal["classification", "multilabel", "regression", "segmentation", "anomaly"]
Numbers = float | tuple[float, ...] | None
"""One number for all, one for each channel (or label), or not given."""


def slug(label: str) -> str:
    """A label as part of a feature's key."""
    return re.sub(r"[^a-z0-9]+", "_", label.lower()).strip("_")


def _text(x: str, where: str, longest: int = 100) -> None:
    if not 0 < len(x) <= longest or not x.isprintable() or not slug(x):
        raise ModelError(f"{x[:40]!r}", where=where, expected=f"1 to {longest} printable characters, one of a-z or 0-9")


def _key(x: str, where: str) -> None:
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,63}", x):
        raise ModelError(f"{x[:40]!r}", where=where, expected="a to z, then a to z, 0 to 9 and _; at most 64")


def _digest(x: str, where: str) -> None:
    if not re.fullmatch(r"sha256:[0-9a-f]{64}", x):
        raise ModelError(f"{x[:40]!r} is no digest", where=where, expected="sha256: and 64 hexadecimal digits")


def _share(x: float, where: str) -> None:
    if not 0 <= x <= 1:
        raise ModelError(f"{x:g}", where=where, expected="0 to 1")


def _unit(x: str, where: str) -> None:
    if x:
        try:
            check_unit(x)
        except UnitError as e:
            raise ModelError(e.what, where=where, expected=e.expected, remedy=e.remedy) from e


def _date(x: str, where: str) -> date:
    try:
        if len(x) != len("2026-11-22"):
            raise ValueError
        return date.fromisoformat(x)
    except ValueError:
        raise ModelError(f"{x[:40]!r} is no date", where=where, expected="a date like 2026-11-22") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensor:
    """An input or an output of the network. `shape`: None stands for the batch, as the first only."""

    name: str
    shape: tuple[int | None, ...]
    dtype: Literal["float32", "float64", "uint8", "int8", "int32", "int64"] = "float32"
    unit: str = ""

    def __post_init__(self) -> None:
        _text(self.name, "name")
        if not 1 <= len(self.shape) <= 6 or any(n is None for n in self.shape[1:]):
            raise ModelError(
                f"the shape {list(self.shape)}", where="shape", expected="1 to 6 sizes, null as the first only"
            )
        if any(n is not None and not 1 <= n <= 2**24 for n in self.shape):
            raise ModelError(f"the shape {list(self.shape)}", where="shape", expected="sizes from 1 to 16,777,216")
        _unit(self.unit, "unit")

    def of(self, batch: int) -> tuple[int, ...]:
        """The shape with so many in the batch.

        >>> Tensor(name="x", shape=(None, 1, 8)).of(3)
        (3, 1, 8)
        """
        return tuple(batch if n is None else n for n in self.shape)


@dataclass(frozen=True, slots=True, kw_only=True)
class Preparation:
    """The function of `insitu.models.preparing` that makes the input from a frame, and the digest of its name,
    parameters and version."""

    name: str
    params: Mapping[str, Any]
    digest: str

    def __post_init__(self) -> None:
        _key(self.name, "name")
        _digest(self.digest, "digest")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranges:
    """Where the prepared inputs of the training lay, as one number or one for each channel (first axis). Where more
    than `share` of an input lies outside, that is said."""

    low: Numbers = None
    high: Numbers = None
    share: float = 0.0

    def __post_init__(self) -> None:
        _share(self.share, "share")
        low, high = (x if isinstance(x, tuple) else (x,) for x in (self.low, self.high))
        if None not in low + high and (len(low) != len(high) or any(a > b for a, b in zip(low, high, strict=True))):  # type: ignore[operator]
            raise ModelError("low and high do not fit each other", where="low", expected="as many, none above its high")


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """How scores become a verdict: logits are divided by `temperature`; a highest score below `abstain_below` is
    `unknown`; above `threshold` (one, or one for each label) it is named, or for an anomaly score an anomaly; so set
    that clean frames give `false_alarms` of them (a share). Of a segmentation `abstain_below` is compared with the mean
    over pixels of their highest score; of a regression `threshold` is the largest standard uncertainty with which a
    value is told. `unobservable`: why the data tell nothing of this at all,
    found when it was trained; every verdict is `unknown` then."""

    temperature: float = 1.0
    abstain_below: float | None = None
    threshold: Numbers = None
    false_alarms: float | None = None
    unobservable: str = ""

    def __post_init__(self) -> None:
        if self.unobservable:
            _text(self.unobservable, "unobservable", 500)
        if self.temperature <= 0:
            raise ModelError(f"the temperature {self.temperature:g}", where="temperature", expected="above 0")
        for name in ("abstain_below", "false_alarms"):
            if (x := getattr(self, name)) is not None:
                _share(x, name)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingData:
    """One body of data: a digest over its files (or of the simulator's settings) and how many frames."""

    name: str
    digest: str
    kind: Literal["real", "simulated"]
    n: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """The script that made the network, its data, and by what the data were split (`by sample`, never by row)."""

    script: str
    data: tuple[TrainingData, ...]
    split: str
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A figure on data held back: value, 95 % interval (`low`, `high`), number of cases `n`, real or simulated."""

    name: str
    value: float
    low: float | None = None
    high: float | None = None
    n: int
    data: Literal["real", "simulated"]
    split: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantisation:
    """`fp32`, `static-int8`, `dynamic-int8`, and the table of what was compared before that was chosen."""

    kind: str = "fp32"
    table: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """Of one inference with one thread: median and 99th percentile, on which processor with which flags."""

    p50_ms: float
    p99_ms: float
    cpu: str = ""
    flags: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tolerance:
    """How far a golden output may be from what this machine computes: `absolute + relative * |expected|`."""

    absolute: float = 1e-4
    relative: float = 1e-3

    def __post_init__(self) -> None:
        for name in ("absolute", "relative"):
            _share(getattr(self, name), name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """Everything that a bundle says of itself. `write_bundle` fills `operators` and `files`."""

    format: int = FORMAT
    name: str
    version: str
    serial: int
    created: str
    expires: str
    task: Task
    modality: str
    description: str
    labels: tuple[str, ...] = ()
    unit: str = ""
    inputs: Tensor
    outputs: tuple[Tensor, ...]
    preparation: Preparation
    ranges: Ranges = Ranges()
    decision: Judgement = Judgement()
    training: Training
    metrics: tuple[Metric, ...]
    quantisation: Quantisation = Quantisation()
    latency: Latency | None = None
    operators: tuple[str, ...] = ()
    batch_exact: bool = False
    tolerance: Tolerance = Tolerance()
    parent: str = ""
    licence: str = "BSD-3-Clause"
    files: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.format != FORMAT:
            remedy = "Install a newer insitu" if self.format > FORMAT else "Write the bundle again"
            raise ModelError(f"format {self.format}", where="format", expected=str(FORMAT), remedy=remedy)
        _key(self.name, "name")
        _key(self.modality, "modality")
        if not re.fullmatch(r"\d{1,6}\.\d{1,6}\.\d{1,6}", self.version):
            raise ModelError(f"the version {self.version!r}", where="version", expected="numbers like 1.0.0")
        if not 1 <= self.serial < 2**53:
            raise ModelError(f"the serial {self.serial}", where="serial", expected="1 or more")
        if _date(self.created, "created") > _date(self.expires, "expires"):
            raise ModelError(f"expires on {self.expires}", where="expires", expected=f"{self.created}, or later")
        _unit(self.unit, "unit")
        self._check_tensors()
        for name, digest in self.files.items():
            _digest(digest, f"files.{name}")
        if self.parent:
            _digest(self.parent, "parent")

    def _check_tensors(self) -> None:
        if not 1 <= len(self.outputs) <= 4 or len({t.name for t in self.outputs}) < len(self.outputs):
            raise ModelError(f"{len(self.outputs)} outputs", where="outputs", expected="1 to 4, each with its own name")
        if len(self.labels) > MOST_LABELS or (not self.labels and self.task != "anomaly"):
            raise ModelError(
                f"{len(self.labels)} labels",
                where="labels",
                expected=f"1 to {MOST_LABELS} (an anomaly score: none is fine)",
            )
        for i, label in enumerate(self.labels):
            _text(label, f"labels[{i}]")
        if len(set(self.keys)) < len(self.labels):
            raise ModelError(
                "two labels give the same key", where="labels", expected="labels that differ in letters or digits"
            )

    @property
    def keys(self) -> tuple[str, ...]:
        """The labels as they stand in keys of features: lower case, digits and underscores.

        >>> slug("CuCr2O4 (spinel)")
        'cucr2o4_spinel'
        """
        return tuple(slug(label) for label in self.labels)

    @classmethod
    def from_dict(cls, body: Mapping[str, Any], where: str = NAME) -> "Manifest":
        """From plain JSON values. Raises `ModelError` with the key."""
        return parsing.build(cls, body, where)

    @classmethod
    def from_json(cls, data: bytes) -> "Manifest":
        """From the bytes of `manifest.json`, which must be canonical."""
        body = parsing.loads(data, NAME, largest=LARGEST)
        manifest = cls.from_dict(body)
        if parsing.dumps(body) != data:  # the body, not the manifest: an older one has fewer keys
            raise ModelError(
                "not written as a manifest is: a key twice, a number out of range, or other spaces",
                where=NAME,
                expected="sorted keys, two spaces, one line break at the end",
                remedy="Write the bundle again with insitu.models.bundle.write_bundle",
            )
        return manifest

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return parsing.plain(self)

    def to_json(self) -> bytes:
        """The canonical bytes."""
        return parsing.dumps(self.to_dict())
