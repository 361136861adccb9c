"""Damaged waveforms of every format: frames or errors in words, never a crash, and memory near what the file holds."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from insitu.errors import InsituError
from insitu.readers.waveforms import Waveforms
from insitu.testing import check_arrival, items
from insitu.types import Arrival, Feature
from tests.readers.waves import WRITERS, noise

MOST = 64 * 1024 * 1024
WINDOW = Feature(100)


class Files(dict[str, bytes]):
    """Bytes by name, that are not shown whole where a test fails."""

    def __repr__(self) -> str:
        return "Files()"


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    folder = tmp_path_factory.mktemp("good")
    for name, write in WRITERS.items():
        write(folder / name, noise(600, 2))
        read(folder / name, WINDOW)  # what is compiled or loaded at the first reading is not the reader's memory
    return Files({name: (folder / name).read_bytes() for name in WRITERS})


def read(path: Path, window: Feature | None) -> int:
    """Frames that come out; every one keeps what the types promise."""
    try:
        found = items(Waveforms(str(path), window=window), 100)
    except InsituError:
        return 0
    for item in found:
        if isinstance(item, Arrival):
            check_arrival(item)
    return sum(isinstance(item, Arrival) for item in found)


@pytest.mark.parametrize("name", WRITERS)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kind=st.sampled_from(["cut", "flip", "extreme", "doubled", "zeros"]),
    near=st.booleans(),
    place=st.integers(0, 10**6),
    size=st.integers(1, 255),
    much=st.sampled_from([b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\x40"]),
    window=st.sampled_from([None, WINDOW]),
)
def test_no_damage_makes_it_crash_or_take_memory(good, tmp_path, name, kind, near, place, size, much, window):
    data = bytearray(good[name])
    at = place % (min(len(data), 300) if near else len(data))  # most of what can go wrong is in the head
    if kind == "cut":
        data = data[:at]
    elif kind == "flip":
        data[at] ^= size
    elif kind == "extreme":
        data[at : at + 4] = much
    elif kind == "doubled":
        data[at:at] = data[at : at + size]
    else:
        data[at : at + 64] = bytes(len(data[at : at + 64]))
    path = tmp_path / name
    path.write_bytes(data)
    tracemalloc.start()
    try:
        read(path, window)
        assert tracemalloc.get_traced_memory()[1] < MOST
    finally:
        tracemalloc.stop()


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    head=st.sampled_from([b"", b"RIFF\0\0\0\0WAVEfmt ", b"\x93NUMPY\x01\0", b"TDSm", b"PK\x03\x04"]), rest=st.binary()
)
def test_bytes_without_sense_end_in_words(tmp_path, head, rest):
    (tmp_path / "a.txt").write_bytes(head + rest)
    read(tmp_path / "a.txt", WINDOW)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(alphabet='0123456789.,;:-+eE \t\n\r#abtimes()[]/Vns%"', max_size=400))
def test_text_without_sense_ends_in_words(tmp_path, text):
    (tmp_path / "a.csv").write_text(text)
    read(tmp_path / "a.csv", WINDOW)


def test_a_long_file_passes_through_little_memory(tmp_path):
    with open(tmp_path / "a.npy", "wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": (2**27, 2)})
        file.truncate(file.tell() + 2**30)  # 1 GiB of zeros that take no disk
    tracemalloc.start()
    try:
        stream = Waveforms(str(tmp_path / "a.npy"), window=Feature(2**16))()
        given = 0
        for item in stream:
            given += item is not None
            if given == 200:
                break
        stream.close()  # type: ignore[attr-defined]
        assert tracemalloc.get_traced_memory()[1] < MOST
    finally:
        tracemalloc.stop()
