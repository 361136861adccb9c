"""A folder as a series: which files, in which order."""

from pathlib import Path

import pytest

from insitu.errors import SourceError
from insitu.readers import series
from insitu.readers.series import by_time, find, header_time, natural_key, read_whole, shown


def names(files: list[Path]) -> list[str]:
    return [file.name for file in files]


def fill(folder: Path, *files: str) -> None:
    for name in files:
        (folder / name).write_text("10 1\n11 2\n12 3\n")


def test_numbers_in_names_are_sorted_by_size(tmp_path: Path) -> None:
    fill(tmp_path, "OH_10.xy", "OH_9.xy", "oh_2.xy", "OH_09.xy", "OH.xy", "7.5K.xy", "16.7K.xy")
    expected = ["7.5K.xy", "16.7K.xy", "OH.xy", "oh_2.xy", "OH_09.xy", "OH_9.xy", "OH_10.xy"]
    assert names(find(str(tmp_path))) == expected


def test_the_order_does_not_depend_on_how_files_lie_on_the_disk(tmp_path: Path) -> None:
    made = [f"scan {i}.xy" for i in (3, 20, 1, 100, 11)]
    for turn, order in enumerate((made, made[::-1], sorted(made))):
        folder = tmp_path / str(turn)
        folder.mkdir()
        fill(folder, *order)
        assert names(find(str(folder))) == [f"scan {i}.xy" for i in (1, 3, 11, 20, 100)]


def test_a_path_is_a_file_a_folder_or_a_glob(tmp_path: Path) -> None:
    fill(tmp_path, "a1.xy", "a2.xy", "b.dat", ".hidden.xy")
    (tmp_path / "deeper").mkdir()
    fill(tmp_path / "deeper", "c.xy")
    assert names(find(str(tmp_path / "b.dat"))) == ["b.dat"]
    assert names(find(str(tmp_path))) == ["a1.xy", "a2.xy", "b.dat"]
    assert names(find(str(tmp_path), "a*")) == ["a1.xy", "a2.xy"]
    assert names(find(str(tmp_path / "a*.xy"))) == ["a1.xy", "a2.xy"]
    assert names(find(str(tmp_path / "**" / "*.xy"))) == ["a1.xy", "a2.xy", "c.xy"]
    (tmp_path / "odd [1].xy").write_text("10 1\n")
    assert names(find(str(tmp_path / "odd [1].xy"))) == ["odd [1].xy"]


def test_a_missing_folder_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no such file or folder") as caught:
        find(str(tmp_path / "nowhere"))
    assert str(tmp_path / "nowhere") in str(caught.value)


def test_files_are_sorted_by_header_time_and_untimed_ones_stay_behind_their_neighbour(tmp_path: Path) -> None:
    for name, time in (("a", "2020-01-01 10:00:00"), ("b", ""), ("c", "2020-01-01 09:00:00")):
        (tmp_path / f"{name}.xy").write_text(f"# date: {time}\n10 1\n" if time else "")
    *nones, files = by_time(sorted(tmp_path.iterdir(), key=natural_key), "UTC")
    assert nones == [None] * 3
    assert files is not None
    assert names(files) == ["c.xy", "a.xy", "b.xy"]
    with pytest.raises(SourceError, match="no header has a time"):
        list(by_time([tmp_path / "b.xy", tmp_path / "b.xy"], "UTC"))
    *_, alone = by_time([tmp_path / "b.xy"], "UTC")
    assert names(alone or []) == ["b.xy"], "a file alone is in order"
    assert header_time(tmp_path / "gone.xy", "UTC") is None


def test_a_file_is_read_whole_or_says_why_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path, "a.xy")
    found = read_whole(tmp_path / "a.xy")
    assert (found.data, found.problem) == (b"10 1\n11 2\n12 3\n", "")
    assert found.mtime_ns == (tmp_path / "a.xy").stat().st_mtime_ns
    assert "No such file" in read_whole(tmp_path / "gone.xy").problem
    monkeypatch.setattr(series, "LARGEST", 10)
    assert "15 bytes are no 1-D pattern" in read_whole(tmp_path / "a.xy").problem


def test_a_name_of_odd_bytes_can_be_stored() -> None:
    assert shown(Path("run\udcff.xy")) == "run�.xy"
