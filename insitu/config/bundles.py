"""Bundles that a recipe names: where they are, and what the run records of them.

`bundle = "PATH"` is a folder (relative to the recipe), `"NAME"` one of `pipelines/models` (of the current folder,
beside the recipe, or shipped), `"registry:NAME"` what the registry of this machine has in force when the run begins.
The folder is copied into the run like every file that a recipe names, and a replay uses that copy.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from insitu import catalog
from insitu.config.document import At, Problems
from insitu.errors import InsituError, NotFoundError, StorageError
from insitu.units import did_you_mean

if TYPE_CHECKING:
    from insitu.config.stages import Plan
    from insitu.models.bundle import Bundle
    from insitu.models.choice import Choice
    from insitu.pipeline import Pipeline

KEY = "bundle"
KINDS = ("prepare", "features", "models")
REGISTRY = "registry:"
SHADOW = "_shadow"
"""Behind the name of an entry: its twin, which another bundle looks on with."""
_NAME = re.compile(r"[a-z][a-z0-9_-]*")
T = TypeVar("T")
Chosen = dict[str, "Choice"]


def fitting(make: Callable[[Chosen], T]) -> T:
    """What `make` makes, which puts its choices into the mapping it is given. Where it refuses, and a bundle looks on
    or is tried, once more with the current one alone: a candidate of other inputs or labels must not keep a run from
    beginning. That is told, and written into the registry's log."""
    chosen: Chosen = {}
    try:
        return make(chosen)
    except InsituError as e:
        candidates = {name: choice for name, choice in chosen.items() if choice.twin is not None}
        if not candidates:
            raise
        why = str(e)
    chosen |= {name: choice.alone(why) for name, choice in candidates.items()}
    made = make(chosen)
    for choice in candidates.values():
        _note(choice, why)
    return made


def _note(choice: Choice, why: str) -> None:
    from insitu.models.registry import Registry

    candidate = choice.acting if choice.role == "canary" else choice.twin
    assert candidate is not None
    body = {"digest": candidate.digest, "left_out": choice.candidate, "why": why}
    with suppress(StorageError):  # the run tells it anyway
        Registry(operator="insitu").note(choice.name, body)


def resolve(data: Mapping[str, Any], at: At, problems: Problems, chosen: Chosen, *, starts: bool) -> None:
    """Put the folder in the place of each name of a bundle. What is taken from the registry, by name, goes into
    `chosen`: one choice for all entries of a recipe. `starts`: a run begins, so that the registry may draw a canary."""
    for place, row in _rows(data, at):
        text = row[KEY]
        with problems.gather():
            if text.startswith(REGISTRY):
                name = text.removeprefix(REGISTRY)
                if name not in chosen:
                    chosen[name] = _choose(name, place, starts=starts)
                row[KEY] = str(_folder(chosen[name].acting))
            elif _NAME.fullmatch(text):
                row[KEY] = str(_named(text, place))
    for choice in chosen.values():
        _let_look_on(data, choice)


def _let_look_on(data: Mapping[str, Any], choice: Choice) -> None:
    """Behind every entry of the bundle that acts one of its twin, which sees the same frames: a name that no rule of
    the recipe knows."""
    if choice.twin is None:
        return
    acting, twin = str(_folder(choice.acting)), str(_folder(choice.twin))
    for kind in KINDS:
        rows = data.get(kind)
        for row in [r for r in rows if isinstance(r, dict) and r.get(KEY) == acting] if isinstance(rows, list) else []:
            usual = choice.acting.manifest.name if kind == "features" else str(row.get("use", ""))
            beside = {**row, KEY: twin, "name": f"{row.get('name', usual)}{SHADOW}"}
            if kind == "models":
                beside["prefix"] = f"{row.get('prefix', choice.acting.manifest.name)}{SHADOW}"
            rows.append(beside)  # type: ignore[union-attr]


def _rows(data: Mapping[str, Any], at: At) -> Iterator[tuple[At, dict[str, Any]]]:
    """Every entry with a bundle, and the place of that key."""
    for kind in KINDS:
        rows = data.get(kind)
        for i, row in enumerate(rows if isinstance(rows, list) else []):
            if isinstance(row, dict) and isinstance(row.get(KEY), str):
                yield at / kind / i / KEY, row


def _choose(name: str, place: At, *, starts: bool) -> Choice:
    """What the registry has in force; `ModelError` (exit 6) where nothing of it is whole."""
    from insitu.models.choice import Choice
    from insitu.models.registry import Registry

    try:
        registry = Registry()
        if starts:
            return registry.choose(name, random.random())
        return Choice(name=name, acting=registry.read(name, "current"), role="current")
    except NotFoundError as e:
        raise place.wrong(e.what, expected=e.expected, remedy=e.remedy) from e


def _folder(bundle: Bundle) -> Path:
    from insitu.models.registry import Registry

    return Registry().folder(bundle.digest).absolute()


def _named(name: str, place: At) -> Path:
    """The folder of a bundle by its name; a folder of that name beside the recipe wins."""
    near = place.document.folder
    own = [] if near is None else [near / name, near / "models" / name, near / "pipelines" / "models" / name]
    folders = [*own, Path("pipelines") / "models" / name, catalog.shipped_folder("pipelines") / "models" / name]
    for folder in folders:
        if folder.is_dir():
            return folder.absolute()
    known = sorted({p.parent.name for f in folders for p in f.parent.glob("*/manifest.json")})
    raise place.wrong(
        f'no bundle is named "{name}"',
        expected=f"one of {', '.join(known)}, a folder, or registry:NAME" if known else "a folder, or registry:NAME",
        remedy=did_you_mean(name, known),
    )


def told(plan: Plan, chosen: Mapping[str, Choice]) -> dict[str, Any]:
    """What a `Setup` says of its bundles, by field."""
    found = recorded(plan(), chosen) if plan.uses(KEY) else {}
    return {"bundles": found, "chosen": chosen, "remarks": tuple(remarks(found, chosen))}


def recorded(pipeline: Pipeline, chosen: Mapping[str, Choice]) -> dict[str, dict[str, Any]]:
    """{entry: what the run's first entry says of its bundle}; entries of one bundle say the same."""
    found: dict[str, dict[str, Any]] = {}
    for kind, stages in (("features", pipeline.extractors), ("models", pipeline.models)):
        for stage in stages:
            bundle = getattr(stage.call, KEY, None)
            manifest = getattr(bundle, "manifest", None)
            if bundle is None or manifest is None:
                continue
            role = next((r for c in chosen.values() if (r := _role(c, bundle.digest))), "")
            found[f"{kind}.{stage.name}"] = {
                "name": manifest.name,
                "version": manifest.version,
                "serial": manifest.serial,
                "digest": bundle.digest,
                "signed_by": bundle.signed_by,
                **({"role": role} if role else {}),
            }
    return found


def _role(choice: Choice, digest: str) -> str:
    """What a bundle is in this run: `current` or `canary` where it acts, `twin` where it looks on."""
    if choice.acting.digest == digest:
        return choice.role
    return "twin" if choice.twin is not None and choice.twin.digest == digest else ""


def remarks(found: Mapping[str, Mapping[str, Any]], chosen: Mapping[str, Choice]) -> list[str]:
    """What a person has to know of the bundles before the run."""
    unsigned = dict.fromkeys(f"{b['name']} {b['version']}" for b in found.values() if not b["signed_by"])
    told = [f"the network {name} is not signed: the recipe allows that (allow_unsigned)" for name in unsigned]
    return [*told, *(text for choice in chosen.values() for text in choice.told)]
