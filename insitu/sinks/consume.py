"""The other end: read the documents of running experiments, each once and in order.

The only rule is `Once`: drop what has an `oid` not above the last one of its run. It works for any Kafka client; for
kafka-python there is `documents`.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgpack

from insitu.sinks.kafka import HEADER, Link, connection_options


def insitu_id(headers: Iterable[tuple[str, bytes | None]] | None) -> tuple[str, int] | None:
    """(run uid, oid) of a message; None for messages that others have written.

    >>> insitu_id([("insitu-id", b"0199-ab:7")])
    ('0199-ab', 7)
    """
    for name, value in headers or ():
        if name == HEADER and value is not None:
            uid, _, oid = value.decode().rpartition(":")
            return uid, int(oid)
    return None


class Once:
    """Remembers the last document of each run. `last`: what an earlier consumer has kept of it.

    >>> once = Once()
    >>> [once.new("a", oid) for oid in (1, 2, 2, 1, 3)], once.new("b", 1), once.last
    ([True, True, False, False, True], True, {'a': 3, 'b': 1})
    """

    def __init__(self, last: Mapping[str, int] | None = None) -> None:
        self.last = dict(last or {})

    def new(self, run_uid: str, oid: int) -> bool:
        """Whether this document has not been seen; it counts as seen from now on."""
        if oid <= self.last.get(run_uid, 0):
            return False
        self.last[run_uid] = oid
        return True


def unpack(value: bytes) -> tuple[str, dict[str, Any]]:
    """(name, document) of a message."""
    name, document = msgpack.unpackb(value)
    return name, document


def documents(
    to: Link, *, group: str | None = None, beginning: bool = False, idle_s: float | None = None
) -> Iterator[tuple[str, dict[str, Any]]]:
    """(name, document) of every run of a beamline, each once and in order within its run.

    `group`: consumers of one group share the work and go on where they stopped; without it, all is read by each.
    `beginning`: also what was sent before. `idle_s`: end when nothing came for so long; None never ends.
    Run `once.last` is kept in memory only: keep it beside your own results if they must not hold a repeat.
    """
    from kafka import KafkaConsumer

    consumer = KafkaConsumer(
        to.topic,
        **connection_options(to),
        group_id=group,
        auto_offset_reset="earliest" if beginning else "latest",
        consumer_timeout_ms=float("inf") if idle_s is None else int(idle_s * 1000),
    )
    once = Once()
    try:
        for message in consumer:
            found = insitu_id(message.headers)
            if found is None or once.new(*found):
                yield unpack(message.value)
    finally:
        consumer.close()
