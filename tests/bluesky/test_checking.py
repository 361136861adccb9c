"""What users do wrong: plans say it before anything moves, or go on as planned and say so."""

import logging
import math
import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest
from bluesky import RunEngine
from ophyd import Signal
from ophyd.sim import SynAxis, SynSignal, SynSignalRO
from ophyd.utils import LimitError

from insitu.bluesky.plans import exposure_scan, refine_scan, scan_until, shift_scan, sweep_scan, window_scan
from insitu.errors import ActionRefusedError, UsageError
from tests.bluesky.furnace import MIDDLE, documents_of, heated, session
from tests.sessions import run_engine
from tests.waiting import until


@pytest.fixture
def engine() -> Iterator[RunEngine]:
    with run_engine() as engine:
        engine._call_returns_result = True
        yield engine


class Limited(SynAxis):
    """An axis that refuses what is above 10, as an EpicsMotor does."""

    limits = (-10.0, 10.0)

    def check_value(self, value: float) -> None:
        if not -10.0 <= value <= 10.0:
            raise LimitError("no")


class Lying(SynAxis):
    """An axis that says it is done half a step before."""

    def set(self, value: float) -> Any:
        return super().set(value - 0.5)


def step(readings: Any) -> float:
    return math.tanh(4 * (readings["step"]["value"] - 5.3))


def test_wrong_devices_and_numbers_are_refused_before_the_first_move(engine):
    motor, detector = SynAxis(name="motor"), SynSignal(func=lambda: 1.0, name="det")
    more = {"feature": lambda r: 1.0}
    wrong: list[tuple[Any, str]] = [
        (refine_scan(None, [detector], "motor", 0, 10, 5, **more), "'motor' cannot be set"),
        (refine_scan(None, [detector], None, 0, 10, 5, **more), "None cannot be set"),
        (refine_scan(None, [detector], SynSignalRO(name="gauge"), 0, 10, 5, **more), "gauge cannot be set"),
        (refine_scan(None, detector, motor, 0, 10, 5, **more), "det is no list"),
        (refine_scan(None, ["det"], motor, 0, 10, 5, **more), "'det' cannot be read"),
        (refine_scan(None, [detector], motor, "a", 10, 5, **more), "start is 'a'"),
        (refine_scan(None, [detector], motor, 0, math.nan, 5, **more), "stop is nan"),
        (refine_scan(None, [detector], motor, 0, 10, 5.5, **more), "num is 5.5"),
        (refine_scan(None, [detector], motor, 0, 10, 5, most=math.nan, **more), "most is nan"),
        (refine_scan(None, [detector], motor, 0, 10, 5, most=0, **more), "at most 0 points"),
        (refine_scan(None, [detector], motor, 0, 10, 5, None), "None tells nothing"),
        (scan_until(None, [detector], "x", 0.1, 2.5), "most is 2.5"),
        (window_scan(None, [detector], None, 0, 10, 5, "p", "w"), "None cannot be set"),
        (sweep_scan(None, [detector], detector.read, 1, 2, 5, "bc"), "cannot be set"),
        (exposure_scan(None, [detector], "exposure", 3, full=9), "'exposure' cannot be set"),
        (shift_scan(None, [detector], motor, range(9), 3.0, "mu", ([], []), 1, 1.0), "3.0 cannot be set"),
    ]
    for plan, why in wrong:
        with pytest.raises(UsageError, match=why):
            engine(plan)
    assert motor.position == 0.0


def test_what_the_motor_itself_does_not_allow_is_refused_before_the_first_move(engine):
    motor = Limited(name="motor")
    for start, stop, more in ((0, 11, {}), (-11, 0, {}), (11, 0, {}), (-10, 0, {"backlash": 1.0})):
        with pytest.raises(ActionRefusedError, match="out of what the device itself allows"):
            engine(refine_scan(None, [], motor, start, stop, 5, lambda r: 1.0, **more))
    assert motor.position == 0.0


def test_a_feature_that_the_recipe_does_not_give_is_named_with_the_nearest_one(engine, tmp_path):
    motor = SynAxis(name="furnace")
    with session(engine, tmp_path, MIDDLE) as insitu:
        with pytest.raises(UsageError, match=r"no feature 'midle'.*one out of middle.*Did you mean middle"):
            engine(refine_scan(insitu, [heated(motor, 350, 0)], motor, 300, 400, 5, "midle"))
        with pytest.raises(UsageError, match="no feature 'maximum'"):
            engine(exposure_scan(insitu, [heated(motor, 350, 0)], Signal(name="s", value=1.0), 3, full=9))
        assert motor.position == 0.0
        process, run = insitu.pid, insitu.run.uid
        os.kill(process, signal.SIGKILL)
        while insitu.pid == process:  # whatever is said and asked meanwhile, the next one begins
            logging.getLogger("insitu.test").warning("somebody says something")
            insitu.watch(lambda record: None)()
        until(lambda: insitu.run.uid != run and insitu.device.state.get() == "running")
        plan = refine_scan(insitu, [heated(motor, 350, 0)], motor, 300, 400, 5, "middle", most=5, within_s=20)
        outcome, _ = documents_of(engine, plan)
    assert outcome.unanswered == 0


def test_features_that_are_no_numbers_leave_an_even_grid_that_says_so(engine, caplog):
    motor = SynAxis(name="motor")
    for broken in (lambda r: math.nan, lambda r: r["nothing"]["value"], lambda r: None):
        outcome = engine(refine_scan(None, [], motor, 0, 10, 5, broken, most=9)).plan_result
        assert len(outcome.points) == 9
        assert outcome.why == "the grid is even: no point has a value"
        assert outcome.value.value is None


def test_points_of_a_motor_that_is_not_where_it_was_sent_lie_where_it_stands(engine):
    motor = Lying(name="motor")
    place = SynSignal(func=lambda: motor.position, name="step")
    plan = refine_scan(None, [place], motor, 0, 10, 9, step, most=30, smallest=0.2)
    outcome = engine(plan).plan_result
    assert outcome.value.value == pytest.approx(5.3, abs=0.2)
    assert [x for x, _ in outcome.points[:2]] == [-0.5, 0.75]
    assert f"{len(outcome.points)} points were taken where motor stood, not where it was sent" in outcome.why
