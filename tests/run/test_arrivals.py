"""What readers may give: stored as it is, or refused with its bytes kept; and never shared with its owner."""

from pathlib import Path

import numpy as np
import pytest
import zarr

from insitu.store.runs import StoredRun
from insitu.types import Axis, Feature
from tests.run.hostile import arrival

UNFIT = {
    "objects": {"data": np.array([None] * 4, object)},
    "times": {"data": np.zeros(16, "M8[ns]")},
    "long doubles": {"data": np.ones(16, "g")},
    "structures": {"data": np.zeros(4, [("a", "u2"), ("b", "f4")])},
    "no values": {"data": np.zeros((0,), "u2")},
    "a list": {"data": [1, 2, 3]},
    "dims of another number": {"dims": ("y", "x")},
    "a time beyond 64 bits": {"time_ns": 2**70},
    "a float as time": {"time_ns": 1.5e18},
    "an exposure beyond 64 bits": {"duration_ns": 2**80},
    "a number beyond 64 bits": {"source_seq": 2**70},
    "a context name that leaves the folder": {"context": {"../../evil": Feature(1.0, "K")}},
    "context without unit": {"context": {"temperature": 300.0}},
    "an axis with the name of a column": {"dims": ("time",), "axes": {"time": Axis(np.arange(16.0), "s")}},
    "an axis that leaves the folder": {"axes": {"x/../../y": Axis(np.arange(16.0), "s")}},
    "an axis of another length": {"axes": {"x": Axis(np.arange(3.0), "s")}},
    "an axis of texts": {"axes": {"x": Axis(np.array(["a"] * 16), "s")}},
    "sigma of another shape": {"sigma": np.ones(3)},
    "an unknown role": {"role": "sunny"},
}


@pytest.mark.parametrize("more", UNFIT.values(), ids=UNFIT)
def test_what_cannot_be_stored_is_invalid_its_bytes_are_kept_and_the_run_goes_on(go, more):
    def reader():
        yield arrival(0)
        yield arrival(1, **more)
        yield arrival(2)

    summary = go(reader)
    assert (summary.ended, summary.frames["stored"], summary.frames["invalid"]) == ("complete", 2, 1)
    with StoredRun(Path(summary.path)) as stored:
        (entry,) = stored.entries("invalid")
    assert "cannot be stored" in entry.body["reason"]
    assert (Path(summary.path) / "quarantine/det/1").stat().st_size > 0
    assert not list(Path(summary.path).parent.rglob("*evil*"))


FIT = {
    "a file name that is not UTF-8": {"labels": {"file": "caf\udce9.xy"}},
    "complex values": {"data": np.ones(16, "c8") * 1j},
    "half floats": {"data": np.ones(16, "f2")},
    "truth values": {"data": np.ones(16, bool)},
    "a single value": {"data": np.array(3, "u2"), "dims": ()},
    "big endian": {"data": np.arange(16, dtype=">u2")},
    "Fortran order": {"data": np.asfortranarray(np.arange(16, dtype="u2").reshape(4, 4)), "dims": ("y", "x")},
    "numpy integers": {"time_ns": np.int64(5), "source_seq": np.uint64(1)},
    "before 1970": {"time_ns": -5, "source_seq": 1},
    "names of columns as context": {"context": {"time": Feature(1.0, "K"), "n": Feature(2.0)}},
    "a context value beyond 64 bits": {"context": {"a": Feature(10**30, "K")}},
    "a name that another one's sigma has": {
        "context": {"a": Feature(1.0, "K", sigma=0.1), "a_sigma": Feature(5.0, "K", sigma=0.1)}
    },
}


@pytest.mark.parametrize("more", FIT.values(), ids=FIT)
def test_what_is_unusual_is_stored_as_it_is_and_stock_zarr_reads_it(go, more):
    def reader():
        yield arrival(0)
        yield arrival(1, **more)
        yield arrival(2)

    summary = go(reader)
    assert (summary.ended, summary.frames["stored"], summary.records) == ("complete", 3, 3)
    given = np.asarray(more.get("data", np.full(16, 1, "u2")))
    with StoredRun(Path(summary.path)) as stored:
        np.testing.assert_array_equal(stored.frame("det", 1).data, given)
        segment = next(p.segment for p in stored.places(1))
    row = 0 if segment else 1
    array = zarr.open_array(Path(summary.path) / f"raw.zarr/det/{segment}/frames", mode="r")
    np.testing.assert_array_equal(np.asarray(array[row]), given)
    records = zarr.open_group(Path(summary.path) / "records.zarr/det", mode="r")
    np.testing.assert_array_equal(np.asarray(records["n"]), [0, 1, 2])


def test_a_reader_may_use_its_buffers_again(go):
    room = np.zeros(16 + 64, "u2")
    start = (-room.ctypes.data % 64) // 2
    buffer = room[start : start + 16]
    shown = buffer.view()
    shown.flags.writeable = False  # aligned and read-only for us, and still written to by its owner
    axis, labels = np.arange(16.0), {"file": ""}

    def reader():
        for k in range(200):
            buffer[:], labels["file"] = k, str(k)
            axis[0] = k // 100
            yield arrival(k, data=shown, labels=labels, axes={"x": Axis(axis, "deg")})

    summary = go(reader)
    with StoredRun(Path(summary.path)) as stored:
        for f in stored.frames():
            assert (f.data == f.seq).all()
            assert f.labels["file"] == str(f.seq)
            assert f.axes["x"].values[0] == f.seq // 100
