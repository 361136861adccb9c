"""Images that are read while they are being written: folders, stacks that grow, masters whose data files come later."""

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from insitu.readers.images import Images
from insitu.testing import ReaderContract, items
from insitu.types import Arrival
from tests.detector_files import PILATUS_HEADER, picture, write_eiger, write_nexus, write_tiff

ROOT = Path(__file__).resolve().parents[2]
GROW = """
import sys, time, h5py, numpy
from tests.detector_files import picture
swmr = sys.argv[2] == "1"
with h5py.File(sys.argv[1], "w", libver="latest" if swmr else None) as file:
    data = file.create_dataset("entry/data/data", (0, 20, 30), "u2", maxshape=(None, 20, 30), chunks=(1, 20, 30))
    if swmr:
        file.swmr_mode = True
    for i in range(5):
        data.resize(i + 1, axis=0)
        data[i] = picture(i, dtype=numpy.uint16)
        file.flush()
        time.sleep(0.2)
"""


def arrivals(reader: Images) -> list[Arrival]:
    found = items(reader)
    assert all(isinstance(item, Arrival) for item in found), found
    return [item for item in found if isinstance(item, Arrival)]


def fill(folder: Path, count: int = 3) -> Path:
    for i in range(count):
        write_tiff(folder / f"p_{i + 9}.tif", [picture(i)], description=PILATUS_HEADER)
    return folder


class TestImagesThatAreFollowed(ReaderContract):
    @pytest.fixture
    def make(self, tmp_path: Path) -> Callable[[], Images]:
        fill(tmp_path)
        return lambda: Images(str(tmp_path), follow=True, count=3, settle=0.05, idle=5.0)

    @pytest.fixture
    def idle(self, tmp_path: Path) -> Callable[[], Images]:
        return lambda: Images(str(tmp_path), follow=True, settle=0.05, idle=30.0)


class TestImagesOfAStackThatGrows(ReaderContract):
    @pytest.fixture
    def make(self, tmp_path: Path) -> Callable[[], Images]:
        path = write_nexus(tmp_path / "a.nxs", np.stack([picture(i) for i in range(3)]))
        return lambda: Images(str(path), follow=True, count=3, idle=5.0)

    @pytest.fixture
    def idle(self, tmp_path: Path) -> Callable[[], Images]:
        return lambda: Images(str(tmp_path / "comes.h5"), follow=True, idle=30.0)


def test_files_are_given_as_they_appear_and_half_written_ones_wait(tmp_path: Path) -> None:
    source = write_tiff(tmp_path / "source.bin", [picture(1)])
    folder = tmp_path / "run"
    folder.mkdir()

    def write() -> None:
        shutil.copy(source, folder / "a_1.tif")
        with open(folder / "a_2.tif", "wb") as file:
            file.write(source.read_bytes()[:1000])
            file.flush()
            time.sleep(0.6)
            file.write(source.read_bytes()[1000:])
        (folder / "stop").touch()

    thread = threading.Thread(target=write)
    thread.start()
    try:
        found = arrivals(Images(str(folder), follow=True, idle=20.0, settle=0.1, sentinel="stop"))
    finally:
        thread.join()
    assert [a.labels["file"] for a in found] == ["a_1.tif", "a_2.tif"]
    np.testing.assert_array_equal(found[1].data, picture(1))


@pytest.mark.parametrize("swmr", [True, False])
def test_a_stack_is_followed_while_it_grows(tmp_path: Path, swmr: bool) -> None:
    path = tmp_path / "grows.h5"
    writer = subprocess.Popen([sys.executable, "-c", GROW, str(path), str(int(swmr))], cwd=ROOT)
    try:
        found = arrivals(Images(str(path), follow=True, idle=20.0, count=5))
    finally:
        assert writer.wait(30) == 0
    assert [a.source_seq for a in found] == list(range(5))
    for i, arrival in enumerate(found):
        np.testing.assert_array_equal(arrival.data, picture(i, dtype=np.uint16))


def test_a_master_is_followed_until_its_data_files_are_there(tmp_path: Path) -> None:
    hidden = tmp_path / "hidden"
    folder = tmp_path / "run"
    hidden.mkdir()
    folder.mkdir()
    write_eiger(hidden, 2, 3)

    def write() -> None:
        for name in ("run_master.h5", "run_data_000001.h5", "run_data_000002.h5"):
            time.sleep(0.3)
            shutil.copy(hidden / name, folder / ".part")
            os.replace(folder / ".part", folder / name)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        found = arrivals(Images(str(folder / "run_master.h5"), follow=True, idle=10.0))
    finally:
        thread.join()
    assert [a.source_seq for a in found] == list(range(6))  # and it ended by the number that the master declares
