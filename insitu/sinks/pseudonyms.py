"""Pseudonyms: the same text gives the same hash, and nobody without the key can tell or guess the text.

HMAC-SHA256 (RFC 2104) over name, NUL and text, the first 128 bits in hex. The name is part of it, so that one text
under two names gives two pseudonyms. The key is the content of a file that stays where it is.

>>> pseudonym(b"k" * 32, "sample", "BaTiO3") == pseudonym(b"k" * 32, "sample", "BaTiO3")
True
"""

import hashlib
import hmac
from pathlib import Path

from insitu.errors import ConfigError

LEAST_BYTES = 16


def read_key(path: Path) -> bytes:
    """The key in a file; white space around it does not count. `ConfigError` where it is no key."""
    remedy = "Make one with: head -c 32 /dev/urandom | base64 > KEYFILE; chmod 600 KEYFILE"
    try:
        key = path.read_bytes().strip()
        shared = path.stat().st_mode & 0o077
    except OSError as e:
        raise ConfigError(
            f"the key cannot be read: {e.strerror}", where="pseudonym_key", expected="a file", remedy=remedy
        ) from e
    if len(key) < LEAST_BYTES:
        raise ConfigError(
            f"the key has {len(key)} bytes", where="pseudonym_key", expected=f"{LEAST_BYTES} or more", remedy=remedy
        )
    if shared:
        raise ConfigError(
            f"others may read or change the key {path}", where="pseudonym_key", expected="mode 600", remedy=remedy
        )
    return key


def pseudonym(key: bytes, name: str, text: str) -> str:
    """What stands for `text` under `name`."""
    return "hmac-sha256:" + hmac.new(key, name.encode() + b"\0" + text.encode(), hashlib.sha256).hexdigest()[:32]
