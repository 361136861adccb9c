"""A recipe and its detectors to a `Setup`: reads, checks everything, and tells all problems at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from insitu import catalog
from insitu.config import bundles, checks, leaving, tables
from insitu.config.convert import convert
from insitu.config.document import At, Document, Problems, read, text
from insitu.config.overrides import Inputs, Override, apply, split
from insitu.config.roles import Entry
from insitu.config.schema import FOLDER, Files, Table, construct, keys_of, read_table, unknown_key
from insitu.config.settings import Policy, ReferenceSpec, Setup
from insitu.config.sources import (
    Find,
    Origin,
    Purpose,
    ReadSource,
    check_format,
    copied,
    find_origins,
    override,
    read_source,
    with_inputs,
)
from insitu.config.stages import (
    Plan,
    check_models,
    check_references,
    check_sources,
    detector_of,
    find_outputs,
    make_judge,
    read_entries,
    units_of,
)
from insitu.errors import NotFoundError
from insitu.sinks.policy import ArrayRule
from insitu.sinks.pseudonyms import read_key
from insitu.types import Detector, Feature
from insitu.units import did_you_mean

STORED = ("recipe.toml", "detectors.toml")
LAST = ("references", "metadata", "policy", "budget", "acquire", "safe_state", "kafka")
"""Tables of a stored recipe behind its entries."""
Detectors = Mapping[str, Mapping[str, Any]]


def load(
    recipe: str | Path | Mapping[str, Any],
    *,
    inputs: Inputs = None,
    sets: Sequence[str] = (),
    detectors: Detectors | None = None,
    search: Find = catalog.find_detector,
    purpose: Purpose = "run",
) -> Setup:
    """The recipe of a name, path or mapping, with its detectors; `ConfigError` with all problems.

    `inputs`: what the readers read: a path, `SOURCE=PATH` texts, or {source: path}. `sets`: `key=value` texts
    (`--set`). `detectors`: {name: table}, looked at before `search` looks for a file. `purpose`: "run" wants every
    reader to know what to read, "check" does not, and with "replay" readers are not looked at. The `recipe.toml` of a
    stored run is a replay with that run's detectors.
    """
    document, name = _document(recipe)
    given = dict(detectors or {})
    if name == "recipe" and document.folder is not None and (document.folder / STORED[1]).is_file():
        given, purpose = {**stored_detectors(document.folder), **given}, "replay"
    for_recipe, for_detectors = split(sets)
    document = apply(document, for_recipe)

    def setup(chosen: bundles.Chosen) -> Setup:  # of a copy: what is chosen is written into it
        fresh = replace(document, data=copied(document.data))
        return _Loading(fresh, name, Problems(), purpose).setup(given, search, inputs, for_detectors, chosen)

    return bundles.fitting(setup)


def load_stored(folder: Path) -> Setup:
    """The setup of a stored run, from its `recipe.toml` and `detectors.toml`: the same pipeline again."""
    for name in STORED:
        if not (folder / name).is_file():
            raise NotFoundError(f"has no {name}", where=str(folder), expected="the folder of a run")
    return load(folder / STORED[0], purpose="replay")


def stored_detectors(folder: Path) -> Detectors:
    """{name: table} of a stored run's detectors, for another recipe on the same frames. Their files are the run's."""
    tables_of = read(folder / STORED[1]).data
    for table in tables_of.values():
        geometry = table.get("geometry", {}) if isinstance(table, dict) else {}
        for key, value in geometry.items() if isinstance(geometry, dict) else ():
            if isinstance(value, str) and value.startswith(FOLDER):
                geometry[key] = str((folder / value).absolute())
    return tables_of


def _document(recipe: str | Path | Mapping[str, Any]) -> tuple[Document, str]:
    if isinstance(recipe, Mapping):
        return Document(name="recipe", data=copied(recipe)), "recipe"
    path = recipe if isinstance(recipe, Path) else catalog.find_recipe(recipe)
    return read(path), path.stem


class _Loading:
    """One load: what has been read so far, and what is wrong with it."""

    def __init__(self, document: Document, name: str, problems: Problems, purpose: Purpose) -> None:
        self.at, self.name, self.problems = At(document), name, problems
        self.purpose: Purpose = purpose
        self.data, self.files = document.data, Files()
        self.near = document.folder or Path.cwd()
        self.resolved: dict[str, Any] = {}

    def setup(
        self, given: Detectors, search: Find, inputs: Inputs, sets: Sequence[Override], chosen: bundles.Chosen
    ) -> Setup:
        """Read everything, check it across, and build the setup."""
        check_format(self.data, self.at)
        bundles.resolve(self.data, self.at, self.problems, chosen, starts=self.purpose == "run")
        top = self._top()
        origins = find_origins(top.get("detectors", []), self.at / "detectors", given, search, self.near, self.problems)
        sources = self._sources(override(origins, sets, self.problems), inputs)
        detectors = [s.source.detector for s in sources]
        names = [d.source for d in detectors]
        complete = bool(origins) and len(sources) == len(top.get("detectors", []))
        entries = read_entries(top, self.at, self.files, self.problems)
        readable = all(len(entries[kind]) == len(top.get(kind, [])) for kind in entries)
        made = {k: self._made(k, getattr(tables, k), top.get(k)) for k in ("budget", "acquire", "kafka")}
        policy, key = self._policy(top.get("policy", {}))
        metadata = self._metadata(top.get("metadata", {}))
        references = self._references(top.get("references", []), names)
        before = len(self.problems.found)
        if complete:
            check_sources(entries, names, self.problems)
        if len(entries["models"]) == len(top.get("models", [])):
            check_models(entries["rules"], [e.name for e in entries["models"]], self.problems)
        declared = [str(row.get("name")) for row in top.get("references", [])]
        check_references((*entries["prepare"], *entries["features"]), declared, self.problems)
        of = {d.source: d for d in detectors}
        outputs = find_outputs(entries["features"], of, self.problems)
        units = units_of(outputs, checks.calibrations(detectors), self.at, self.problems)
        plan = Plan(entries=entries, units=units, detectors=of)
        if complete and readable and len(self.problems.found) == before:
            self._try(plan)
            models = [e.name for e in entries["models"]]
            checks.policy(policy, outputs, models, self.at / "policy", self.problems)
            if self.purpose != "replay" and len(self.problems.found) == before:
                readers, rules = [s.resolved["reader"]["use"] for s in sources], [e.name for e in entries["rules"]]
                secrets = made["kafka"].get("security")
                known = leaving.Known(detectors, readers, outputs, models, rules, metadata, secrets)
                leaving.check(policy, known, self.at, self.problems)
        safe_state = self._safe_state(top.get("safe_state", {}), detectors if complete else None)
        if complete:
            checks.signals(entries["rules"], detectors, self.problems)
            checks.credit(made["budget"], detectors, self.at / "budget" / "in_flight", self.problems)
        self.problems.stop()
        self._resolve(top, [o.name for o in origins], entries)
        return Setup(
            title=top.get("title", ""),
            name=self.name,
            recipe_toml=text(self.resolved),
            detectors_toml=text({s.name: dict(s.resolved) for s in sources}),
            sources=tuple(s.source for s in sources),
            pipeline=plan,
            outputs=outputs,
            budget=made["budget"],
            acquire=made["acquire"],
            policy=policy,
            references=references,
            safe_state=safe_state,
            kafka=made["kafka"],
            files=self.files.paths,
            metadata=metadata,
            models=tuple(dict.fromkeys(e.name for e in entries["models"])),
            pseudonym_key=key,
            simulated=any(s.simulated for s in sources),
            **bundles.told(plan, chosen),
        )

    def _top(self) -> dict[str, Any]:
        """The recipe's own keys; those that could be read, also where others could not."""
        keys, top = keys_of(tables.recipe, self.at), {}
        for name in (name for name in self.data if name not in keys):
            self.problems.add(unknown_key(name, keys, self.at))
        for name, key in keys.items():
            with self.problems.gather():
                given = {name: self.data[name]} if name in self.data else {}
                top.update(read_table(given, {name: key}, self.at).values)
        if top.get("detectors") == []:
            self.problems.add((self.at / "detectors").wrong("no detector is named", expected="one or more names"))
        return top

    def _sources(self, origins: Sequence[Origin], inputs: Inputs) -> list[ReadSource]:
        origins = with_inputs(origins, inputs, self.problems)
        sources: list[ReadSource] = []
        for origin in origins:
            with self.problems.gather():
                found = read_source(origin, self.purpose, self.files)
                for other in sources:
                    if other.source.detector.source == found.source.detector.source:
                        raise (found.at / "source").wrong(
                            f'the source "{found.source.detector.source}" is also that of {other.name}',
                            expected="a source of its own for every detector",
                        )
                sources.append(found)
        return sources

    def _made(self, key: str, factory: Callable[..., Any], table: Any) -> Any:
        """A table of the recipe as its object; the default where it is not there or cannot be read."""
        if table is None:
            return {} if key == "kafka" else factory()
        with self.problems.gather():
            keep = None if key == "kafka" else self.files
            parts: Table = read_table(table, keys_of(factory, self.at), self.at / key, files=keep)
            self.resolved[key] = leaving.with_secrets(parts) if key == "kafka" else parts.resolved
            return construct(factory, parts.values, self.at / key)
        return {} if key == "kafka" else factory()

    def _policy(self, table: Any) -> tuple[Policy, Path | None]:
        """`[policy]` and the file of its key, which must be one before a run begins. The key is never copied."""
        at = self.at / "policy"
        with self.problems.gather():
            parts = read_table(table, keys_of(tables.policy, self.at), at)
            rules: list[ArrayRule] = []
            for i, row in enumerate(parts.values.get("arrays", [])):
                with self.problems.gather():
                    values = read_table(row, keys_of(tables.array, at), at / "arrays" / i).values
                    rules.append(construct(tables.array, values, at / "arrays" / i))
            self.resolved["policy"] = leaving.with_secrets(parts)
            made = replace(construct(tables.policy, parts.values, at), arrays=tuple(rules))
            key = parts.values.get("pseudonym_key")
            if key is not None and self.purpose != "replay":
                construct(read_key, {"path": key}, at)
            return made, key
        return Policy(), None

    def _metadata(self, table: Mapping[str, str]) -> dict[str, str]:
        """What is told of the run, by name."""
        for name in table:
            with self.problems.gather():
                construct(tables.metadata, {"name": name}, self.at / "metadata" / name)
        if table:
            self.resolved["metadata"] = dict(table)
        return dict(table)

    def _references(self, rows: Sequence[Any], sources: Sequence[str]) -> tuple[ReferenceSpec, ...]:
        found: list[ReferenceSpec] = []
        for i, row in enumerate(rows):
            at = self.at / "references" / i
            with self.problems.gather():
                parts = read_table(row, keys_of(tables.reference, at), at, files=self.files)
                spec = construct(tables.reference, parts.values, at)
                if not spec.source and len(sources) == 1:
                    spec = replace(spec, source=sources[0])
                if sources and spec.source not in sources:
                    what = f'no detector gives the source "{spec.source}"' if spec.source else "the source is missing"
                    remedy = did_you_mean(spec.source, sources)
                    raise (at / "source").wrong(what, expected=f"one of {', '.join(sources)}", remedy=remedy)
                if any((o.name, o.source) == (spec.name, spec.source) for o in found):
                    raise (at / "name").wrong(f'two references are named "{spec.name}"', expected="one name each")
                found.append(spec)
                self.resolved.setdefault("references", []).append({**parts.resolved, "source": spec.source})
        return tuple(found)

    def _try(self, plan: Plan) -> None:
        """Make everything once: a factory that refuses is told now, not when the run begins."""
        for entry in plan.entries["prepare"]:
            with self.problems.gather():
                entry.make(name=entry.name, detector=detector_of(entry, plan.detectors))
        for entry in (*plan.entries["models"], *plan.entries["rules"]):
            with self.problems.gather():
                make_judge(entry, plan.units)

    def _safe_state(self, table: Mapping[str, Any], detectors: Sequence[Detector] | None) -> dict[str, Feature]:
        """Signals and their safe values, each allowed by a detector's limits."""
        state: dict[str, Feature] = {}
        for signal, value in table.items():
            at = self.at / "safe_state" / signal
            with self.problems.gather():
                state[signal] = convert(value, Feature, at)
                self.resolved.setdefault("safe_state", {})[signal] = value
                if detectors is not None:
                    checks.signal(signal, state[signal], detectors, at)
        return state

    def _resolve(self, top: Mapping[str, Any], names: Sequence[str], entries: Mapping[str, Sequence[Entry]]) -> None:
        """The recipe's text with every default in it, in the order of the design."""
        made = self.resolved
        for key in ("budget", "acquire", "policy"):
            made.setdefault(key, read_table({}, keys_of(getattr(tables, key), self.at), self.at).resolved)
        head = {"format": tables.FORMAT, "title": top.get("title", ""), "detectors": list(names)}
        rows = {kind: [dict(e.resolved) for e in found] for kind, found in entries.items() if found}
        self.resolved = {**head, **rows, **{k: made[k] for k in LAST if k in made}}
