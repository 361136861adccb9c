"""The folder of a new run: its name, its files, and what was left by a run before it."""

import os
import secrets
import time
import uuid
from collections.abc import Mapping
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from insitu.config import Setup
from insitu.errors import InsituError
from insitu.run.egress import recounted
from insitu.run.environment import environment
from insitu.store.canonical import canonical, digest_bytes, features_body
from insitu.store.files import Disk, refuse_network
from insitu.store.recover import find_unsealed, recover
from insitu.store.segments import SourceSpec
from insitu.types import Detector, Geometry, Reader

FORMAT = 1


def new_uid() -> str:
    """A UUID of version 7: unique, and in order of time as text."""
    ms = time.time_ns() // 1_000_000
    value = (ms << 80) | (0x7 << 76) | (secrets.randbits(12) << 64) | (0b10 << 62) | secrets.randbits(62)
    return str(uuid.UUID(int=value))


def create(setup: Setup, data_root: Path, uid: str, disk: Disk) -> Path:
    """`<data_root>/runs/<date>/<uid>`, durable, with an empty inbox."""
    if any(s.detector.live for s in setup.sources):
        refuse_network(_existing(data_root))
    folder = data_root / "runs" / datetime.now(UTC).date().isoformat() / uid
    disk.make_folders(folder / "inbox")
    return folder


def _existing(path: Path) -> Path:
    path = path.absolute()
    while not path.exists():
        path = path.parent
    return path


def write_settings(setup: Setup, folder: Path, disk: Disk) -> dict[str, Any]:
    """Recipe, detectors, environment and the files that the recipe names, as they are used. Returns their digests."""
    env = environment()
    files = {"recipe.toml": setup.recipe_toml.encode(), "detectors.toml": setup.detectors_toml.encode()}
    files["env.json"] = orjson.dumps(env, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS)
    for name, path in setup.files.items():
        files[f"files/{name}"] = path.read_bytes()
    for name, data in files.items():
        disk.make_folders((folder / name).parent)
        disk.write_file(folder / name, data)
    return {
        "recipe": digest_bytes(files["recipe.toml"]),
        "detector": digest_bytes(files["detectors.toml"]),
        "environment": env["digest"],
        "files": {name: digest_bytes(data) for name, data in files.items() if name.startswith("files/")},
    }


def digest_geometry(geometry: Geometry) -> str:
    """One digest of where the pixels are: of the numbers, and of the files' contents (not of their places)."""
    body = {
        f.name: digest_bytes(value.read_bytes()) if isinstance(value, Path) else value
        for f in fields(geometry)
        if (value := getattr(geometry, f.name)) is not None
    }
    rings = Path(geometry.calibrant)
    return digest_bytes(canonical({**body, "calibrant": rings.name if rings.is_absolute() else geometry.calibrant}))


def source_spec(detector: Detector, reader: Reader | None = None, *, simulated: bool = False) -> SourceSpec:
    """How the frames of a detector are kept. A reader with a true attribute `prompt` has somebody who reads them beside
    the run."""
    attributes: dict[str, Any] = {"calibration": features_body(detector.calibration)} if detector.calibration else {}
    if simulated:
        attributes["simulated"] = True
    return SourceSpec(
        codec=detector.codec,
        shard_frames=detector.shard_frames,
        varying=detector.varying,
        attributes=attributes,
        geometry=digest_geometry(detector.geometry) if detector.geometry else "",
        prompt=bool(getattr(reader, "prompt", False)),
    )


def open_body(setup: Setup, uid: str, digests: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """The first entry of the ledger."""
    from insitu import __version__

    return {
        "uid": uid,
        "format": FORMAT,
        "insitu": __version__,
        "title": setup.title,
        "recipe_name": setup.name,
        "sources": [s.detector.source for s in setup.sources],
        "simulated": setup.simulated,
        **({"metadata": dict(setup.metadata)} if setup.metadata else {}),
        **({"bundles": {name: dict(body) for name, body in setup.bundles.items()}} if setup.bundles else {}),
        **({"latency_s": setup.budget.latency_s} if setup.bundles else {}),
        "started_ns": time.time_ns(),
        "host": os.uname().nodename,
        **digests,
        **more,
    }


def recover_leftovers(data_root: Path) -> tuple[list[str], list[dict[str, Any]]]:
    """Seal what earlier runs that were killed have left. Returns sentences for people, and what was found."""
    told, found = [], []
    for folder in find_unsealed(data_root):
        try:
            report = recover(folder, recount=recounted)
        except Exception as e:  # noqa: BLE001 - the boundary: an old run, however damaged, must not stop a new one
            what = str(e) if isinstance(e, InsituError) else f"{type(e).__name__}: {e}"
            told.append(f"run {folder.name} was killed and could not be recovered: {what}")
            continue
        if not report.get("began"):
            continue
        found.append(report)
        told.append(
            f"run {report['uid']} was killed earlier: recovered, {report['frames']} frames are safe, "
            f"{report.get('skipped', 0)} of them not analysed (`insitu reanalyse` does that)"
        )
    return told, found
