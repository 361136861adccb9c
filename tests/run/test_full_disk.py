"""A full disk at any moment: exit 4, the file and the remedy named, and everything acknowledged recovered."""

import errno
import os
from pathlib import Path

from insitu.errors import StorageError
from insitu.replay import verify
from insitu.store.files import Disk
from insitu.store.recover import find_unsealed, recover
from tests.run.hostile import frames


class Full(Disk):
    """Has room for `left` calls that write, make or rename, and none afterwards."""

    def __init__(self, left):
        super().__init__()
        self.left = left

    def _do(self, doing, path, call):
        if doing in ("write", "make the folder", "rename", "open"):
            self.left -= 1
            if self.left < 0:

                def call():
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        return super()._do(doing, path, call)


def test_a_disk_that_is_full_at_any_moment_is_exit_4_with_file_and_remedy_and_recovers(go, tmp_path):
    failed = 0
    for left in (0, 5, 12, 25, 45, 70, 90, 110, 130, 145):  # folder, settings, ledger, segment, commit, views, seal
        disk = Full(left)
        try:
            summary = go(frames(12), disk=disk, check=False)
        except StorageError as e:  # before anything was taken
            error = e
        else:
            error = summary.error
            assert summary.exit_code == (4 if disk.left < 0 else 0), left
        if disk.left >= 0:
            continue
        failed += 1
        assert str(tmp_path) in error.where, left
        assert "recover" in error.remedy
        for folder in find_unsealed(tmp_path):
            recover(folder)
            assert verify(folder).identical
    assert failed >= 8


def test_a_disk_that_is_full_for_the_ledger_is_said_so_and_what_was_acknowledged_is_safe(go, monkeypatch):
    from insitu.store.ledger import Ledger

    plain = Ledger.__init__

    def small(self, path, disk):
        plain(self, path, disk)
        self._db.execute("PRAGMA max_page_count = 60")

    monkeypatch.setattr(Ledger, "__init__", small)
    summary = go(frames(2000), check=False)
    monkeypatch.undo()
    assert (summary.ended, summary.exit_code) == ("failed", 4)
    assert summary.error.where.endswith("ledger.db")
    assert "Free space" in summary.error.remedy
    recovered = recover(Path(summary.path))
    assert recovered["frames"] == summary.frames["stored"] > 0
    assert verify(Path(summary.path)).identical
