"""The records of a run as a bluesky run: start, one descriptor per source and segment, events, stop.

Every document goes through the policy: start and stop hold what it names and counts, descriptors the keys that it
allows, events a record that is due. A record that stays is counted, by reason. Document uids follow from run, source
and seq. A fold over segments and records in order of `n`, without I/O or clock.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np

from insitu.sinks.policy import (
    QUIET,
    RUN_NAMES,
    ArrayRule,
    Policy,
    Spent,
    after,
    decision_of,
    refusal,
    too_large,
    too_soon,
)
from insitu.sinks.pseudonyms import pseudonym
from insitu.sinks.sentences import Sentences
from insitu.sinks.streams import Columns, array_keys, array_rules, columns, fits, number_key
from insitu.store.outbox import Document, Egress, Offer, document_uid, pack, packed, stop_document
from insitu.types import ArrayFeature, Feature, Output


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What the documents tell of the run. `metadata`: texts by name; `calibrations`: by source; `models`: their names;
    `source_run_uid`: the run that the frames come from, where it is known at the start."""

    uid: str
    started_ns: int
    metadata: Mapping[str, str] = field(default_factory=dict)
    outputs: Mapping[str, Mapping[str, Output]] = field(default_factory=dict)
    models: tuple[str, ...] = ()
    calibrations: Mapping[str, Mapping[str, Feature]] = field(default_factory=dict)
    source_run_uid: str = ""
    simulated: bool = False


def named(policy: Policy) -> tuple[str, ...]:
    """All metadata names that leave, as they are or as pseudonyms."""
    return (*policy.metadata, *policy.pseudonyms)


def labels_of(policy: Policy, metadata: Sequence[str], calibrations: Sequence[str]) -> tuple[str, ...]:
    """The names that are neither of the run nor calibrations: labels of frames."""
    return tuple(name for name in named(policy) if name not in metadata and name not in calibrations)


START_KEYS = ("uid", "time", "simulated", "source_run_uid")
"""What a start document always holds (the last where there is such a run); metadata comes beside it."""
EVENT_KEYS = ("uid", "descriptor", "seq_num", "time", "data", "timestamps", "filled")
STOP_KEYS = ("uid", "run_start", "time", "exit_status", "reason", "num_events", "insitu")
UNSAID = ("mode",)
"""What a run knows of itself and sentences may say: words of the house."""


class Documents:
    """One run's documents. `key`: of the pseudonyms."""

    def __init__(self, policy: Policy, about: About, key: bytes = b"") -> None:
        self.policy, self.about = policy, about
        self.egress = Egress()
        self.spent = Spent()
        self.records = 0
        self.withheld: Counter[str] = Counter()
        self.arrays_withheld: Counter[str] = Counter()
        self._streams: dict[tuple[str, int, str], _Stream] = {}
        self._segments: dict[str, list[int]] = {}
        self._since: Counter[str] = Counter()  # by source: records withheld since its last event
        self._array_last: dict[tuple[str, str], int] = {}
        self._rules = {source: array_rules(policy, outputs) for source, outputs in about.outputs.items()}
        hidden = frozenset(policy.pseudonyms)
        # labels repeat from frame to frame
        self._hide = lru_cache(1024)(lambda name, text: pseudonym(key, name, text) if name in hidden else text)
        secrets = {name: text for name, text in about.metadata.items() if name not in UNSAID}
        self._tell = Sentences(secrets, frozenset(named(policy)), self._hide)

    def start(self) -> list[Offer]:
        """The start document."""
        about, given = self.about, self.about.metadata
        document: Document = {"uid": about.uid, "time": about.started_ns / 1e9, "simulated": about.simulated}
        if about.source_run_uid:
            document["source_run_uid"] = about.source_run_uid
        document |= {name: self._hide(name, given[name]) for name in named(self.policy) if given.get(name)}
        return [self._offer(None, "start", *pack("start", document))]

    def segment(self, body: Mapping[str, Any]) -> None:
        """A segment was opened: the records from its first seq on are a stream of their own."""
        self._segments.setdefault(body["source"], []).append(body["first_seq"])

    def record(self, body: Mapping[str, Any], arrays: Mapping[str, ArrayFeature], raw_bytes: int) -> list[Offer]:
        """The documents that a record gives: none where it stays."""
        self.records += 1
        self.spent = self.spent._replace(raw=self.spent.raw + raw_bytes)
        if self.policy.reasons:
            self._tell.see(body.get("labels", {}))
        offers: list[Offer] = []
        why = refusal(self.policy, self.spent, body) or self._event(body, offers)
        self._count(body, why)
        for rule in self._rules.get(body["source"], ()) if not why and body.get("complete", True) else ():
            self._array(rule, body, arrays.get(rule.feature), offers)
        return offers

    def _count(self, body: Mapping[str, Any], why: str) -> None:
        """A record has left, or stays for this reason."""
        if why:
            self.withheld[why] += 1
            self._since[body["source"]] += 1
        else:
            self.spent = after(self.policy, self.spent, body)
            self._since[body["source"]] = 0

    def manifest(self) -> dict[str, Any]:
        """What leaves, for the seal: documents, bytes, keys and rates by stream, what stayed and why, the ceilings."""
        raw = self.spent.raw
        return {
            **self.egress.manifest(),
            "records": self.records,
            "withheld": dict(sorted(self.withheld.items())),
            "arrays_withheld": dict(sorted(self.arrays_withheld.items())),
            "raw_bytes": raw,
            "ratio": float(f"{self.egress.total_bytes / raw:.6g}") if raw else None,
            "metadata": list(self.policy.metadata),
            "pseudonyms": list(self.policy.pseudonyms),
            "limits": self.policy.limits,
        }

    def least(self, source: str, rule: str) -> int:
        """Bytes of the largest document without which not even a decision of `rule` about a source could leave."""
        body = {"source": source, "seq": 2**40, "time_ns": self.about.started_ns, "features": {}, "n": 0}
        body |= {"verdicts": {"": {"label": "review"}}, "decision": {"action": QUIET, "rule": rule}}
        stream = self._stream(body)
        event, start = packed("event", self._made(body, stream, bare=True)), self.start()[0].packed
        return max(len(event), len(start), len(pack("descriptor", stream.descriptor(body))[1]))

    def stop(self, seal: Mapping[str, Any], head: str, time_s: float) -> Offer:
        """The stop document, after the seal entry that it names. Only what a rule said may be its reason: other reasons
        are errors, and their texts stay."""
        said = self.policy.reasons and seal["ended"] in ("halted", "finished")
        reason = self._tell(seal["reason"], {}) if said else ""
        document = pack("stop", stop_document(self.egress, seal, head, time_s, reason))[1]
        if reason and len(document) > self.policy.max_bytes:
            document = pack("stop", stop_document(self.egress, seal, head, time_s))[1]
        return Offer(None, "stop", document)

    def _event(self, body: Mapping[str, Any], offers: list[Offer]) -> str:
        """Offer the event of a record; why not. Where values and texts are too large for a document, a decision leaves
        without them."""
        stream = self._stream(body)
        event = self._made(body, stream)
        why = self._leave(body, stream, event, packed("event", event), offers)
        if why == "bytes" and decision_of(body)[0] != QUIET:
            event = self._made(body, stream, bare=True)
            why = self._leave(body, stream, event, packed("event", event), offers)
        return why

    def _made(self, body: Mapping[str, Any], stream: "_Stream", *, bare: bool = False) -> Document:
        """The event of a record."""
        withheld, address = self._since[body["source"]], f"insitu:{self.about.uid}/{body['source']}/{body['seq']}"
        if bare:
            return stream.event(body, stream.columns.bare(body, address, withheld))
        return stream.event(body, stream.columns.data(body, address, withheld, self._hide, self._tell))

    def _array(self, rule: ArrayRule, body: Mapping[str, Any], array: ArrayFeature | None, offers: list[Offer]) -> None:
        """The event of an array in a stream of its own."""
        key, source, time_ns = rule.feature, body["source"], body["time_ns"]
        if array is None:
            return
        if not fits(array, rule):
            self.arrays_withheld["shape"] += 1
        elif too_soon(self._array_last.get((source, key)), time_ns, rule.max_rate_hz):
            self.arrays_withheld["rate"] += 1
        else:
            stream, data = self._stream(body, rule), {"frame_seq": body["seq"], key: np.asarray(array.values)}
            why = self._leave(body, stream, *pack("event", stream.event(body, data)), offers)
            if why:
                self.arrays_withheld[why] += 1
            else:
                self._array_last[source, key] = time_ns

    def _leave(
        self, body: Mapping[str, Any], stream: "_Stream", event: Document, as_bytes: bytes, offers: list[Offer]
    ) -> str:
        """Offer an event (before the first, its descriptor), or nothing; why not."""
        documents = [("event", event, as_bytes)]
        if not stream.events:
            documents.insert(0, ("descriptor", *pack("descriptor", stream.descriptor(body))))
        why = self._too_large(body, stream, [len(p) for _, _, p in documents])
        if not why:
            stream.events += 1
            offers += [self._offer(body["n"], *document) for document in documents]
        return why

    def _too_large(self, body: Mapping[str, Any], stream: "_Stream", sizes: Sequence[int]) -> str:
        return too_large(self.policy, self.spent, sizes, body if stream.rule is None else None)

    def _stream(self, body: Mapping[str, Any], rule: ArrayRule | None = None) -> "_Stream":
        """The stream of a record, or of one of its arrays."""
        source = body["source"]
        segment = max(0, bisect_right(self._segments.get(source, []), body["seq"]) - 1)
        at = (source, segment, "" if rule is None else rule.feature)
        if at not in self._streams:
            # source and feature names have no "-": no two streams share a name
            name = "-".join([source, *([str(segment)] if segment else []), *([rule.feature] if rule else [])])
            uid, calibration = document_uid(self.about.uid, name), self._calibration(source)
            self._streams[at] = _Stream(name, self.about, self._columns(body), rule, calibration, uid)
        return self._streams[at]

    def _columns(self, body: Mapping[str, Any]) -> Columns:
        about, source = self.about, body["source"]
        calibrations = about.calibrations.get(source, {})
        context = {name: f.unit for name, f in calibrations.items()}
        context |= {name: f["unit"] for name, f in body.get("context", {}).items()}
        labels = labels_of(self.policy, (*RUN_NAMES, *about.metadata), list(calibrations))
        return columns(self.policy, source, about.outputs.get(source, {}), about.models, labels, context)

    def _calibration(self, source: str) -> dict[str, Feature]:
        """The calibrations that leave, by name."""
        found = self.about.calibrations.get(source, {})
        return {name: found[name] for name in self.policy.metadata if name in found and found[name].value is not None}

    def _offer(self, n: int | None, name: str, document: Document, as_bytes: bytes) -> Offer:
        self.egress.add(name, document, as_bytes)
        self.spent = self.spent._replace(bytes=self.spent.bytes + len(as_bytes))
        return Offer(n, name, as_bytes)


@dataclass(slots=True)
class _Stream:
    """One descriptor and its events: of a source's segment, or of one array feature in it."""

    name: str
    about: About
    columns: Columns
    rule: ArrayRule | None
    calibration: Mapping[str, Feature]
    uid: str
    events: int = 0

    def descriptor(self, body: Mapping[str, Any]) -> Document:
        """The descriptor, in the time of its first event."""
        source, time_s = body["source"], body["time_ns"] / 1e9
        keys = self.columns.data_keys()
        if self.rule is not None:
            unit = self.about.outputs[source][self.rule.feature].unit
            keys = array_keys(source, self.rule, unit)
        fixed = {name: number_key(source, f.unit) for name, f in self.calibration.items()}
        configuration = {
            "data": {name: float(f.value or 0.0) for name, f in self.calibration.items()},
            "timestamps": dict.fromkeys(fixed, self.about.started_ns / 1e9),
            "data_keys": fixed,
        }
        return {
            "uid": self.uid,
            "run_start": self.about.uid,
            "time": time_s,
            "name": self.name,
            "data_keys": keys,
            "object_keys": {source: list(keys)},
            "configuration": {source: configuration},
            "hints": {source: {"fields": list(self.columns.features)}} if self.rule is None else {},
        }

    def event(self, body: Mapping[str, Any], data: Document) -> Document:
        """One event. Its uid is of source and seq (and of k, for a frame of which k points were there); that of an
        array is of its stream and seq."""
        source, time_s = body["source"], body["time_ns"] / 1e9
        of = f"{source if self.rule is None else self.name}/{body['seq']}"
        return {
            "uid": document_uid(self.about.uid, of if body.get("complete", True) else f"{of}/{body['k']}"),
            "descriptor": self.uid,
            "seq_num": self.events + 1,
            "time": time_s,
            "data": data,
            "timestamps": dict.fromkeys(data, time_s),
            "filled": {},
        }
