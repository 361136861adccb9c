"""The signals of a session, as ophyd-async sees them: judged by its own assertions and by a stock RunEngine."""

import asyncio
from typing import Any

from bluesky import plan_stubs, preprocessors

from insitu.bluesky.devices_async import twin
from tests.bluesky.camera import Camera, Heard, pictures, session

bps: Any = plan_stubs
bpp: Any = preprocessors


def test_the_twin_says_what_the_device_says_under_the_same_names(engine, tmp_path):
    from ophyd_async.testing import assert_reading, assert_value

    camera, heard = Camera(), Heard(engine)

    def in_loop(coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, engine.loop).result(20)

    with session(engine, tmp_path, mode="advise") as insitu:
        pipeline = twin(insitu.device)
        in_loop(pipeline.connect())
        engine(pictures(camera, 3))
    assert insitu.device.frame.get() == 2

    async def followed() -> None:
        for _ in range(1000):
            if await pipeline.frame.get_value() == 2 and await pipeline.state.get_value() == "idle":
                return
            await asyncio.sleep(0.01)

    in_loop(followed())
    in_loop(assert_value(pipeline.total, 8 * 8 * 7.0))
    in_loop(assert_value(pipeline.beam_label, "normal"))
    in_loop(assert_reading(pipeline.frame, {"insitu-frame": {"value": 2}}))
    said, ours = in_loop(pipeline.describe()), insitu.device.describe()
    assert {key.replace("-", "_", 1) for key in said} == set(ours)
    assert (said["insitu-total"]["units"], said["insitu-total"]["dtype"]) == ("counts", "number")
    assert set(in_loop(pipeline.read_configuration())) == {"insitu-reason"}

    @bpp.run_decorator()
    def plan():
        yield from bps.trigger_and_read([camera, pipeline])

    engine(plan())
    assert heard["event"][-1]["data"]["insitu-total"] == 8 * 8 * 7.0
    pipeline.leave()
