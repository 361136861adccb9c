"""The live view: what a person sees of a status, on a terminal and in a log file."""

import copy

import pytest
from rich.console import Console

from insitu.cli.live import Lines, screen

STATUS = {
    "uid": "01a2", "path": "insitu-data/runs/2026-11-22/01a2", "title": "A small ramp", "mode": "act",
    "state": "running", "elapsed_s": 12.3, "rate_hz": 101.2,
    "frames": {
        "expected": 1234, "received": 1234, "stored": 1230, "invalid": 0, "dropped": 0, "lost": 0, "duplicates": 0,
        "late": 0,
    },
    "analysis": {"analysed": 1229, "shed": 0, "skipped": 0, "pending": 1},
    "latency_ms": {"sense": None, "edge": {"p50": 2.1, "p99": 4.3, "max": 8.0}, "net": None, "act": None},
    "queued": 4, "in_flight_bytes": 12_300_000, "in_flight_limit": 512_000_000,
    "last": {
        "n": 1229, "source": "det", "seq": 1229,
        "features": {
            "peak1_position": {"value": 28.441234, "unit": "deg", "sigma": 0.0021},
            "peak1_area": {"value": None, "unit": "counts deg", "why": "no peak above the noise"},
        },
        "verdicts": {"phase": {"label": "anomaly", "reason": "peak1_position 28.8 deg is above 28.7 deg"}},
        "decision": {"action": "CONTINUE", "rule": "", "reason": ""},
    },
    "last_action": {"n": 800, "action": "PAUSE", "rule": "pause_on", "reason": "beam lost: 3 counts"},
    "decisions": {"CONTINUE": 1228, "PAUSE": 1}, "simulated": True, "notes": ["run 01a1 was killed earlier"],
}  # fmt: skip


def shown(status) -> str:
    console = Console(width=110, record=True, file=open("/dev/null", "w"))  # noqa: SIM115 - only the record is read
    with console.file:
        console.print(screen(status))
        return console.export_text()


def test_the_screen_shows_counts_rate_latency_features_and_the_last_action():
    text = shown(STATUS)
    for part in (
        "A small ramp", "RUNNING", "101.2 Hz", "1,230", "queued 4", "p99 4.3", "12.3 MB of 512 MB",
        "28.4412 ± 0.0021 deg", "no value: no peak above the noise", "anomaly",
        "PAUSE by pause_on at n 800: beam lost: 3 counts", "SIMULATED", "killed earlier",
    ):  # fmt: skip
        assert part in text


def test_trouble_is_shown_only_where_there_is_any():
    assert "trouble    none" in shown(STATUS)
    bad = copy.deepcopy(STATUS)
    bad["frames"]["dropped"], bad["analysis"]["shed"] = 7, 2
    assert "7 dropped, 2 shed" in shown(bad)


@pytest.mark.parametrize("state", ["running", "paused", "held", "stopping"])
def test_every_state_has_a_screen_also_before_the_first_frame(state):
    empty = {**STATUS, "state": state, "last": None, "last_action": None, "decisions": {}, "latency_ms": {}}
    text = shown(empty)
    assert state.upper() in text
    assert "waiting for the first frame" in text
    assert ("insitu release" in text) == (state == "held")


def test_text_in_brackets_is_shown_as_it_is():
    """rich takes [words] for its markup; a reason may hold any text."""
    status = copy.deepcopy(STATUS)
    status["title"] = "sample [red] 3"
    status["last_action"]["reason"] = "feature [bold] is out"
    status["last"]["verdicts"]["phase"]["reason"] = "value [/] above"
    text = shown(status)
    assert "sample [red] 3" in text
    assert "feature [bold] is out" in text
    assert "value [/] above" in text


def test_plain_lines_come_once_a_second_and_at_once_when_something_happens():
    written: list[str] = []
    clock = [100.0]
    lines = Lines(written.append, lambda: clock[0])
    lines(STATUS)
    assert len(written) == 4  # which run, the note, the last action, the line
    assert written[0].startswith("A small ramp [SIMULATED")
    clock[0] += 0.2
    lines(STATUS)
    assert len(written) == 4
    lines({**STATUS, "last_action": {"n": 900, "action": "HALT", "rule": "halt_after", "reason": "phase lost"}})
    assert written[4:] == ["HALT by halt_after at n 900: phase lost"]
    clock[0] += 1.0
    lines(STATUS | {"last_action": None})
    assert written[-1].startswith("running 12.3 s, 1,230 stored, 1,229 analysed, 101.2 Hz, p99 4.3 ms")
    lines(STATUS | {"last_action": None, "state": "stopping"})
    assert written[-1].startswith("stopping")


def test_a_rule_that_repeats_itself_frame_after_frame_is_not_quoted_each_time():
    written: list[str] = []
    clock = [0.0]
    lines = Lines(written.append, lambda: clock[0])

    def halts() -> int:
        return sum("HALT" in text for text in written)

    for n in range(900, 920):
        lines(STATUS | {"last_action": {"n": n, "action": "HALT", "rule": "lost", "reason": "gone"}})
        clock[0] += 0.25
    assert halts() == 1
    lines(STATUS | {"last_action": {"n": 921, "action": "HALT", "rule": "other", "reason": "gone too"}})
    assert halts() == 2
    clock[0] += 60.0
    lines(STATUS | {"last_action": {"n": 921, "action": "HALT", "rule": "other", "reason": "gone too"}})
    assert halts() == 2  # nothing new
    lines(STATUS | {"last_action": {"n": 990, "action": "HALT", "rule": "other", "reason": "and again"}})
    assert halts() == 3


def test_a_low_terminal_keeps_the_decision_and_drops_features():
    status = copy.deepcopy(STATUS)
    status["notes"] = []
    status["last"]["features"] = {f"peak{i}_area": {"value": i, "unit": "counts"} for i in range(30)}
    console = Console(width=80, height=24, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    with console.file:
        console.print(screen(status, 24))
        rows = console.export_text().splitlines()
    assert len(rows) <= 24
    action = next(i for i, row in enumerate(rows) if "PAUSE by pause_on" in row)
    assert action < next(i for i, row in enumerate(rows) if "peak0_area" in row)
    assert any("more" in row for row in rows)
