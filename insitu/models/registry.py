"""The models of one machine: objects by digest that never change, and a log that says which is in force.

    <root>/objects/<sha256>/   the files of a bundle, read-only
           incoming/           a bundle that is being copied; what a crash leaves here is removed by the next `add`
           registry.db         the log: one table, chained by hash
           registry.head       how far it had come: one that was cut or lost is refused

Which bundle is current, which looks on as a shadow and which is tried as a canary is what folding the log gives
(`standing.py`); no pointer lies beside it. So a switch is one commit of one row: it is done or it is not, whatever is
killed or unplugged, and the past can be read and proved.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from insitu.errors import ModelError, NotFoundError, StorageError
from insitu.models.bundle import Bundle, read_bundle
from insitu.models.choice import Choice
from insitu.models.journal import Journal, Make
from insitu.models.objects import copy_in, place
from insitu.models.standing import Entry, Standing, not_older


def default_root() -> Path:
    """`INSITU_MODELS`, or `insitu/models` among the user's data files."""
    named = os.environ.get("INSITU_MODELS")
    if named:
        return Path(named)
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "insitu" / "models"


class Registry:
    """The registry in one folder. Reading needs no lock; every change is one commit.

    `keys`: public keys that bundles may be signed with (beside the project's own). `operator` is written into the log.
    """

    def __init__(self, root: Path | None = None, *, keys: Sequence[Path] = (), operator: str = "") -> None:
        self.root = default_root() if root is None else root
        self.keys = tuple(keys)
        self._journal = Journal(self.root / "registry.db", operator)

    # -- reading

    def entries(self) -> list[Entry]:
        """The whole log, its chain checked. Raises `StorageError` where an entry is not what was written."""
        return self._journal.entries()

    def standings(self) -> dict[str, Standing]:
        """What is in force, by name."""
        return self._journal.standings()

    def standing(self, name: str) -> Standing:
        """What is in force for one name. Raises `NotFoundError`."""
        found = self.standings()
        if name not in found:
            known = ", ".join(sorted(found)) or "none"
            raise NotFoundError(
                f"no model is named {name!r} in this registry",
                where=str(self.root),
                expected=f"one of those added: {known}",
                remedy="`insitu model add FOLDER` adds a bundle",
            )
        return found[name]

    def folder(self, digest: str) -> Path:
        """Where the files of a bundle lie."""
        return place(self.root, digest)

    def read(self, name: str, which: str) -> Bundle:
        """A bundle by the first letters of its digest, its serial, or `current`: verified as it is read."""
        standing = self.standing(name)
        return self._read(standing, standing.find(which))

    def bundle(self, digest: str) -> Bundle:
        """A bundle by its whole digest, verified as it is read. Raises `ModelError` where it is not here."""
        for standing in self.standings().values():
            if digest in standing.known:
                return self._read(standing, digest)
        raise ModelError(
            f"the bundle {digest[:19]} is not in this registry", where=str(self.root),
            expected="the one that the update changes", remedy="Add that one first, or get the whole new bundle",
        )  # fmt: skip

    def _read(self, standing: Standing, digest: str) -> Bundle:
        """The bundle of a digest, its bytes verified again."""
        folder = self.folder(digest)
        if not folder.is_dir():
            raise ModelError(
                f"the files of {standing.name} {digest[:19]} are gone", where=str(folder),
                expected="the bundle as it was added", remedy="Add it again with `insitu model add`",
            )  # fmt: skip
        bundle = read_bundle(folder, keys=self.keys, allow_unsigned=digest in standing.unsigned)
        if bundle.digest != digest:
            raise ModelError(
                f"this is {bundle.digest[:19]}, not the bundle that was added as {digest[:19]}",
                where=str(folder),
                expected="files that nobody has changed",
                remedy="Add the bundle again with `insitu model add`, and find out who changed it",
            )
        return bundle

    def choose(self, name: str, lot: float) -> Choice:
        """Which bundle acts in a run that begins now, and which looks on. `lot`: a number drawn from [0, 1); below the
        canary's share the canary acts, and the current one looks on. A canary or shadow that is damaged is left out; a
        current bundle that is damaged is rolled back to the last one that is whole. Both are told and logged; where the
        log cannot be written that is told too, and holds for this run. Raises `ModelError` where none is whole."""
        standing = self.standing(name)
        told: list[str] = []
        while True:
            if standing.current is None:
                raise ModelError(
                    f"nothing is current of {name}", where=str(self.root), expected="a bundle that is in force",
                    remedy=f"`insitu model activate {name} SERIAL` puts one in force",
                )  # fmt: skip
            try:
                current = self._read(standing, standing.current)
                break
            except ModelError as e:
                if not standing.past:
                    raise
                told.append(f"the current bundle of {name} cannot be used and was rolled back: {e}")
                try:
                    self._journal.append("rollback", _undone(name, standing, str(e)))
                    standing = self.standing(name)
                except StorageError as full:
                    told.append(f"this could not be recorded, and holds for this run: {full}")
                    standing = replace(standing, current=standing.past[-1], past=standing.past[:-1])
        beside = self._usable(standing, standing.canary, "canary", told)
        if beside is not None and lot < standing.share:
            return Choice(name=name, acting=beside, role="canary", twin=current, told=tuple(told))
        twin = self._usable(standing, standing.shadow, "shadow", told)
        return Choice(name=name, acting=current, role="current", twin=twin, told=tuple(told))

    # -- changing

    def add(self, folder: Path, *, allow_unsigned: bool = False) -> Bundle:
        """Take a bundle in: verified, copied, named in the log. It is not in force yet. A bundle that is here already
        is taken for added. Raises `ModelError`: unsigned, damaged, older than the current one, ..."""
        bundle = read_bundle(folder, keys=self.keys, allow_unsigned=allow_unsigned)
        manifest = bundle.manifest
        standing = self._journal.standings(beginning=True).get(manifest.name)
        known = standing is not None and bundle.digest in standing.known
        if standing is not None and known and self._whole(standing, bundle.digest):
            return bundle
        if standing is not None:
            not_older(bundle.manifest.serial, bundle.digest, standing)
        copy_in(bundle, self.root)
        body = {
            "name": manifest.name,
            "digest": bundle.digest,
            "version": manifest.version,
            "serial": manifest.serial,
            "signed_by": bundle.signed_by,
        }

        def check(now: Mapping[str, Standing]) -> dict[str, Any] | None:
            if manifest.name in now:
                if not known and bundle.digest in now[manifest.name].known:
                    return None  # another process has added it meanwhile
                not_older(bundle.manifest.serial, bundle.digest, now[manifest.name])
            return body

        self._journal.append("add", check)
        return bundle

    def activate(self, name: str, which: str, *, why: str = "") -> Bundle:
        """Put a bundle in force, at once and for all runs that begin from now on. What was current can be had back by
        `rollback`. An older one than the current is refused: that is what `rollback` is for."""
        digest = self.standing(name).find(which)
        bundle = self._read(self.standing(name), digest)

        def check(now: Mapping[str, Standing]) -> dict[str, Any]:
            not_older(bundle.manifest.serial, bundle.digest, now[name])
            return {"name": name, "digest": digest, "why": why}

        self._journal.append("activate", check)
        return bundle

    def shadow(self, name: str, which: str | None, *, why: str = "") -> Bundle | None:
        """Let a bundle see the frames of all runs from now on, and never act; None ends that."""
        return self._beside("shadow", name, which, {"why": why})

    def canary(self, name: str, which: str | None, *, share: float = 0.1, why: str = "") -> Bundle | None:
        """Let a bundle act in a `share` of the runs from now on, drawn when a run begins; None ends that."""
        if which is not None and not 0.0 < share <= 1.0:
            raise ModelError(f"a share of {share:g}", where="share", expected="more than 0, at most 1")
        return self._beside("canary", name, which, {"why": why} | ({} if which is None else {"share": share}))

    def promote(self, name: str, *, why: str, criteria: Mapping[str, Any]) -> Bundle:
        """The canary, or else the shadow, becomes current. `criteria`: what it was judged by, for the log."""
        standing = self.standing(name)
        digest = standing.candidate
        if digest is None:
            raise ModelError(
                f"{name} has neither canary nor shadow", where=str(self.root), expected="one that can be promoted",
                remedy=f"`insitu model shadow {name} SERIAL` lets one look on",
            )  # fmt: skip
        bundle = self._read(standing, digest)

        def check(now: Mapping[str, Standing]) -> dict[str, Any]:
            if now[name].candidate != digest:
                raise ModelError(f"{name} was switched by somebody else meanwhile", where=str(self.root))
            return {"name": name, "digest": digest, "why": why, "criteria": dict(criteria)}

        self._journal.append("promote", check)
        return bundle

    def rollback(self, name: str, *, why: str = "", automatic: bool = False) -> Bundle:
        """Undo the last step: end the canary where there is one, else the bundle that was current before is current
        again. Gives what is current then, verified."""
        standing = self.standing(name)
        back = standing.before_last()
        bundle = self._read(standing, back)

        def check(now: Mapping[str, Standing]) -> dict[str, Any]:
            if now[name].before_last() != back:
                raise ModelError(f"{name} was switched by somebody else meanwhile", where=str(self.root))
            body = {"name": name, "digest": back, "why": why, "automatic": automatic}
            return body | ({"canary": now[name].canary} if now[name].canary is not None else {})

        self._journal.append("rollback", check)
        return bundle

    def note(self, name: str, body: Mapping[str, Any]) -> None:
        """Something that is to be remembered of a name: how a run with its canary went."""
        self._journal.append("note", lambda now: {"name": name} | dict(body))

    # -- inside

    def _beside(self, kind: str, name: str, which: str | None, body: Mapping[str, Any]) -> Bundle | None:
        digest = None if which is None else self.standing(name).find(which)
        bundle = None if digest is None else self._read(self.standing(name), digest)

        def check(now: Mapping[str, Standing]) -> dict[str, Any]:
            standing = now[name]
            if digest is not None and standing.current is None:
                raise ModelError(
                    f"nothing is current of {name}", where=str(self.root), expected="a bundle that is in force",
                    remedy=f"`insitu model activate {name} SERIAL` puts one in force",
                )  # fmt: skip
            if digest is not None and digest == standing.current:
                raise ModelError(
                    f"serial {standing.known[digest]} of {name} is current already", where=str(self.root),
                    expected=f"another bundle as {kind}",
                )  # fmt: skip
            if bundle is not None:
                not_older(bundle.manifest.serial, bundle.digest, standing)
            return {"name": name, "digest": digest} | dict(body)

        self.standing(name)
        self._journal.append(kind, check)
        return bundle

    def _usable(self, standing: Standing, digest: str | None, what: str, told: list[str]) -> Bundle | None:
        if digest is None:
            return None
        try:
            return self._read(standing, digest)
        except ModelError as e:
            told.append(f"the {what} of {standing.name} cannot be used and is left out: {e}")
            try:
                self.note(standing.name, {"digest": digest, "left_out": what, "why": str(e)})
            except StorageError as full:
                told.append(f"this could not be recorded: {full}")
            return None

    def _whole(self, standing: Standing, digest: str) -> bool:
        try:
            self._read(standing, digest)
        except ModelError:
            return False
        return True


def _undone(name: str, seen: Standing, why: str) -> Make:
    """The entry that takes a damaged current bundle out of force, unless somebody has switched meanwhile."""

    def make(now: Mapping[str, Standing]) -> dict[str, Any] | None:
        if now[name].current != seen.current:
            return None
        return {"name": name, "digest": seen.past[-1], "why": why, "automatic": True}

    return make
