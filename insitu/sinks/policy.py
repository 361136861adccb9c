"""What may leave the edge: `[policy]` of a recipe. Whatever it does not name stays; counts and decisions always leave.

Which records leave is a pure fold over the records in order of `n`: `refusal` and `too_large` say why one stays, `sent`
gives what has been spent after one left. Rates count the frames' own time, never a clock of ours, so that a replay
of the run withholds the same records.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Final, NamedTuple

DTYPE_BYTES = 9
"""Bytes of one number in a document: msgpack writes a tag and eight bytes."""
BESIDE_BYTES = 1000
"""More than an array's event has beside its numbers."""


RUN_NAMES: Final = ("title", "recipe", "operator", "mode", "host", "continues")
"""What a run knows of itself, besides the recipe's `[metadata]`."""

RESERVED: Final = frozenset(
    {"uid", "time", "scan_id", "hints", "data_groups", "data_type", "projections", "source_run_uid", "simulated"}
)
"""Keys of a start document that metadata may not take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrayRule:
    """An array feature that may leave: its key, the only shape and dtype allowed, and its own largest rate."""

    feature: str
    shape: tuple[int, ...]
    dtype: str
    max_rate_hz: float

    @property
    def size(self) -> int:
        """How many numbers one array has."""
        n = 1
        for k in self.shape:
            n *= k
        return n


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What may leave the edge: `[policy]`.

    `features`: patterns of feature keys (`peak1_*`); `context`: names of numbers that arrive with a frame; `verdicts`:
    patterns of model names; `metadata`: names of the run, of the recipe's `[metadata]`, of calibrations and of frame
    labels that leave as they are; `pseudonyms`: names that leave as a keyed hash; `arrays`: array features, each with
    shape, dtype and rate. `reasons`: sentences of rules, models and features too. `triage`: records that are judged
    normal leave as counts only. `max_rate_hz`: records a second of the frames' own time, None without limit;
    `max_bytes`: of one document; `max_ratio`: bytes that leave to raw bytes.
    """

    features: tuple[str, ...] = ()
    context: tuple[str, ...] = ()
    verdicts: tuple[str, ...] = ()
    metadata: tuple[str, ...] = ()
    pseudonyms: tuple[str, ...] = ()
    arrays: tuple[ArrayRule, ...] = ()
    reasons: bool = False
    triage: bool = False
    max_rate_hz: float | None = None
    max_bytes: int = 1_000_000
    max_ratio: float | None = None

    @property
    def limits(self) -> dict[str, Any]:
        """The ceilings, for manifests and people."""
        arrays = {r.feature: r.max_rate_hz for r in self.arrays}
        return {
            "max_rate_hz": self.max_rate_hz,
            "max_bytes": self.max_bytes,
            "max_ratio": self.max_ratio,
            "array_rate_hz": arrays,
        }


def matching(patterns: Sequence[str], names: Iterable[str]) -> list[str]:
    """Those of the names that a pattern names, in their order."""
    return [name for name in names if any(fnmatchcase(name, p) for p in patterns)]


class Spent(NamedTuple):
    """What a run has used of its ceilings: frame time of the last record that left, bytes offered, raw bytes seen."""

    last_ns: int | None = None
    bytes: int = 0
    raw: int = 0


def period_ns(rate_hz: float) -> int:
    """The shortest time between two records, rounded up: a ceiling is never passed.

    >>> period_ns(3.0)
    333333334
    """
    return -int(-1e9 // rate_hz)


def too_soon(last_ns: int | None, time_ns: int, rate_hz: float | None) -> bool:
    """Whether a record comes before its turn. Time that runs backwards has had its turn already."""
    return rate_hz is not None and last_ns is not None and time_ns < last_ns + period_ns(rate_hz)


def needs_eyes(body: Mapping[str, Any]) -> bool:
    """Whether a person should look at a record: a verdict other than normal, or a decision other than CONTINUE."""
    verdicts = body.get("verdicts", {}).values()
    return body["decision"]["action"] != "CONTINUE" or any(v["label"] != "normal" for v in verdicts)


def refusal(policy: Policy, spent: Spent, body: Mapping[str, Any]) -> str:
    """Why the record `body` does not leave, as far as that is known before it is packed; "" where it may."""
    if not body.get("complete", True):
        return "provisional"
    if body.get("role", "sample") != "sample":
        return "reference"
    if policy.triage and not needs_eyes(body):
        return "normal"
    if too_soon(spent.last_ns, body["time_ns"], policy.max_rate_hz):
        return "rate"
    return ""


def too_large(policy: Policy, spent: Spent, sizes: Sequence[int]) -> str:
    """Why packed documents of these sizes do not leave together; "" where they may."""
    if max(sizes) > policy.max_bytes:
        return "bytes"
    if policy.max_ratio is not None and spent.bytes + sum(sizes) > policy.max_ratio * spent.raw:
        return "ratio"
    return ""
