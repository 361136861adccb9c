"""The account of a run that was killed: which records left is in its outbox; why the others stayed, the policy says."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from insitu.sinks.documents import Documents
from insitu.sinks.policy import ArrayRule, refusal, too_soon
from insitu.store.outbox import Document, pack, packed


class Left(NamedTuple):
    """A document of an outbox."""

    name: str
    document: Document
    as_bytes: bytes


class Recount(Documents):
    """The fold of `Documents` over records whose documents are made already."""

    def started(self, start: Left) -> None:
        """The start document."""
        self.egress.add(*start)
        self.spent = self.spent._replace(bytes=self.egress.total_bytes)

    def recount(self, body: Mapping[str, Any], left: Sequence[Left], raw_bytes: int) -> None:
        """One record. `left`: its documents in the outbox; without an event it stayed."""
        self.records += 1
        self.spent = self.spent._replace(raw=self.spent.raw + raw_bytes)
        self._tell.see(body.get("labels", {}))
        self._count(body, "" if left else refusal(self.policy, self.spent, body) or self._stayed(body))
        for document in left:
            self._offer(body["n"], *document)
        if left:
            told = {d["descriptor"] for name, d, _ in left if name == "event"}
            self._stream(body).events += 1
            for rule in self._rules.get(body["source"], ()):
                self._recount_array(body, rule, told)

    def _stayed(self, body: Mapping[str, Any]) -> str:
        """Which ceiling of bytes held a record back."""
        stream = self._stream(body)
        sizes = [len(packed("event", self._made(body, stream)))]
        if not stream.events:
            sizes.insert(0, len(pack("descriptor", stream.descriptor(body))[1]))
        return self._too_large(body, stream, sizes) or "unknown"

    def _recount_array(self, body: Mapping[str, Any], rule: ArrayRule, told: set[str]) -> None:
        shown, at = body.get("arrays", {}).get(rule.feature), (body["source"], rule.feature)
        stream = self._stream(body, rule)
        if stream.uid in told:
            stream.events += 1
            self._array_last[at] = body["time_ns"]
        elif shown is None:
            return
        elif tuple(shown["shape"]) != rule.shape or np.dtype(shown["dtype"]) != np.dtype(rule.dtype):
            self.arrays_withheld["shape"] += 1
        elif too_soon(self._array_last.get(at), body["time_ns"], rule.max_rate_hz):
            self.arrays_withheld["rate"] += 1
        else:
            self.arrays_withheld["bytes" if self.policy.max_ratio is None else "ratio"] += 1
