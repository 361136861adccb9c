"""What the forwarder notes of a run, whatever a disk or a hand has done to it."""

import warnings
from pathlib import Path

import pytest

from insitu.run import run
from insitu.run.forwarding import Forwarding
from insitu.sinks import sent as notes
from insitu.sinks.sent import Outbox, Sent, read_sent, waiting, write_sent
from insitu.store.outbox import acknowledged
from insitu.store.recover import recover
from tests.documents import documents, sending
from tests.outboxes import Outgoing

DAMAGED = [
    b"", b"[1", b"[]", b"null", b"7", b"\xff\xfe", b'{"oid": "x"}', b'{"oid": -3}', b'{"oid": null}',
    b'{"oid": true}', b'{"oid": 1e400}', b'{"oid": 5, "set_aside": 3}', b'{"oid": 5, "set_aside": [1]}',
    b'{"oid": 5, "set_aside": [{}]}', b'{"oid": 5, "net": []}', b'{"oid": 5, "net": {"counts": 3}}',
    b'{"oid": 5, "net": {"max_s": 1, "counts": {"x": 1}}}', b'{"oid": 5, "state": "odd"}',
    b'{"oid": 5, "net": {"max_s": 1, "counts": {"99999": 1}}}', b'{"oid": 5, "bytes": "q"}',
]  # fmt: skip


@pytest.mark.parametrize("note", DAMAGED)
def test_a_damaged_note_means_all_again_and_never_an_error(tmp_path: Path, note: bytes) -> None:
    (tmp_path / "sent.json").write_bytes(note)
    found = read_sent(tmp_path)
    assert (found.oid, found.documents, found.state, found.set_aside) == (0, 0, "never", [])
    assert "everything is sent again" in found.problem
    assert acknowledged(tmp_path) in (0, 5)


def test_a_note_that_cannot_be_read_at_all_means_all_again(tmp_path: Path) -> None:
    (tmp_path / "sent.json").mkdir()
    assert (read_sent(tmp_path).oid, acknowledged(tmp_path)) == (0, 0)
    with pytest.raises(OSError, match=r"sent\.json"):
        write_sent(tmp_path, Sent(oid=3))


@pytest.mark.parametrize(("oid", "last", "left"), [(0, 7, 7), (5, 7, 2), (7, 7, 0), (9, 7, 7), (3, 0, 0)])
def test_a_note_that_tells_more_than_there_is_tells_of_another_run(oid: int, last: int, left: int) -> None:
    assert waiting(Sent(oid=oid), last) == left


@pytest.mark.parametrize("note", [b"", b"[]", b'{"oid": null}'])
def test_no_run_fails_at_its_seal_because_of_a_damaged_note(tmp_path: Path, note: bytes) -> None:
    def damage(status: dict) -> None:
        (Path(status["path"]) / "sent.json").write_bytes(note)

    summary = run(sending({}, frames=20), data_root=tmp_path, observer=damage)
    assert (summary.ended, summary.exit_code) == ("complete", 0)
    assert documents(summary)[-1][1]["exit_status"] == "success"
    assert (Path(summary.path) / "seal.json").exists()


@pytest.mark.damages
def test_a_run_that_a_power_cut_has_ended_recovers_with_a_torn_note(tmp_path: Path, monkeypatch) -> None:
    from insitu.store.writer import RunWriter

    def cut(*_: object) -> None:
        raise RuntimeError("power")

    monkeypatch.setattr(RunWriter, "seal", cut)
    summary = run(sending({}, frames=10), data_root=tmp_path)
    (Path(summary.path) / "sent.json").write_bytes(b"")
    assert recover(Path(summary.path))["frames"] == 10


def test_the_uid_is_the_ledgers_whatever_the_folder_is_called(tmp_path: Path) -> None:
    out = Outgoing(tmp_path).offer(1).seal()
    moved = tmp_path / "monday"
    out.folder.rename(moved)
    assert Outbox(moved).uid() == out.uid


def test_documents_that_came_within_one_tick_of_the_disks_clock_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sizes and times of files may be the same before and after a commit; a look comes all the same."""
    out = Outgoing(tmp_path).offer(1)
    outbox = Outbox(out.folder)
    outbox.changed()
    outbox.after(0, rows=9, nbytes=9)
    assert not outbox.changed()
    monkeypatch.setattr(notes, "LOOK_S", 0.0)
    assert outbox.changed()


def test_a_forwarder_that_has_ended_leaves_no_file_open(tmp_path: Path) -> None:
    import gc

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        forwarding = Forwarding(Outgoing(tmp_path).offer(1).folder, {"bootstrap": "127.0.0.1:9", "beamline": "b"})
        forwarding.end()
        said = forwarding._said
        del forwarding
        gc.collect()
    assert said is None
