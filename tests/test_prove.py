"""`make prove` on the smallest scale: it runs, writes what it found, and fails where something is not as promised."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

from tests.experiments import EXPERIMENTS, Experiment
from tests.prove import prove, report, text, write

ROOT = Path(__file__).resolve().parent.parent


def test_prove_writes_a_dated_file_with_versions_seeds_and_counts(tmp_path: Path) -> None:
    few = dict.fromkeys(EXPERIMENTS, 0) | dict.fromkeys(("recoveries", "faults", "ramps", "flips"), 1)
    options = [word for name, seeds in few.items() for word in (f"--{name}", str(seeds))]
    command = [sys.executable, "tests/prove.py", "--out", str(tmp_path), "--seed", "3", "--workers", "1", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    (page,), (file,) = tmp_path.glob("prove-*.md"), tmp_path.glob("prove-*.json")
    body = json.loads(file.read_text())
    assert body["passed"] is True
    assert {"python", "insitu", "commit", "packages", "began", "ended", "processors", "arguments"} <= body.keys()
    found = {e["name"]: e for e in body["experiments"]}
    assert found.keys() == {name for name, seeds in few.items() if seeds}
    assert all((e["first_seed"], e["seeds"], e["passed"], e["failures"]) == (3, 1, 1, []) for e in found.values())
    assert found["flips"]["counts"]["found_and_named"] == 25
    assert found["recoveries"]["counts"]["acknowledged"] > 0
    assert found["faults"]["counts"]["halted"] + found["faults"]["counts"]["paused"] == 7
    assert "every simulated fault" in page.read_text()


def sometimes(seed: int, folder: Path) -> dict[str, int]:
    (folder / "evidence").write_text("kept")
    assert seed % 3, "as planted"
    return {"things": 2, "latest_frame": seed}


def test_a_failure_is_told_with_its_seed_and_its_folder_is_kept(tmp_path: Path) -> None:
    table = {"planted": Experiment("nothing", sometimes, 6, 1, 1.0)}
    began = datetime.now(UTC)
    with ThreadPoolExecutor(2) as pool:
        results = prove(table, {"planted": 6}, pool, workers=2, out=tmp_path, seed=1)
    (result,) = results
    assert (result.seeds, result.passed, [f["seed"] for f in result.failures]) == (6, 4, [3, 6])
    assert result.counts == {"things": 8, "latest_frame": 5}
    assert (tmp_path / "failed-planted-3" / "evidence").read_text() == "kept"
    body = report(results, began, [])
    assert body["passed"] is False
    page = write(body, tmp_path, began)
    assert "FAILED" in page.read_text()
    assert "as planted" in text(body)


def test_an_experiment_without_its_module_is_left_out_and_said_to_be(tmp_path: Path) -> None:
    table = {"odd": Experiment("x", lambda seed, folder: {"n": 1}, 1, 1, 1.0, needs="no_such_module")}
    began = datetime.now(UTC)
    with ThreadPoolExecutor(1) as pool:
        results = prove(table, {"odd": 1}, pool, workers=1, out=tmp_path)
    body = report(results, began, [])
    assert body["experiments"][0]["seeds"] == 0
    assert "left out: no_such_module is not installed" in text(body)


def test_with_minutes_new_seeds_are_tried_until_the_time_is_over(tmp_path: Path) -> None:
    table = {"a": Experiment("x", lambda seed, folder: {"n": 1}, 1, 1, 1.0)}
    with ThreadPoolExecutor(1) as pool:
        (result,) = prove(table, {"a": 1}, pool, workers=1, out=tmp_path, minutes=0.3 / 60)
    assert result.passed == result.seeds > 1
