"""What is in force for a model's name: what folding the registry's log gives."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from insitu.errors import ModelError, NotFoundError


class Entry(NamedTuple):
    """One line of the log: what was done, with what, and the hash that chains it to those before."""

    kind: str
    body: Mapping[str, Any]
    hash: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One name: its bundles by digest with their serials, and which of them is what.

    `past`: what was current before, the last one last. `share`: of the runs that the canary acts in.
    `versions`: by digest. `unsigned`: bundles that somebody let in without a signature.
    """

    name: str
    known: Mapping[str, int]
    versions: Mapping[str, str]
    unsigned: frozenset[str] = frozenset()
    current: str | None = None
    past: tuple[str, ...] = ()
    shadow: str | None = None
    canary: str | None = None
    share: float = 0.0

    @property
    def candidate(self) -> str | None:
        """What `promote` would put in force."""
        return self.canary or self.shadow

    def find(self, which: str) -> str:
        """A digest by its first letters (4 or more), by a serial, by a version, or by `current`, `shadow`, `canary`.
        Raises `NotFoundError`."""
        named = {"current": self.current, "shadow": self.shadow, "canary": self.canary}
        if which in named and (one := named[which]) is not None:
            return one
        hexes = which.removeprefix("sha256:")
        found = [
            digest
            for digest, serial in self.known.items()
            if which in (str(serial), self.versions[digest])
            or (len(hexes) >= 4 and digest.removeprefix("sha256:").startswith(hexes))
        ]
        if len(found) != 1:
            known = ", ".join(f"{serial} ({digest[7:15]})" for digest, serial in self.known.items())
            raise NotFoundError(
                f"{len(found) or 'no'} bundles of {self.name} are meant by {which!r}",
                where=self.name,
                expected=f"a serial, a version or a digest of: {known}",
            )
        return found[0]

    def before_last(self) -> str:
        """What is current once the last step is undone. Raises `ModelError` where there is nothing to go back to."""
        if self.canary is not None and self.current is not None:
            return self.current
        if not self.past:
            raise ModelError(
                f"{self.name} has nothing to go back to", where=self.name, expected="a bundle that was current before"
            )
        return self.past[-1]


def fold(entries: Iterable[Entry]) -> dict[str, Standing]:
    """What is in force after these entries, by name."""
    found: dict[str, Standing] = {}
    for entry in entries:
        name = str(entry.body["name"])
        found[name] = _step(found.get(name) or Standing(name=name, known={}, versions={}), entry)
    return found


def _step(now: Standing, entry: Entry) -> Standing:
    body, digest = entry.body, str(entry.body.get("digest"))
    match entry.kind:
        case "add":
            unsigned = now.unsigned if body["signed_by"] else now.unsigned | {digest}
            return replace(
                now,
                known={**now.known, digest: body["serial"]},
                versions={**now.versions, digest: body["version"]},
                unsigned=unsigned,
            )
        case "activate" | "promote":
            return _current(now, digest)
        case "shadow":
            return replace(now, shadow=body["digest"])
        case "canary":
            return replace(now, canary=body["digest"], share=body.get("share", 0.0))
        case "rollback" if body.get("canary") is not None:
            return replace(now, canary=None, share=0.0)
        case "rollback":
            return replace(now, current=digest, past=now.past[:-1], shadow=_other(now.shadow, digest))
    return now


def _current(now: Standing, digest: str) -> Standing:
    """A bundle is current; as shadow or canary it has nothing more to do."""
    past = now.past if now.current in (None, digest) else (*now.past, now.current)
    canary = _other(now.canary, digest)
    return replace(
        now, current=digest, past=tuple(p for p in past if p), shadow=_other(now.shadow, digest), canary=canary,
        share=now.share if canary else 0.0,
    )  # fmt: skip


def _other(one: str | None, than: str) -> str | None:
    return None if one == than else one


def not_older(serial: int, digest: str, standing: Standing) -> None:
    """Refuse a serial below the current one, and a serial that another content has. Raises `ModelError`."""
    least = standing.known[standing.current] if standing.current is not None else 0
    if serial < least:
        raise ModelError(
            f"serial {serial} of {standing.name} is older than the current one",
            where=standing.name,
            expected=f"serial {least} or a later one",
            remedy=f"`insitu model rollback {standing.name}` goes back to what was current before",
        )
    other = next((d for d, taken in standing.known.items() if taken == serial and d != digest), None)
    if other is not None:
        raise ModelError(
            f"serial {serial} of {standing.name} is taken by {other[:19]}",
            where=standing.name,
            expected="a serial of its own for every content",
            remedy="Give the bundle a later serial and sign it again",
        )
