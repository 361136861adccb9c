"""`insitu demo`: exit 0 only if the planted halt came, at or after the planted frame."""

import pytest

from insitu.cli.demo import Planted, _judged


def test_the_demo_halts_at_the_planted_anomaly_and_draws_it(insitu, tmp_path):
    given = ("demo", "--fast", "--data-root", tmp_path / "data", "-o", tmp_path / "run.png", "--json")
    said = insitu(*given)
    assert said.code == 0, said.out + said.err
    body = said.body
    assert body.keys() == {"planted", "run", "ok", "halt", "late_by", "picture", "note"}
    assert body["ok"] is True
    assert body["halt"]["seq"] >= body["planted"]["frame"]
    assert body["run"]["ended"] == "halted"
    assert (tmp_path / "run.png").read_bytes().startswith(b"\x89PNG")


def test_a_demo_without_its_halt_fails(insitu, tmp_path):
    """The rule is made deaf: the anomaly comes and nothing halts."""
    given = ("--fast", "--set", "rules.0.count=100000", "--data-root", tmp_path / "data", "-o", tmp_path / "run.png")
    said = insitu("demo", *given)
    assert said.code == 1
    assert "FAILED" in said.out


@pytest.mark.parametrize(("frame", "ok"), [(30, True), (32, True), (33, False)])
def test_a_halt_before_the_planted_frame_is_a_failure(halted, frame, ok):
    """The run was halted in frame 32: a halt before the anomaly would be a false one."""
    assert _judged(halted, Planted(frame, "x"), "halted")["ok"] is ok


def test_a_run_that_was_not_halted_is_a_failure(halted):
    assert _judged(halted, Planted(30, "x"), "interrupted")["ok"] is False
