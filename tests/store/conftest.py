"""Small runs for the tests of the store."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from insitu.store.canonical import canonical
from insitu.store.files import Disk
from insitu.store.segments import Segmenter, SourceSpec
from insitu.store.sequence import Sequencer
from insitu.store.writer import Pending, RunWriter
from insitu.types import Axis, Feature, Frame

AXIS = Axis(np.linspace(10, 50, 64), "deg")


def frame(seq: int, n: int | None = None, *, points: int = 64, exposure_ns: int = 10**8, **more) -> Frame:
    """Frame `seq`: its data tell which one it is."""
    axis = AXIS if points == 64 else Axis(np.linspace(10, 50, points), "deg")
    given = {
        "source": "det",
        "data": np.random.default_rng(seq).poisson(50, points).astype("u4"),
        "dims": ("two_theta",),
        "unit": "counts",
        "time_ns": 10**18 + seq * 10**9,
        "duration_ns": exposure_ns,
        "clock": "header",
        "axes": {"two_theta": axis},
        "context": {"temperature": Feature(300.0 + seq, "K", sigma=0.5)},
        "labels": {"sample": "silicon"},
        "source_seq": seq,
        "seq": seq,
        "n": seq if n is None else n,
    }
    return Frame(**{**given, **more})


class Run:
    """A writer with the placing that the intake does, one source."""

    def __init__(self, folder: Path, disk: Disk | None = None, spec: SourceSpec | None = None, **open_more) -> None:
        self.spec = spec or SourceSpec(shard_frames=16)
        body = {"uid": folder.name, "format": 1, "sources": ["det"], "simulated": True, **open_more}
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.writer = RunWriter(folder, body, {"det": self.spec}, disk)
        self.segmenter, self.sequencer = Segmenter(self.spec), Sequencer()
        self.n = 0

    def take(self, number: int, *, record: bool = True, **more) -> Frame | None:
        """An arrival with the instrument's `number`, stored and (if asked) judged; not committed."""
        placement = self.sequencer.place(number)
        if placement.lost:
            self.writer.add_gap("det", *placement.lost)
        if placement.seq is None:
            self.writer.add_quarantined(placement.kind, frame(number, **more), "test")
            return None
        f = replace(frame(number, self.n, **more), seq=placement.seq)
        segment = self.segmenter.assign(f, f.seq, refill=placement.refill)
        assert segment is not None
        self.writer.add_frame(f, self.writer.encode(f), segment, refill=placement.refill)
        if record:
            body = {
                "n": f.n,
                "source": "det",
                "seq": f.seq,
                "time_ns": f.time_ns,
                "features": {"peak1_position": {"value": 28.0 + f.seq, "unit": "deg", "sigma": 0.1}},
                "context": {"temperature": {"value": 300.0 + number, "unit": "K"}},
                "verdicts": {},
                "decision": {"action": "CONTINUE"},
            }
            self.writer.add_record(Pending(f.n, "record", body, canonical(body), b""))
        self.n += 1
        return f

    def end(self) -> None:
        """Close and write the seal entry; `finish` does the rest."""
        w = self.writer
        w.commit()
        w.close()
        w.entry("seal", None, {"ended": "complete", "reason": "test", "counts": w.tally.as_dict()})
        w.ledger.commit()
        w.ledger.close()


@pytest.fixture
def new_run(tmp_path: Path) -> Callable[..., Run]:
    """A factory of runs under `tmp_path`."""
    return lambda uid="r1", **more: Run(tmp_path / "runs" / "2026-01-01" / uid, **more)
