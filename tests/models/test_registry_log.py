"""The registry's log: one that was cut, lost or put back from an old copy is refused; writers do not disturb each
other; a clock that is set back changes no order."""

import json
import shutil
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from insitu.cli import main
from insitu.errors import ModelError, StorageError
from insitu.models.journal_head import NAME
from insitu.models.registry import Registry

WRITER = """
import sys, time
from pathlib import Path
from insitu.errors import ModelError
from insitu.models.registry import Registry
registry = Registry(Path(sys.argv[1]), keys=[Path(sys.argv[2])], operator=sys.argv[3])
while not Path(sys.argv[4]).exists():
    time.sleep(0.002)
for _ in range(5):
    for serial, bundle in enumerate(sys.argv[5:], 1):
        registry.add(Path(bundle))
        try:
            registry.activate("tiny", str(serial))
        except ModelError as e:
            assert "is older than the current one" in str(e), e
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, pair: tuple[Path, Path], bundles: list[Path]) -> Path:
    registry = Registry(tmp_path_factory.mktemp("registry") / "models", keys=[pair[1]])
    for bundle in bundles[:2]:
        registry.add(bundle)
    registry.activate("tiny", "1")
    registry.activate("tiny", "2")
    return registry.root


@pytest.fixture
def registry(made: Path, tmp_path: Path, pair: tuple[Path, Path]) -> Registry:
    """Two bundles, the second in force; four entries."""
    return Registry(shutil.copytree(made, tmp_path / "models"), keys=[pair[1]])


def cut(registry: Registry, entries: int) -> None:
    db = sqlite3.connect(registry.root / "registry.db")
    db.execute("DELETE FROM log WHERE id >= ?", (entries,))
    db.commit()
    db.close()


def emptied(registry: Registry) -> None:
    (registry.root / "registry.db").write_bytes(b"")


def gone(registry: Registry) -> None:
    (registry.root / "registry.db").unlink()


@pytest.mark.parametrize("how", [emptied, gone, lambda r: cut(r, 0), lambda r: cut(r, 2), lambda r: cut(r, 3)])
def test_a_log_that_was_cut_or_lost_is_refused_by_whoever_reads_or_writes(
    registry: Registry, bundles: list[Path], how
) -> None:
    how(registry)
    for step in (
        registry.entries,
        registry.standings,
        lambda: registry.choose("tiny", 0.0),
        lambda: registry.add(bundles[2]),
        lambda: registry.activate("tiny", "1"),
        lambda: registry.note("tiny", {}),
    ):
        with pytest.raises(StorageError, match=r"that were written are gone.*Restore registry\.db from a backup"):
            step()


def test_an_old_copy_of_the_log_that_went_on_otherwise_is_refused(registry: Registry) -> None:
    head = (registry.root / NAME).read_bytes()
    cut(registry, 3)
    (registry.root / NAME).unlink()
    registry.activate("tiny", "1")
    registry.note("tiny", {"other": "history"})
    assert len(registry.entries()) == 5
    (registry.root / NAME).write_bytes(head)
    with pytest.raises(StorageError, match="entry 3 of the registry's log is another one"):
        registry.entries()


def test_bundles_without_a_log_are_no_empty_registry_until_one_is_added_again(
    registry: Registry, bundles: list[Path]
) -> None:
    """The log and its head are gone, or the very first `add` was killed before its entry."""
    gone(registry)
    (registry.root / NAME).unlink()
    for step in (registry.entries, lambda: registry.choose("tiny", 0.0), lambda: registry.standing("tiny")):
        with pytest.raises(StorageError, match=r"no entry, but 2 bundles lie in .*begins a new log"):
            step()
    registry.add(bundles[0])
    with pytest.raises(ModelError, match="nothing is current"):
        registry.choose("tiny", 0.0)
    assert [e.kind for e in registry.entries()] == ["add"]


def test_the_command_line_ends_with_4_and_the_remedy(registry: Registry, capsys: pytest.CaptureFixture[str]) -> None:
    emptied(registry)
    with pytest.raises(SystemExit) as ended:
        main(["model", "list", "--registry", str(registry.root), "--json"])
    error = json.loads(capsys.readouterr().out)["error"]
    assert ended.value.code == 4
    assert error["where"] == str(registry.root / "registry.db")
    assert "from a backup" in error["remedy"]


def test_a_registry_that_is_not_there_is_empty(tmp_path: Path) -> None:
    assert Registry(tmp_path / "models").entries() == []


def test_a_head_that_lags_or_is_missing_is_no_fault_and_one_that_is_nonsense_is(registry: Registry) -> None:
    head = registry.root / NAME
    entries = registry.entries()
    head.write_text(f"2 {entries[1].hash.hex()}\n")
    assert len(registry.entries()) == 4
    head.unlink()
    registry.note("tiny", {})
    assert head.read_text() == f"5 {registry.entries()[-1].hash.hex()}\n"
    head.write_text("many\n")
    with pytest.raises(StorageError, match="does not say how long"):
        registry.entries()


def test_two_processes_that_add_and_switch_at_once_leave_one_valid_chain(
    tmp_path: Path, pair: tuple[Path, Path], bundles: list[Path]
) -> None:
    root, go = tmp_path / "models", tmp_path / "go"
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(root), str(pair[1]), name, str(go), *map(str, bundles)],
            stderr=subprocess.PIPE,
        )
        for name in ("one", "two")
    ]
    go.touch()
    errors = [writer.communicate(timeout=120)[1].decode() for writer in writers]
    assert [writer.returncode for writer in writers] == [0, 0], errors
    registry = Registry(root, keys=[pair[1]])
    entries = registry.entries()
    assert [e.kind for e in entries].count("add") == len(bundles), "each bundle once, whoever came first"
    assert {e.body["operator"] for e in entries} == {"one", "two"}
    assert registry.choose("tiny", 0.0).acting.manifest.serial == len(bundles)
    assert not list((root / "incoming").iterdir())


def test_a_clock_that_is_set_back_changes_no_order(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    now, days = time.time_ns(), iter(range(1, 100))
    monkeypatch.setattr("insitu.models.journal.time.time_ns", lambda: now - next(days) * 86_400_000_000_000)
    registry.rollback("tiny")
    registry.activate("tiny", "2", why="again")
    times = [e.body["time_ns"] for e in registry.entries()]
    assert times[-1] < times[-2] < times[0], "as the clock said"
    assert [e.kind for e in registry.entries()] == ["add", "add", "activate", "activate", "rollback", "activate"]
    assert registry.choose("tiny", 0.0).acting.manifest.serial == 2
