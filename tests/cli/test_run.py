"""`insitu run`, `check`, `status`, `verify`, `reanalyse` and `recover`, from the recipe to the sealed folder."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import orjson
import pytest

from insitu import cli

PROGRAM = "from insitu.cli import main; main()"
PACED = (
    "--set",
    "detector.reader.rate=20 Hz",
    "--set",
    "detector.reader.frames=400",
    "--set",
    "models.phase.low=0 counts",
)

FROZEN = {"run_uid", "path", "ended", "reason", "frames", "analysis", "records", "decisions", "bytes", "latency_ms"}
"""What DESIGN.md promises of `insitu run --json`; more may be added, nothing may go."""


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """`insitu` as a process of its own, in `folder`."""
    env = {**os.environ, "PYTHONPATH": str(Path(cli.__file__).parents[2])}
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *arguments],
        cwd=folder,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def until_stored(root: Path, frames: int) -> Path:
    """Waits until a run under `root` has stored so many frames; its folder."""
    from insitu.errors import InsituError
    from insitu.store.runs import StoredRun

    end = time.monotonic() + 60
    while time.monotonic() < end:
        for ledger in root.glob("runs/*/*/ledger.db"):
            try:
                with StoredRun(ledger.parent) as run:
                    if run.counts()["frames"]["stored"] >= frames:
                        return ledger.parent
            except (InsituError, sqlite3.OperationalError):
                continue  # the ledger has just been made
        time.sleep(0.05)
    pytest.fail(f"no run under {root} has stored {frames} frames within a minute")


def test_a_run_ends_with_one_object_that_has_the_promised_keys(insitu, laboratory):
    said = insitu("run", "ramp", "--json")
    assert said.code == 0
    assert said.err == ""
    body = said.body
    assert body.keys() >= FROZEN
    assert body["ended"] == "complete"
    assert body["frames"] == {
        "expected": 40, "received": 39, "stored": 39, "invalid": 0, "dropped": 0, "lost": 1, "duplicates": 0, "late": 0,
    }  # fmt: skip
    assert body["analysis"] == {"analysed": 39, "shed": 0, "skipped": 0}
    assert body["records"] == 39
    assert sum(body["decisions"].values()) == 39
    assert body["bytes"].keys() == {"raw", "sent", "ratio"}
    assert body["latency_ms"].keys() == {"sense", "edge", "net", "act", "total"}
    assert body["latency_ms"]["edge"].keys() == {"p50", "p99", "max"}
    assert (laboratory / body["path"] / "seal.json").is_file()


def test_in_mode_act_a_halt_ends_the_run_with_exit_1(insitu):
    said = insitu("run", "ramp", "--mode", "act", "--operator", "berta", "--json")
    assert said.code == 1
    assert said.body["ended"] == "halted"
    assert said.body["mode"] == "act"


def test_in_mode_advise_the_same_halt_is_only_shown(insitu):
    said = insitu("run", "ramp", "--json", "--verbose")
    assert said.code == 0
    assert said.body["decisions"]["HALT"] > 0
    assert "HALT by halt_after" in said.err


def test_people_read_the_outcome_first(insitu):
    said = insitu("run", "ramp", "--mode", "act")
    assert said.out.startswith("Halted: halt_after")
    assert "1 lost" in said.out
    assert "insitu why" in said.out
    assert "SIMULATED" in said.err


def test_check_prints_the_pipeline_with_units_and_runs_nothing(insitu, tmp_path):
    said = insitu("check", "ramp")
    assert said.code == 0
    assert "counts deg" in said.out
    body = insitu("check", "ramp", "--json").body
    assert body["outputs"]["det"]["peak1_position"]["unit"] == "deg"
    assert body["recipe"] == "ramp"


def test_set_changes_one_key_and_a_wrong_key_is_told(insitu):
    assert (
        insitu("check", "ramp", "--set", "models.phase.low=5 counts", "--json")
        .body["models"][0]["parameters"]["low"]
        .startswith("5")
    )
    said = insitu("check", "ramp", "--set", "models.phase.lowe=5 counts")
    assert said.code == 2
    assert "lowe" in said.err


def test_status_of_a_sealed_run_has_stable_keys(insitu, halted):
    body = insitu("status", halted, "--json").body
    keys = {"run", "state", "frames", "analysis", "decisions", "latency_ms", "outbox", "last", "last_action"}
    assert body.keys() == keys
    assert body["state"] == "halted"
    assert body["frames"]["lost"] == 1
    assert body["last_action"]["action"] == "HALT"
    text = insitu("status", halted).out
    assert "1 lost" in text
    assert "peak1_height" in text


def test_a_run_is_found_by_the_beginning_of_its_uid_and_a_missing_one_is_told(insitu, halted):
    root = halted.parents[2]
    assert insitu("status", halted.name, "--data-root", root, "--json").body["run"]["uid"] == halted.name
    said = insitu("status", "zzzz", "--data-root", root)
    assert said.code == 2
    assert "zzzz" in said.err


def test_verify_says_identical_and_exit_0(insitu, halted):
    said = insitu("verify", halted, "--json")
    assert said.code == 0
    assert said.body["identical"] is True
    assert said.body["mode"] == "byte for byte"
    assert said.body["findings"] == []
    assert "Identical" in insitu("verify", halted).out


@pytest.mark.damages
def test_verify_of_a_changed_file_names_it_with_exit_1(insitu, halted, tmp_path):
    copy = tmp_path / halted.name
    shutil.copytree(halted, copy)
    with (copy / "recipe.toml").open("ab") as file:
        file.write(b"#")
    said = insitu("verify", copy, "--json")
    assert said.code == 1
    assert said.body["identical"] is False
    assert said.body["findings"][0]["where"] == "recipe.toml"
    text = insitu("verify", copy).out
    assert text.startswith("NOT identical")
    assert "recipe.toml" in text


def test_reanalyse_writes_a_derived_run_and_leaves_the_old_one_alone(insitu, halted):
    before = sorted((path, path.stat().st_mtime_ns) for path in halted.rglob("*"))
    body = insitu("reanalyse", halted, "--set", "models.phase.low=5 counts", "--json").body
    assert body["run_uid"] != halted.name
    assert body["records"] == insitu("status", halted, "--json").body["analysis"]["analysed"]
    assert sorted((path, path.stat().st_mtime_ns) for path in halted.rglob("*")) == before


def test_ctrl_c_seals_the_run_and_exits_130(laboratory, tmp_path):
    process = start(laboratory, "run", "ramp", "--json", "--data-root", str(tmp_path), *PACED)
    path = until_stored(tmp_path, 5)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    body = orjson.loads(out)
    assert process.returncode == 130, err
    assert body["ended"] == "interrupted"
    assert "SIGINT" in body["reason"]
    assert body["analysis"]["analysed"] == body["frames"]["stored"]
    assert (path / "seal.json").is_file()


def test_a_killed_run_is_seen_as_crashed_and_recovered(insitu, laboratory, tmp_path):
    process = start(laboratory, "run", "ramp", "--json", "--data-root", str(tmp_path), *PACED)
    path = until_stored(tmp_path, 5)
    process.kill()
    process.communicate(timeout=60)
    assert insitu("status", path, "--json").body["state"] == "crashed"
    assert "insitu recover" in insitu("status", path).out
    findings = {f["name"]: f for f in insitu("doctor", "--data-root", tmp_path, "--json").body["findings"]}
    assert findings["unsealed runs"]["state"] == "warning"
    report = insitu("recover", "--data-root", tmp_path, "--json").body["recovered"]
    assert [r["ended"] for r in report] == ["failed"]
    assert report[0]["frames"] >= 5
    assert insitu("verify", path).code == 0
    assert "No run under" in insitu("recover", "--data-root", tmp_path).out
    assert "already sealed" in insitu("recover", path).out


def test_an_operator_holds_and_releases_a_running_run(insitu, laboratory, tmp_path):
    process = start(laboratory, "run", "ramp", "--mode", "act", "--json", "--data-root", str(tmp_path), *PACED)
    try:
        path = until_stored(tmp_path, 3)
        held = insitu("hold", path, "--reason", "sample change", "--operator", "carla", "--json")
        assert held.code == 0, held.err
        assert held.body.keys() == {"run_uid", "path", "logged", "command", "operator", "time_ns", "reason"}
        assert held.body["logged"] is True
        assert insitu("status", path, "--json").body["state"] == "held"
        assert "is released" in insitu("release", path).out
        resumed = insitu("resume", path, "--json")
        assert (resumed.code, resumed.body["refused"]) == (1, "it is not paused")
        assert insitu("status", path, "--json").body["state"] == "running"
        assert list((path / "inbox").iterdir()) == []
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    assert process.returncode == 130
    orders = insitu("why", path, "--json").body["operator"]
    assert [order["command"] for order in orders] == ["hold", "release", "resume"]
    assert orders[0]["operator"] == "carla"
    assert orders[0]["reason"] == "sample change"


def test_a_run_that_has_ended_cannot_be_held(insitu, halted):
    said = insitu("hold", halted)
    assert said.code == 2
    assert "halted" in said.err
    assert not list((halted / "inbox").iterdir())


def test_a_folder_that_cannot_be_written_is_a_storage_error(insitu, tmp_path):
    (tmp_path / "root").write_text("a file where a folder should be")
    said = insitu("run", "ramp", "--data-root", tmp_path / "root" / "below", "--json")
    assert said.code == 4
    assert said.body["error"]["kind"] == "storage"


def test_a_run_given_by_its_path_is_reanalysed_beside_itself(insitu, halted, tmp_path):
    shutil.copytree(halted.parents[2], tmp_path / "other")
    (path,) = (tmp_path / "other" / "runs").glob(f"*/{halted.name}")
    body = insitu("reanalyse", path, "--json").body
    assert Path(body["path"]).is_relative_to(tmp_path / "other" / "runs")
    assert insitu("verify", body["path"]).code == 0


def test_a_run_folder_on_its_own_is_reanalysed_with_a_word_about_its_frames(insitu, halted, tmp_path):
    shutil.copytree(halted, tmp_path / "alone")
    body = insitu("reanalyse", tmp_path / "alone", "--data-root", tmp_path / "root", "--json").body
    assert any("the frames lie in" in note for note in body["notes"])
    assert insitu("verify", body["path"]).code == 1
    shutil.rmtree(tmp_path / "root")  # or it would be asked to verify like every other run
