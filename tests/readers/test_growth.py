"""Files that a scan program writes point by point: what there is of a scan, again and again, until it is over."""

import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from insitu.config import load
from insitu.errors import ConfigError, SourceError
from insitu.readers.spectra import Spectra
from insitu.replay import verify
from insitu.run import run
from insitu.store.runs import StoredRun
from insitu.testing import items
from insitu.types import Arrival, Invalid
from tests.waiting import until

ENERGY = np.linspace(7000.0, 7400.0, 60)
I0 = np.full(60, 1e5)
IT = I0 * np.exp(-1.0 / (1.0 + np.exp(-(ENERGY - 7112.0) / 2.0)))


def lines(*, down: bool = False) -> list[str]:
    rows = [f"{e:.3f} {a:.1f} {b:.3f}\n" for e, a, b in zip(ENERGY, I0, IT, strict=True)]
    return rows[::-1] if down else rows


def written(work: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=work)
    thread.start()
    return thread


def write(
    path: Path,
    rows: list[str],
    *,
    pause: float = 0.03,
    stretch: int = 15,
    end: bool = True,
    shown: Callable[[], int] | None = None,
) -> None:
    """A head, then stretches of points, each with half of the next line (a buffer that was flushed anywhere). `shown`:
    how often what there is was given; the third stretch waits until it was twice."""
    with path.open("w") as file:
        file.write("# energy i0 itrans\n")
        text = "".join(rows)
        step = len(text) * stretch // len(rows) + 4
        for number, at in enumerate(range(0, len(text), step)):
            if shown is not None:
                until(lambda k=number: shown() >= min(k, 2), "the scan is given as it grows")
            file.write(text[at : at + step])
            file.flush()
            time.sleep(pause)
    if end:
        (path.parent / "END").touch()


@pytest.mark.parametrize("down", [False, True], ids=["upwards", "downwards"])
def test_a_scan_that_is_written_point_by_point_is_given_as_it_grows_in_the_order_it_is_taken(tmp_path, down):
    found: list[Arrival] = []
    writer = written(lambda: write(tmp_path / "a.dat", lines(down=down), shown=lambda: len(found)))
    reader = Spectra(str(tmp_path), follow=True, grow=300.0, sentinel="END")
    with closing(reader()) as stream:
        found.extend(a for a in stream if isinstance(a, Arrival))
    writer.join()
    assert len(found) >= 3
    assert [a.provisional for a in found] == [True] * (len(found) - 1) + [False]
    assert {a.source_seq for a in found} == {0}
    assert len({a.time_ns for a in found}) == 1
    whole = found[-1].axes["energy"].values
    assert whole.tolist() == (ENERGY[::-1] if down else ENERGY).round(3).tolist()
    for a in found:
        k = a.data.shape[-1]
        assert a.axes["energy"].values.tolist() == whole[:k].tolist()
        assert a.data.tolist() == found[-1].data[:, :k].tolist()


def test_the_next_file_ends_a_scan_before_its_silence_does(tmp_path):
    def work() -> None:
        for name in ("scan_9.dat", "scan_10.dat"):
            write(tmp_path / name, lines(), end=False)
        (tmp_path / "END").touch()

    writer = written(work)
    began = time.monotonic()
    found = list(items(Spectra(str(tmp_path), follow=True, grow=60.0, settle=0.1, sentinel="END")))
    writer.join()
    assert time.monotonic() - began < 30
    whole = [a for a in found if isinstance(a, Arrival) and not a.provisional]
    assert [(a.source_seq, a.labels["file"]) for a in whole] == [(0, "scan_9.dat"), (1, "scan_10.dat")]


def test_a_file_that_never_becomes_a_spectrum_is_invalid_when_it_is_over(tmp_path):
    (tmp_path / "a.dat").write_text("# energy i0 itrans\n7000.0 1 2\n")
    (item,) = items(Spectra(str(tmp_path), follow=True, grow=0.1, idle=0.3))
    assert isinstance(item, Invalid)
    assert "no table of numbers" in item.reason


def test_growing_files_must_be_followed_and_their_folder_be_there(tmp_path):
    with pytest.raises(ConfigError, match="files grow while they are followed"):
        Spectra(str(tmp_path), grow=1.0)
    with pytest.raises(SourceError, match="no such folder"):
        items(Spectra(str(tmp_path / "none"), follow=True, grow=1.0))


def test_the_recipe_measures_a_step_scan_while_it_grows_and_the_whole_as_if_read_afterwards(tmp_path):
    folder = tmp_path / "scan"
    folder.mkdir()
    writer = written(lambda: write(folder / "a.dat", lines(down=True), pause=0.1, stretch=12))
    keys = {"follow": "true", "grow": '"60 s"', "sentinel": '"END"'}
    sets = [f"detector.reader.{key}={value}" for key, value in keys.items()]
    grown = run(load("xafs", inputs={"": str(folder)}, sets=sets), data_root=tmp_path / "runs")
    writer.join()
    after = run(load("xafs", inputs={"": str(folder / "a.dat")}), data_root=tmp_path / "runs")
    assert (grown.ended, grown.frames["stored"], grown.analysis["analysed"]) == ("complete", 1, 1)
    with StoredRun(Path(grown.path)) as a, StoredRun(Path(after.path)) as b:
        *provisional, last = a.records()
        (whole,) = b.records()
    assert provisional
    assert all(r["provisional"] and r["k"] <= 60 for r in provisional)
    assert last["features"]["e0"] == whole["features"]["e0"]
    assert last["features"]["edge_step"] == whole["features"]["edge_step"]
    report = verify(Path(grown.path))
    assert report.identical, report.findings
