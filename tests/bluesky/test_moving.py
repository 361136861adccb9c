"""A motor that says too early that it is done: told and counted, and the scan goes on."""

import threading
import time

from ophyd import Signal
from ophyd.sim import SynAxis

from insitu.bluesky.moving import Approach


class Early(SynAxis):
    """Reports done at once, and arrives later."""

    def set(self, value):
        target, begun = value, self.readback.get()
        status = super().set(begun)
        threading.Timer(0.3, super().set, [target]).start()
        return status


def test_a_motor_that_reports_done_too_early_is_told_and_counted(engine, caplog):
    motor, honest, setpoint = Early(name="furnace"), SynAxis(name="stage"), Signal(name="bias", value=0.0)

    def plan(approach: Approach, places: list[float]):
        for place in places:
            yield from approach.to(place)

    approach = Approach(motor, None)
    engine(plan(approach, [10.0]))
    (said,) = [r.message for r in caplog.records if "too early" in r.message]
    assert "furnace said that it had moved from 0 to 10 and reads 0 (1 times in this plan)" in said
    until = time.monotonic() + 20
    while motor.readback.get() != 10.0 and time.monotonic() < until:
        time.sleep(0.01)
    for device in (honest, setpoint):
        other = Approach(device, None)
        engine(plan(other, [1.0, 2.0, 2.0, -3.0]))
        assert other.early == 0
    assert approach.early == 1
    assert len(list(plan(Approach(honest, None), [1.0]))) > 0, "a dry run"
