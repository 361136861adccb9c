"""TLS and passwords of a connection to Kafka: from a file that only its owner may read, or from the environment.

Everything that can be wrong on our side is found here, before a broker is asked: it is a `ConfigError` that names the
file and the key, and whose text never shows a secret. What only the broker can refuse (a password, a certificate, the
right to write) is a state in which the forwarder waits; `kafka.told` has the words for it.
"""

import os
import ssl
import stat
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from insitu.errors import ConfigError

SECRETS = ("password", "key_password")
KEYS = ("protocol", "mechanism", "username", "password", "ca_file", "cert_file", "key_file", "key_password")
"""What a security file may hold; files are relative to it."""
CHOICES = {
    "protocol": ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"),
    "mechanism": ("SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"),
}


def security_options(path: Path | None, environment: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """The options of kafka-python for TLS and SASL.

    Name and password may come from INSITU_KAFKA_USERNAME and INSITU_KAFKA_PASSWORD instead, which win. Without
    `protocol`: SASL_SSL where there is a name, SSL where there is anything else, PLAINTEXT where there is nothing.
    Raises `ConfigError`.
    """
    given = {} if path is None else _read(path)
    for key in ("username", "password"):
        if value := environment.get(f"INSITU_KAFKA_{key.upper()}"):
            given[key] = value
    protocol = given.get("protocol", "SASL_SSL" if "username" in given else "SSL" if given else "PLAINTEXT")
    options: dict[str, Any] = {"security_protocol": protocol}
    if protocol.startswith("SASL"):
        for key in ("username", "password"):
            if key not in given:
                raise ConfigError(
                    f"{protocol} needs a {key}", where="the connection to Kafka" if path is None else f"{path}: {key}",
                    remedy=f"Write it into the security file, or set INSITU_KAFKA_{key.upper()}",
                )  # fmt: skip
        options["sasl_mechanism"] = given.get("mechanism", CHOICES["mechanism"][0])
        options["sasl_plain_username"], options["sasl_plain_password"] = given["username"], given["password"]
    if protocol.endswith("SSL"):
        options["ssl_context"] = _context(path, given)
    return options


def _read(path: Path) -> dict[str, str]:
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
        if key in CHOICES and value not in CHOICES[key]:
            raise ConfigError("is not known", where=f"{path}: {key}", expected=", ".join(CHOICES[key]))
    if mode & (stat.S_IRWXG | stat.S_IRWXO) and any(key in table for key in SECRETS):
        raise ConfigError("others may read the secrets in this file", where=str(path), remedy=f"chmod 600 {path}")
    return table


def _context(path: Path | None, given: Mapping[str, str]) -> ssl.SSLContext:
    """Checks the broker's certificate and its name, against `ca_file` or the authorities of this machine."""
    if path is None:
        return ssl.create_default_context()
    for key in ("ca_file", "cert_file", "key_file"):
        if key in given and not (path.parent / given[key]).is_file():
            raise ConfigError(f"there is no file {path.parent / given[key]}", where=f"{path}: {key}")
    key = "ca_file"
    try:
        context = ssl.create_default_context(cafile=path.parent / given[key] if key in given else None)
        key = "cert_file"
        if key in given:
            own = path.parent / given["key_file"] if "key_file" in given else None
            # never None: OpenSSL would ask the terminal for it
            context.load_cert_chain(path.parent / given[key], own, given.get("key_password", ""))
    except ssl.SSLError as e:
        expected = {
            "ca_file": "certificates in PEM",
            "cert_file": "a certificate in PEM, its key in the same file or in key_file, and the right key_password",
        }[key]
        why = e.reason or "its key cannot be read"
        raise ConfigError(f"cannot be used: {why}", where=f"{path}: {key}", expected=expected) from None
    except OSError as e:
        raise ConfigError(f"cannot be read: {e.strerror}", where=f"{path}: {key}") from e
    return context
