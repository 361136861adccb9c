"""What may leave the edge: `[policy]` of a recipe. Whatever it does not name stays; counts and decisions always leave.

Which records leave is a pure fold over the records in order of `n`: `refusal` and `too_large` say why one stays,
`after` gives what has been spent once one has left. Rates count the frames' own time, never a clock of ours, so that
a replay of the run withholds the same records.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Final, NamedTuple

DTYPE_BYTES = 9
"""Bytes of one number in a document: msgpack writes a tag and eight bytes."""
BESIDE_BYTES = 1000
"""More than an array's event has beside its numbers."""
MOST_BYTES = 1_048_000
"""The largest document that fits, with key and header, into a message of a broker that was not told otherwise."""


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


Said = tuple[str, str]
"""A decision as it leaves: (action, rule)."""
QUIET: Final = "CONTINUE"


class Spent(NamedTuple):
    """What a run has used of its ceilings. `last_ns`: frame time of the last turn of `max_rate` that was used, ahead of
    the frames where a decision took a turn early; `bytes` offered; `raw` bytes seen. `told`: the decisions that have
    left so far; `said`: by source, the one in the last record that left."""

    last_ns: int | None = None
    bytes: int = 0
    raw: int = 0
    told: frozenset[Said] = frozenset()
    said: Mapping[str, Said] = {}


def period_ns(rate_hz: float) -> int:
    """The shortest time between two records, rounded up: a ceiling is never passed.

    >>> period_ns(3.0)
    333333334
    """
    return -int(-1e9 // rate_hz)


def too_soon(last_ns: int | None, time_ns: int, rate_hz: float | None) -> bool:
    """Whether a record comes before its turn. Time that runs backwards has had its turn already."""
    return rate_hz is not None and last_ns is not None and time_ns < last_ns + period_ns(rate_hz)


def decision_of(body: Mapping[str, Any]) -> Said:
    """(action, rule) of a record."""
    decision = body["decision"]
    return decision["action"], decision.get("rule", "")


def is_first(spent: Spent, body: Mapping[str, Any]) -> bool:
    """Whether a rule asks for something for the first time in this run: it leaves, whatever rate and ratio say. There
    are no more of these than rules times actions."""
    said = decision_of(body)
    return said[0] != QUIET and said not in spent.told


def is_early(spent: Spent, body: Mapping[str, Any]) -> bool:
    """Whether a record may take the next turn of `max_rate` now: what a rule asks for is new, or is other than what
    left last of this source and no turn has been taken early yet."""
    said = decision_of(body)
    if said[0] == QUIET:
        return False
    changed = said != spent.said.get(body.get("source", ""))
    return is_first(spent, body) or (changed and (spent.last_ns is None or spent.last_ns <= body["time_ns"]))


def needs_eyes(body: Mapping[str, Any]) -> bool:
    """Whether a person should look at a record: a verdict other than normal, or a decision other than CONTINUE."""
    verdicts = body.get("verdicts", {}).values()
    return body["decision"]["action"] != QUIET or any(v["label"] != "normal" for v in verdicts)


def refusal(policy: Policy, spent: Spent, body: Mapping[str, Any]) -> str:
    """Why the record `body` does not leave, as far as that is known before it is packed; "" where it may."""
    if not body.get("complete", True) and not is_first(spent, body):
        return "provisional"
    if body.get("role", "sample") != "sample":
        return "reference"
    if policy.triage and not needs_eyes(body):
        return "normal"
    if too_soon(spent.last_ns, body["time_ns"], policy.max_rate_hz) and not is_early(spent, body):
        return "rate"
    return ""


def too_large(policy: Policy, spent: Spent, sizes: Sequence[int], body: Mapping[str, Any] | None = None) -> str:
    """Why packed documents of these sizes (the event last) do not leave together; "" where they may. A record without
    a decision leaves room for an event with one."""
    if max(sizes) > policy.max_bytes:
        return "bytes"
    if policy.max_ratio is None or (body is not None and is_first(spent, body)):
        return ""
    room = 0 if body is not None and decision_of(body)[0] != QUIET else sizes[-1]
    return "ratio" if spent.bytes + sum(sizes) + room > policy.max_ratio * spent.raw else ""


def after(policy: Policy, spent: Spent, body: Mapping[str, Any]) -> Spent:
    """What is spent once the record `body` has left, its bytes apart. A turn that was taken early is used up."""
    said, source, last_ns = decision_of(body), body.get("source", ""), body["time_ns"]
    if (
        policy.max_rate_hz is not None
        and spent.last_ns is not None
        and too_soon(spent.last_ns, last_ns, policy.max_rate_hz)
    ):
        last_ns = spent.last_ns + period_ns(policy.max_rate_hz)
    if said == spent.said.get(source):
        return spent._replace(last_ns=last_ns)
    told = spent.told if said[0] == QUIET else spent.told | {said}
    return spent._replace(last_ns=last_ns, told=told, said={**spent.said, source: said})
