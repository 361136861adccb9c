"""What people see of what leaves: `insitu check` beforehand, `insitu why --egress` afterwards."""

from pathlib import Path

import pytest

from insitu.config import load
from insitu.run import run
from tests.documents import documents, keys

SENDING = """
[kafka]
beamline = "b01"
[metadata]
proposal = "p1"
"""
POLICY = 'features = ["peak1_*"]\nverdicts = ["phase"]\nmetadata = ["proposal", "file"]\nmax_rate = "5 Hz"\n'


@pytest.fixture(scope="module")
def sending(laboratory: Path) -> Path:
    """The recipe of the laboratory, with `[kafka]` and more of a policy."""
    text = (laboratory / "pipelines" / "ramp.toml").read_text(encoding="utf-8")
    path = laboratory / "pipelines" / "sending.toml"
    path.write_text(text.replace('features = ["peak1_*"]\n', POLICY) + SENDING, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def sent(sending: Path, laboratory: Path):
    return run(load(sending), data_root=laboratory / "insitu-sent", operator="anna")


def test_check_shows_exactly_the_keys_that_then_leave(insitu, sending, sent):
    leaves = insitu("check", sending, "--json").body["leaves"]
    found = documents(sent)
    assert leaves["streams"].keys() == {d["name"] for name, d in found if name == "descriptor"}
    assert leaves["streams"]["det"].keys() == keys(found).keys()
    assert leaves["start"] == {"proposal": "p1"}
    assert found[0][1].keys() == {"uid", "time", "simulated", *leaves["start"]}
    text = insitu("check", sending).out
    for key in leaves["streams"]["det"]:
        assert f"{key} (" in text
    assert "start    proposal = p1" in text
    assert "at most  5 Hz by frame time" in text


def test_check_without_kafka_says_that_nothing_leaves(insitu):
    assert "may leave  nothing" in insitu("check", "ramp").out


def test_check_refuses_a_policy_that_names_what_is_not_there(insitu, sending):
    said = insitu("check", sending, "--set", "policy.features=['peek*']")
    assert said.code == 2
    assert "matches no feature" in said.err


def test_why_egress_tells_what_left_and_what_stayed(insitu, sent):
    body = insitu("why", sent.path, "--egress", "--json").body
    assert body["egress"]["records"] == 39
    assert body["egress"]["withheld"]["rate"] + body["egress"]["documents"]["event"] == 39
    assert body["acknowledged"] == 0
    text = insitu("why", sent.path, "--egress").out
    assert "0 of them acknowledged by a broker" in text
    assert "max_rate" in text
    assert "peak1_position_sigma" in text


def test_why_egress_of_a_run_that_sends_nothing_says_so(insitu, halted):
    assert insitu("why", halted, "--egress", "--json").body["egress"] is None
    assert "nothing was to leave" in insitu("why", halted, "--egress").out


def test_why_egress_excludes_a_frame(insitu, halted):
    assert insitu("why", halted, "det/3", "--egress").code == 2
