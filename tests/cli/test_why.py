"""`insitu why`: the chain from a decision down to the bytes it rests on."""

import shutil

import pytest

from insitu.cli.story import watched
from insitu.store.runs import StoredRun

KEYS = {
    "run", "explains", "frame", "decision", "spoke", "verdicts", "features", "context", "labels", "references",
    "faults", "before", "spoken", "actions", "operator", "silent", "timing",
}  # fmt: skip
RUN_KEYS = {"uid", "path", "title", "mode", "simulated", "derived_from", "sealed", "ended", "reason"}
FRAME_KEYS = {
    "address", "n", "source", "seq", "source_seq", "state", "role", "time_ns", "duration_ns", "clock", "digests",
    "array", "row",
}  # fmt: skip


def test_the_halt_is_explained_down_to_the_frame_and_its_digest(insitu, halted, planted):
    body = insitu("why", halted, "--json").body
    assert body.keys() == KEYS
    assert body["run"].keys() == RUN_KEYS
    assert body["frame"].keys() == FRAME_KEYS
    assert body["explains"] == "decision"
    assert (body["decision"]["action"], body["decision"]["rule"]) == ("HALT", "halt_after")
    assert body["frame"]["seq"] == planted + 2  # the third frame in a row
    assert body["frame"]["n"] == planted + 1  # one frame is missing, and has no n
    assert body["verdicts"]["phase"]["label"] == "anomaly"
    with StoredRun(halted) as run:
        frame = next(e.body for e in run.entries("frame") if e.n == body["frame"]["n"])
        assert body["frame"]["digests"] == frame["arrays"]
        assert body["frame"]["address"] == run.frame("det", planted + 2).address(run.uid)
    assert body["frame"]["row"] == planted + 2
    assert body["run"]["simulated"] is True


def test_a_repeated_decision_is_explained_at_its_first_time(insitu, halted):
    """Frames in flight are still judged after the halt: the rule repeats itself."""
    body = insitu("why", halted, "--json").body
    assert body["spoken"]["first_n"] == body["frame"]["n"]
    assert body["spoken"]["last_n"] - body["spoken"]["first_n"] == body["spoken"]["times"] - 1


def test_the_records_before_show_how_it_came_to_it(insitu, halted):
    before = insitu("why", halted, "--json").body["before"]
    assert [record["verdicts"]["phase"] for record in before] == ["normal"] * 5 + ["anomaly"] * 2
    assert {record["action"] for record in before} == {"CONTINUE"}


def test_what_was_done_is_told(insitu, halted):
    body = insitu("why", halted, "--json").body
    assert [(action["to"], action["acknowledged"]) for action in body["actions"]] == [("run", True)]
    text = insitu("why", halted).out
    assert "HALT offered to run: carried out" in text
    assert "SIMULATED" in text
    assert "<- judged" in text
    assert f"insitu verify {halted}" in text


@pytest.mark.parametrize("frame", ["det/5", "5", "insitu:UID/det/5"])
def test_any_frame_can_be_asked_for_in_three_ways(insitu, halted, frame):
    body = insitu("why", halted, frame.replace("UID", halted.name), "--json").body
    assert (body["explains"], body["frame"]["seq"], body["decision"]["action"]) == ("frame", 5, "CONTINUE")


def test_a_frame_can_be_asked_for_by_its_arrival_number(insitu, halted):
    body = insitu("why", halted, "--n", "15", "--json").body
    assert (body["frame"]["n"], body["frame"]["seq"]) == (15, 16)


def test_a_frame_that_never_arrived_is_said_to_be_lost(insitu, halted):
    said = insitu("why", halted, "det/10")
    assert said.code == 0
    assert "det/10 never arrived" in said.out
    assert insitu("why", halted, "det/10", "--json").body["frame"]["state"] == "lost"


def test_a_frame_that_does_not_exist_is_refused_with_what_there_is(insitu, halted):
    assert insitu("why", halted, "--n", "4000").code == 2
    said = insitu("why", halted, "dot/1")
    assert said.code == 2
    assert "det/17" in said.err
    assert insitu("why", halted, "5", "--halt").code == 2


def test_a_run_without_any_decision_is_explained_by_its_end(insitu):
    run = insitu("run", "ramp", "--set", "detector.reader.frames=5", "--json").body
    body = insitu("why", run["path"], "--json").body
    assert (body["explains"], body["frame"], body["decision"]) == ("end", None, None)
    assert "source came to its end" in insitu("why", run["path"]).out
    assert insitu("why", run["path"], "--halt").code == 2


def test_a_derived_run_points_to_the_frames_of_the_run_that_it_was_made_from(insitu, halted):
    derived = insitu("reanalyse", halted, "--json").body
    body = insitu("why", derived["path"], "--json").body
    assert body["run"]["derived_from"] == halted.name
    assert body["frame"]["address"].startswith(f"insitu:{halted.name}/det/")
    assert "nothing: in mode advise" in insitu("why", derived["path"]).out


def test_a_run_in_another_folder_is_explained_there(insitu, halted, tmp_path):
    shutil.copytree(halted, tmp_path / halted.name)
    assert insitu("why", tmp_path / halted.name, "--json").body["run"]["uid"] == halted.name


def test_only_features_that_are_spoken_of_are_marked_as_judged():
    body = {
        "features": {"peak1_width": {}, "peak1_width_2": {}, "total": {}},
        "verdicts": {"m": {"reason": "peak1_width (0.2 deg) is above 0.1 deg"}},
        "decision": None,
        "spoke": [],
    }
    assert watched(body) == ["peak1_width"]
