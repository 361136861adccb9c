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
_NEWEST = """
SELECT body FROM log WHERE kind = 'record' AND json_extract(CAST(body AS TEXT), '$.source') = ? ORDER BY n DESC LIMIT ?
"""


def silence(run: StoredRun) -> list[str]:
    """One sentence for each model, and each source, from which nothing was learnt."""
    import orjson

    told = []
    for source in run.sources():
        records = [orjson.loads(row[0]) for row in run.query(_NEWEST, (source, NEWEST))]
        told += [*_models(source, records), *_features(source, records)]
    return told


def _models(source: str, records: Sequence[Mapping[str, Any]]) -> list[str]:
    said: dict[str, list[Mapping[str, Any]]] = {}
    for record in records:
        for name, verdict in record["verdicts"].items():
            said.setdefault(name, []).append(verdict)
    return [
        f"{name}: unknown in {_all(len(verdicts), source)}, the newest because: {verdicts[0].get('reason', '')}"
        for name, verdicts in sorted(said.items())
        if all(verdict["label"] == "unknown" for verdict in verdicts)
    ]


def _features(source: str, records: Sequence[Mapping[str, Any]]) -> list[str]:
    values = [feature for record in records for feature in record["features"].values()]
    if not values or any(feature["value"] is not None for feature in values):
        return []
    return [f"nothing could be measured in {_all(len(records), source)}, the newest because: {values[0]['why']}"]


def _all(count: int, source: str) -> str:
    which = "the newest" if count == NEWEST else "all"
    return f"{which} {count} patterns of {source}" if count > 1 else f"the only pattern of {source}"
