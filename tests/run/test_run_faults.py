"""Faults in the middle of a run: of the disk, of a reader, of a feature; kills and odd frames."""

import os

import pytest

from insitu.errors import StorageError
from insitu.replay import verify
from insitu.run import run
from insitu.store.recover import find_unsealed
from tests.run.reading import entries, proven
from tests.settings import setup


def test_a_storage_fault_in_mid_run_ends_with_exit_4_and_what_was_acknowledged_is_recovered(tmp_path):
    import errno

    from insitu.store.files import Disk
    from insitu.store.recover import recover

    class Full(Disk):
        budget = 2_000_000

        def _pwrite(self, fd, buffers, offset):
            done = super()._pwrite(fd, buffers, offset)
            self.budget -= done
            if self.budget < 0:
                raise OSError(errno.ENOSPC, "No space left on device")
            return done

    summary = run(setup(frames=2000), data_root=tmp_path, disk=Full())
    assert summary.exit_code == 4
    assert "No space left" in summary.reason
    (folder,) = find_unsealed(tmp_path)
    report = recover(folder)
    assert report["frames"] == summary.frames["stored"] > 0
    assert verify(folder).identical


def test_the_next_run_recovers_what_a_killed_one_left_and_says_so(tmp_path):
    first = run(setup(frames=20), data_root=tmp_path)
    from pathlib import Path

    (Path(first.path) / "seal.json").unlink()
    second = run(setup(frames=5), data_root=tmp_path)
    assert second.recovered == (first.run_uid,)
    assert any(first.run_uid in note for note in second.notes)
    proven(first)


def test_a_read_only_root_is_refused_before_anything_is_taken(tmp_path, monkeypatch):
    def refuse(path, *a, **k):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(os, "makedirs", refuse)
    with pytest.raises(StorageError, match="Read-only") as error:
        run(setup(frames=5), data_root=tmp_path / "new")
    assert "--data-root" in error.value.remedy


def test_an_exception_in_a_feature_is_a_fault_in_the_record_and_the_run_goes_on(tmp_path):
    recipe = {"features": [{"use": "totals"}, {"use": "tests.run.broken:Broken"}], "models": [], "rules": []}
    summary = run(setup(recipe, frames=10), data_root=tmp_path)
    assert summary.ended == "complete"
    records = entries(summary, "record")
    assert [bool(r.body.get("faults")) for r in records] == [k % 2 == 1 for k in range(10)]
    assert "bad luck" in records[1].body["features"]["luck"]["why"]
    proven(summary)


def test_a_reader_that_fails_ends_the_source_with_exit_3_and_the_data_before_is_safe(tmp_path):
    found = {"bench": {"format": 1, "source": "det", "reader": {"use": "tests.run.broken:FailingReader"}}}
    summary = run(setup({"features": [], "models": [], "rules": []}, detectors=found), data_root=tmp_path)
    assert (summary.ended, summary.exit_code) == ("failed", 3)
    assert summary.frames["stored"] == 7
    assert "the cable fell out" in summary.reason
    proven(summary)


def test_invalid_things_are_quarantined_whole_and_the_run_goes_on_or_not(tmp_path):
    from pathlib import Path

    found = {"bench": {"format": 1, "source": "det", "reader": {"use": "tests.run.broken:SometimesInvalid"}}}
    recipe = {"features": [], "models": [], "rules": []}
    summary = run(setup(recipe, detectors=found), data_root=tmp_path)
    assert (summary.frames["invalid"], summary.frames["stored"], summary.ended) == (3, 6, "complete")
    (entry, *_) = entries(summary, "invalid")
    assert entry.body["reason"] == "line 3: not a number"
    assert (Path(summary.path) / "quarantine/det" / str(entry.body["seq"])).read_bytes() == b"junk 2"
    proven(summary)
    stopped = run(setup(recipe, 'acquire.on_invalid="stop"', detectors=found), data_root=tmp_path)
    assert (stopped.ended, stopped.exit_code) == ("failed", 3)
