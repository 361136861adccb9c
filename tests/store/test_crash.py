"""Kills between any two calls to the disk, and power cuts that take all that was never synced."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from insitu.store.files import Disk
from insitu.store.recover import recover
from insitu.store.runs import StoredRun, is_run
from insitu.store.segments import SourceSpec

NUMBERS = (5, 6, 9, 7, 8, 10, 13, 12, 14, 16, 15, 17)  # reordered over the edges of shards and of segments


class Killed(Exception):
    """The process is gone."""


class Dying(Disk):
    """Dies at the call number `left`."""

    def __init__(self, left: int) -> None:
        super().__init__()
        self.left = left

    def _do(self, doing, path, call):
        self.left -= 1
        if self.left < 0:
            raise Killed
        return super()._do(doing, path, call)


def drive(run, acknowledged: dict[int, bytes]) -> None:
    """A short run with everything in it; what commits returned from goes into `acknowledged`."""
    w = run.writer
    w.add_unstored("invalid", "det", run.sequencer.place(None).seq, None, "torn", b"xyz", False, "first")
    taken = {}
    for i, number in enumerate(NUMBERS):
        if i == 6:
            w.add_unstored("dropped", "det", run.sequencer.place(11).seq, 11, "no credit", b"", False, "")
        f = run.take(number, points=64 if number < 10 else 32, record=i % 3 != 2)
        if f is not None:
            taken[f.n] = f.data.tobytes()
        if i % 2:
            stored, _ = w.commit()
            acknowledged |= {n: taken[n] for n in stored}
            w.publish()
    w.commit()


def check(folder: Path, acknowledged: dict[int, bytes]) -> None:
    """All that was acknowledged is there, nothing else is claimed, and recovery is idempotent."""
    recover(folder)
    if not is_run(folder):
        assert not acknowledged
        return
    assert recover(folder)["already_sealed"]
    with StoredRun(folder) as stored:
        frames = {f.n: f for f in stored.frames()}
        tally = stored.tally()
        segments = [e.body for e in stored.entries("segment")]
    assert acknowledged.items() <= {n: f.data.tobytes() for n, f in frames.items()}.items()
    assert tally.balanced
    assert tally.pending == 0
    rows = {f.seq for f in frames.values()}
    for body in segments:
        ds = xr.open_zarr(folder / "raw.zarr", group=f"det/{body['segment']}").load()
        here = {seq - body["first_seq"] for seq in rows}
        assert set(np.flatnonzero(ds.state.values == 0)) == {r for r in here if 0 <= r < ds.sizes["frame"]}
        for f in frames.values():
            row = f.seq - body["first_seq"]
            if 0 <= row < ds.sizes["frame"] and f.data.shape == ds.frames.shape[1:]:
                np.testing.assert_array_equal(ds.frames.values[row], f.data)
        assert not ds.frames.values[ds.state.values != 0].any(), "a ghost row"


@pytest.mark.parametrize("per_shard", [1, 2, 3])
def test_a_run_may_be_killed_between_any_two_calls_to_the_disk(new_run, per_shard):
    spec = SourceSpec(shard_frames=per_shard)
    calls = Dying(10**9)
    drive(new_run("whole", disk=calls, spec=spec), {})
    total = 10**9 - calls.left
    assert total > 300
    for k in range(10 * per_shard, total, 53):
        acknowledged: dict[int, bytes] = {}
        uid, run = f"k{k}", None
        try:
            run = new_run(uid, disk=Dying(k), spec=spec)
            drive(run, acknowledged)
        except Killed:
            pass
        folder = run.folder if run else None
        if run is not None:
            run.writer.give_up()
            check(folder, acknowledged)


class PowerCut(Disk):
    """Remembers what a cut of the power leaves at worst: contents as last synced, names as of the last sync of their
    folder; of the ledger (SQLite syncs it by itself) what every commit left."""

    def __init__(self, root: Path) -> None:
        super().__init__()
        self.root = root
        self.contents: dict[int, bytes] = {}
        self.names: dict[Path, dict[str, int]] = {}
        self.states: list[tuple[dict[int, bytes], dict[Path, dict[str, int]], dict[str, bytes]]] = []

    def sync(self, fd):
        super().sync(fd)
        path = Path(self._paths[fd])
        self.contents[path.stat().st_ino] = path.read_bytes()

    def sync_folder(self, folder):
        super().sync_folder(folder)
        self.names[Path(folder)] = {p.name: p.stat().st_ino for p in Path(folder).iterdir()}

    def mark(self, event):
        if event == "committed":
            ledger = {p.name: p.read_bytes() for p in self.root.glob("ledger.db*") if not p.name.endswith("-shm")}
            self.states.append((dict(self.contents), dict(self.names), ledger))

    def left(self, k: int, folder: Path) -> None:
        """The run folder after a cut behind commit `k`."""
        contents, names, ledger = self.states[k]

        def put(source: Path, target: Path) -> None:
            target.mkdir(parents=True)
            for name, inode in names.get(source, {}).items():
                if source / name in names or (source / name).is_dir():
                    put(source / name, target / name)
                elif not name.startswith("ledger.db"):
                    (target / name).write_bytes(contents.get(inode, b""))

        put(self.root, folder)
        for name, data in ledger.items():
            (folder / name).write_bytes(data)


@pytest.mark.parametrize("per_shard", [1, 2, 5])
def test_a_power_cut_after_any_commit_loses_nothing_that_was_acknowledged(new_run, tmp_path, per_shard):
    folder = tmp_path / "runs" / "2026-01-01" / "p"
    disk = PowerCut(folder)
    run = new_run("p", disk=disk, spec=SourceSpec(shard_frames=per_shard))
    plain, seen = run.writer.commit, []
    acknowledged: dict[int, bytes] = {}

    def commit():
        found = plain()
        seen.append((len(disk.states) - 1, {**acknowledged}, found[0]))
        return found

    run.writer.commit = commit
    drive(run, acknowledged)
    run.writer.give_up()
    frames = {}
    with StoredRun(folder) as stored:
        frames = {f.n: f.data.tobytes() for f in stored.frames()}
    for k, before, now in seen:
        target = tmp_path / "cut" / str(k)
        shutil.rmtree(target, ignore_errors=True)
        disk.left(k, target)
        check(target, before | {n: frames[n] for n in now})


@pytest.mark.damages  # it opens a run whose files were cut away on purpose
def test_every_view_of_a_sealed_run_survives_a_power_cut(new_run, tmp_path):
    """What was published in passing and never changed again is synced at the end."""
    folder = tmp_path / "runs" / "2026-01-01" / "s"
    disk = PowerCut(folder)
    run = new_run("s", disk=disk, spec=SourceSpec(shard_frames=4))
    drive(run, {})
    run.end()
    target = tmp_path / "cut"
    disk.left(-1, target)
    for path in folder.rglob("*"):
        name = path.relative_to(folder)
        if path.is_file() and name.parts[0] == "raw.zarr":
            assert (target / name).read_bytes() == path.read_bytes(), name


def test_many_segments_do_not_hold_files_open(new_run):
    import os

    before = len(os.listdir("/proc/self/fd"))
    run = new_run()
    for k in range(40):
        run.take(k, exposure_ns=10**8 * (1 + k % 2))
        run.writer.commit()
    assert len(run.writer._sources["det"].segments) == 40
    assert len(os.listdir("/proc/self/fd")) - before < 12
    run.take(42, exposure_ns=10**8)
    run.take(41, exposure_ns=10**8 * 2)
    run.writer.commit()
    run.writer.give_up()
    check(run.folder, {})
