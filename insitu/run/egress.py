"""The documents of a run that sends its summaries: made where the recipe has `[kafka]`, by its `[policy]`; and made up
again from the ledger of a run that was killed."""

from collections.abc import Iterator, Mapping
from itertools import groupby
from math import prod
from typing import Any

import numpy as np

from insitu.config import Setup, load_stored
from insitu.errors import ConfigError, InsituError
from insitu.sinks.documents import About, Documents
from insitu.sinks.pseudonyms import read_key
from insitu.sinks.recount import Left, Recount
from insitu.store.outbox import rows, unpack
from insitu.store.runs import StoredRun


def outbox(setup: Setup, opened: Mapping[str, Any]) -> Documents | None:
    """What takes the records of the run that the entry `opened` began; None where nothing is to be sent. Raises
    `ConfigError` where pseudonyms have no key."""
    if not setup.kafka:
        return None
    return Documents(
        setup.policy, _about(setup, opened), b"" if setup.pseudonym_key is None else read_key(setup.pseudonym_key)
    )


def derived_outbox(setup: Setup, opened: Mapping[str, Any], source: StoredRun) -> tuple[Documents | None, list[str]]:
    """The same for a run that judges the frames of another one again, and notes. Its documents are a run of their own,
    which names that one; they wait in the outbox until they are sent by hand. Without the key, nothing is offered."""
    try:
        documents = outbox(setup, opened)
    except ConfigError as e:
        return None, [f"nothing of this run is offered to leave: {e.what}"]
    if documents is not None:
        _segments(documents, source)
    return documents, []


def recounted(run: StoredRun) -> dict[str, Any] | None:
    """The account of a run that was killed, as its policy, its records and its outbox give it; None where its recipe
    cannot be read here (a module of its own may be missing)."""
    try:
        setup = load_stored(run.path)
    except InsituError:
        return None
    if not setup.kafka:
        return None
    documents = Recount(setup.policy, _about(setup, run.open_body()))
    _segments(documents, run)
    sizes = dict(_frame_bytes(run))
    left = _left(run)
    for start in next(left, (None, []))[1]:
        documents.started(start)
    n, offered = next(left, (None, []))
    for body in run.records():
        mine: list[Left] = []
        if n == body["n"]:
            mine = offered
            n, offered = next(left, (None, []))
        documents.recount(body, mine, _of(sizes, body))
    return documents.manifest()


def _about(setup: Setup, opened: Mapping[str, Any]) -> About:
    own = {
        "title": opened["title"],
        "recipe": opened["recipe_name"],
        **{name: opened.get(name, "") for name in ("operator", "mode", "host", "continues")},
    }
    return About(
        uid=opened["uid"],
        started_ns=opened["started_ns"],
        metadata={**setup.metadata, **own},
        outputs=setup.outputs,
        models=setup.models,
        calibrations={s.detector.source: s.detector.calibration for s in setup.sources},
        source_run_uid=opened.get("derived_from", ""),
        simulated=opened.get("simulated", setup.simulated),
    )


def _segments(documents: Documents, run: StoredRun) -> None:
    for e in run.entries("segment"):
        documents.segment(e.body)


def _left(run: StoredRun) -> Iterator[tuple[int | None, list[Left]]]:
    """(n, documents) of the outbox by frame; first the start document, with n None."""
    for n, found in groupby(rows(run.connection), key=lambda row: row[1]):
        yield n, [Left(*unpack(packed), packed) for _, _, _, packed in found]


def _frame_bytes(run: StoredRun) -> Iterator[tuple[str, list[tuple[int, int]]]]:
    """By source: (first seq, bytes of a frame) of each segment."""
    found: dict[str, list[tuple[int, int]]] = {}
    for e in run.entries("segment"):
        described = e.body["arrays"]["frames"]
        nbytes = prod(described["shape"]) * np.dtype(described["dtype"]).itemsize
        found.setdefault(e.body["source"], []).append((e.body["first_seq"], nbytes))
    yield from found.items()


def _of(sizes: Mapping[str, list[tuple[int, int]]], body: Mapping[str, Any]) -> int:
    """Bytes of the frame of a record."""
    return next((nbytes for first, nbytes in reversed(sizes.get(body["source"], [])) if body["seq"] >= first), 0)
