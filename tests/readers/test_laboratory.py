"""Files of laboratory diffractometers in a series and followed: the contract of every reader, for every format."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from insitu.errors import FormatError
from insitu.readers.diffraction import Patterns
from insitu.testing import ReaderContract, items
from insitu.types import Arrival, Invalid
from tests.readers.written import PROFILE, RAS_ROWS, fill, ras, rasx, scan, xrdml

XY = b"10.0 5\n10.1 9\n10.2 4\n"
FILES = {
    "a.xrdml": xrdml(scan(), scan("1 2 3 4 5")),
    "a.rasx": rasx(PROFILE, PROFILE),
    "a.ras": ras(RAS_ROWS, RAS_ROWS),
    "a.fxye": b"BANK 1 3 3 CONS 1000 50 0 0 FXYE\n1000 1.5 1\n1050 2.5 1\n1100 3.5 1\n",
    "a.esd": b"BANK 1 2 1 CONS 1000 50 0 0 ESD\n     609     1.5     612     1.5\n",
    "a.std": b"BANK 1 3 1 CONST 1500 2 0 0 STD\n     609     612     673\n",
    "a.csv": b"two_theta,intensity\n10.5,7\n10.6,8\n10.7,9\n",
    "a.xye": b"10.5 7 1\n10.6 8 1\n10.7 9 1\n",
    "a.chi": b"t\n2-Theta Angle (Degrees)\nIntensity\n 2\n 1.0 10\n 1.5 11\n",
}
BAD = {
    "a.xrdml": xrdml(scan("1 2 x 4 5")),
    "a.rasx": rasx()[:-30],
    "a.ras": ras()[:-60],
    "a.fxye": FILES["a.fxye"][:-4],
    "a.esd": FILES["a.esd"][:-4],
    "a.std": FILES["a.std"][:-4],
    "a.csv": FILES["a.csv"].replace(b"8", b"nan"),
    "a.xye": FILES["a.xye"].replace(b"10.6", b"10.5"),
    "a.chi": FILES["a.chi"].replace(b" 2\n", b" 9\n"),
}


class TestEveryFormat(ReaderContract):
    @pytest.fixture(params=FILES)
    def name(self, request: pytest.FixtureRequest) -> str:
        return request.param

    @pytest.fixture
    def make(self, name: str, tmp_path: Path) -> Callable[[], Patterns]:
        fill(tmp_path, name, FILES[name])
        return lambda: Patterns(str(tmp_path))

    @pytest.fixture
    def bad(self, name: str, tmp_path: Path) -> Callable[[], Patterns]:
        (tmp_path / "bad").mkdir()
        (tmp_path / "bad" / name).write_bytes(BAD[name])
        return lambda: Patterns(str(tmp_path / "bad"))


class TestEveryFormatFollowed(ReaderContract):
    @pytest.fixture(params=["a.xrdml", "a.rasx", "a.ras"])
    def make(self, request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Patterns]:
        fill(tmp_path, request.param, FILES[request.param])
        return lambda: Patterns(str(tmp_path), follow=True, count=4, settle=0.05, idle=5.0)


def test_the_number_of_a_frame_counts_over_the_scans_of_all_files(tmp_path: Path) -> None:
    (tmp_path / "0.xrdml").write_bytes(xrdml(scan(), scan("1 x 3 4 5"), scan("1 2 3 4 5")))
    (tmp_path / "1.rasx").write_bytes(rasx(PROFILE, PROFILE))
    (tmp_path / "2.xy").write_bytes(XY)
    found = items(Patterns(str(tmp_path)))
    assert [item.source_seq for item in found] == list(range(6))
    assert [type(item) for item in found] == [Arrival, Invalid, Arrival, Arrival, Arrival, Arrival]
    bad = found[1]
    assert isinstance(bad, Invalid)
    assert "'x', number 2 of a list" in bad.reason
    assert b"1 x 3 4 5" in bad.payload
    assert len(items(Patterns(str(tmp_path), count=3))) == 3


def test_scans_that_are_no_patterns_are_skipped_and_told_and_take_no_number(tmp_path: Path, caplog) -> None:
    rocking = scan(positions="<commonPosition>30</commonPosition>", axis="Omega")
    (tmp_path / "0.xrdml").write_bytes(xrdml(scan(), rocking, scan()))
    (tmp_path / "1.xrdml").write_bytes(xrdml(rocking))
    reader = Patterns(str(tmp_path))
    assert [item.source_seq for item in items(reader)] == [0, 1]
    assert [name.partition(":")[0] for name in reader.skipped] == ["0.xrdml", "1.xrdml"]
    assert "2-theta stands still" in caplog.text


@pytest.mark.parametrize("name", ["a.xrdml", "a.rasx", "a.ras"])
def test_a_file_given_alone_gives_all_its_scans_or_says_why_not(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(FILES[name])
    assert len(items(Patterns(str(tmp_path / name)))) == 2
    (tmp_path / name).write_bytes(BAD[name])
    with pytest.raises(FormatError):
        items(Patterns(str(tmp_path / name)))


def test_a_bad_scan_among_good_ones_of_a_file_given_alone_is_invalid(tmp_path: Path) -> None:
    for order in ((0, 1), (1, 0)):
        (tmp_path / "a.xrdml").write_bytes(xrdml(*(scan("1 2 x 4 5" if bad else "1 2 3 4 5") for bad in order)))
        found = items(Patterns(str(tmp_path / "a.xrdml")))
        assert [type(item) for item in found] == [Invalid if bad else Arrival for bad in order]


def test_a_series_can_be_ordered_by_the_times_inside(tmp_path: Path) -> None:
    for name, minute in (("0", 30), ("1", 10), ("2", 20)):
        (tmp_path / f"{name}.xrdml").write_bytes(xrdml(scan(minute=minute)))
    (tmp_path / "3.rasx").write_bytes(rasx())  # 5 May, after 16 March
    (tmp_path / "4.ras").write_bytes(ras())  # 2017
    files = [item.labels["file"] for item in items(Patterns(str(tmp_path), order="time")) if isinstance(item, Arrival)]
    assert files == ["4.ras", "1.xrdml", "2.xrdml", "0.xrdml", "3.rasx"]


def test_what_a_file_is_its_content_says_before_its_name(tmp_path: Path) -> None:
    for content in (xrdml(), rasx(), ras()):
        (tmp_path / "a.dat").write_bytes(content)
        (arrival,) = items(Patterns(str(tmp_path)))
        assert isinstance(arrival, Arrival)
        assert arrival.data.tolist() == [4, 9, 16, 25, 36]


@pytest.fixture
def writer() -> Iterator[Callable[[Callable[[], None]], None]]:
    """Runs a function on a thread of its own; the test waits for it at the end."""
    threads: list[threading.Thread] = []

    def start(work: Callable[[], None]) -> None:
        threads.append(threading.Thread(target=work))
        threads[-1].start()

    yield start
    for thread in threads:
        thread.join(90)


@pytest.mark.parametrize("name", ["a.xrdml", "a.rasx", "a.ras", "a.std"])
def test_a_file_written_in_pieces_with_long_pauses_is_read_once_it_is_whole(name: str, tmp_path: Path, writer) -> None:
    whole = FILES[name]

    def write() -> None:
        with open(tmp_path / name, "wb", buffering=0) as file:
            for k in range(4):
                file.write(whole[k * len(whole) // 4 : (k + 1) * len(whole) // 4])
                time.sleep(0.25)

    writer(write)
    count = 1 if name == "a.std" else 2
    reader = Patterns(str(tmp_path), follow=True, settle=0.05, idle=60.0, count=count)
    assert [type(item) for item in reader() if item is not None] == [Arrival] * count
    assert reader.changed == []


def column_rows(begin: int, end: int) -> bytes:
    return b"".join(b"%.2f %d\n" % (10 + 0.01 * k, 100 + k) for k in range(begin, end))


def test_a_writer_that_pauses_at_a_line_end_is_waited_for_beyond_settle(tmp_path: Path, writer) -> None:
    """Columns do not say how many rows there will be: the pause of 2 x settle must not cut the file in two."""

    def write() -> None:
        with open(tmp_path / "a.xy", "wb", buffering=0) as file:
            file.write(column_rows(0, 40))
            time.sleep(0.6)
            file.write(column_rows(40, 100))

    writer(write)
    reader = Patterns(str(tmp_path), follow=True, settle=0.3, idle=60.0, count=1)
    (found,) = [item for item in reader() if item is not None]
    assert isinstance(found, Arrival)
    assert found.data.shape == (100,)
    assert reader.changed == []


def test_a_file_as_long_as_the_one_before_is_given_at_once_and_a_shorter_one_is_waited_for(tmp_path: Path) -> None:
    (tmp_path / "0.xy").write_bytes(column_rows(0, 50))
    reader = Patterns(str(tmp_path), follow=True, settle=0.3, idle=60.0, count=3)
    seen: dict[str, float] = {}
    with closing(reader()) as stream:  # type: ignore[type-var]
        next(item for item in stream if item is not None)
        began = time.monotonic()
        (tmp_path / "1.xy").write_bytes(column_rows(0, 30))
        (tmp_path / "2.xy").write_bytes(column_rows(0, 50))
        for item in stream:
            if isinstance(item, Arrival):
                seen[item.labels["file"]] = time.monotonic() - began
    assert list(seen) == ["2.xy", "1.xy"]
    assert seen["1.xy"] - seen["2.xy"] > 0.5  # ten times settle, less what the machine took
