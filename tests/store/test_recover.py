"""A run that was killed comes back whole: what was acknowledged, nothing else, sealed."""

import shutil

import numpy as np
import orjson
import pytest
import xarray as xr

from insitu.errors import RunLockedError, StorageError
from insitu.store.files import Disk
from insitu.store.lock import Lock
from insitu.store.recover import find_unsealed, recover
from insitu.store.runs import StoredRun
from insitu.store.seal import finish


def crash(run):
    """Leave a run as a kill leaves it."""
    run.writer.abandon()
    run.writer.ledger.close()


def test_a_killed_run_is_found_recovered_and_sealed_failed(new_run):
    run = new_run()
    for k in (0, 1, 2, 6, 4):
        run.take(k, record=k != 4)
    run.writer.commit()
    run.take(7)  # appended, never committed
    run.writer.publish()
    crash(run)
    root = run.folder.parents[2]
    assert find_unsealed(root) == [run.folder]
    report = recover(run.folder)
    assert (report["frames"], report["skipped"], report["ended"], report["balanced"]) == (5, 1, "failed", True)
    assert report["cut_bytes"] > 0
    assert find_unsealed(root) == []
    with StoredRun(run.folder) as stored:
        assert stored.tally().analysis() == {"analysed": 4, "shed": 0, "skipped": 1, "pending": 0}
    ds = xr.open_zarr(run.folder / "raw.zarr", group="det/0").load()
    assert ds.state.values.tolist() == [0, 0, 0, 3, 0, 3, 0]
    assert ds.frames.values[3].sum() == ds.frames.values[5].sum() == 0


def test_recovery_is_idempotent_and_may_be_killed_at_any_call(new_run, tmp_path):
    run = new_run()
    for k in range(20):
        run.take(k, points=64 if k < 10 else 32, record=k % 2 == 0)
    run.writer.commit()
    crash(run)

    class Killed(Exception):
        pass

    class Dying(Disk):
        def __init__(self, calls):
            super().__init__()
            self.left = calls

        def _do(self, doing, path, call):
            self.left -= 1
            if self.left < 0:
                raise Killed
            return super()._do(doing, path, call)

    copy = tmp_path / "copy"
    reference = None
    for calls in (*range(0, 200, 9), 10**9):
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(run.folder, copy)
        try:
            recover(copy, Dying(calls))
        except Killed:
            recover(copy)
        with StoredRun(copy) as stored:
            found = [(f.n, f.seq, f.data.tobytes()) for f in stored.frames()], stored.tally().as_dict()
            assert len(list(stored.entries("seal"))) == 1
            assert len(list(stored.entries("recovered"))) == 1
        reference = reference or found
        assert found == reference
        assert recover(copy)["already_sealed"]


def test_a_crash_between_the_seal_entry_and_seal_json_is_finished(new_run):
    run = new_run()
    run.take(0)
    run.end()
    assert not (run.folder / "seal.json").exists()
    report = recover(run.folder)
    assert report["ended"] == "complete"
    assert (run.folder / "seal.json").exists()


def test_a_run_that_is_being_written_is_left_alone(new_run):
    run = new_run()
    lock = Lock(run.folder)
    assert find_unsealed(run.folder.parents[2]) == []
    with pytest.raises(RunLockedError, match="another process"):
        recover(run.folder)
    lock.release()


def test_a_folder_without_acknowledged_entries_is_said_to_be_empty(tmp_path):
    folder = tmp_path / "runs/2026-01-01/x"
    folder.mkdir(parents=True)
    (folder / "ledger.db").touch()
    assert recover(folder)["began"] is False


def test_a_committed_frame_that_the_disk_has_lost_is_an_error_not_a_silent_zero(new_run):
    run = new_run()
    for k in range(4):
        run.take(k)
    run.writer.commit()
    crash(run)
    shard = run.folder / "raw.zarr/det/0/frames/c/0/0"
    with open(shard, "r+b") as f:
        f.truncate(shard.stat().st_size - 3)
    with pytest.raises(StorageError, match="committed frames up to byte"):
        recover(run.folder)


def test_a_damaged_axis_is_named(new_run):
    run = new_run()
    run.take(0)
    run.writer.commit()
    crash(run)
    axis = run.folder / "raw.zarr/det/0/two_theta/c/0"
    data = bytearray(axis.read_bytes())
    data[8] ^= 1
    axis.write_bytes(data)
    with pytest.raises(StorageError, match="two_theta"):
        recover(run.folder)


def test_views_are_rebuilt_from_the_ledger_alone(new_run):
    run = new_run()
    for k in range(12):
        run.take(k)
    run.writer.commit()
    run.writer.publish()
    crash(run)
    array = run.folder / "raw.zarr/det/0/frames"
    with open(array / "c/0/0", "r+b") as f:
        f.write(b"\0" * 200)  # the index
    (array / "zarr.json").write_text("garbage")
    shutil.rmtree(run.folder / "raw.zarr/det/0/state")
    (run.folder / "raw.zarr/zarr.json").unlink()
    recover(run.folder)
    ds = xr.open_zarr(run.folder / "raw.zarr", group="det/0").load()
    assert ds.state.values.tolist() == [0] * 12
    with StoredRun(run.folder) as stored:
        for f in stored.frames():
            np.testing.assert_array_equal(ds.frames.values[f.seq], f.data)


def test_a_sealed_run_is_one_immutable_ledger_file(new_run):
    run = new_run()
    run.take(0)
    run.end()
    finish(run.folder, Disk())
    assert not list(run.folder.glob("ledger.db-*"))
    before = (run.folder / "ledger.db").read_bytes()
    with StoredRun(run.folder) as stored:
        list(stored.frames())
    assert (run.folder / "ledger.db").read_bytes() == before
    assert not list(run.folder.glob("ledger.db-*"))


def test_a_reader_that_stays_does_not_keep_a_run_from_being_sealed(new_run, monkeypatch):
    from insitu.store.ledger import Ledger

    run = new_run()
    run.take(0)
    run.end()
    plain = Ledger.finish
    monkeypatch.setattr(Ledger, "finish", lambda self: plain(self, wait_s=0.3))
    with StoredRun(run.folder) as reader:
        assert reader.tally().pending == 0
        finish(run.folder, Disk())
        assert (run.folder / "seal.json").exists()
        assert reader.tally().pending == 0
    from insitu.store.seal import digest_file

    sealed = orjson.loads((run.folder / "seal.json").read_bytes())["body"]["files"]["ledger.db"]["digest"]
    with StoredRun(run.folder) as again:
        assert list(again.frames())
    assert digest_file(run.folder / "ledger.db") == sealed


def test_a_reader_in_the_middle_of_reading_leaves_the_seal_to_recovery(new_run, monkeypatch):
    from insitu.errors import LedgerBusyError
    from insitu.store.ledger import Ledger

    run = new_run()
    run.take(0)
    run.writer.commit()
    with StoredRun(run.folder) as reader:
        reader.connection.execute("BEGIN")
        reader.connection.execute("SELECT count(*) FROM log").fetchone()
        run.end()
        plain = Ledger.finish
        with monkeypatch.context() as patch:
            patch.setattr(Ledger, "finish", lambda self: plain(self, wait_s=0.3))
            with pytest.raises(LedgerBusyError, match="reader"):
                finish(run.folder, Disk())
    assert recover(run.folder)["ended"] == "complete"
