"""What is wrong with a measured file is flagged by the shipped recipes: bad loops, and scans that lost their beam.

The file with a glitch that was measured so: `test_network_recipes_more` and `test_xafs_recipes`. The files here are
measured ones in which the fault is planted; the originals beside them stay normal.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from insitu.config import load
from insitu.features.loop import Loop
from insitu.inference.onnx_verdict import Network
from insitu.readers.loops import Loops
from insitu.run import run
from insitu.store.runs import StoredRun
from insitu.training.measured import measurements
from tests import xafs

MODELS = Path(__file__).parents[1] / "pipelines" / "models"


def bad(b: np.ndarray, m: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """A loop, spoilt in six ways."""
    top, n = float(np.abs(m).max()), m.size
    spike = m.copy()
    spike[n // 5] += 0.2 * top
    kept, low = slice(0, int(0.7 * n)), np.abs(b) < 0.03 * np.abs(b).max()
    return {
        "clipped": (b, np.clip(m, -0.6 * top, 0.6 * top)),
        "spike": (b, spike),
        "drift": (b, m + 0.1 * top * np.linspace(0.0, 1.0, n)),
        "open": (b[kept], m[kept]),
        "branch": (b[: n // 2], m[: n // 2]),
        "small": (b[low], m[low]),
    }


@pytest.fixture(scope="module")
def loops(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The six measured loops and all of them spoilt."""
    folder = tmp_path_factory.mktemp("loops")
    for path in sorted((data / "magnetic" / "vsm").glob("hyst_*.csv")):
        b, m = np.loadtxt(path, delimiter=",", skiprows=1).T
        for how, curve in ({"good": (b, m)} | bad(b, m)).items():
            rows = "".join(f"{x},{y}\n" for x, y in zip(*curve, strict=True))
            (folder / f"{path.stem}_{how}.csv").write_text(f"B_T,M_Am2_per_kg\n{rows}")
    return folder


def records(path: str) -> dict[str, dict[str, Any]]:
    with StoredRun(Path(path)) as stored:
        return {r["labels"]["file"]: r for r in stored.records()}


def test_every_spoilt_loop_is_flagged_by_the_recipe_and_the_measured_ones_are_not(loops: Path, tmp_path: Path) -> None:
    found = records(run(load("loops", inputs=str(loops)), data_root=tmp_path).path)
    assert len(found) == 42
    for file, record in found.items():
        verdict = record["verdicts"]["bad_loop"]
        assert verdict["label"] == ("normal" if "good" in file else "anomaly"), (file, verdict["reason"])


def test_the_network_says_the_same_of_them(loops: Path) -> None:
    network = Network(bundle=MODELS / "loops_anomaly")
    for told in measurements(Loops(str(loops))(), [Loop()]):
        verdict, file = network(told), told.labels["file"]
        assert verdict is not None
        assert (verdict.label == "normal") == ("good" in file), (file, verdict.reason)


def test_a_scan_that_lost_its_beam_is_flagged(data: Path, tmp_path: Path) -> None:
    """Two beamlines; from the first point on, or for the last third of the scan."""
    folder = tmp_path / "scans"
    folder.mkdir()
    random = np.random.default_rng(0)
    for file, channels in (("APS10BM_2019.dat", ("io", "it")), ("SSRL1_2006.dat", ("i0", "i1"))):
        (frame,) = xafs.frames(data / "xafs" / "beamline_formats" / file)
        names = frame.labels["channels"].split()
        i0, it = (np.asarray(frame.data[names.index(n)], np.float64) for n in channels)
        energy = frame.axes["energy"].values
        for how, first in (("good", 1.0), ("all", 0.0), ("third", 2.0 / 3.0)):
            dark = np.arange(energy.size) >= first * energy.size
            lost = [np.where(dark, random.normal(1e-4 * y.mean(), 3e-5 * y.mean(), y.size), y) for y in (i0, it)]
            rows = "".join(f"{e:.4f} {x:.6g} {y:.6g}\n" for e, x, y in zip(energy, *lost, strict=True))
            (folder / f"{Path(file).stem}_{how}.dat").write_text(f"# energy i0 itrans\n{rows}")
    found = records(run(load("xafs_network", inputs=str(folder)), data_root=tmp_path).path)
    assert len(found) == 6
    for file, record in found.items():
        verdict = record["verdicts"]["quality"]
        assert (verdict["label"] == "normal") == ("good" in file), (file, verdict["reason"])
