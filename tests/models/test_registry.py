"""The registry: what is in force is verified, whatever was done, killed or damaged before."""

import resource
import signal
import sqlite3
from pathlib import Path

import pytest

from insitu.errors import ModelError, NotFoundError, StorageError
from insitu.models.registry import Registry
from insitu.store.ledger import link
from tests import switches
from tests.bundles import convolutions, written


@pytest.fixture
def registry(tmp_path: Path, pair: tuple[Path, Path], bundles: list[Path]) -> Registry:
    found = Registry(tmp_path / "models", keys=[pair[1]], operator="me")
    for bundle in bundles:
        found.add(bundle)
    return found


def spoil(registry: Registry, which: str) -> None:
    path = registry.folder(registry.standing("tiny").find(which)) / "model.onnx"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(content)


def test_a_bundle_is_in_force_from_activate_on(registry: Registry) -> None:
    with pytest.raises(ModelError, match="nothing is current"):
        registry.choose("tiny", 0.0)
    registry.activate("tiny", "1", why="first")
    assert registry.choose("tiny", 0.0).acting.manifest.serial == 1
    assert [e.kind for e in registry.entries()] == ["add", "add", "add", "activate"]
    assert registry.entries()[-1].body["operator"] == "me"


def test_adding_a_bundle_twice_changes_nothing(registry: Registry, bundles: list[Path]) -> None:
    registry.add(bundles[0])
    assert len(registry.entries()) == 3


def test_objects_are_read_only_and_the_very_bytes(registry: Registry, bundles: list[Path]) -> None:
    folder = registry.folder(registry.standing("tiny").find("2"))
    for path in bundles[1].iterdir():
        assert (folder / path.name).read_bytes() == path.read_bytes()
        assert (folder / path.name).stat().st_mode & 0o222 == 0


def test_an_older_bundle_is_refused_and_rollback_is_named(registry: Registry) -> None:
    registry.activate("tiny", "2")
    for step in (registry.activate, registry.shadow, registry.canary):
        with pytest.raises(ModelError, match="rollback"):
            step("tiny", "1")


def test_one_serial_has_one_content(registry: Registry, tmp_path: Path, pair: tuple[Path, Path]) -> None:
    other = written(tmp_path / "other", convolutions(seed=9), key=pair[0], serial=3)
    with pytest.raises(ModelError, match="serial 3 of tiny is taken"):
        registry.add(other)


def test_unsigned_bundles_are_let_in_only_on_purpose_and_that_is_recorded(registry: Registry, tmp_path: Path) -> None:
    unsigned = written(tmp_path / "unsigned", convolutions(seed=5), serial=5)
    with pytest.raises(ModelError, match="not signed"):
        registry.add(unsigned)
    registry.add(unsigned, allow_unsigned=True)
    assert registry.entries()[-1].body["signed_by"] == ""
    registry.activate("tiny", "5")
    assert registry.choose("tiny", 0.0).acting.manifest.serial == 5


def test_a_shadow_looks_on_and_a_canary_acts_in_its_share_of_the_runs(registry: Registry) -> None:
    registry.activate("tiny", "1")
    registry.shadow("tiny", "2")
    registry.canary("tiny", "3", share=0.25)
    drawn = [registry.choose("tiny", lot) for lot in (0.0, 0.24, 0.25, 0.99)]
    assert [(c.role, c.acting.manifest.serial) for c in drawn] == [("canary", 3)] * 2 + [("current", 1)] * 2
    assert [c.twin.manifest.serial for c in drawn if c.twin] == [1, 1, 2, 2]


def test_promote_takes_the_canary_and_rollback_undoes_it(registry: Registry) -> None:
    registry.activate("tiny", "1")
    with pytest.raises(ModelError, match="neither canary nor shadow"):
        registry.promote("tiny", why="x", criteria={})
    registry.canary("tiny", "2")
    registry.promote("tiny", why="it passes", criteria={"frames": 1})
    assert registry.standing("tiny").current == registry.standing("tiny").find("2")
    assert registry.rollback("tiny", why="worse").manifest.serial == 1
    with pytest.raises(ModelError, match="nothing to go back to"):
        registry.rollback("tiny")


def test_a_damaged_current_bundle_is_rolled_back_to_one_that_is_whole(registry: Registry) -> None:
    for serial in ("1", "2", "3"):
        registry.activate("tiny", serial)
    spoil(registry, "3")
    spoil(registry, "2")
    choice = registry.choose("tiny", 0.5)
    assert choice.acting.manifest.serial == 1
    assert len(choice.told) == 2
    assert "rolled back" in choice.told[0]
    assert [e.body["automatic"] for e in registry.entries()[-2:]] == [True, True]
    spoil(registry, "1")
    with pytest.raises(ModelError, match=r"model\.onnx"):
        registry.choose("tiny", 0.5)


def test_a_damaged_canary_or_shadow_is_left_out_and_told(registry: Registry) -> None:
    registry.activate("tiny", "1")
    registry.shadow("tiny", "2")
    registry.canary("tiny", "3", share=1.0)
    spoil(registry, "2")
    spoil(registry, "3")
    choice = registry.choose("tiny", 0.0)
    assert (choice.role, choice.acting.manifest.serial, choice.twin, len(choice.told)) == ("current", 1, None, 2)


def test_a_damaged_bundle_is_whole_again_once_it_is_added_again(registry: Registry, bundles: list[Path]) -> None:
    registry.activate("tiny", "2")
    spoil(registry, "2")
    registry.add(bundles[1])
    assert not registry.choose("tiny", 0.0).told


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE log SET body = replace(body, '1.2.0', '1.9.0') WHERE id = 1",
        "UPDATE log SET body = CAST(replace(CAST(body AS TEXT), '1.2.0', '1.9.0') AS BLOB) WHERE id = 1",
        "UPDATE log SET kind = 'note' WHERE id = 1",
        "DELETE FROM log WHERE id = 1",
    ],
)
def test_what_the_log_holds_cannot_be_changed_unseen(registry: Registry, change: str) -> None:
    registry.activate("tiny", "1")
    db = sqlite3.connect(registry.root / "registry.db")
    db.execute(change)
    db.commit()
    db.close()
    with pytest.raises(StorageError, match="entry 1 of the registry's log"):
        registry.standings()


@pytest.mark.parametrize("body", [b"{", b"[1]", b"{}", b'{"name": "tiny"}'])
def test_a_log_whose_chain_was_made_anew_around_nonsense_is_refused(registry: Registry, body: bytes) -> None:
    entries = registry.entries()
    db = sqlite3.connect(registry.root / "registry.db")
    db.execute("INSERT INTO log VALUES (?, ?, ?, ?)", (3, "add", body, link(entries[-1].hash, "add", body)))
    db.commit()
    db.close()
    for step in (registry.standings, lambda: registry.choose("tiny", 0.0), lambda: registry.note("tiny", {})):
        with pytest.raises(StorageError, match="the registry's log"):
            step()


@pytest.mark.parametrize("spoilt", ["canary", "current"])
def test_a_run_begins_with_what_is_whole_where_the_log_cannot_be_written(registry: Registry, spoilt: str) -> None:
    """A full disk, imitated by the largest size that a file may have; what was done is told, and not recorded."""
    registry.activate("tiny", "1")
    registry.activate("tiny", "2")
    registry.canary("tiny", "3", share=1.0)
    spoil(registry, "3")
    if spoilt == "current":
        spoil(registry, "2")
    limit, before = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2048, limit[1]))
    try:
        choice = registry.choose("tiny", 0.0)
        with pytest.raises(StorageError, match="cannot be used"):
            registry.note("tiny", {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, before)
    assert (choice.role, choice.acting.manifest.serial) == ("current", 2 if spoilt == "canary" else 1)
    assert "could not be recorded" in choice.told[1]
    assert registry.standing("tiny").current == registry.standing("tiny").find("2")
    assert registry.choose("tiny", 0.0).told, "recorded now"


def test_a_name_that_is_not_there_is_told_with_those_that_are(registry: Registry) -> None:
    with pytest.raises(NotFoundError, match="those added: tiny"):
        registry.choose("huge", 0.0)


def test_a_kill_at_any_moment_leaves_a_verified_current_bundle(
    registry: Registry, pair: tuple[Path, Path], bundles: list[Path]
) -> None:
    """A sample; `make prove` does hundreds."""
    registry.activate("tiny", "1")
    for seed in range(3):
        switches.killed(registry.root, pair[1], bundles, seed)
