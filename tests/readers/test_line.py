"""Reader `line`: tables row by row or in windows, cycles with channels at different rates, tables that grow."""

import contextlib
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from insitu.errors import ConfigError, FormatError, InsituError, SourceError
from insitu.readers.line import Line
from insitu.testing import ReaderContract, items
from insitu.types import Arrival, Feature, Invalid

MINUTE = 60_000_000_000


def arrivals(reader: Line, most: int = 100_000) -> list[Arrival]:
    return [item for item in items(reader, most) if isinstance(item, Arrival)]


def table(path: Path, rows: list[str], head: str = "timestamp,value") -> Path:
    path.write_text("\n".join([head, *rows]) + "\n")
    return path


def minutes(n: int) -> list[str]:
    return [f"2026-01-31 12:{i // 60 + i % 60:02d}:00,{20 + i}" for i in range(n)]


class TestTables(ReaderContract):
    @pytest.fixture
    def make(self, tmp_path: Path) -> Callable[[], Line]:
        path = table(tmp_path / "a.csv", minutes(30))
        return lambda: Line(str(path))

    @pytest.fixture
    def bad(self, tmp_path: Path) -> Callable[[], Line]:
        (tmp_path / "bad.csv").write_bytes(b"\x00\x01 no table at all \xff")
        return lambda: Line(str(tmp_path / "bad.csv"))

    @pytest.fixture
    def idle(self, tmp_path: Path) -> Callable[[], Line]:
        path = table(tmp_path / "idle.csv", [])
        return lambda: Line(str(path), follow=True, idle=10.0)


class TestCycles(ReaderContract):
    @pytest.fixture
    def make(self, tmp_path: Path) -> Callable[[], Line]:
        np.savez(tmp_path / "a.npz", cycle=[3, 4, 6], slow=np.ones((3, 2)), fast=np.arange(15.0).reshape(3, 5))
        return lambda: Line(str(tmp_path / "a.npz"), cycle_time=1.0)

    @pytest.fixture
    def bad(self, tmp_path: Path) -> Callable[[], Line]:
        (tmp_path / "bad.npz").write_bytes(b"PK\x03\x04 and then nothing")
        return lambda: Line(str(tmp_path / "bad.npz"))


def test_slow_rows_are_frames_of_their_own_with_their_times(tmp_path: Path) -> None:
    found = arrivals(Line(str(table(tmp_path / "a.csv", minutes(6)))))
    assert [a.data.tolist() for a in found] == [[[20.0 + i]] for i in range(6)]
    assert np.diff([a.time_ns for a in found]).tolist() == [MINUTE] * 5
    assert found[0].clock == "header"
    assert found[0].labels["channels"] == "value"


def test_missing_rows_are_told_and_the_frames_keep_counting(tmp_path: Path) -> None:
    rows = minutes(20)
    found = arrivals(Line(str(table(tmp_path / "a.csv", rows[:10] + rows[13:]))))
    assert [a.source_seq for a in found] == list(range(17))
    assert found[10].context["missing_rows"] == Feature(3, "")
    assert sum(a.context["missing_rows"].value or 0 for a in found if "missing_rows" in a.context) == 3


def test_fast_rows_come_in_windows_of_a_second_and_none_is_lost(tmp_path: Path) -> None:
    rows = [f"2026-01-31 12:00:{i // 100:02d}.{i % 100:02d},{i},{-i}" for i in range(1234)]
    found = arrivals(Line(str(table(tmp_path / "a.csv", rows, "time,force [N],way [mm]"))))
    assert np.concatenate([a.data[0] for a in found]).tolist() == list(range(1234))
    assert [a.data.shape[1] for a in found] == [100] * 12 + [34]
    assert found[0].unit == ("N", "mm")
    assert found[0].context["sample_rate"] == Feature(100.0, "Hz")
    assert found[0].duration_ns == 1_000_000_000


def test_windows_of_time_skip_numbers_where_nothing_was_written(tmp_path: Path) -> None:
    rows = minutes(10) + [r for r in minutes(50) if "12:4" in r]
    found = arrivals(Line(str(table(tmp_path / "a.csv", rows)), window=600.0))
    assert [a.source_seq for a in found] == [0, 4]


def test_a_clock_that_is_set_back_loses_no_row(data: Path) -> None:
    path = data / "line" / "nab" / "machine_temperature_system_failure.csv"
    found = arrivals(Line(str(path)), 30_000)
    assert len(found) == 22_695
    told = [a for a in found if "warning" in a.labels]
    assert [a.source_seq for a in told] == [10_149]
    assert "backwards at line 10151" in told[0].labels["warning"]


def test_a_row_that_is_no_row_is_kept_with_its_bytes_and_takes_a_number(tmp_path: Path) -> None:
    rows = minutes(12)
    rows[6] = "half a ro"
    found = items(Line(str(table(tmp_path / "a.csv", rows))), 100)
    bad = [item for item in found if isinstance(item, Invalid)]
    assert [b.payload for b in bad] == [b"half a ro"]
    assert "a.csv:8" in bad[0].reason
    numbers = [item.source_seq for item in found]
    assert len(set(numbers)) == len(numbers) == 12


def test_empty_cells_stay_missing_and_texts_are_told(tmp_path: Path) -> None:
    rows = [f"2026-01-31 12:{i:02d}:00,{'' if i == 5 else i},running" for i in range(10)]
    found = arrivals(Line(str(table(tmp_path / "a.csv", rows, "time,p,state"))))
    assert found[5].mask is not None
    assert found[5].mask.all()
    assert np.isnan(found[5].data).all()
    assert "column state holds text" in found[0].labels["warning"]


def test_summer_time_and_time_zones_are_those_of_the_detector(tmp_path: Path) -> None:
    path = str(table(tmp_path / "a.csv", minutes(5)))
    assert arrivals(Line(path))[0].time_ns - arrivals(Line(path, timezone="Europe/Berlin"))[0].time_ns == 60 * MINUTE


def test_a_table_without_times_needs_a_rate(tmp_path: Path) -> None:
    path = str(table(tmp_path / "a.csv", [f"{i},{2 * i}" for i in range(40)], "p,q"))
    with pytest.raises(FormatError, match="rate"):
        arrivals(Line(path))
    found = arrivals(Line(path, rate=20.0, start="2026-01-31T12:00:00"))
    assert [a.data.shape for a in found] == [(2, 20), (2, 20)]
    assert found[0].clock == "arrival"
    assert found[1].data[1].tolist() == list(range(40, 80, 2))


@pytest.mark.parametrize(("title", "step"), [("time", 0.5), ("Time (ms)", 500.0)])
def test_times_that_count_from_nowhere_begin_at_the_file_s_own_time(tmp_path: Path, title: str, step: float) -> None:
    path = table(tmp_path / "a.csv", [f"{i * step},{i}" for i in range(20)], f"{title},value")
    found = arrivals(Line(str(path)))
    assert len(found) == 20
    assert found[1].time_ns - found[0].time_ns == 500_000_000
    assert (found[0].time_ns, found[0].clock) == (path.stat().st_mtime_ns, "arrival")


def test_a_table_of_which_no_row_can_be_read_is_an_error_and_no_empty_run(tmp_path: Path) -> None:
    path = table(tmp_path / "a.csv", [f"03/31/2024 {i}:00 PM,{i}" for i in range(1, 12)])
    with pytest.raises(SourceError, match=r"none of the 11 rows can be read; the first: .*a\.csv:2: .*time_format"):
        arrivals(Line(str(path)))


def test_cycles_whose_numbers_begin_again_are_all_given(tmp_path: Path) -> None:
    numbers = np.array([7, 8, 9, 1, 2, 3])
    np.savez(tmp_path / "a.npz", p=np.arange(24.0).reshape(6, 4), cycle=numbers)
    found = arrivals(Line(str(tmp_path / "a.npz")))
    assert [a.source_seq for a in found] == list(range(6))
    assert [a.context["cycle"].value for a in found] == numbers.tolist()
    assert "do not rise" in found[0].labels["warning"]


def test_a_table_that_grows_is_read_row_by_row(tmp_path: Path) -> None:
    path = tmp_path / "grows.csv"
    rows = minutes(40)

    def write() -> None:
        with path.open("w") as file:
            file.write("timestamp,value\n")
            for row in rows:
                half = len(row) // 2
                file.write(row[:half])
                file.flush()
                time.sleep(0.002)
                file.write(row[half:] + "\n")
                file.flush()
        (tmp_path / "done").touch()

    writer = threading.Thread(target=write)
    writer.start()
    grown = arrivals(Line(str(path), follow=True, idle=20.0, sentinel="done"))
    writer.join()
    whole = arrivals(Line(str(path)))
    assert [a.data.tolist() for a in grown] == [a.data.tolist() for a in whole]
    assert [(a.source_seq, a.time_ns) for a in grown] == [(a.source_seq, a.time_ns) for a in whole]


def test_a_table_that_is_written_anew_while_it_is_read_is_told(tmp_path: Path) -> None:
    path = table(tmp_path / "a.csv", minutes(30))
    stream = Line(str(path), follow=True, idle=20.0)()
    assert isinstance(next(item for item in stream if item is not None), Arrival)
    path.write_text("timestamp,value\n")
    with pytest.raises(SourceError, match="became shorter"):
        list(stream)


def test_channels_at_different_rates_share_a_frame_with_their_rates(data: Path) -> None:
    found = arrivals(Line(str(data / "line" / "hydraulic_dev.npz"), cycle_time=60.0))
    assert len(found) == 1105
    first = found[0]
    assert first.data.shape == (10, 600)
    assert first.data.dtype == np.float32
    assert first.labels["channels"] == "ts1 ts2 ts3 ts4 vs1 ce cp se fs1 fs2"
    assert first.context["sample_rate"] == Feature(10.0, "Hz")
    assert first.context["rate_ts1"] == Feature(1.0, "Hz")
    assert "rate_fs1" not in first.context
    assert first.mask is not None
    assert first.mask.sum(axis=1).tolist() == [540] * 8 + [0, 0]
    assert [found[50].source_seq, found[50].time_ns - found[49].time_ns] == [100, 51 * MINUTE]


def test_without_a_cycle_time_no_rate_is_invented(data: Path) -> None:
    first = arrivals(Line(str(data / "line" / "hydraulic_dev.npz")), 1)[0]
    assert not first.context
    assert first.duration_ns == 0
    assert first.clock == "arrival"


def test_cycles_of_hdf5_bring_units_rates_times_and_numbers(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["line/pressure"] = np.ones((3, 20))
        file["line/pressure"].attrs["units"] = "bar"
        file["line/pressure"].attrs["sampling_rate"] = 10.0
        file["line/T1"] = np.full((3, 2), 7.0)
        file["line/T1"].attrs["sampling_rate"] = 1.0
        file["time"] = np.array([1.7e9, 1.7e9 + 2, 1.7e9 + 4])
        file["load"] = np.array([0.0, 30.0, 60.0])
    found = arrivals(Line(str(tmp_path / "a.h5")))
    assert set(found[0].labels["channels"].split()) == {"pressure", "t1"}
    assert "bar" in found[0].unit
    assert [a.context["load"].value for a in found] == [0.0, 30.0, 60.0]
    assert found[1].time_ns == 1_700_000_002_000_000_000
    assert found[0].context["rate_t1"] == Feature(1.0, "Hz")


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"a": np.ones((3, 4)), "b": np.ones((2, 4))}, "different numbers of cycles"),
        ({"a": np.ones(5)}, "no array"),
        ({"a": np.ones((3, 4)), "cycle": np.array([0.5, 1.0, 2.0])}, "no whole numbers"),
        ({"a": np.ones((3, 4)), "time": np.array([np.nan, 1.0, 2.0])}, "no time"),
        ({"a": np.array([[{}]], dtype=object)}, "cannot be read"),
    ],
)
def test_arrays_that_are_no_cycles_are_refused_in_words(
    arrays: dict[str, np.ndarray], words: str, tmp_path: Path
) -> None:
    np.savez(tmp_path / "a.npz", **arrays)  # type: ignore[arg-type]
    with pytest.raises(FormatError, match=words):
        items(Line(str(tmp_path / "a.npz")))


def test_impossible_keys_are_refused() -> None:
    for keys in ({"rows": 0}, {"rows": 5, "window": 1.0}, {"window": -1.0}, {"start": "noon"}, {"rates": {"a": 0.0}}):
        with pytest.raises(ConfigError):
            Line("a.csv", **keys)  # type: ignore[arg-type]


def test_channels_are_picked_by_name_in_order_and_missing_ones_are_named(tmp_path: Path) -> None:
    path = str(table(tmp_path / "a.csv", [f"2026-01-31 12:{i:02d}:00,1,2,3" for i in range(5)], "time,a,B (bar),c"))
    assert arrivals(Line(path, channels=["c", "B (bar)"]))[0].data.ravel().tolist() == [3.0, 2.0]
    with pytest.raises(FormatError, match="no column 'd'"):
        arrivals(Line(path, channels=["d"]))


@pytest.mark.parametrize("suffix", [".csv", ".npz"])
def test_broken_bytes_are_frames_or_words_never_a_crash(suffix: str, tmp_path: Path) -> None:
    good = tmp_path / f"good{suffix}"
    if suffix == ".csv":
        table(good, minutes(12))
    else:
        np.savez_compressed(good, cycle=np.arange(4), a=np.random.default_rng(0).normal(size=(4, 8)), b=np.ones((4, 2)))
    whole, rng = good.read_bytes(), random.Random(0)
    for trial in range(150):
        broken = bytearray(whole[: rng.randrange(1, len(whole))] if trial % 3 == 0 else whole)
        for _ in range(rng.randrange(1, 6)):
            broken[rng.randrange(len(broken))] = rng.randrange(256)
        path = tmp_path / f"broken{suffix}"
        path.write_bytes(broken)
        with contextlib.suppress(InsituError):
            assert all(item.data.size for item in items(Line(str(path)), 100) if isinstance(item, Arrival))
