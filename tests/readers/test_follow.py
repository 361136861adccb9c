"""Files that appear while we watch: each once, whole, never torn."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from insitu.errors import SourceError
from insitu.readers import follow as module
from insitu.readers.diffraction import Patterns
from insitu.readers.follow import follow
from insitu.readers.series import Found, natural_key
from insitu.types import Arrival, Invalid

ROWS = 200
UNTIL_DONE: dict[str, Any] = {"idle": 60.0, "sentinel": "done"}
"""However long the writer takes."""


def text(i: int) -> bytes:
    """A complete FXYE file whose intensities are all `i` + 0.5."""
    head = b"BANK 1 %d %d CONS 1000.0 10.0 0 0 FXYE\n" % (ROWS, ROWS)
    return head + b"".join(b" %.1f %d.5 1.0\n" % (1000 + 10 * k, i) for k in range(ROWS))


def watch(folder: Path, **keys: object) -> Iterator[Found | None]:
    settings = {"idle": 0.6, "settle": 0.1} | keys
    return follow(
        folder,
        lambda name: name.endswith(".fxye"),
        lambda found: "complete" if found.data.count(b"\n") == ROWS + 1 else "incomplete",
        lambda files: sorted(files, key=natural_key),
        **settings,  # type: ignore[arg-type]
    )


def names(found: Iterator[Found | None]) -> list[str]:
    with closing(found):  # type: ignore[type-var]
        return [item.name for item in found if item is not None]


@pytest.fixture
def writer() -> Iterator[Callable[[Callable[[], None]], threading.Thread]]:
    """Runs a function on a thread of its own; the test waits for it at the end."""
    threads: list[threading.Thread] = []

    def start(work: Callable[[], None]) -> threading.Thread:
        threads.append(threading.Thread(target=work))
        threads[-1].start()
        return threads[-1]

    yield start
    for thread in threads:
        thread.join(90)


def test_files_that_were_there_come_first_in_natural_order(tmp_path: Path) -> None:
    for i in (10, 9, 1):
        (tmp_path / f"a{i}.fxye").write_bytes(text(i))
    assert names(watch(tmp_path)) == ["a1.fxye", "a9.fxye", "a10.fxye"]


def test_later_files_come_in_order_of_arrival_each_once_and_whole(tmp_path: Path, writer) -> None:
    (tmp_path / "b0.fxye").write_bytes(text(0))

    def write() -> None:
        for i in (5, 3, 4):
            time.sleep(0.25)
            (tmp_path / f"b{i}.fxye").write_bytes(text(i))
        (tmp_path / "done").touch()

    writer(write)
    assert names(watch(tmp_path, **UNTIL_DONE)) == ["b0.fxye", "b5.fxye", "b3.fxye", "b4.fxye"]


def test_a_half_written_file_is_waited_for_while_others_pass(tmp_path: Path, writer) -> None:
    whole = text(1)
    (tmp_path / "slow.fxye").write_bytes(whole[:1000])

    def write() -> None:
        (tmp_path / "quick.fxye").write_bytes(text(2))
        time.sleep(0.5)  # longer than settle: being quiet is not being whole
        with open(tmp_path / "slow.fxye", "ab") as file:
            file.write(whole[1000:2000])
            file.flush()
            time.sleep(0.3)
            file.write(whole[2000:])
        (tmp_path / "done").touch()

    writer(write)
    with closing(watch(tmp_path, **UNTIL_DONE)) as stream:  # type: ignore[type-var]
        found = [item for item in stream if item is not None]
    assert [item.name for item in found] == ["quick.fxye", "slow.fxye"]
    assert found[1].data == whole


def test_a_file_that_never_becomes_whole_is_given_at_the_end(tmp_path: Path) -> None:
    (tmp_path / "cut.fxye").write_bytes(text(1)[:1000])
    (tmp_path / "good.fxye").write_bytes(text(2))
    assert names(watch(tmp_path)) == ["good.fxye", "cut.fxye"]


def test_a_file_renamed_into_place_is_read_under_its_last_name(tmp_path: Path, writer) -> None:
    def write() -> None:
        for i in range(3):
            hidden = tmp_path / f"r{i}.part"
            hidden.write_bytes(text(i)[:500])
            time.sleep(0.15)
            hidden.write_bytes(text(i))
            os.replace(hidden, tmp_path / f"r{i}.fxye")
        (tmp_path / "done").touch()

    writer(write)
    assert names(watch(tmp_path, **UNTIL_DONE)) == ["r0.fxye", "r1.fxye", "r2.fxye"]


def test_the_sentinel_ends_the_series_after_all_that_was_there(tmp_path: Path, writer) -> None:
    def write() -> None:
        (tmp_path / "s1.fxye").write_bytes(text(1))
        (tmp_path / "s2.fxye").write_bytes(text(2)[:700])
        (tmp_path / "done").write_bytes(b"")

    writer(write)
    began = time.monotonic()
    assert names(watch(tmp_path, idle=60.0, sentinel="done")) == ["s1.fxye", "s2.fxye"]
    assert time.monotonic() - began < 30  # far from idle


def test_a_changed_file_is_not_given_again_and_told_once(tmp_path: Path, caplog) -> None:
    (tmp_path / "c.fxye").write_bytes(text(1))
    with closing(watch(tmp_path)) as stream:  # type: ignore[type-var]
        assert next(item for item in stream if item is not None).data == text(1)
        for i in range(2, 4):
            (tmp_path / "c.fxye").write_bytes(text(i))
            assert [next(stream) for _ in range(3)] == [None] * 3
        assert [item for item in stream if item is not None] == []
    assert [r.getMessage() for r in caplog.records if r.name.startswith("insitu")] == [
        "c.fxye changed after it was read: the frame is what was read"
    ]


def test_a_file_that_grows_after_it_was_read_is_told_with_its_sizes_counted_and_named(tmp_path: Path, caplog) -> None:
    changed: list[str] = []
    for name in ("a.fxye", "b.fxye"):
        (tmp_path / name).write_bytes(text(1))
    with closing(watch(tmp_path, changed=changed)) as stream:  # type: ignore[type-var]
        assert [next(item for item in stream if item is not None).name for _ in range(2)] == ["a.fxye", "b.fxye"]
        for name in ("a.fxye", "b.fxye"):
            (tmp_path / name).write_bytes(text(1) + b"# more\n")
        assert [item for item in stream if item is not None] == []
    assert sorted(changed) == ["a.fxye", "b.fxye"]
    told = sorted(r.getMessage() for r in caplog.records if r.name.startswith("insitu"))
    assert told[0].startswith("2 files changed after they were read: ")
    assert told[1].startswith(f"a.fxye was still being written when it was read: {len(text(1)):,} bytes then, ")
    assert f"{len(text(1)) + 7:,} now" in told[1]


def test_a_file_that_is_only_touched_after_it_was_read_is_nothing(tmp_path: Path, caplog) -> None:
    (tmp_path / "c.fxye").write_bytes(text(1))
    changed: list[str] = []
    with closing(watch(tmp_path, changed=changed)) as stream:  # type: ignore[type-var]
        assert next(item for item in stream if item is not None).data == text(1)
        os.utime(tmp_path / "c.fxye", (1, 1))
        assert [item for item in stream if item is not None] == []
    assert changed == []
    assert [r for r in caplog.records if r.name.startswith("insitu")] == []  # watchdog has words of its own


def test_what_changed_is_found_at_the_end_where_the_system_tells_of_no_writes(tmp_path: Path, monkeypatch) -> None:
    """However many files were given after it."""
    monkeypatch.setattr(module._Watch, "on_any_event", lambda _self, _event: None)
    monkeypatch.setattr(module, "LATEST", 1)
    for i in range(3):
        (tmp_path / f"{i}.fxye").write_bytes(text(1))
    changed: list[str] = []
    with closing(watch(tmp_path, changed=changed)) as stream:  # type: ignore[type-var]
        for _ in range(3):
            next(item for item in stream if item is not None)
        (tmp_path / "0.fxye").write_bytes(text(1) + b"# more\n")
        assert [item for item in stream if item is not None] == []
    assert changed == ["0.fxye"]


def test_a_file_that_vanishes_before_it_is_read_is_told(tmp_path: Path, caplog) -> None:
    (tmp_path / "v.fxye").write_bytes(text(1)[:300])
    with closing(watch(tmp_path)) as stream:  # type: ignore[type-var]
        assert [next(stream) for _ in range(3)] == [None] * 3
        (tmp_path / "v.fxye").unlink()
        assert [item for item in stream if item is not None] == []
    assert [r.getMessage() for r in caplog.records if r.name.startswith("insitu")] == [
        "v.fxye vanished before it could be read"
    ]


def test_nothing_is_lost_where_the_system_tells_of_no_writes(tmp_path: Path, writer, monkeypatch) -> None:
    """A network file system: no event ever comes, the regular look finds the files."""
    monkeypatch.setattr(module._Watch, "on_any_event", lambda _self, _event: None)
    monkeypatch.setattr(module, "RESCAN", 0.2)

    def write() -> None:
        time.sleep(0.3)
        (tmp_path / "n.fxye").write_bytes(text(1))
        (tmp_path / "done").touch()

    writer(write)
    assert names(watch(tmp_path, **UNTIL_DONE)) == ["n.fxye"]


def test_a_folder_that_is_not_there_or_goes_away_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no such folder"):
        next(watch(tmp_path / "nowhere"))
    with pytest.raises(SourceError, match="no such folder"):
        next(iter(Patterns(str(tmp_path / "nowhere"), follow=True)()))
    folder = tmp_path / "f"
    folder.mkdir()
    with closing(watch(folder)) as stream:  # type: ignore[type-var]
        assert next(stream) is None
        folder.rmdir()
        with pytest.raises(SourceError, match="followed folder"):
            list(stream)


def test_closing_stops_the_watch(tmp_path: Path) -> None:
    before = threading.active_count()
    stream = watch(tmp_path)
    assert next(stream) is None
    assert threading.active_count() > before
    stream.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before


def test_many_files_written_in_pieces_arrive_once_and_untorn(tmp_path: Path, writer) -> None:
    def write() -> None:
        for i in range(25):
            whole = text(i)
            with open(tmp_path / f"m{i}.fxye", "wb") as file:
                for k in range(0, len(whole), 1500):
                    file.write(whole[k : k + 1500])
                    file.flush()
                    time.sleep(0.002)

    writer(write)
    reader = Patterns(str(tmp_path), follow=True, count=25, settle=0.02, idle=20.0)
    found = [item for item in reader() if item is not None]
    assert sorted(item.labels["file"] for item in found if isinstance(item, Arrival)) == sorted(
        f"m{i}.fxye" for i in range(25)
    )
    for seq, item in enumerate(found):
        assert isinstance(item, Arrival)
        assert item.source_seq == seq
        assert (item.data == int(item.labels["file"][1:-5]) + 0.5).all()


def test_a_followed_series_keeps_broken_files_as_invalid_and_skips_notes(tmp_path: Path, caplog) -> None:
    (tmp_path / "1.fxye").write_bytes(text(1))
    (tmp_path / "2.fxye").write_bytes(text(2)[:600])
    (tmp_path / "3.fxye").write_bytes(text(3).replace(b"1010.0", b"1000.0"))
    (tmp_path / "notes.txt").write_text("the cryostat ran dry")
    reader = Patterns(str(tmp_path), follow=True, settle=0.05, idle=0.5)
    found = [item for item in reader() if item is not None]
    assert [(type(item).__name__, getattr(item, "name", "")) for item in found] == [
        ("Arrival", ""),
        ("Invalid", "3.fxye"),
        ("Invalid", "2.fxye"),
    ]
    assert isinstance(found[2], Invalid)
    assert found[2].payload == text(2)[:600]
    assert reader.skipped == ["notes.txt"]
    assert "notes.txt" in caplog.text


def test_a_followed_folder_where_nothing_comes_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"no pattern came within 0\.3 s"):
        list(Patterns(str(tmp_path), follow=True, settle=0.05, idle=0.3)())
