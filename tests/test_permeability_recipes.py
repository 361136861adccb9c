"""The recipes `permeability` and `permeability_sweep`, unedited, from files of many kinds to records and verdicts."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from insitu.config import load
from insitu.readers.simulated_core import DrivenCore
from insitu.replay import verify
from insitu.run import run
from insitu.store.runs import StoredRun

FAULTS = ("clipped@3-3", "no_drive@5-5", "late@7-7=-40", "noisy@9-9", "cracked@10-10")


def ran(recipe: str, path: Path, root: Path, **keys: Any) -> list[dict[str, Any]]:
    summary = run(load(recipe, inputs=str(path), **keys), data_root=root)
    assert (summary.ended, summary.exit_code) == ("complete", 0)
    report = verify(Path(summary.path))
    assert report.identical, report.findings
    with StoredRun(Path(summary.path)) as stored:
        found = list(stored.records())
    assert not any(record.get("faults") for record in found)
    return found


@pytest.fixture(scope="module")
def driven(tmp_path_factory: pytest.TempPathFactory) -> tuple[DrivenCore, list[dict[str, Any]]]:
    """12 windows of a core swept over frequency, some of them spoilt, as .npz and text files."""
    folder = tmp_path_factory.mktemp("core")
    files = folder / "files"
    files.mkdir()
    core = DrivenCore(frames=12, frequency=2e4, frequency_stop=5e5, steps=12, harmonics=[0.05], faults=FAULTS)
    for i in range(12):
        b, h = core.arrival(i).data
        if i % 2:
            np.savez(files / f"scope_{i}.npz", b=b, h=h, fs=1e7)
        else:
            table = np.column_stack([np.arange(b.size) / 1e7, b * 1e3, h])
            np.savetxt(
                files / f"scope_{i}.csv",
                table,
                delimiter=",",
                header="time (s),B (mT),H (A/m)",
                comments="",
                fmt="%.12g",
            )
    return core, ran("permeability", files, folder)


def test_permeability_and_loss_of_every_good_file_are_the_true_ones(driven: Any) -> None:
    core, records = driven
    assert [r["labels"]["file"].partition(".")[0] for r in records] == [f"scope_{i}" for i in range(12)]
    for i, record in enumerate(records):
        truth, features = core.truth(i), record["features"]
        if i in (3, 5, 7):
            continue
        for key in ("mu_real", "mu_imag", "loss", "frequency"):
            feature = features[key]
            assert abs(feature["value"] - getattr(truth, key)) < 5 * feature["sigma"], (i, key)


def test_bad_frames_are_flagged_with_a_reason_and_good_ones_are_not(driven: Any) -> None:
    _, records = driven
    flagged = {i: {m for m, v in r["verdicts"].items() if v["label"] == "anomaly"} for i, r in enumerate(records)}
    assert flagged == {i: set() for i in range(12)} | {
        3: {"clipped", "noisy"},
        5: {"noisy"},
        7: {"passive"},
        9: {"noisy"},
    }
    assert "is clipped" in records[3]["features"]["mu_real"]["why"]
    assert "drive" in records[5]["verdicts"]["noisy"]["reason"]


def test_a_long_recording_of_voltage_and_current_is_cut_into_windows(tmp_path: Path) -> None:
    core = DrivenCore(frames=1, channels="v i", window=0.05, sample_rate=5e6)
    v, i = core.arrival(0).data
    (tmp_path / "in").mkdir()
    np.savez(tmp_path / "in" / "long.npz", v=v, i=i, fs=5e6)
    wound = ["features.0.turns=10", 'features.0.area="50 mm^2"', 'features.0.length="6 cm"']
    records = ran("permeability", tmp_path / "in", tmp_path, sets=wound)
    assert len(records) == 3
    for record in records:
        feature = record["features"]["mu_imag"]
        assert abs(feature["value"] - core.truth(0).mu_imag) < 5 * feature["sigma"]


def test_measured_sweeps_are_followed(data: Path, tmp_path: Path) -> None:
    table = np.load(data / "magnetic" / "n87_permeability_dev.npz")
    (tmp_path / "in").mkdir()
    np.savez(tmp_path / "in" / "small.npz", f_Hz=table["f_small_Hz"], mu_r=table["mu_r_small"])
    np.savez(
        tmp_path / "in" / "large.npz", f_Hz=table["f_Hz"], mu_r=table["mu_r"][:, 100:103], B_T=table["B_T"][:, 100:103]
    )
    records = ran("permeability_sweep", tmp_path / "in", tmp_path)
    assert len(records) == 4
    assert all(record["verdicts"]["followed"]["label"] == "normal" for record in records)
    assert records[-1]["features"]["mu_s"]["value"] == pytest.approx(2155, rel=0.005)
    assert records[0]["context"]["b_peak"]["value"] == pytest.approx(
        float(np.nanmedian(table["B_T"][:, 100])), rel=1e-5
    )
