"""Runs that a killed process left half: the next `Carrier` ends and carries them."""

import fcntl
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from insitu.bluesky.carrier import Carrier
from insitu.bluesky.parts import KILLED, begun, complete, documents, orphans
from insitu.bluesky.wire import joined, pack
from tests.bluesky.left import AHEAD, picture
from tests.bluesky.test_carrier import NOBODY
from tests.bluesky.test_carrier import documents as told
from tests.waiting import until

ROOT = Path(__file__).resolve().parent.parent.parent
SCRIPT = """
import sys, time
from insitu.bluesky.carrier import Carrier
from tests.bluesky.test_carrier_left import NOBODY, told
carrier = Carrier(NOBODY, sys.argv[1])
for name, document in [*told(sys.argv[2], 3)][:-1]:
    carrier(name, document)
while carrier._bytes_in != carrier._bytes_out:
    time.sleep(0.005)
print("there", flush=True)
time.sleep(600)
"""


def left_by_a_killed_process(folder: Path, uid: str) -> None:
    """A run of three events without an end, and a fourth that is not whole."""
    command = [sys.executable, "-c", SCRIPT, str(folder), uid]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "there\n"
        assert orphans(folder) == [], "it is being written"
        complete(folder / f"{uid}.part")
        assert (folder / f"{uid}.part").exists()
        process.send_signal(signal.SIGKILL)
    with (folder / f"{uid}.part").open("ab") as file:
        file.write(joined(pack("event", {"descriptor": f"{uid}-d", "seq_num": 4, "data": {}}))[:-10])
    assert orphans(folder) == [folder / f"{uid}.part"]


def test_a_run_whose_process_was_killed_is_ended_and_carried_by_the_next_carrier(tmp_path):
    left_by_a_killed_process(tmp_path, "a")
    with begun(tmp_path / "b.part") as written:
        written.write(b"not ours")
        written.flush()
        carrier = Carrier(NOBODY, tmp_path)
        assert carrier.waiting == 1
        until(lambda: not (tmp_path / "a.part").exists(), "it is ended")
        assert carrier.close(0.0) == 1
        assert sorted(path.name for path in tmp_path.glob("[ab].*")) == ["a.docs", "b.part"]
    with (tmp_path / "a.docs").open("rb") as file:
        found = list(documents(file))
    assert found[:-1] == [*told("a", 3)][:-1]
    name, stop = found[-1]
    assert (name, stop["run_start"], stop["exit_status"], stop["reason"]) == ("stop", "a", "fail", KILLED)
    assert stop["num_events"] == {"primary": 3}
    assert time.time() - stop["time"] < 120.0


@pytest.mark.timeout(600)
def test_tiled_has_a_run_whose_session_was_killed_row_for_row_after_the_next_carrier(tiled, tmp_path):
    waits = tmp_path / "waits"
    with subprocess.Popen(
        [sys.executable, "-m", "tests.bluesky.left", str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "there\n"
        process.kill()  # in the middle of whatever the plan is doing then
    (part,) = orphans(waits)
    with part.open("ab") as file:
        file.write(joined(pack("event", {"descriptor": "its last words", "seq_num": 99, "data": {}}))[:-10])
    with Carrier(tiled.uri, waits) as carrier:
        until(lambda: carrier.waiting == 0, "it is in Tiled", 150.0)
    assert [path.name for path in waits.iterdir()] == ["lock"]
    until(lambda: any(tmp_path.rglob("seal.json")), "the run is sealed")
    (held,) = tiled.read("cam", part.stem)
    assert (held["ended"], held["reason"]) == ("fail", KILLED)
    heard = [json.loads(line) for line in (tmp_path / "heard.jsonl").read_bytes().splitlines()]
    streams = {document["uid"]: document["name"] for name, document in heard if name == "descriptor"}
    assert set(held["stop"]) == set(streams.values()) == {"primary", "others"}
    for stream, key in (("primary", "counter"), ("primary", "cam_address"), ("others", "other")):
        told = [document for name, document in heard if name == "event" and streams[document["descriptor"]] == stream]
        rows = held["streams"][stream]
        count = held["stop"][stream]
        assert count >= (AHEAD + 1) // 2
        assert rows["seq_num"] == [*range(1, count + 1)] == [event["seq_num"] for event in told[:count]]
        assert rows[key] == [event["data"][key] for event in told[:count]]
        assert rows["time"] == [event["time"] for event in told[:count]]
    count, pictures = held["stop"]["primary"], held["streams"]["primary"]["cam"]
    assert count >= AHEAD
    assert pictures["dtype"] == "<u2"
    assert pictures["values"][:count] == [picture(k).tolist() for k in range(1, count + 1)]
    assert len(pictures["values"]) - count in (0, 1), "a frame is told before its event"


def test_the_end_of_a_killed_run_counts_events_and_frames_only_where_there_are_no_events(tmp_path):
    key = {"dtype": "array", "shape": [2], "source": "x", "external": "STREAM:"}
    told_of = {"values": {"x": key, "y": {"dtype": "number", "shape": [], "source": "y"}}, "frames": {"x": key}}
    found: list[tuple[str, dict[str, Any]]] = [("start", {"uid": "a", "time": 0.0})]
    for stream, keys in told_of.items():
        found.append(("descriptor", {"uid": stream, "run_start": "a", "name": stream, "data_keys": keys, "time": 0.0}))
        for k in range(3):
            numbers = {"start": k + 1, "stop": k + 2}
            found.append(("stream_datum", {"uid": f"{k}", "descriptor": stream, "seq_nums": numbers}))
            if stream == "values" and k < 2:  # killed between a frame and its event
                found.append(("event", {"uid": f"e{k}", "descriptor": stream, "seq_num": k + 1, "data": {}}))
    (tmp_path / "a.part").write_bytes(b"".join(joined(pack(name, document)) for name, document in found))
    complete(tmp_path / "a.part")
    with (tmp_path / "a.docs").open("rb") as file:
        *_, (_, stop) = documents(file)
    assert stop["num_events"] == {"values": 2, "frames": 3}


def test_a_run_that_is_being_ended_does_not_look_as_if_it_were_in_tiled(tmp_path):
    (tmp_path / "a.part").write_bytes(b"".join(joined(pack(name, document)) for name, document in told("a", 2)))
    with (tmp_path / "a.part").open("r+b") as file:
        fcntl.flock(file, fcntl.LOCK_SH)  # as `complete` has it
        assert orphans(tmp_path) == [tmp_path / "a.part"]


def test_a_run_that_was_ended_already_only_gets_its_name_and_one_without_a_beginning_is_set_aside(tmp_path):
    whole, old = tmp_path / "whole.part", tmp_path / "old.part"
    whole.write_bytes(b"".join(joined(pack(name, document)) for name, document in told("whole", 2)))
    old.write_bytes(b"half")
    for path in (whole, old):
        size = path.stat().st_size
        complete(path)
        assert not path.exists()
        assert path.with_suffix(".docs" if path is whole else ".torn").stat().st_size == size


def test_a_carrier_that_is_closed_in_the_middle_of_a_run_leaves_it_to_be_carried_and_does_not_wait(tmp_path):
    carrier = Carrier(NOBODY, tmp_path)
    for name, document in [*told("a", 3)][:-1]:
        carrier(name, document)
    assert carrier.close(0.5) == 1
    assert [path.suffix for path in tmp_path.glob("a.*")] in (["." + "part"], [".docs"])
    assert carrier.lost == 0
