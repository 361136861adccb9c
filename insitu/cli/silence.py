"""What a run never told, although a recipe asked for it: the difference between "all is well" and "nothing was seen".

A model that says `unknown` of every pattern, or patterns of which nothing could be measured, end in CONTINUE like a
good night. The newest records are looked at; that is enough to tell, and takes no time in a long run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from insitu.store.runs import StoredRun

NEWEST = 50
"""How many records are looked at."""
_NEWEST = "SELECT body FROM log WHERE kind = 'record' ORDER BY n DESC LIMIT ?"


def silence(run: StoredRun) -> list[str]:
    """One sentence for each model, and each source, from which nothing was learnt."""
    import orjson

    records = [orjson.loads(row[0]) for row in run.query(_NEWEST, (NEWEST,))]
    return [*_models(records), *_sources(records)]


def _models(records: Sequence[Mapping[str, Any]]) -> list[str]:
    said: dict[str, list[Mapping[str, Any]]] = {}
    for record in records:
        for name, verdict in record["verdicts"].items():
            said.setdefault(name, []).append(verdict)
    return [
        f"{name}: unknown in {_all(len(verdicts), records)}, the newest because: {verdicts[0].get('reason', '')}"
        for name, verdicts in sorted(said.items())
        if all(verdict["label"] == "unknown" for verdict in verdicts)
    ]


def _sources(records: Sequence[Mapping[str, Any]]) -> list[str]:
    told = []
    for source in sorted({record["source"] for record in records}):
        features = [r["features"] for r in records if r["source"] == source]
        values = [feature for of_one in features for feature in of_one.values()]
        if values and all(feature["value"] is None for feature in values):
            what = f"{source}: nothing could be measured in {_all(len(features), records)}"
            told.append(f"{what}, the newest because: {values[0]['why']}")
    return told


def _all(count: int, records: Sequence[Mapping[str, Any]]) -> str:
    if count == 1:
        return "the only pattern"
    return f"the newest {count} patterns" if len(records) == NEWEST else f"all {count} patterns"
