"""Scans that come point by point: what is said of the points so far, what is kept of them, and what a kill leaves."""

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import zarr

from insitu.cli.recover import told as told_of
from insitu.replay import verify
from insitu.store.recover import recover
from insitu.store.runs import StoredRun
from insitu.types import Arrival, Axis, Feature, Invalid, Verdict
from tests.run.hostile import told

ENERGY = np.linspace(7100.0, 7200.0, 12)
COUNTS = np.array([np.arange(12) * 3 + 5, np.arange(12) ** 2])


def scan(number: int, k: int = 12, **more) -> Arrival:
    """The first `k` points of a scan of two channels; twelve of them are all."""
    return Arrival(**{
        "source": "det", "data": COUNTS[:, :k] + number, "dims": ("channel", "energy"), "unit": ("counts", "V"),
        "time_ns": 10**18 + number * 10**9, "source_seq": number, "axes": {"energy": Axis(ENERGY[:k].copy(), "eV")},
        "labels": {"channels": "i0 itrans"}, "context": {"temperature": Feature(300.0 + k, "K")},
        "complete": k == 12, "provisional": k < 12, **more,
    })  # fmt: skip


def total(frame) -> dict[str, Feature]:
    return {"luck": Feature(float(frame.data.sum()))}


def records_of(path: str) -> list[dict]:
    with StoredRun(Path(path)) as stored:
        return list(stored.records())


def test_each_stretch_of_a_scan_has_a_record_and_only_the_whole_scan_has_a_row(go):
    def reader() -> Iterator[Arrival]:
        for number in range(3):
            yield from (scan(number, k) for k in (4, 9, 12))

    summary = go(reader, feature=total)
    assert (summary.frames["expected"], summary.frames["stored"], summary.analysis["analysed"]) == (3, 3, 3)
    records = records_of(summary.path)
    assert [(r["n"], r["seq"], r.get("k")) for r in records[:4]] == [(0, 0, 4), (1, 0, 9), (2, 0, None), (3, 1, 4)]
    assert records[0]["features"]["luck"]["value"] == COUNTS[:, :4].sum()
    assert records[1]["provisional"]
    assert "provisional" not in records[2]
    assert records[1]["context"]["temperature"]["value"] == 309.0
    with StoredRun(Path(summary.path)) as stored:
        assert [f.n for f in stored.frames()] == [2, 5, 8]
        assert [f.data.shape[-1] for f in stored.frames(growing=True)] == [4, 9, 12] * 3
        assert stored.unfinished() == []
        assert stored.frame_n(4).data.tolist() == (COUNTS[:, :9] + 1).tolist()
    assert np.asarray(zarr.open_array(Path(summary.path) / "records.zarr/det/seq", mode="r")).tolist() == [0, 1, 2]
    assert zarr.open_array(Path(summary.path) / "raw.zarr/det/0/frames", mode="r").shape == (3, 2, 12)


@pytest.mark.parametrize(
    "end", ["the source ends", "the source fails", "another scan begins", "a point is not what it was"]
)
def test_a_scan_that_never_ends_is_kept_as_a_frame_marked_incomplete(go, end):
    def reader() -> Iterator[Arrival]:
        yield from (scan(0, k) for k in (3, 7))
        if end == "the source fails":
            raise OSError("the cable is out")
        if end == "another scan begins":
            yield scan(1)
        if end == "a point is not what it was":
            yield scan(0, data=COUNTS + 99)

    summary = go(reader, feature=total)
    more = end in ("another scan begins", "a point is not what it was")
    with StoredRun(Path(summary.path)) as stored:
        frames, records = list(stored.frames()), list(stored.records())
    assert len(frames) == 1 + more - (end == "a point is not what it was")
    assert (frames[0].complete, frames[0].provisional, frames[0].data.shape) == (False, False, (2, 7))
    assert frames[0].axes["energy"].values.tolist() == ENERGY[:7].tolist()
    about = next(r for r in records if r["n"] == frames[0].n)
    assert (about["complete"], about["k"], "provisional" in about) == (False, 7, False)
    assert summary.analysis["analysed"] == summary.frames["stored"]


def test_what_came_between_the_points_of_a_scan_takes_the_rows_behind_it(go):
    def reader() -> Iterator[Arrival | Invalid]:
        yield scan(0, 5)
        yield Invalid(source="det", reason="noise on the line", payload=b"?")
        yield scan(0)
        yield scan(2)

    summary = go(reader)
    assert (summary.frames["stored"], summary.frames["invalid"], summary.frames["lost"]) == (2, 1, 0)
    with StoredRun(Path(summary.path)) as stored:
        assert [f.seq for f in stored.frames()] == [0, 2]


def test_models_may_see_that_a_scan_goes_on_and_neighbours_are_whole_frames(go):
    seen = []

    def model(m) -> Verdict:
        seen.append((m.complete, m.provisional, m.points))
        return Verdict(label="normal")

    go(lambda: (scan(0, k) for k in (4, 12)), model=model, check=False)
    assert seen == [(False, True, 4), (True, False, None)]


def test_a_reader_that_gives_the_same_points_again_is_not_recorded_twice(go):
    summary = go(lambda: (scan(0, k) for k in (4, 4, 4, 12)))
    assert len(records_of(summary.path)) == 2


def test_points_that_were_committed_outlive_a_kill_and_what_was_said_of_them_is_derived_again(go, tmp_path):
    """The folder as it is in the middle of the third stretch, as a kill would leave it."""
    import shutil

    copied = tmp_path / "killed"

    def reader() -> Iterator[Arrival | None]:
        yield scan(0)
        yield from (scan(1, k) for k in (4, 9))
        folder = next(tmp_path.glob("runs/*/*"))
        for _ in range(200):
            time.sleep(0.02)
            yield None
            with StoredRun(folder) as stored:
                if sum(1 for _ in stored.records()) == 3:
                    break
        target = copied / "runs/2026-11-22" / folder.name
        shutil.copytree(folder, target, ignore=shutil.ignore_patterns("lock"))

    go(reader, feature=total)
    (killed,) = copied.glob("runs/*/*")
    told.update(feature=total)
    found = recover(killed)
    assert (found["balanced"], found["frames"]) == (True, 1)
    assert found["unfinished"] == [{"source": "det", "seq": 1, "points": 9}]
    assert "det/1 (9 points)" in told_of(found)
    report = verify(killed)
    assert report.identical, report.findings
    assert report.records == 3
    with StoredRun(killed) as stored:
        (open_scan,) = stored.unfinished()
    assert open_scan.data.tolist() == (COUNTS[:, :9] + 1).tolist()
