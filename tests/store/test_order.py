"""The order of calls: data durable before the ledger says so, the ledger before anyone hears of it."""

import errno
import os

import pytest

from insitu.errors import StorageError
from insitu.store.files import Disk, file_system, refuse_network
from insitu.store.recover import recover
from insitu.store.runs import StoredRun


class Recorder(Disk):
    """The real disk, and what was asked of it."""

    def __init__(self):
        super().__init__()
        self.calls: list[tuple[str, str]] = []

    def _note(self, what, fd=None, path=""):
        self.calls.append((what, str(path) or self._paths.get(fd, "")))

    def mark(self, event):
        self._note(event)

    def write_at(self, fd, offset, *parts):
        self._note("write" if offset else "index", fd)
        return super().write_at(fd, offset, *parts)

    def sync(self, fd):
        self._note("sync", fd)
        super().sync(fd)

    def sync_folder(self, folder):
        self._note("sync_folder", path=folder)
        super().sync_folder(folder)


def test_the_frames_are_synced_after_their_write_and_before_the_commit(new_run):
    disk = Recorder()
    run = new_run(disk=disk)
    run.take(0)
    run.writer.commit()
    disk.calls.clear()
    for k in range(1, 4):
        run.take(k)
    stored, spoken = run.writer.commit()
    assert stored == spoken == [1, 2, 3]
    shard = str(run.folder / "raw.zarr/det/0/frames/c/0/0")
    steps = [c for c in disk.calls if c[1] == shard or c[0] in ("commit", "committed")]
    assert [c[0] for c in steps[:4]] == ["write", "sync", "commit", "committed"]


def test_a_new_shard_and_its_folder_are_durable_before_the_first_commit_that_names_them(new_run):
    disk = Recorder()
    run = new_run(disk=disk)
    disk.calls.clear()
    run.take(0)
    run.writer.commit()
    before = disk.calls[: disk.calls.index(("commit", ""))]
    frames = run.folder / "raw.zarr/det/0/frames"
    assert ("sync", str(frames / "c/0/0")) in before
    for folder in (frames / "c/0", frames / "c", frames, frames.parent, frames.parent.parent):
        assert ("sync_folder", str(folder)) in before, folder
    axis = run.folder / "raw.zarr/det/0/two_theta/c/.0.tmp"
    assert ("sync", str(axis)) in before


class Failing(Disk):
    """Fails on demand: short writes, a full disk, a failed fsync."""

    def __init__(self):
        super().__init__()
        self.short = self.full = self.broken_sync = False

    def _pwrite(self, fd, buffers, offset):
        if self.full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if self.short:
            first = memoryview(buffers[0])
            return os.pwrite(fd, first[: max(1, len(first) // 3)], offset)
        return super()._pwrite(fd, buffers, offset)

    def sync(self, fd):
        if self.broken_sync:
            self._do("fdatasync", self._paths[fd], lambda: (_ for _ in ()).throw(OSError(errno.EIO, "I/O error")))
        super().sync(fd)


def test_short_writes_are_completed(new_run):
    disk = Failing()
    disk.short = True
    run = new_run(disk=disk)
    frames = [run.take(k) for k in range(20)]
    run.writer.commit()
    run.writer.abandon()
    with StoredRun(run.folder) as stored:
        for f, back in zip(frames, stored.frames(), strict=True):
            assert (f.data == back.data).all()


@pytest.mark.parametrize("fault", ["full", "broken_sync"])
def test_after_a_disk_fault_acknowledged_frames_are_safe_and_nothing_else_is_claimed(new_run, fault):
    disk = Failing()
    run = new_run(disk=disk)
    for k in range(5):
        run.take(k)
    run.writer.commit()
    setattr(disk, fault, True)
    run.take(5)
    with pytest.raises(StorageError) as error:
        run.writer.commit()
    assert "raw.zarr/det/0/frames" in str(error.value)
    assert "recover" in error.value.remedy
    run.writer.abandon()
    run.writer.ledger.close()
    report = recover(run.folder)
    assert report["frames"] == 5
    with StoredRun(run.folder) as stored:
        assert [f.seq for f in stored.frames()] == list(range(5))


def test_the_file_system_of_a_folder_is_told_and_network_ones_are_refused(tmp_path, monkeypatch):
    assert file_system(tmp_path) not in ("", "nfs4")
    monkeypatch.setattr("insitu.store.files.file_system", lambda path: "nfs4")
    with pytest.raises(StorageError, match=r"network file system \(nfs4\)"):
        refuse_network(tmp_path)
