"""The recipes `xafs` and `xmcd`, unedited, on every file of the data folder; and what a line or two make of them."""

import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from insitu.config import load
from insitu.run import run
from insitu.run.summary import Summary
from insitu.store.runs import StoredRun
from tests.maths.absorption.xafs_files import simulated, table

ROOT = Path(__file__).resolve().parent.parent
LNO = "xafs/series_lno_ni_k_operando"
LOG = "220726cell4operandoxas_C06.mpt"


def records_of(summary: Summary) -> list[dict[str, Any]]:
    with StoredRun(Path(summary.path)) as stored:
        return list(stored.records())


def shipped(kind: str, name: str) -> dict[str, Any]:
    return tomllib.loads((ROOT / kind / f"{name}.toml").read_text())


def ran(recipe: Any, path: Path, root: Path, **keys) -> list[dict[str, Any]]:
    summary = run(load(recipe, inputs=str(path), **keys), data_root=root)
    assert (summary.ended, summary.exit_code) == ("complete", 0)
    found = records_of(summary)
    assert found
    assert not any(record.get("faults") for record in found)
    return found


def value(record: dict[str, Any], key: str) -> float:
    feature = record["features"][key]
    assert feature["value"] is not None, feature["why"]
    return feature["value"]


NO_SPECTRUM = {
    "APS13ID_2019.dat": "just above a rise", "ESRF_BM08_LISA_2021.dat": "rises nowhere", "incomplete_label.dat": "edge",
    "cu10k.chi": "chi", "cu_chi.dat": "chi", "nonuniform.chi": "chi", "nonxafs_1d.xdi": "no absorption spectrum",
    "nonxafs_2d.xdi": "map", "nonxafs_negvalues.xdi": "no absorption spectrum",
}  # fmt: skip
"""Files without an edge (not measured so far, or another quantity), and a word of why."""


@pytest.mark.parametrize(
    ("folder", "spectra"),
    [
        ("beamline_formats", 11), ("columns_misc", None), ("glitch_dnd", 4), ("repeat_scans", 2), ("athena", 7),
        ("xdi_spec_samples", 10), ("xaslib/Cr", 43), ("xaslib/Cu", 7), ("xaslib/Fe", 23), ("xaslib/Mn", 12),
        ("xaslib/V", 5),
    ],
)  # fmt: skip
def test_the_recipe_runs_on_every_folder_and_measures_every_spectrum(
    data: Path, tmp_path: Path, folder: str, spectra: int | None
) -> None:
    found = ran("xafs", data / "xafs" / folder, tmp_path)
    assert spectra is None or len(found) == spectra
    for record in found:
        file, features = record["labels"]["file"], record["features"]
        if file in NO_SPECTRUM:
            assert features["e0"]["value"] is None
            assert NO_SPECTRUM[file] in features["e0"]["why"], file
            continue
        assert abs(value(record, "e0") - value(record, "edge_energy")) < 30.0, file
        assert features["edge_found"]["value"] == 1, file
        measured = [key for key, feature in features.items() if feature["value"] is not None]
        assert len(measured) >= 7, (file, measured)


@pytest.mark.parametrize("file", ["columns_misc/cu10k.chi", "columns_misc/nonuniform.chi", "columns_misc/cu_chi.dat"])
def test_a_file_of_something_else_alone_is_stored_and_said_to_be_so(data: Path, tmp_path: Path, file: str) -> None:
    (record,) = ran("xafs", data / "xafs" / file, tmp_path)
    assert "chi" in record["features"]["e0"]["why"]
    assert record["verdicts"]["edge"]["label"] == "unknown"


def test_damaged_files_of_a_folder_are_kept_apart_and_the_others_measured(data: Path, tmp_path: Path) -> None:
    """`BadFiles.txt`: six of the 18 files are errors."""
    summary = run(load("xafs", inputs=str(data / "xafs" / "xdi_malformed")), data_root=tmp_path)
    assert summary.exit_code == 0
    assert summary.frames["stored"] == 12
    assert summary.frames["invalid"] == 6


def test_the_file_with_a_glitch_is_an_anomaly_and_its_siblings_are_not(data: Path, tmp_path: Path) -> None:
    found = ran("xafs", data / "xafs" / "glitch_dnd", tmp_path)
    labels = {r["labels"]["file"]: r["verdicts"]["glitch"]["label"] for r in found}
    assert labels.pop("dnd_glitchfile.dat") == "anomaly"
    assert set(labels.values()) == {"normal"}


@pytest.fixture(scope="module")
def operando(data: Path, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """The operando series with the log of the cell joined, and the trend over the charge."""
    recipe, detector = shipped("pipelines", "xafs"), shipped("detectors", "quick_xas")
    (trend,) = (m for m in recipe["models"] if m["name"] == "trend")
    recipe["models"].append({**trend, "name": "rate", "against": "time"})
    trend["against"] = "context.charge"
    detector["join"] = [
        {"path": str(data / LNO / LOG), "columns": {"voltage": "Ewe/V", "charge": "(Q-Qo)/mA.h"}, "timezone": "UTC"}
    ]
    root = tmp_path_factory.mktemp("operando")
    return ran(recipe, data / LNO, root, detectors={"spectra": detector})


def test_the_oxidation_of_nickel_is_followed(operando: list[dict[str, Any]]) -> None:
    """Data README: energy at 0.5 of the listed spectra; white line from 8352.4 to 8355.0 eV."""
    assert len(operando) == 58
    for number, known in {1: 8344.76, 7: 8344.86, 19: 8345.03, 31: 8345.42, 43: 8345.94, 58: 8346.16}.items():
        assert value(operando[number - 1], "energy_half") == pytest.approx(known, abs=0.1)
    assert value(operando[0], "white_line_position") == pytest.approx(8352.4, abs=0.3)
    assert value(operando[-1], "white_line_position") == pytest.approx(8355.0, abs=0.3)


def test_every_spectrum_has_the_charge_of_its_own_time(operando: list[dict[str, Any]], data: Path) -> None:
    """Data README: the first spectrum starts 1408 s after the log; read off the log by hand here."""
    lines = (data / LNO / LOG).read_bytes().decode("latin-1").splitlines()[82:]
    cells = [line.replace(",", ".").split("\t") for line in lines]
    titles = (data / LNO / LOG).read_bytes().decode("latin-1").splitlines()[81].split("\t")
    time, charge = (np.array([float(c[titles.index(t)]) for c in cells]) for t in ("time/s", "(Q-Qo)/mA.h"))
    start = operando[0]["time_ns"]
    for record in operando:
        after = 1407.865 + (record["time_ns"] - start) / 1e9
        assert record["context"]["charge"]["value"] == pytest.approx(np.interp(after, time, charge), abs=2e-4)
    assert operando[0]["time_ns"] / 1e9 % 86400 == pytest.approx(23 * 3600 + 1 * 60 + 58.055, abs=0.01)


def test_where_the_oxidation_quickens_and_slows_is_found_with_its_rate(operando: list[dict[str, Any]]) -> None:
    """By hand: 0.10 eV over #1 to #7, 0.39 over #19 to #31, 0.52 over #31 to #43, 0.22 over the last 15; 0.0294 mA h
    each: from about 0.5 to 1.5 eV per mA h, and back to 0.5."""
    changes = [r["verdicts"]["trend"] for r in operando if r["verdicts"]["trend"]["label"] == "change"]
    first, last = changes[9], changes[-1]
    assert first["scores"]["slope_before"] == pytest.approx(0.5, abs=0.1)
    assert first["scores"]["slope_after"] == pytest.approx(1.55, abs=0.2)
    assert 15 < first["scores"]["frame"] < 28
    assert last["scores"]["slope_after"] == pytest.approx(0.6, abs=0.25)
    assert 35 < last["scores"]["frame"] < 48
    assert "eV per mA*h" in first["reason"]


def test_the_rate_of_the_oxidation_is_told_in_eV_per_hour(operando: list[dict[str, Any]]) -> None:
    """By hand, from the data README: a spectrum every 11.45 min; 0.10 eV over #1 to #7 (0.087 eV/h), 0.39 over #19 to
    #31 and 0.52 over #31 to #43 (0.170 and 0.227), 0.22 over the last 15 (0.077)."""
    verdicts = [r["verdicts"]["rate"] for r in operando]
    assert verdicts[6]["scores"]["slope"] == pytest.approx(0.087, abs=0.02)
    assert verdicts[6]["reason"].endswith("eV per h")
    changes = [v for v in verdicts if v["label"] == "change"]
    first, last = changes[9], changes[-1]
    assert first["scores"]["slope_before"] == pytest.approx(0.09, abs=0.02)
    assert first["scores"]["slope_after"] == pytest.approx(0.21, abs=0.04)
    assert last["scores"]["slope_after"] == pytest.approx(0.08, abs=0.04)
    assert "eV per h" in first["reason"]
    for change in (first, last):
        at = change["scores"]["frame"] * 11.45 / 60.0
        assert change["scores"]["time_before"] < at < change["scores"]["time_after"] + 0.2


def test_repeating_a_spectrum_ends_when_it_is_known_well_enough(tmp_path: Path) -> None:
    energy, _ = simulated()
    folder = tmp_path / "repeats"
    folder.mkdir()
    for i in range(40):
        mu = simulated(noise=0.02, seed=i)[1]
        text = "\n".join(f"{e:.3f} {m:.6f}" for e, m in zip(energy, mu, strict=True))
        (folder / f"scan_{i:03d}.dat").write_text(f"# energy mu\n{text}\n")
    recipe = shipped("pipelines", "xafs")
    recipe["rules"] = [{"use": "finish_when", "feature": "energy_half", "mean_sigma": "0.02 eV", "count": 1}]
    found = ran(recipe, folder, tmp_path / "runs")
    sigma = np.median([r["features"]["energy_half"]["sigma"] for r in found])
    done = next(i for i, r in enumerate(found) if r["decision"]["action"] == "FINISH")
    assert done + 1 == pytest.approx((sigma / 0.02) ** 2, rel=0.6)
    assert "goal reached" in found[done]["decision"]["reason"]
    mean = np.mean([value(r, "energy_half") for r in found[: done + 1]])
    truth = np.mean([value(r, "energy_half") for r in found])
    assert mean == pytest.approx(truth, abs=0.08)


def test_shares_of_standards_that_a_recipe_names_are_replayed_from_the_run(data: Path, tmp_path: Path) -> None:
    """The standards are copied into the run: that it verifies is checked after every test."""
    recipe = shipped("pipelines", "xafs")
    folder = data / "xafs" / "xaslib" / "Mn"
    standards = [str(folder / f"{name}_rt_01.xdi") for name in ("MnO", "Mn2O3", "MnO2")]
    recipe["features"].append({"use": "xafs.combination", "standards": standards, "tolerance": 0.02})
    found = ran(recipe, folder, tmp_path)
    for record in found:
        oxide = record["labels"]["file"].split("_")[0].lower()
        if oxide == "mn3o4":  # a structure of its own, not among the standards
            assert value(record, "mix_spanned") == 0.0
            continue
        assert value(record, f"mix_{oxide}_rt_01_share") == pytest.approx(1.0, abs=0.08), record["labels"]["file"]
        if oxide != "mn2o3":  # of this one the first scan is of a thicker sample: wiggles 6 % smaller
            assert value(record, "mix_spanned") == 1.0


def test_curves_of_a_series_are_kept_on_one_axis(data: Path, tmp_path: Path) -> None:
    recipe = shipped("pipelines", "xafs")
    for feature in recipe["features"]:
        if feature["use"] in ("xafs.edge", "xafs.exafs"):
            feature["arrays"] = True
    summary = run(load(recipe, inputs=str(data / LNO)), data_root=tmp_path)
    assert summary.exit_code == 0
    derived = zarr.open_group(Path(summary.path) / "derived.zarr" / "xas", mode="r")
    for key, axis in (("normalised", "energy"), ("chi", "k"), ("chi_magnitude", "r")):
        array, along = derived[key], derived[f"{key}_{axis}"]
        assert isinstance(array, zarr.Array)
        assert isinstance(along, zarr.Array)
        assert array.shape == (58, along.shape[0])
    first = table(sorted((data / LNO).glob("norm_*"))[0])
    kept = derived["normalised"]
    assert isinstance(kept, zarr.Array)
    assert np.asarray(kept[0]) == pytest.approx(first[:, 1])


def test_the_recipe_xmcd_gives_the_dichroism_of_iron(data: Path, tmp_path: Path) -> None:
    """Data README: -0.403 at 708.7 eV and +0.179 at 721.8 eV."""
    found = ran("xmcd", data / "xafs" / "xmcd_fe_pf_bl16", tmp_path)
    assert len(found) == 2
    for key, known in (("xmcd_l3_height", -0.403), ("xmcd_l2_height", 0.179)):
        assert value(found[1], key) == pytest.approx(known, rel=0.05)
    assert value(found[1], "xmcd_l3_energy") == pytest.approx(708.7, abs=0.1)
    assert value(found[1], "xmcd_l2_energy") == pytest.approx(721.8, abs=0.2)
    assert found[1]["features"]["xmcd_m_spin"]["unit"] == "mu_B"


@pytest.mark.parametrize("name", ["spectra", "transmission", "fluorescence", "quick_xas", "xmcd"])
def test_every_shipped_detector_reads_a_spectrum(data: Path, tmp_path: Path, name: str) -> None:
    detector = shipped("detectors", name)
    detector["reader"]["follow"] = False
    file = data / "xafs" / "xdi_spec_samples" / "cu_metal_rt.xdi"
    (record,) = ran(shipped("pipelines", "xafs"), file, tmp_path, detectors={"spectra": detector})
    assert value(record, "e0") == pytest.approx(8980.5, abs=0.2)
