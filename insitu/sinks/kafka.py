"""The producer: how the forwarder speaks to Kafka, and what each of its errors means.

Idempotent, acks=all, no expiry: within one producer's life a document is appended once and in order, however long the
broker is away. Across lives (a forwarder that was killed, an error that cannot be retried) some documents may be
appended twice, which is why each carries `insitu-id` and consumers drop what they have seen.
"""

import logging
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from insitu.errors import BrokerError, ConfigError
from insitu.sinks.security import security_options

HEADER = "insitu-id"
"""Header of every message: `<run_uid>:<oid>`."""
BATCH_BYTES = 262_144
"""4 to 6 times the throughput of kafka-python's default of 16 kB."""
LARGEST = 1_048_576
"""Bytes of one message; a broker takes a little more unless told otherwise."""
FOREVER_MS = 2**31 - 1
END_S = 0.5
HANDSHAKE = "Handshake failed"
"""How kafka-python calls what goes wrong with TLS."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """Where documents go: the recipe's `[kafka]`."""

    bootstrap: str
    beamline: str
    required: bool = False
    security: Path | None = None

    @property
    def topic(self) -> str:
        """The topic that stock bluesky consumers of this beamline read."""
        return f"{self.beamline}.bluesky.insitu.documents"

    @property
    def servers(self) -> list[str]:
        return [server.strip() for server in self.bootstrap.split(",")]


def link(table: Mapping[str, Any]) -> Link:
    """A link from the recipe's `[kafka]`, as a table of plain values."""
    security = table.get("security")
    return Link(
        bootstrap=str(table["bootstrap"]),
        beamline=str(table["beamline"]),
        required=bool(table.get("required", False)),
        security=None if security is None else Path(security),
    )


def stored_link(run: Path) -> Link | None:
    """The link of a stored run, from its recipe; None where that names no broker. Raises `ConfigError`."""
    recipe = run / "recipe.toml"
    try:
        table = tomllib.loads(recipe.read_text(encoding="utf-8")).get("kafka") if recipe.is_file() else None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as e:
        remedy = "`insitu verify` tells what of the run is damaged"
        raise ConfigError(f"the recipe of this run cannot be read: {e}", where=str(recipe), remedy=remedy) from e
    return link(table) if table and table.get("bootstrap") else None


def connection_options(to: Link, environment: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """What producer and consumer need to connect: addresses, TLS and SASL. Raises `ConfigError`."""
    return {"bootstrap_servers": to.servers, **security_options(to.security, environment)}


def producer_options(to: Link, *, request_timeout_s: float = 10.0) -> dict[str, Any]:
    """The settings of the producer. Batches never expire, so an outage of any length keeps order and number; what is
    not acknowledged is bounded by the forwarder, because kafka-python 3 bounds nothing."""
    return {
        **connection_options(to),
        "client_id": "insitu",
        "enable_idempotence": True,
        "acks": "all",
        "retries": float("inf"),
        "max_in_flight_requests_per_connection": 5,
        "batch_size": BATCH_BYTES,
        "linger_ms": 5,
        "max_request_size": LARGEST,
        "request_timeout_ms": int(request_timeout_s * 1000),
        "delivery_timeout_ms": FOREVER_MS,
        "max_block_ms": 3000,
        "bootstrap_timeout_ms": 3000,
        "reconnect_backoff_max_ms": 2000,
        "metrics_enabled": False,
    }


def make_producer(options: Mapping[str, Any]) -> Any:
    """A producer that has reached a broker. Raises what kafka-python raises, and the refusals of a password or a
    certificate, which kafka-python only logs."""
    from kafka import KafkaProducer
    from kafka.errors import KafkaTimeoutError

    heard = _Heard()
    log = logging.getLogger("kafka.net.manager")
    log.addHandler(heard)
    try:
        return KafkaProducer(**options)
    except KafkaTimeoutError as e:
        raise heard.refusal or e from None
    finally:
        log.removeHandler(heard)


def partition(producer: Any, topic: str, key: bytes) -> int:
    """Where a key belongs, as every Kafka client has it (murmur2 of the key). Found once: all documents of a run have
    one key, and the hash in Python costs a fifth of sending one. Raises what kafka-python raises."""
    from kafka.partitioner.default import murmur2

    partitions = sorted(producer.partitions_for(topic))
    return partitions[(murmur2(key) & 0x7FFFFFFF) % len(partitions)]


class _Heard(logging.Handler):
    """Keeps the refusal that a connection was lost by."""

    refusal: Exception | None = None

    def emit(self, record: logging.LogRecord) -> None:
        from kafka.errors import KafkaConnectionError, SaslAuthenticationFailedError, UnsupportedSaslMechanismError

        for part in record.args if isinstance(record.args, tuple) else ():
            refused = isinstance(part, (SaslAuthenticationFailedError, UnsupportedSaslMechanismError))
            if refused or (isinstance(part, KafkaConnectionError) and HANDSHAKE in str(part)):
                self.refusal = part


def quiet() -> None:
    """Keep kafka-python's own lines off the terminal: what matters of them is in `sent.json`."""
    log = logging.getLogger("kafka")
    log.addHandler(logging.NullHandler())
    log.propagate = False


def abort(producer: Any) -> None:
    """Stop a producer at once, also from its own thread: nothing that waits behind a failed document may be appended
    before that document is tried again. (`close(0)` would first wait for what cannot come.)"""
    producer._sender.force_close()


def end(producer: Any) -> None:
    """Stop a producer, wait for its thread, and leave nothing that would flush it again when it is collected."""
    abort(producer)
    producer._sender.join(END_S)
    producer._unregister_cleanup()
    producer._closed = True


def too_large(error: BaseException) -> bool:
    """Whether a document can never be taken, however often it is tried."""
    from kafka.errors import MessageSizeTooLargeError, RecordListTooLargeError

    return isinstance(error, (MessageSizeTooLargeError, RecordListTooLargeError))


def told(error: BaseException, to: Link) -> str:
    """What is wrong with the broker, in a sentence for people. Everything named here is tried again."""
    from kafka import errors

    at = f"the broker at {to.bootstrap}"
    if isinstance(error, errors.SaslAuthenticationFailedError):
        return f"{at} refuses the name or the password of the security file"
    if isinstance(error, errors.UnsupportedSaslMechanismError):
        return f"{at} does not take this mechanism of passwords: set `mechanism` in the security file"
    if isinstance(error, errors.AuthorizationError):
        return f"{at} does not allow writing to {to.topic}; ask for the rights Write and Describe on this topic"
    if isinstance(error, errors.KafkaConnectionError) and "CERTIFICATE_VERIFY_FAILED" in str(error):
        why = str(error).rpartition("certificate verify failed: ")[2].partition(" (_ssl")[0]
        return f"{at} shows a certificate that is not trusted ({why}): see `ca_file` in the security file"
    if isinstance(error, errors.KafkaConnectionError) and HANDSHAKE in str(error):
        return f"{at} does not agree on TLS: {str(error).partition(HANDSHAKE)[2].lstrip(': ')}"
    if isinstance(error, errors.UnknownTopicOrPartitionError):
        return f"{at} has no topic {to.topic}; ask for it to be made"
    if "bootstrap" in str(error):
        return f"{at} cannot be reached"
    if isinstance(error, errors.KafkaTimeoutError):
        return f"{at} tells nothing about the topic {to.topic}: it is missing, or the broker is too slow"
    return f"{at}: {type(error).__name__}: {error}"


def require(to: Link) -> None:
    """Raise `BrokerError` where a broker that the recipe requires cannot be reached."""
    from kafka.errors import KafkaError

    try:
        make_producer(producer_options(to)).close(timeout=5)
    except KafkaError as e:
        raise BrokerError(
            told(e, to),
            remedy="Start it, or set kafka.required = false: the documents then wait in the run's outbox",
        ) from e
