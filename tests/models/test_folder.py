"""Reading the files of a bundle: what is no plain file with one name is refused before it is opened, and fast."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from insitu.errors import ModelError, StorageError
from insitu.models import folder as module
from insitu.models.folder import FILES, MIB, TOTAL, read_folder, write_folder


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder with the files of a bundle, whatever is in them."""
    place = tmp_path / "files"
    place.mkdir()
    for name in FILES:
        (place / name).write_bytes(name.encode())
    return place


def test_every_file_is_read_once(files: Path) -> None:
    assert read_folder(files) == {name: name.encode() for name in FILES}


def symbolic(path: Path) -> None:
    path.rename(path.parent.parent / "elsewhere")
    path.symlink_to("../elsewhere")


def dangling(path: Path) -> None:
    path.unlink()
    path.symlink_to("/nowhere/at/all")


def device(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


def hard(path: Path) -> None:
    os.link(path, path.parent.parent / "other")


def fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def sub_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def unix_socket(path: Path) -> None:
    path.unlink()
    here = os.getcwd()
    os.chdir(path.parent)  # a name of a socket is short
    try:
        socket.socket(socket.AF_UNIX).bind(path.name)
    finally:
        os.chdir(here)


@pytest.mark.parametrize("name", ["manifest.json", "model.onnx", "signature.json"])
@pytest.mark.parametrize(
    ("trick", "why"),
    [
        (symbolic, "a symbolic link"),
        (dangling, "a symbolic link"),
        (device, "a symbolic link"),
        (hard, "hard links"),
        (fifo, "a FIFO"),
        (sub_folder, "a folder"),
        (unix_socket, "a device or a socket"),
    ],
)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # the socket is left to the collector
def test_what_is_no_plain_file_is_refused(files: Path, name: str, trick: Callable[[Path], None], why: str) -> None:
    trick(files / name)
    with pytest.raises(ModelError, match=why) as found:
        read_folder(files)
    assert found.value.where == str(files / name)


@pytest.mark.parametrize(
    "name", ["extra", ".hidden", "model.onnx.data", "MANIFEST.JSON", "\udcff", "a\nb", "signature.json "]
)
def test_a_file_that_does_not_belong_is_refused(files: Path, name: str) -> None:
    (files / name).write_bytes(b"")
    with pytest.raises(ModelError, match="does not belong") as found:
        read_folder(files)
    str(found.value).encode()


def test_a_sparse_file_of_64_gib_is_refused_by_its_size(files: Path) -> None:
    with open(files / "model.onnx", "r+b") as f:
        f.truncate(64 * 1024 * MIB)
    with pytest.raises(ModelError, match="68,719,476,736 bytes"):
        read_folder(files)


def test_files_that_are_too_large_together_are_refused(files: Path) -> None:
    for name in ("model.onnx", "calibration.npz"):
        os.truncate(files / name, TOTAL // 2 + 1)
    with pytest.raises(ModelError, match="bytes"):
        read_folder(files)


@pytest.mark.parametrize("grow", [True, False])
def test_a_file_that_changes_while_it_is_read_is_refused(
    files: Path, monkeypatch: pytest.MonkeyPatch, grow: bool
) -> None:
    check, seen = module._check, []

    def changing(found: os.stat_result, path: Path, largest: int, *, linked: bool) -> int:
        size = check(found, path, largest, linked=linked)
        seen.append(path.name)
        if seen.count("LICENSE") == 2:  # after the last look at its size
            with open(files / "LICENSE", "ab" if grow else "wb") as f:
                f.write(b"more" if grow else b"")
        return size

    monkeypatch.setattr(module, "_check", changing)
    with pytest.raises(ModelError, match="changed while it was read"):
        read_folder(files)


@pytest.mark.parametrize("name", ["manifest.json", "model.onnx", "golden.npz", "mlbom.json", "LICENSE"])
def test_a_missing_file_is_named(files: Path, name: str) -> None:
    (files / name).unlink()
    with pytest.raises(ModelError, match=name):
        read_folder(files)


@pytest.mark.parametrize("place", ["nowhere", "files/LICENSE", "loop"])
def test_a_place_without_a_folder_is_told(files: Path, tmp_path: Path, place: str) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(ModelError, match="no bundle can be read here"):
        read_folder(tmp_path / place)


def test_an_installer_may_link_the_shipped_bundles(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.link(files / "LICENSE", files.parent / "in the installer's cache")
    monkeypatch.setattr(module, "shipped_keys", files.parent.resolve)
    assert read_folder(files)


def test_a_bundle_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    def fail(made: Path) -> None:
        raise ModelError("as planted")

    write_folder(tmp_path / "new", {"LICENSE": b"1"})
    with pytest.raises(ModelError, match="as planted"):
        write_folder(tmp_path / "new", {"LICENSE": b"2"}, fail)
    assert [p.name for p in tmp_path.iterdir()] == ["new"]
    assert (tmp_path / "new" / "LICENSE").read_bytes() == b"1"
    write_folder(tmp_path / "new", {"model.onnx": b"3"})
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["model.onnx"]
    assert [p.name for p in tmp_path.iterdir()] == ["new"]


def test_the_old_bundle_comes_back_when_the_last_step_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_folder(tmp_path / "new", {"LICENSE": b"1"})
    rename = Path.rename

    def failing(self: Path, target: Path) -> Path:
        if self.name == "new" and Path(target) == tmp_path / "new":
            raise OSError(5, "planted")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(StorageError, match="planted"):
        write_folder(tmp_path / "new", {"LICENSE": b"2"})
    assert (tmp_path / "new" / "LICENSE").read_bytes() == b"1"


def test_a_folder_with_something_else_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(StorageError, match="something else"):
        write_folder(tmp_path, {"LICENSE": b""})
    assert (tmp_path / "thesis.tex").exists()
