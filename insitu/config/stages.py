"""The entries of a recipe to stages of a pipeline: made once to check them, and again for every fresh pipeline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from insitu.config.document import At, Problems
from insitu.config.roles import Entry, read_entry
from insitu.config.schema import Files
from insitu.types import KEY, Detector, Output
from insitu.units import did_you_mean

if TYPE_CHECKING:
    from insitu.pipeline import Pipeline, Stage

KINDS = ("prepare", "features", "models", "rules")
ROLE_NAMES = ("dark", "flat", "background", "reference")
"""References that frames bring by their role, without a declaration."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a pipeline is made of. Calling it gives a fresh one: models and rules have seen nothing. `detectors` are
    by source."""

    entries: Mapping[str, tuple[Entry, ...]]
    units: Mapping[str, str]
    detectors: Mapping[str, Detector]

    def uses(self, key: str) -> bool:
        """Whether an entry has this key."""
        return any(key in entry.values for found in self.entries.values() for entry in found)

    def __call__(self) -> Pipeline:
        from insitu.pipeline import Pipeline

        return Pipeline(
            prepares=[
                self._stage(e, e.make(name=e.name, detector=detector_of(e, self.detectors), stored=stored(e)))
                for e in self.entries["prepare"]
            ],
            extractors=[self._stage(e, make_extractor(e, self.detectors)) for e in self.entries["features"]],
            models=[self._stage(e, make_judge(e, self.units)) for e in self.entries["models"]],
            rules=[self._stage(e, make_judge(e, self.units)) for e in self.entries["rules"]],
        )

    @staticmethod
    def _stage(entry: Entry, call: Any) -> Stage:
        from insitu.pipeline import Stage
        from insitu.store.canonical import canonical, digest_bytes

        judges = entry.at.path[:1] in (("models",), ("rules",))
        digest = digest_bytes(canonical(entry.resolved)) if judges else ""
        return Stage(name=entry.name, call=call, source=entry.source, digest=digest)


def detector_of(entry: Entry, detectors: Mapping[str, Detector]) -> Detector | None:
    """The detector whose frames an entry sees: that of its source, or the only one. None where several may be meant."""
    if entry.source is not None:
        return detectors.get(entry.source)
    return next(iter(detectors.values())) if len(detectors) == 1 else None


def make_extractor(entry: Entry, detectors: Mapping[str, Detector]) -> Any:
    """The extractor; its keys have the prefix that the recipe gives, or the factory's own."""
    told = {"detector": detector_of(entry, detectors), "stored": stored(entry)}
    return entry.make(name=entry.own_name, **told) if entry.own_name else entry.make(**told)


def make_judge(entry: Entry, units: Mapping[str, str]) -> Any:
    """The model or rule, told the unit of every feature."""
    return entry.make(name=entry.name, units=units, stored=stored(entry))


def stored(entry: Entry) -> bool:
    """Whether the entry is one of a stored run: its files are the run's own, and the run's log vouches for them."""
    folder = entry.at.document.folder
    return folder is not None and all((folder / name).is_file() for name in ("detectors.toml", "ledger.db"))


def read_entries(tables: Mapping[str, Any], at: At, files: Files, problems: Problems) -> dict[str, tuple[Entry, ...]]:
    """All entries of a recipe that can be read, by kind. Names are unique."""
    entries: dict[str, tuple[Entry, ...]] = {}
    for kind in KINDS:
        found: list[Entry] = []
        for i, table in enumerate(tables.get(kind, [])):
            with problems.gather():
                entry = read_entry(table, kind, at / kind / i, files=files)
                found.append(entry)
                _unique(entry, found, kind)
        entries[kind] = tuple(found)
    return entries


def _unique(entry: Entry, found: Sequence[Entry], kind: str) -> None:
    """Refuse a second entry of one name, except for different sources."""
    for other in found[:-1]:
        apart = None not in (entry.source, other.source) and entry.source != other.source
        if other.name == entry.name and not apart and (kind != "features" or entry.own_name):
            at = entry.at / "name" if entry.own_name else entry.at
            raise at.wrong(
                f'two of [[{kind}]] are named "{entry.name}"', expected="one name each", remedy='Give it a key "name"'
            )


def check_sources(entries: Mapping[str, Sequence[Entry]], sources: Sequence[str], problems: Problems) -> None:
    """Refuse entries that are for a source which no detector gives."""
    for entry in (e for found in entries.values() for e in found):
        source = entry.source or entry.values.get("source")
        if isinstance(source, str) and source and source not in sources:
            problems.add(
                (entry.at / "source").wrong(
                    f'no detector gives the source "{source}"',
                    expected=f"one of {', '.join(sources)}",
                    remedy=did_you_mean(source, sources),
                )
            )


def check_models(rules: Sequence[Entry], models: Sequence[str], problems: Problems) -> None:
    """Refuse rules that name no model."""
    expected = f"one of {', '.join(models)}" if models else "a name that [[models]] declare; there are none"
    for rule in rules:
        for key in ("model", "models"):
            for name in (name for name in _texts(rule.values.get(key)) if name not in models):
                remedy = did_you_mean(name, models)
                problems.add((rule.at / key).wrong(f'no model is named "{name}"', expected=expected, remedy=remedy))


def check_references(entries: Sequence[Entry], references: Sequence[str], problems: Problems) -> None:
    """Refuse prepares and features that name no reference."""
    known = [*references, *ROLE_NAMES]
    for entry in entries:
        for name in (name for name in _texts(entry.values.get("reference")) if name not in known):
            expected, remedy = f"one of {', '.join(known)}", did_you_mean(name, known)
            what = f'no reference is named "{name}"'
            problems.add((entry.at / "reference").wrong(what, expected=expected, remedy=remedy))


def _texts(value: Any) -> list[str]:
    """The names under a key that takes one or several."""
    several = value if isinstance(value, (list, tuple)) else [value]
    return [v for v in several if isinstance(v, str)]


def find_outputs(
    entries: Sequence[Entry], detectors: Mapping[str, Detector], problems: Problems
) -> dict[str, dict[str, Output]]:
    """{source: {key: Output}} of all extractors, which are made for that. A key is given once per source."""
    outputs: dict[str, dict[str, Output]] = {source: {} for source in detectors}
    for entry in entries:
        with problems.gather():
            promised = _promised(make_extractor(entry, detectors), entry)
            for source in detectors if entry.source is None else [entry.source] if entry.source in outputs else []:
                if clash := sorted(outputs[source].keys() & promised.keys()):
                    raise entry.at.wrong(
                        f"{', '.join(clash)} of source {source} is given by an entry before this one",
                        expected="each feature key once",
                        remedy='Give it another prefix with the key "name"',
                    )
                outputs[source].update(promised)
    return outputs


def _promised(extractor: Any, entry: Entry) -> Mapping[str, Output]:
    outputs = getattr(extractor, "outputs", None)
    if not isinstance(outputs, Mapping) or not all(isinstance(o, Output) for o in outputs.values()):
        what = f'"{entry.resolved["use"]}" does not say what it gives'
        raise entry.at.wrong(what, expected="an attribute `outputs`, a mapping of keys to `Output`")
    for key in outputs:
        if not KEY.fullmatch(key):
            expected = "small letters, digits and _, beginning with a letter"
            raise entry.at.wrong(f'"{key}" is no feature key', expected=expected)
    return outputs


def units_of(
    outputs: Mapping[str, Mapping[str, Output]], calibrations: Mapping[str, str], at: At, problems: Problems
) -> dict[str, str]:
    """{feature key or calibration: unit} for models and rules. Two units under one key are refused."""
    units = dict(calibrations)
    first: dict[str, tuple[str, str]] = {}
    for source, promised in outputs.items():
        for key, output in promised.items():
            if output.array:
                continue
            other, unit = first.setdefault(key, (source, output.unit))
            if unit != output.unit:
                problems.add(
                    (at / "features").wrong(
                        f'{key} is in "{unit}" for source {other} and in "{output.unit}" for source {source}',
                        expected="one unit for one key",
                        remedy='Give one of them another prefix with the key "name"',
                    )
                )
            units[key] = unit
    return units
