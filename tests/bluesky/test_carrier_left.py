"""Runs that a killed process left half: the next `Carrier` ends and carries them."""

import signal
import subprocess
import sys
import time
from pathlib import Path

from insitu.bluesky.carrier import Carrier
from insitu.bluesky.parts import KILLED, begun, complete, documents, orphans
from insitu.bluesky.wire import joined, pack
from tests.bluesky.test_carrier import NOBODY, until
from tests.bluesky.test_carrier import documents as told

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
        until(lambda: not (tmp_path / "a.part").exists(), "it was not ended")
        assert carrier.close(0.0) == 1
        assert sorted(path.name for path in tmp_path.glob("[ab].*")) == ["a.docs", "b.part"]
    with (tmp_path / "a.docs").open("rb") as file:
        found = list(documents(file))
    assert found[:-1] == [*told("a", 3)][:-1]
    name, stop = found[-1]
    assert (name, stop["run_start"], stop["exit_status"], stop["reason"]) == ("stop", "a", "fail", KILLED)
    assert stop["num_events"] == {"primary": 3}
    assert time.time() - stop["time"] < 120.0


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
