"""The shipped recipes `xrd_network` and `xafs_network` on real files: run, judged, replayed to the same verdicts."""

import shutil
from pathlib import Path

import pytest

from insitu.config import load
from insitu.models.bundle import read_bundle
from insitu.replay import verify
from insitu.run import run
from insitu.store.runs import StoredRun

MODELS = Path(__file__).resolve().parent.parent / "pipelines" / "models"


def records(path: str) -> list[dict]:
    with StoredRun(Path(path)) as stored:
        return list(stored.records())


def test_a_real_pattern_is_named_by_network_and_fit_and_verified(data: Path, tmp_path: Path) -> None:
    pytest.importorskip("gemmi")
    xrd, folder = data / "xrd", tmp_path / "patterns"
    folder.mkdir()
    for name in ("FAP.XRA", "INST_XRY.PRM"):
        shutil.copy(xrd / "ref_fluorapatite_lab" / name, folder / name)
    summary = run(load("xrd_network", inputs=str(folder)), data_root=tmp_path)
    (record,) = records(summary.path)
    together, network = record["verdicts"]["phases"], record["verdicts"]["network"]
    assert (together["label"], max(together["scores"], key=together["scores"].get)) == ("normal", "fluorapatite")
    assert network["model"] == read_bundle(MODELS / "xrd_phases").digest
    assert "fluorapatite" in network["reason"]
    assert verify(Path(summary.path)).identical


def test_real_spectra_get_their_valence_and_a_glitch_is_an_anomaly(data: Path, tmp_path: Path) -> None:
    xafs, folder = data / "xafs", tmp_path / "spectra"
    folder.mkdir()
    for name in ("xaslib/Mn/MnO2_rt_01.xdi", "glitch_dnd/dnd_glitchfile.dat", "glitch_dnd/dnd_testfile1.dat"):
        shutil.copy(xafs / name, folder)
    summary = run(load("xafs_network", inputs=str(folder)), data_root=tmp_path)
    found = {r["labels"]["file"]: r for r in records(summary.path)}
    manganese = found["MnO2_rt_01.xdi"]["features"]["xanes_oxidation_valence"]
    assert manganese["value"] == pytest.approx(4.0, abs=2.0 * manganese["sigma"])
    labels = {file: r["verdicts"]["quality"]["label"] for file, r in found.items()}
    assert labels == {"MnO2_rt_01.xdi": "normal", "dnd_glitchfile.dat": "anomaly", "dnd_testfile1.dat": "normal"}
    tin = found["dnd_testfile1.dat"]["verdicts"]["valence"]
    assert (tin["label"], tin["model"]) == ("unknown", read_bundle(MODELS / "xanes_oxidation").digest)
    assert verify(Path(summary.path)).identical
