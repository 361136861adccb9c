"""The producer: how the forwarder speaks to Kafka, and what each of its errors means.

Idempotent, acks=all, no expiry: within one producer's life a document is appended once and in order, however long the
broker is away. Across lives (a forwarder that was killed, an error that cannot be retried) some documents may be
appended twice, which is why each carries `insitu-id` and consumers drop what they have seen.
"""

import logging
import os
import stat
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from insitu.errors import BrokerError, ConfigError

HEADER = "insitu-id"
"""Header of every message: `<run_uid>:<oid>`."""
BATCH_BYTES = 262_144
"""4 to 6 times the throughput of kafka-python's default of 16 kB."""
LARGEST = 1_048_576
"""Bytes of one message; a broker takes a little more unless told otherwise."""
FOREVER_MS = 2**31 - 1
SECRETS = ("password", "key_password")
KEYS = ("protocol", "mechanism", "username", "password", "ca_file", "cert_file", "key_file", "key_password")
"""What a security file may hold; files are relative to it."""


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
    """The link of a stored run, from its recipe; None where that names no broker."""
    recipe = run / "recipe.toml"
    table = tomllib.loads(recipe.read_text(encoding="utf-8")).get("kafka") if recipe.is_file() else None
    return link(table) if table and table.get("bootstrap") else None


def connection_options(to: Link, environment: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """What producer and consumer need to connect: addresses, TLS and SASL.

    The security file is TOML with keys out of `KEYS`. Name and password may come from INSITU_KAFKA_USERNAME and
    INSITU_KAFKA_PASSWORD instead, which win. Raises `ConfigError`; its text never shows a secret.
    """
    given = {} if to.security is None else _read_security(to.security)
    for key in ("username", "password"):
        if value := environment.get(f"INSITU_KAFKA_{key.upper()}"):
            given[key] = value
    options: dict[str, Any] = {"bootstrap_servers": to.servers}
    protocol = given.get("protocol", "SASL_SSL" if "username" in given else "SSL" if given else "PLAINTEXT")
    options["security_protocol"] = protocol
    if protocol.startswith("SASL"):
        options["sasl_mechanism"] = given.get("mechanism", "SCRAM-SHA-512")
        options["sasl_plain_username"], options["sasl_plain_password"] = given.get("username"), given.get("password")
    names = {"ca_file": "ssl_cafile", "cert_file": "ssl_certfile", "key_file": "ssl_keyfile"}
    for key, option in names.items():
        if key in given and to.security is not None:
            options[option] = str(to.security.parent / given[key])
    if "key_password" in given:
        options["ssl_password"] = given["key_password"]
    return options


def _read_security(path: Path) -> dict[str, str]:
    try:
        mode = path.stat().st_mode
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as e:
        raise ConfigError(f"the security file cannot be read: {e.strerror}", where=str(path)) from e
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):  # their text may show a secret
        raise ConfigError(
            "this is not valid TOML", where=str(path), expected='lines such as username = "..."'
        ) from None
    for key, value in table.items():
        if key not in KEYS or not isinstance(value, str):
            raise ConfigError(
                "is not a text that a security file may hold", where=f"{path}: {key}", expected=", ".join(KEYS)
            )
    if mode & (stat.S_IRWXG | stat.S_IRWXO) and any(key in table for key in SECRETS):
        raise ConfigError("others may read the secrets in this file", where=str(path), remedy=f"chmod 600 {path}")
    return table


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
    """A producer that has reached a broker. Raises what kafka-python raises, and the refusal of a password, which
    kafka-python only logs."""
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


class _Heard(logging.Handler):
    """Keeps the refusal that a connection was lost by."""

    refusal: Exception | None = None

    def emit(self, record: logging.LogRecord) -> None:
        from kafka.errors import SaslAuthenticationFailedError

        for part in record.args if isinstance(record.args, tuple) else ():
            if isinstance(part, SaslAuthenticationFailedError):
                self.refusal = part


def quiet() -> None:
    """Keep kafka-python's own lines off the terminal: what matters of them is in `sent.json`."""
    log = logging.getLogger("kafka")
    log.addHandler(logging.NullHandler())
    log.propagate = False


def abort(producer: Any) -> None:
    """End a producer at once, also from its own thread: nothing that waits behind a failed document may be appended
    before that document is tried again. (`close(0)` would first wait for what cannot come.)"""
    producer._sender.force_close()


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
    if isinstance(error, errors.AuthorizationError):
        return f"{at} does not allow writing to {to.topic}"
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
