"""Forwarders under test: started beside an outbox, and what they brought to the broker."""

import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from insitu.sinks.consume import Once, insitu_id
from insitu.sinks.forward import Forwarder
from insitu.sinks.kafka import Link, producer_options
from insitu.sinks.sent import read_sent
from tests.outboxes import Outgoing
from tests.topics import end_offset, messages
from tests.waiting import until


def link(bootstrap: str) -> Link:
    """A topic of its own for each test."""
    return Link(bootstrap=bootstrap, beamline=f"t{uuid.uuid4().hex[:12]}")


def options(to: Link, **changes: Any) -> dict[str, Any]:
    """As in a run, but impatient."""
    return {
        **producer_options(to, request_timeout_s=2.0),
        "max_block_ms": 1500,
        "bootstrap_timeout_ms": 1500,
        **changes,
    }


@contextmanager
def sending(out: Outgoing, to: Link, **changes: Any) -> Iterator[Forwarder]:
    """A forwarder that follows the run in a thread; ends when the run is sealed and sent, or with the test."""
    forwarder = Forwarder(out.folder, to, options(to, **changes))
    thread = threading.Thread(target=lambda: forwarder.send_all(follow=True), daemon=True)
    thread.start()
    try:
        yield forwarder
        thread.join(90)
        assert not thread.is_alive(), f"not all was sent: {forwarder.sent}"
    finally:
        forwarder.stop.set()
        thread.join(10)


def refused(out: Outgoing, to: Link, words: str) -> str:
    """What is told of a broker that takes nothing, once these words are in it; the forwarder still tries then."""
    forwarder = Forwarder(out.folder, to, options(to))
    thread = threading.Thread(target=lambda: forwarder.send_all(follow=False), daemon=True)
    thread.start()
    try:
        until(lambda: words in forwarder.sent.problem)
        assert thread.is_alive()
        assert (forwarder.sent.state, forwarder.sent.oid) == ("waiting", 0)
    finally:
        forwarder.stop.set()
        thread.join(20)
    return read_sent(out.folder).problem


def oids(to: Link, bootstrap: str, uid: str) -> list[int]:
    """The numbers of the documents as they lie in the topic, repeats and all; as many as the broker says."""
    found = messages(bootstrap, to.topic)
    assert len(found) == end_offset(bootstrap, to.topic)
    ids = [insitu_id(m.headers) for m in found]
    assert None not in ids
    assert {i[0] for i in ids if i} == {uid}
    assert all(m.key == uid.encode() for m in found)
    return [i[1] for i in ids if i]


def once(numbers: list[int]) -> list[int]:
    rule = Once()
    return [oid for oid in numbers if rule.new("run", oid)]
