"""What left a run, for tests: its outbox decoded and judged by event-model's schemas."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import event_model

from insitu.run import Summary
from insitu.store.outbox import rows, unpack
from insitu.store.runs import StoredRun
from tests.settings import setup

KAFKA = {"kafka": {"beamline": "b01"}}
"""No broker is named: the documents wait in the outbox."""


def sending(policy: dict[str, Any] | None = None, *sets: str, detectors: Any = None, more: Any = None, **reader: Any):
    """The test recipe with `[kafka]` and a policy."""
    recipe = {**KAFKA, **({} if policy is None else {"policy": policy}), **(more or {})}
    return setup(recipe, *sets, detectors=detectors, **reader)


def packed(summary: Summary) -> list[bytes]:
    """The bytes of every document, in order."""
    with StoredRun(Path(summary.path)) as stored:
        return [doc for _, _, _, doc in rows(stored.connection)]


def documents(summary: Summary) -> list[tuple[str, dict[str, Any]]]:
    """Every document, valid by its schema and in an order that a consumer understands."""
    found = [unpack(doc) for doc in packed(summary)]
    assert [name for name, _ in found][:: len(found) - 1] == ["start", "stop"]
    told, numbers = set(), dict[str, int]()
    for name, document in found:
        event_model.schema_validators[event_model.DocumentNames[name]].validate(document)
        assert event_model.sanitize_doc(document).keys() == document.keys()
        if name == "descriptor":
            told.add(document["uid"])
            keys = set(document["data_keys"])
            assert keys == set(document["object_keys"][next(iter(document["object_keys"]))])
        if name == "event":
            assert document["descriptor"] in told
            assert document["seq_num"] == numbers.get(document["descriptor"], 0) + 1
            numbers[document["descriptor"]] = document["seq_num"]
    uids = [document["uid"] for _, document in found]
    assert len(set(uids)) == len(uids)
    return found


def events(found: list[tuple[str, dict[str, Any]]], stream: str = "det") -> list[dict[str, Any]]:
    """The events of a stream."""
    uids = {d["uid"] for name, d in found if name == "descriptor" and d["name"] == stream}
    return [d for name, d in found if name == "event" and d["descriptor"] in uids]


def keys(found: list[tuple[str, dict[str, Any]]], stream: str = "det") -> dict[str, Any]:
    """The data keys of a stream."""
    (descriptor,) = [d for name, d in found if name == "descriptor" and d["name"] == stream]
    for event in events(found, stream):
        assert event["data"].keys() == event["timestamps"].keys() == descriptor["data_keys"].keys()
    return descriptor["data_keys"]
