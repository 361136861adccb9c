"""Frames that a detector of ours takes in tests, and where its plan's documents point."""

from pathlib import Path
from typing import Any

import event_model
import numpy as np
import zarr
from bluesky import RunEngine

from insitu.bluesky import Session
from tests.bluesky.camera import Heard

KINDS = {"img": ((6, 5), "u2"), "spec": ((40,), "f4"), "wave": ((2, 30), "i2")}


class Takes:
    """Random frames of one kind, and which were taken."""

    def __init__(self, shape: tuple[int, ...], dtype: str) -> None:
        self.random, self.shape, self.dtype = np.random.default_rng(7), shape, dtype
        self.all: list[np.ndarray] = []

    def __call__(self) -> np.ndarray:
        self.all.append(self.random.integers(0, 3000, self.shape).astype(self.dtype))
        return self.all[-1]


def session(engine: RunEngine, root: Path, *sources: str, **more: Any) -> Session:
    detectors = {s: {"format": 1, "source": s, "reader": {"use": "device"}} for s in sources or KINDS}
    recipe = {"format": 1, "title": "t", "detectors": [*detectors], "features": [{"use": "totals"}], **more}
    return Session(engine, recipe, data_root=root, detectors=detectors, mode="act")


def pointed_at(heard: Heard) -> dict[str, dict[str, np.ndarray]]:
    """By plan and data key, the frames that its documents point at, read by plain zarr; all documents are valid."""
    found: dict[str, dict[str, np.ndarray]] = {}
    resources, keys, ends, each = {}, {}, dict[str, int](), dict[str, int]()
    for name, document in heard.all:
        event_model.schema_validators[event_model.DocumentNames[name]].validate(document)
        if name == "descriptor":
            keys[document["uid"]] = document["data_keys"]
        if name == "stream_resource":
            assert (document["mimetype"], document["uri"][:17]) == ("application/x-zarr", "file://localhost/")
            resources[document["uid"]] = document
        if name == "stream_datum":
            of, at = document["stream_resource"], document["indices"]
            assert at["start"] == ends.get(of, 0), "indices have no gap"
            assert at["stop"] - at["start"] == document["seq_nums"]["stop"] - document["seq_nums"]["start"]
            ends[of] = at["stop"]
            concat = resources[of]["parameters"]["join_method"] == "concat"
            each[of] = keys[document["descriptor"]][resources[of]["data_key"]]["shape"][0] if concat else 1
    for uid, document in resources.items():
        array = zarr.open_array(document["uri"].removeprefix("file://localhost"), mode="r")
        rows = np.asarray(array[: ends.get(uid, 0) * each.get(uid, 1)])
        found.setdefault(document["run_start"], {})[document["data_key"]] = rows
    return found
