"""A run in a thread beside something else: seen record by record, asked to act outside, stopped and waited for."""

import threading

from insitu.errors import ActionRefusedError
from insitu.replay import verify
from insitu.run import LiveRun
from insitu.store.runs import StoredRun
from insitu.types import Action, Decision
from tests.run import hostile
from tests.settings import setup


class Hand:
    """Remembers what it was asked to do."""

    name = "hand"

    def __init__(self, *, refuses: str = "") -> None:
        self.asked: list[tuple[str, str]] = []
        self.refuses = refuses

    def __getattr__(self, what: str):
        def ask(reason: str, run: str = "") -> None:
            if what == self.refuses:
                raise ActionRefusedError("the shutter is stuck")
            self.asked.append((what, reason))

        return ask


def started(tmp_path, actions: dict[int, Action], frames: int = 8, **more) -> LiveRun:
    def rule(m):
        return Decision(action=actions[m.n], reason="because", valid_s=60.0) if m.n in actions else None

    hostile.told.clear()
    hostile.told.update(reader=hostile.frames(frames, pause_s=0.02), rule=rule)
    bench = {"format": 1, "source": "det", "reader": {"use": "tests.run.hostile:Reader"}}
    recipe = {"features": [], "models": [], "rules": [{"use": "tests.run.hostile:Rule"}]}
    return LiveRun(setup(recipe, detectors={"bench": bench}), data_root=tmp_path, mode="act", **more)


def test_actors_carry_out_what_the_run_decides_and_the_log_names_them(tmp_path):
    hand, seen = Hand(), []
    live = started(tmp_path, {2: Action.PAUSE, 3: Action.PAUSE, 6: Action.HALT}, actors=[hand], watch=seen.append)
    summary = live.wait(90)
    assert (summary.ended, live.alive) == ("halted", False)
    assert [what for what, _ in hand.asked] == ["pause", "resume", "halt"]
    assert hand.asked[-1][1].endswith("because (frame n = 6)")
    assert [r.measurement.n for r in seen][:7] == list(range(7))
    with StoredRun(live.path) as stored:
        assert [e.body["to"] for e in stored.entries("action")] == ["run, hand"] * 3
    assert verify(live.path).identical


def test_an_actor_that_refuses_is_logged_and_the_run_is_halted_all_the_same(tmp_path):
    live = started(tmp_path, {2: Action.HALT}, actors=[Hand(refuses="halt")])
    assert live.wait(90).ended == "halted"
    with StoredRun(live.path) as stored:
        (event,) = [e.body for e in stored.entries("event") if e.body["what"] == "not_done"]
    assert event == {"what": "not_done", "by": "hand", "asked": "halt", "why": "the shutter is stuck", "n": 2}


def test_a_watcher_that_fails_ends_nothing(tmp_path):
    def watch(record):
        raise RuntimeError("no screen")

    summary = started(tmp_path, {}, watch=watch).wait(90)
    assert (summary.ended, summary.records) == ("complete", 8)
    assert any("no screen" in note for note in summary.notes)


def test_it_can_be_stopped_from_outside_and_held(tmp_path):
    live = started(tmp_path, dict.fromkeys(range(2, 8), Action.HALT), frames=5000)
    live.hold(True)
    threading.Timer(0.1, live.stop, args=("the scan is over",)).start()
    summary = live.wait(90)
    assert (summary.ended, summary.reason) == ("complete", "the scan is over")
    assert live.status()["state"] in ("stopping", "held")
