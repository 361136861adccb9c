"""Features of a stored run that another recipe would only compute again, to the same bits: they are taken as they are.

`reanalyse` with a new network, model or limit needs what is new, not the fit of an hour ago. An extractor's features
are kept where everything that they follow from is the same: code, packages and processor (the digest of the
environment), the detectors, the entry with all its settings, the prepare steps before it, the content of every file
that these name; and for each frame, the digests of the references in its record. Roles from outside of insitu, arrays,
and frames in whose record a fault stands are computed again. `insitu verify` of the new run believes nothing of this:
it derives every record from the frames.
"""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from insitu.config import Setup
from insitu.config.schema import FOLDER
from insitu.pipeline import Pipeline
from insitu.run.environment import environment
from insitu.store.canonical import digest_bytes, feature_from
from insitu.store.runs import StoredRun
from insitu.types import Feature, Frame, References

NOTHING: Mapping[str, Feature] = {}


class Kept(NamedTuple):
    """`keys` of features that are kept, by source; `names` of their entries."""

    run: StoredRun
    keys: Mapping[str, frozenset[str]]
    names: tuple[str, ...]

    def of(self, frame: Frame, refs: References) -> Mapping[str, Feature]:
        """Of one frame; nothing where its record does not tell, or tells of other references."""
        keys = self.keys.get(frame.source)
        body = self.run.record(frame.n) if keys else None
        if not keys or body is None or body["source"] != frame.source or body["seq"] != frame.seq:
            return NOTHING
        if "faults" in body or "provisional" in body or body["role"] != frame.role:
            return NOTHING
        if body.get("references", {}) != {name: r.digest for name, r in refs.items()}:
            return NOTHING
        return {key: feature_from(found) for key, found in body["features"].items() if key in keys}


def kept(run: StoredRun, setup: Setup, pipeline: Pipeline) -> Kept:
    """What of a stored run's features the recipe of `setup`, of which `pipeline` is made, can keep."""
    opened = run.open_body()
    if opened.get("environment") != environment()["digest"]:
        return Kept(run, {}, ())
    old, of_old = _tables(run.path / "recipe.toml"), _tables(run.path / "detectors.toml")
    new, of_new = tomllib.loads(setup.recipe_toml), tomllib.loads(setup.detectors_toml)
    files = {f"{FOLDER}{name}": digest_bytes(path.read_bytes()) for name, path in setup.files.items()}
    same = _Same(opened.get("files", {}), files)
    if not same(_unread(of_old), _unread(of_new)):
        return Kept(run, {}, ())
    keys: dict[str, set[str]] = {}
    names: list[str] = []
    for row, stage in zip(new.get("features", []), pipeline.extractors, strict=True):
        outputs = stage.call.outputs
        if any(o.array for o in outputs.values()) or not any(same.role(row, r) for r in old.get("features", [])):
            continue
        for source in [stage.source] if stage.source else [s.detector.source for s in setup.sources]:
            before, after = ([r for r in t.get("prepare", []) if r.get("source") in (None, source)] for t in (old, new))
            alike = len(before) == len(after) and all(map(same.role, before, after))
            if alike or getattr(stage.call, "raw", False):
                keys.setdefault(source, set()).update(outputs)
                names.append(stage.name)
    return Kept(run, {source: frozenset(found) for source, found in keys.items()}, tuple(dict.fromkeys(names)))


def _tables(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text(encoding="utf-8"))


def _unread(detectors: Mapping[str, Any]) -> list[Any]:
    """Detectors without how they are read: the frames are there already."""
    return [{k: v for k, v in table.items() if k != "reader"} for table in detectors.values()]


class _Same:
    """Whether two tables say the same, and mean the same files by it. `before`, `after`: {name in the run: digest}."""

    def __init__(self, before: Mapping[str, str], after: Mapping[str, str]) -> None:
        self._before, self._after = before, after

    def __call__(self, a: Any, b: Any) -> bool:
        return a == b and all(_under(self._before, t) == _under(self._after, t) for t in _texts(a))

    def role(self, a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
        """Of two entries; one that is not ours may be another one today, under the same name."""
        use = str(a.get("use", ""))
        return (":" not in use or use.startswith("insitu.")) and self(a, b)


def _under(files: Mapping[str, str], name: str) -> dict[str, str]:
    """Digests of a file, or of all in a folder."""
    return {file: digest for file, digest in files.items() if file == name or file.startswith(f"{name}/")}


def _texts(value: Any) -> list[str]:
    """All names of files in a table."""
    if isinstance(value, Mapping | list):
        return [t for v in (value.values() if isinstance(value, Mapping) else value) for t in _texts(v)]
    return [value] if isinstance(value, str) and value.startswith(FOLDER) else []
