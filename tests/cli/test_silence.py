"""What a run never told: unknown verdicts and unmeasured patterns are said, not passed off as a good night."""

import numpy as np
import pytest

MODELS = """
format = 1
detectors = ["patterns_1d"]
[[features]]
use = "totals"
[[models]]
use = "limits"
feature = "context.temperature"
high = "30 {unit}"
"""


@pytest.fixture
def patterns(tmp_path):
    folder = tmp_path / "patterns"
    folder.mkdir()
    rows = "".join(f"{x:.2f} {5 + i % 3}\n" for i, x in enumerate(np.arange(10, 20, 0.05)))
    for i in range(4):
        (folder / f"p{i}.xy").write_text(f"# Temp (K) = 300\n{rows}")
    return folder


def test_a_model_that_never_knew_anything_is_told_by_run_and_why(insitu, patterns, tmp_path):
    (tmp_path / "wrong.toml").write_text(MODELS.format(unit="C"))  # coulomb, by its name
    said = insitu("run", tmp_path / "wrong.toml", "--input", patterns, "--data-root", tmp_path)
    assert said.code == 0
    assert "limits: unknown in all 4 patterns of det" in said.out
    assert 'Did you mean "degC"?' in said.out
    (sentence,) = insitu("why", "--data-root", tmp_path, "--json").body["silent"]
    assert sentence.startswith("limits: unknown in all 4 patterns of det")
    assert sentence in insitu("why", "--data-root", tmp_path).out


def test_a_model_that_knows_is_not_told(insitu, patterns, tmp_path):
    (tmp_path / "right.toml").write_text(MODELS.format(unit="degC"))
    body = insitu("run", tmp_path / "right.toml", "--input", patterns, "--data-root", tmp_path, "--json").body
    assert body["notes"] == []


def test_patterns_of_which_nothing_could_be_measured_are_told(insitu, patterns, tmp_path):
    recipe = 'format = 1\ndetectors = ["patterns_1d"]\n[[prepare]]\nuse = "normalise"\nby = "monitr"\n'
    (tmp_path / "blind.toml").write_text(recipe + '[[features]]\nuse = "totals"\n')
    body = insitu("run", tmp_path / "blind.toml", "--input", patterns, "--data-root", tmp_path, "--json").body
    (note,) = body["notes"]
    assert note.startswith("nothing could be measured in all 4 patterns of det")
    assert "no monitr in context" in note


def test_each_source_is_looked_at(insitu, tmp_path):
    """The standard's detector goes dead and its source ends, while the other goes on for long."""
    sets = ['detector.bench_standard.reader.faults=["dead@5"]', "detector.bench_standard.reader.frames=60"]
    sets += ["detector.bench_xrd.reader.frames=150", "detector.bench_xrd.reader.faults=[]"]
    sets += [
        f"detector.{name}.reader.{k}"
        for name in ("bench_xrd", "bench_standard")
        for k in ("rate=500 Hz", "exposure=1 ms")
    ]
    options = [word for text in sets for word in ("--set", text)]
    body = insitu("run", "xrd_two_detectors", *options, "--data-root", tmp_path, "--json").body
    assert any(note.startswith("zero: unknown in the newest 50 patterns of std") for note in body["notes"])
    assert not any("of det" in note for note in body["notes"])
