"""What the engine itself costs per frame, and the demo's recipe on one core.

Engine: measure, judge, record, pack and hash, less the time inside the role callables. The comparison is a plain loop
over dicts that does the same book-keeping (features, rules, JSON, chain, one SQLite row) without the types.
"""

import hashlib
import json
import sqlite3
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.timing import interleave, table
from insitu.maths.aligned import aligned
from insitu.pipeline import Pipeline, Stage
from insitu.sinks.documents import About, Documents
from insitu.sinks.policy import Policy
from insitu.store.canonical import canonical, record_body
from insitu.store.ledger import START, link
from insitu.store.outbox import pack, unpack
from insitu.types import Action, Decision, Feature, Frame, Output, Verdict

KEYS = [f"p{k}" for k in range(8)]


class Clock:
    """Adds up the time inside the roles."""

    inside = 0.0


class Timed:
    """A role whose time is counted as the role's, not the engine's."""

    def __init__(self, call, **attributes) -> None:
        self._call = call
        self.__dict__.update(attributes)

    def __call__(self, *a):
        began = time.perf_counter()
        try:
            return self._call(*a)
        finally:
            Clock.inside += time.perf_counter() - began


def engine(count: int) -> float:
    """Microseconds per frame around the roles: 8 features, 2 models, 2 rules."""
    outputs = {key: Output(unit="deg") for key in KEYS}
    extract = Timed(
        lambda f, r, b: {key: Feature(28.44 + k + f.seq * 1e-6, "deg", 0.002) for k, key in enumerate(KEYS)},
        outputs=outputs,
    )
    model = Timed(lambda m: Verdict(label="normal", score=m.features["p0"].value, reason="inside"))
    rule = Timed(lambda m, v: None if v["a"].label == "normal" else Decision(action=Action.HALT, reason="x"))
    pipeline = Pipeline(
        extractors=[Stage("x", extract)],
        models=[Stage("a", model, digest="m"), Stage("b", model, digest="m")],
        rules=[Stage("r", rule), Stage("s", rule)],
    )
    data = aligned(np.zeros(4096, np.uint32))
    context = {"temperature": Feature(300.0, "K")}
    frames = [
        Frame(source="det", data=data, dims=("x",), unit="counts", time_ns=k, seq=k, n=k, context=context)
        for k in range(count)
    ]
    head, Clock.inside = START, 0.0
    began = time.perf_counter()
    for frame in frames:
        head = link(head, "record", canonical(record_body(pipeline.step(frame))))
    took = time.perf_counter() - began - Clock.inside
    assert json.loads(canonical(record_body(pipeline.step(frames[-1]))))["features"]["p7"]["value"] > 35
    return 1e6 * took / count


def dicts(count: int) -> float:
    """Microseconds per frame of the plain loop, everything counted."""
    with tempfile.TemporaryDirectory() as folder:
        db = sqlite3.connect(f"{folder}/x.db", isolation_level=None)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("CREATE TABLE r (seq INTEGER PRIMARY KEY, p TEXT, h BLOB)")
        rows, head = [], b""
        began = time.perf_counter()
        for k in range(count):
            f = {key: {"value": 28.44 + j + k * 1e-6, "unit": "deg", "sigma": 0.002} for j, key in enumerate(KEYS)}
            decision = "HALT" if f["p0"]["value"] > 1e9 else "CONTINUE"
            text = json.dumps({"source": "det", "seq": k, "features": f, "label": "normal", "decision": decision})
            head = hashlib.sha256(head + text.encode()).digest()
            rows.append((k, text, head))
        db.execute("BEGIN")
        db.executemany("INSERT INTO r VALUES (?, ?, ?)", rows)
        db.execute("COMMIT")
        took = time.perf_counter() - began
        db.close()
    return 1e6 * took / count


def records(count: int) -> list[dict[str, Any]]:
    """Record bodies with 8 features, 2 verdicts, context and labels."""
    return [
        {
            "n": n,
            "source": "det",
            "seq": n,
            "time_ns": 10**18 + n * 10**7,
            "features": {key: {"value": 28.4 + n * 1e-6, "unit": "deg", "sigma": 0.002} for key in KEYS},
            "verdicts": {m: {"label": "normal", "score": 0.5, "reason": "inside", "model": ""} for m in ("a", "b")},
            "decision": {"action": "CONTINUE", "rule": "", "reason": "", "valid_s": 1.0},
            "context": {"temperature": {"value": 300.0, "unit": "K"}},
            "labels": {"file": f"x_{n}.xy"},
        }
        for n in range(count)
    ]


def packing(bodies: list[dict[str, Any]]) -> float:
    """Microseconds per record that leaves: policy, document, bytes, account."""
    about = About(
        uid=str(uuid.UUID(int=0)), started_ns=0, outputs={"det": dict.fromkeys(KEYS, Output(unit="deg"))}, models=("a",)
    )
    policy = Policy(features=("*",), verdicts=("*",), context=("temperature",), metadata=("file",), max_rate_hz=1e6)
    documents = Documents(policy, about)
    began = time.perf_counter()
    offers = [offer for body in bodies for offer in documents.record(body, {}, 16384)]
    took = time.perf_counter() - began
    assert len(offers) == len(bodies) + 1
    assert unpack(offers[-1].packed)[1]["data"]["p7"] > 28
    return 1e6 * took / len(bodies)


def through_json(bodies: list[dict[str, Any]]) -> float:
    """Microseconds per document of the bare alternative: event-model's `sanitize_doc` and msgpack of one event."""
    about = About(uid=str(uuid.UUID(int=0)), started_ns=0, outputs={"det": dict.fromkeys(KEYS, Output(unit="deg"))})
    _, event = unpack(Documents(Policy(features=("*",)), about).record(bodies[0], {}, 16384)[-1].packed)
    began = time.perf_counter()
    for _ in bodies:
        pack("event", event)
    return 1e6 * (time.perf_counter() - began) / len(bodies)


CHILD = """
import os, sys, time
os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[0]})
from pathlib import Path
from benchmarks.sources import bench_setup
from insitu.run import run
setup = bench_setup(frames=int(sys.argv[2]))
setup.pipeline()  # kernels compiled or loaded
began = time.perf_counter()
summary = run(setup, data_root=Path(sys.argv[1]))
took = time.perf_counter() - began
assert summary.records == int(sys.argv[2]) and summary.ended == "complete", summary
print(summary.records / took)
"""


def demo_rate(disk: Path, count: int) -> float:
    """Frames/s of the demo's recipe, stored, judged, sealed, on one core."""
    with tempfile.TemporaryDirectory(dir=disk) as folder:
        out = subprocess.run(
            [sys.executable, "-c", CHILD, folder, str(count)],
            check=True,
            capture_output=True,
            text=True,
        )
    return float(out.stdout)


def main(disk: Path, *, quick: bool) -> None:
    """Both."""
    count = 3000 if quick else 10000
    figures = interleave(
        {"insitu, less its roles": lambda: engine(count), "dicts, JSON, SQLite": lambda: dicts(count)}, 5
    )
    table("Engine per frame (goal: at most 60 us)", figures, "us", "insitu, less its roles", {})
    bodies = records(1000 if quick else 3000)
    figures = interleave(
        {"event packed": lambda: packing(bodies), "sanitize_doc alone": lambda: through_json(bodies)}, 5
    )
    table("Record that leaves, in the store thread (goal: at most 60 us)", figures, "us", "event packed", {})
    rates = [demo_rate(disk, 1500 if quick else 5000) for _ in range(3)]
    print(f"\nRecipe of the demo, 4,096 points, one core, stored and sealed (goal: at least 500 frames/s)\n"
          f"  {np.median(rates):.0f} frames/s ({min(rates):.0f} to {max(rates):.0f})")  # fmt: skip
