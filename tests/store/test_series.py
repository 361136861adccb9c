"""Frames that belong together lie in an array of their own; where somebody waits for them, they can be read at once."""

from dataclasses import replace

import numpy as np
import zarr

from insitu.bluesky.rows import Rows
from insitu.store.files import Disk
from insitu.store.runs import StoredRun
from insitu.store.seal import finish
from insitu.store.segments import SourceSpec


def test_a_series_opens_a_segment_that_says_with_which_frame_it_began(new_run):
    run = new_run()
    for number, series in enumerate(["a", "a", "b", "b"]):
        run.take(number, series=series)
    run.end()
    finish(run.folder, Disk())
    with StoredRun(run.folder) as stored:
        bodies = [e.body for e in stored.entries("segment")]
    assert [(b["first_seq"], b["series"]) for b in bodies] == [
        (0, {"uid": "a", "source_seq": 0, "row": 0}),
        (2, {"uid": "b", "source_seq": 2, "row": 0}),
    ]


def test_rows_are_settled_once_they_are_committed_and_can_be_read_and_not_before(new_run):
    run = new_run(spec=SourceSpec(shard_frames=16, prompt=True))
    run.take(7, series="before")
    run.writer.commit()
    rows = Rows(run.folder, "det", "mine", 8)
    assert rows.wait(1, 0.0, lambda: True) == 0
    first = run.take(8, series="mine")
    assert rows.wait(1, 0.0, lambda: True) == 0, "appended, and not committed"
    run.writer.commit()
    assert rows.wait(1, 0.0, lambda: True) == 1
    array = zarr.open_array(rows.uri.removeprefix("file://localhost"), mode="r")
    assert np.array_equal(array[0], first.data)
    run.take(11, series="mine")  # two before it were lost: their rows are filled
    run.writer.commit()
    assert rows.wait(4, 5.0, lambda: True) == 4
    assert [rows.stored(k) for k in range(4)] == [True, False, False, True]
    assert rows.seq(3) == 4
    run.end()


def test_a_series_whose_first_frame_is_not_stored_is_broken(new_run):
    run = new_run(spec=SourceSpec(shard_frames=16, prompt=True))
    run.take(0, series="before")
    run.take(2, series="mine")
    run.writer.commit()
    rows = Rows(run.folder, "det", "mine", 1)
    assert rows.wait(1, 5.0, lambda: True) == 0
    assert "first frame" in rows.broken
    run.end()


def test_frames_without_a_series_say_nothing_of_one(new_run):
    run = new_run()
    frame = run.take(0)
    assert replace(frame, series="x") != frame
    run.end()
    with StoredRun(run.folder) as stored:
        assert all("series" not in e.body for e in stored.entries("segment"))
