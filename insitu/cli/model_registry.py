"""`insitu model add|list|activate|shadow|canary|promote|rollback|log`: which bundle is in force on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from insitu.cli.model_options import Keys, folder_of
from insitu.cli.options import DATA_ROOT, AsJson, DataRoot, Operator, operator_name
from insitu.cli.say import answer, clock, table

if TYPE_CHECKING:
    from insitu.models.bundle import Bundle
    from insitu.models.registry import Registry
    from insitu.models.standing import Entry, Standing

Name = Annotated[str, typer.Argument(metavar="NAME", help="Of the model, as its manifest says.")]
Which = Annotated[
    str, typer.Argument(metavar="WHICH", help="A serial, a version, or the first letters of a digest; `none` ends it.")
]
Root = Annotated[
    Path | None,
    typer.Option("--registry", metavar="DIR", help="The registry; else INSITU_MODELS, else among the user's data."),
]
Why = Annotated[str, typer.Option("--why", "-m", help="The reason; it is written into the registry's log.")]


def add(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="The bundle.")],
    root: Root = None,
    key: Keys = None,
    allow_unsigned: Annotated[
        bool, typer.Option("--allow-unsigned", help="Take it without a signature; that is recorded.")
    ] = False,
    operator: Operator = "",
    as_json: AsJson = False,
) -> int:
    """Verify a bundle, or an update of one that is there, and take it into the registry. It is not in force until
    `activate` or `promote`."""
    registry = _registry(root, key, operator)
    bundle = _add(registry, folder, allow_unsigned=allow_unsigned)
    m = bundle.manifest
    body = {"name": m.name, "serial": m.serial, "version": m.version, "digest": bundle.digest}
    text = f"{m.name} serial {m.serial} is in the registry. Put it in force: insitu model activate {m.name} {m.serial}"
    answer(body | {"signed_by": bundle.signed_by}, text, as_json=as_json)
    return 0


def listing(root: Root = None, as_json: AsJson = False) -> int:
    """What is in the registry, and what is in force."""
    registry = _registry(root, None, "")
    standings = registry.standings()
    rows = [
        (s.name, str(serial), s.versions[digest], digest[7:19], _roles(s, digest))
        for s in standings.values()
        for digest, serial in s.known.items()
    ]
    head = [("name", "serial", "version", "digest", "")]
    text = table(head + rows) if rows else f"The registry {registry.root} is empty: insitu model add FOLDER"
    answer(
        {"registry": str(registry.root), "models": [_standing(s) for s in standings.values()]}, text, as_json=as_json
    )
    return 0


def activate(
    name: Name, which: Which, root: Root = None, key: Keys = None, why: Why = "", operator: Operator = "",
    as_json: AsJson = False,
) -> int:  # fmt: skip
    """Put a bundle in force for all runs that begin from now on."""
    registry = _registry(root, key, operator)
    registry.activate(name, which, why=why)
    return _told(registry, name, as_json)


def shadow(
    name: Name, which: Which, root: Root = None, key: Keys = None, why: Why = "", operator: Operator = "",
    as_json: AsJson = False,
) -> int:  # fmt: skip
    """Let a bundle see the frames of all runs from now on; it is recorded and never acts."""
    registry = _registry(root, key, operator)
    registry.shadow(name, None if which == "none" else which, why=why)
    return _told(registry, name, as_json)


def canary(
    name: Name, which: Which, root: Root = None, key: Keys = None,
    share: Annotated[float, typer.Option(help="Of the runs that it acts in, 0 to 1.")] = 0.1,
    why: Why = "", operator: Operator = "", as_json: AsJson = False,
) -> int:  # fmt: skip
    """Let a bundle act in a share of the runs from now on, never changing within one. A run in which it does not pass
    rolls it back."""
    registry = _registry(root, key, operator)
    registry.canary(name, None if which == "none" else which, share=share, why=why)
    return _told(registry, name, as_json)


def promote(
    name: Name,
    root: Root = None,
    key: Keys = None,
    data_root: DataRoot = DATA_ROOT,
    frames: Annotated[int, typer.Option(help="Judged by both, at least.")] = 1000,
    agreement: Annotated[float, typer.Option(help="Least share of the same labels.")] = 0.98,
    labels: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Labels by a person (`insitu label`): these decide then.")
    ] = None,
    anyway: Annotated[str, typer.Option(metavar="WHY", help="Promote though it does not pass; recorded.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell how it stands.")] = False,
    operator: Operator = "",
    as_json: AsJson = False,
) -> int:
    """Put the canary, or the shadow, in force where the stored runs show that it passes."""
    from insitu.rollout.criteria import Criteria
    from insitu.rollout.steps import promote as put_in_force
    from insitu.rollout.steps import review

    registry = _registry(root, key, operator)
    criteria = Criteria(frames=frames, agreement=agreement)
    found = review(registry, name, data_root, criteria, _labels(labels))
    if not dry_run:
        put_in_force(registry, found, criteria, anyway=anyway)
    seen = found.evidence
    text = f"{name}: {seen.both:,} frames in {seen.runs} runs were judged by both"
    text += f", {seen.agreed / seen.both:.1%} with the same label." if seen.both else "."
    text += "".join(f"\n  {why}" for why in found.against)
    text += "\nIt would pass." if dry_run and not found.against else ""
    text += "" if dry_run else f"\n{_text(registry.standing(name))}"
    answer(found.as_dict() | {"promoted": not dry_run}, text, as_json=as_json)
    return 1 if dry_run and found.against else 0


def rollback(
    name: Name, root: Root = None, key: Keys = None, why: Why = "", operator: Operator = "", as_json: AsJson = False
) -> int:
    """Undo the last step: end the canary, or else go back to the bundle that was in force before."""
    registry = _registry(root, key, operator)
    registry.rollback(name, why=why)
    return _told(registry, name, as_json)


def history(root: Root = None, as_json: AsJson = False) -> int:
    """The registry's log, its chain checked."""
    entries = _registry(root, None, "").entries()
    rows = [(clock(e.body["time_ns"]), e.body.get("operator") or "-", e.kind, _line(e)) for e in entries]
    body = {"entries": [{"kind": e.kind, **e.body, "hash": e.hash.hex()} for e in entries]}
    answer(body, table(rows) if rows else "Nothing has been done yet.", as_json=as_json)
    return 0


def _registry(root: Path | None, keys: list[Path] | None, operator: str) -> Registry:
    from insitu.models.registry import Registry

    return Registry(root, keys=keys or (), operator=operator_name(operator))


def _add(registry: Registry, folder: Path, *, allow_unsigned: bool) -> Bundle:
    from insitu.rollout.updating import is_update, with_update

    folder = folder_of(folder)
    if not is_update(folder):
        return registry.add(folder, allow_unsigned=allow_unsigned)
    return with_update(folder, registry.bundle, lambda made: registry.add(made, allow_unsigned=allow_unsigned))


def _labels(path: Path | None) -> dict[str, str] | None:
    if path is None:
        return None
    from insitu.rollout.labels import read_labels

    return read_labels(path)


def _told(registry: Registry, name: str, as_json: bool) -> int:
    standing = registry.standing(name)
    answer(_standing(standing), _text(standing), as_json=as_json)
    return 0


def _standing(s: Standing) -> dict[str, Any]:
    return {
        "name": s.name,
        "current": s.current,
        "shadow": s.shadow,
        "canary": s.canary,
        "share": s.share,
        "bundles": [
            {"digest": d, "serial": serial, "version": s.versions[d], "unsigned": d in s.unsigned}
            for d, serial in s.known.items()
        ],
    }


def _text(s: Standing) -> str:
    told = [f"current is serial {s.known[s.current]}" if s.current else "nothing is current"]
    if s.shadow:
        told.append(f"serial {s.known[s.shadow]} looks on as a shadow")
    if s.canary:
        told.append(f"serial {s.known[s.canary]} is the canary in {s.share:.0%} of the runs")
    return f"{s.name}: {', '.join(told)}."


def _roles(s: Standing, digest: str) -> str:
    roles = [
        role for role, one in (("current", s.current), ("shadow", s.shadow), ("canary", s.canary)) if one == digest
    ]
    return ", ".join(roles + (["unsigned"] if digest in s.unsigned else []))


def _line(entry: Entry) -> str:
    digest = entry.body.get("digest")
    parts = [entry.body["name"], digest[7:19] if digest else "none", entry.body.get("why") or ""]
    return " ".join(part for part in parts if part)
