"""A RunEngine whose event loop has ended."""

import asyncio

from bluesky import RunEngine

from tests.bluesky.acted import Bench


def test_an_engine_whose_loop_has_ended_breaks_nothing_of_ours():
    loop = asyncio.new_event_loop()
    engine = RunEngine({}, loop=loop, context_managers=[])
    bench = Bench(engine)
    loop.call_soon_threadsafe(loop.stop)
    engine._th.join(5)
    loop.close()
    bench.actor.pause("a test")
    bench.actor.resume("over")
    bench.engine.remove_suspender(bench.suspender)
