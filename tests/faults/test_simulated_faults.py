"""Simulated faults in mode `act`: each halted, paused or counted as the demo recipe says, none missed."""

from pathlib import Path

import pytest

from insitu.readers.faults import KINDS
from insitu.replay import verify
from insitu.run import run
from insitu.store.runs import StoredRun
from insitu.types import Action
from tests.faults.simulated import EXPECTED, FRAME_KINDS, LIMIT, TRANSPORT_KINDS, answer, check_answer, hasty, transport

SEEDS = range(20)


def test_every_kind_of_fault_is_tried():
    assert set(FRAME_KINDS) == set(EXPECTED)
    assert set(FRAME_KINDS) | set(TRANSPORT_KINDS) == set(KINDS)


@pytest.mark.parametrize("kind", FRAME_KINDS)
def test_a_fault_that_lasts_is_answered_as_the_recipe_says_over_all_seeds(kind):
    late = [check_answer(kind, seed).late for seed in SEEDS]
    assert max(late) < LIMIT


def test_a_fault_that_no_rule_answers_would_be_noticed(monkeypatch):
    """The check itself can fail: with a fault too weak to matter, nothing is decided."""
    monkeypatch.setitem(KINDS, "lost_phase", KINDS["lost_phase"]._replace(default=1.0))
    assert answer("lost_phase", 0).action is Action.CONTINUE
    with pytest.raises(AssertionError, match="lost_phase, seed 0"):
        check_answer("lost_phase", 0)


@pytest.mark.parametrize("kind", FRAME_KINDS)
def test_a_whole_run_ends_or_pauses_at_the_fault_and_verifies(kind, tmp_path):
    first = 20
    setup = hasty(f'detector.reader.faults=["{kind}@{first}"]', f"detector.reader.frames={first + LIMIT}", seed=3)
    summary = run(setup, data_root=tmp_path, mode="act")
    with StoredRun(Path(summary.path)) as stored:
        actions = [e for e in stored.entries("action") if e.body["acknowledged"]]
        decided = next(r for r in stored.records() if r["decision"]["action"] != "CONTINUE")
    action, rule = next(iter(EXPECTED[kind]))
    assert (actions[0].body["decision"]["action"], actions[0].body["decision"]["rule"]) == (action.name, rule)
    assert actions[0].n == decided["n"] >= first
    assert decided["decision"]["reason"]
    if action is Action.HALT:
        assert (summary.ended, summary.exit_code) == ("halted", 1)
        assert rule in summary.reason
    report = verify(Path(summary.path))
    assert report.identical, report.findings
    assert report.records == summary.records


def test_a_pause_ends_when_the_beam_is_back(tmp_path):
    setup = hasty('detector.reader.faults=["beam_loss@20-25"]', "detector.reader.frames=60")
    summary = run(setup, data_root=tmp_path, mode="act")
    assert (summary.ended, summary.exit_code) == ("complete", 0)
    with StoredRun(Path(summary.path)) as stored:
        said = [(e.n, e.body["decision"]["action"]) for e in stored.entries("action")]
    assert said == [(21, "PAUSE"), (30, "CONTINUE")]


@pytest.mark.parametrize("seed", SEEDS)
def test_lost_doubled_reordered_and_renumbered_frames_are_counted_over_all_seeds(seed, tmp_path):
    summary, expected = transport(seed, tmp_path)
    assert summary.frames == expected
    assert summary.ended == "complete"
    assert summary.analysis["analysed"] + summary.analysis["shed"] == expected["stored"]


@pytest.mark.parametrize(
    ("fault", "counted"),
    [
        ("duplicate@20=2", {"duplicates": 2, "received": 42, "stored": 40}),
        ("missing@20-22", {"lost": 3, "received": 37, "stored": 37}),
        ("reorder@20=3", {"lost": 0, "late": 0, "stored": 40}),
        ("reorder@20=9", {"lost": 1, "late": 1, "stored": 39}),
        ("reset@20", {"lost": 0, "duplicates": 0, "stored": 40}),
    ],
)
def test_a_whole_run_with_each_fault_of_the_transport_counts_it_and_verifies(fault, counted, tmp_path):
    setup = hasty(f'detector.reader.faults=["{fault}"]', "detector.reader.frames=40", seed=5)
    summary = run(setup, data_root=tmp_path, mode="act")
    assert {key: summary.frames[key] for key in counted} == counted
    assert summary.frames["expected"] == 40
    assert summary.decisions.keys() == {"CONTINUE"}
    epochs = [e for e in entries_of(summary.path, "event") if e.body.get("what") == "epoch"]
    assert len(epochs) == fault.startswith("reset")
    report = verify(Path(summary.path))
    assert report.identical, report.findings


def entries_of(path, kind):
    with StoredRun(Path(path)) as stored:
        return list(stored.entries(kind))
