"""The other end: read the documents of running experiments, each once and in order.

The only rule is `Once`: drop what has an `oid` not above the last one of its run. It works for any Kafka client; for
kafka-python there is `documents`.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from insitu.sinks.kafka import HEADER, Link, connection_options
from insitu.store.packing import unpackb


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
    name, document = unpackb(value)
    return name, document


def documents(
    to: Link, *, group: str | None = None, beginning: bool = False, idle_s: float | None = None
) -> Iterator[tuple[str, dict[str, Any]]]:
    """(name, document) of every run of a beamline, each once and in order within its run.

    `group`: consumers of one group share the work and go on where they stopped; without it, all is read by each.
    `beginning`: also what was sent before. `idle_s`: end when nothing came for so long; None never ends. A topic that
    does not exist yet is waited for, and then read from its first document.
    What was seen is kept in memory only: keep `Once.last` beside your own results if they must not hold a repeat.
    Raises what kafka-python raises, `TopicAuthorizationFailedError` where the topic may not be read among it.
    """
    from kafka import KafkaConsumer

    options = connection_options(to)
    found = _exists(to.topic, options)
    consumer = KafkaConsumer(
        to.topic,
        **options,
        group_id=group,
        auto_offset_reset="latest" if found and not beginning else "earliest",
        consumer_timeout_ms=float("inf") if idle_s is None else int(idle_s * 1000),
        metadata_max_age_ms=30_000 if found else 2_000,  # so long may pass until a topic that is made is seen
    )
    once = Once()
    try:
        for message in consumer:
            ours = insitu_id(message.headers)
            if ours is None or once.new(*ours):
                yield unpack(message.value)
    finally:
        consumer.close()


def _exists(topic: str, options: Mapping[str, Any]) -> bool:
    """Whether the topic is there now. Raises `TopicAuthorizationFailedError`, of which a consumer hears nothing."""
    from kafka.admin import KafkaAdminClient
    from kafka.errors import UnknownTopicOrPartitionError, for_code

    admin = KafkaAdminClient(**options)
    try:
        (said,) = admin.describe_topics([topic])
    finally:
        admin.close()
    error = for_code(said["error_code"])
    if said["error_code"] and error is not UnknownTopicOrPartitionError:
        raise error(topic)
    return not said["error_code"]
