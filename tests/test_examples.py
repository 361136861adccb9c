"""Every script in examples/ runs from a checkout, without a network, and says what its head promises."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from insitu.config import load
from insitu.replay import verify
from insitu.run import run
from insitu.store.runs import StoredRun

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
RECIPES = sorted(EXAMPLES.glob("*/pipelines/*.toml"))


def example(name: str, here: Path, *arguments: str) -> str:
    """What a script prints, run in an empty folder."""
    paths = os.pathsep.join(filter(None, [str(EXAMPLES.parent), os.environ.get("PYTHONPATH", "")]))
    done = subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLES / name), *arguments],
        cwd=here,
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def only_run(here: Path) -> Path:
    (ledger,) = here.glob("insitu-data/runs/*/*/ledger.db")
    return ledger.parent


def test_every_example_is_run_here():
    assert {p.name for p in EXAMPLES.glob("*.py")} == {
        "adaptive_scan.py",
        "automation.py",
        "follow_a_run.py",  # in tests/sinks/test_kafka.py, with a broker
        "own_feature.py",
        "read_a_run.py",
    }
    assert [p.stem for p in RECIPES] == ["bench_heating", "furnace", "cucr2o4", "xas_reaction"]


def test_a_feature_of_ones_own_is_recorded_with_its_uncertainty_and_verifies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = example("own_feature.py", tmp_path)
    assert "30 records" in said
    found = [(float(c), float(s)) for c, s in re.findall(r"centre ([\d.]+) \+- ([\d.]+) deg", said)]
    assert len(found) == 3
    # BaTiO3 (111) lies at 38.872 deg at 320 K with Cu K-alpha1; the tails pull a centre of mass a little
    assert all(abs(centre - 38.872) < 0.02 and 0 < sigma < 0.01 for centre, sigma in found)
    monkeypatch.syspath_prepend(EXAMPLES)
    report = verify(only_run(tmp_path))
    assert report.identical, report.findings


def test_the_recipe_in_the_head_of_the_own_feature_is_accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (EXAMPLES / "own_feature.py").read_text()
    entry = re.search(r"^    \[\[features\]\]\n(    .+\n)+", text, re.MULTILINE)
    assert entry
    recipe = tmp_path / "my_recipe.toml"
    recipe.write_text('format = 1\ndetectors = ["bench_xrd"]\n' + re.sub("^    ", "", entry[0], flags=re.MULTILINE))
    monkeypatch.syspath_prepend(EXAMPLES)
    assert set(load(recipe, purpose="check").outputs["det"]) == {"line_centroid"}


def test_a_run_is_read_with_xarray(tmp_path: Path) -> None:
    said = example("read_a_run.py", tmp_path)
    assert "SIMULATED" in said
    assert "40 frame x 4096 two_theta, counts" in said
    assert re.search(r"peak1_position: 38\.8\d+ to 38\.8\d+ \+- \S+ deg", said), said
    assert example("read_a_run.py", tmp_path, str(only_run(tmp_path))) in said


def test_an_automation_script_reads_json_and_exit_status(tmp_path: Path) -> None:
    said = example("automation.py", tmp_path)
    assert "first: complete, 50 of 50 frames stored" in said
    assert re.search(r"second: halted, \d+ of \d+ frames stored\n  because phase_lost: ", said), said
    assert said.count("  proved: ") == 2
    assert "NOT PROVED" not in said
    assert said.endswith("to go on with: first\n")


def test_a_scan_finds_a_hidden_transition(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = example("adaptive_scan.py", tmp_path)
    found = re.search(r"at ([\d.]+) \+- [\d.]+ K \(hidden at ([\d.]+) K\)\n(\d+) points", said)
    assert found, said
    assert abs(float(found[1]) - float(found[2])) < 0.5
    assert int(found[3]) < 40
    assert "0 points had no answer" in said
    monkeypatch.syspath_prepend(EXAMPLES)
    report = verify(only_run(tmp_path))
    assert report.identical, report.findings


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)  # the furnace is run in tests/test_furnace.py
def test_a_recipe_of_the_examples_can_be_checked(path: Path) -> None:
    assert load(path, purpose="check").pipeline().extractors


def test_the_simulated_reaction_is_seen_to_begin_and_to_end_and_its_goal_is_reached(tmp_path: Path) -> None:
    """As planted: no beam in 20 to 25, a reaction from 60 to 180, the sample beside the beam in 230 to 234."""
    summary = run(load(EXAMPLES / "xas_reaction/pipelines/xas_reaction.toml"), data_root=tmp_path)
    assert (summary.ended, summary.records) == ("complete", 240)
    with StoredRun(Path(summary.path)) as stored:
        records = list(stored.records())
    decided = [(r["n"], r["decision"]["action"], r["decision"]["rule"]) for r in records]
    acted = [d for d in decided if d[1] != "CONTINUE"]
    assert acted[0] == (21, "PAUSE", "no_beam")
    assert 165 < next(n for n, action, rule in acted if (action, rule) == ("FINISH", "oxidised")) < 180
    assert 230 <= next(n for n, _, rule in acted if rule == "sample_lost") <= 234
    verdicts = [(r["n"], r["verdicts"]["reaction"]) for r in records]
    places = {n: v["scores"]["frame"] for n, v in verdicts if v["label"] == "change"}
    assert min(places) > 60
    assert 50 < places[min(places)] < 68
    assert any(174 <= place <= 186 for place in places.values())
    report = verify(Path(summary.path))
    assert report.identical, report.findings
