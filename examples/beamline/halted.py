"""A scan on the bench beamline that is suspended while there is no beam, and aborted when the sample is gone.

    python examples/beamline/halted.py [DATA_ROOT]

The faults are planted through the IOC's own PVs. While the plan is suspended it takes no frames, so that no clean frame
can let it go on: an operator sees that the beam is back, and says so (`resume`).
"""

import sys
import threading
import time
from typing import Any

from bench import RECIPE, beamline, devices
from bluesky import RunEngine, plan_stubs, preprocessors
from bluesky.utils import RunEngineInterrupted

from insitu.bluesky import Session

bps: Any = plan_stubs
bpp: Any = preprocessors
POINTS, NO_BEAM, NO_SAMPLE = 40, 4, 12


def main() -> int:
    """0 if the plan was suspended for the beam, went on, and was aborted for the sample."""
    root = sys.argv[1] if len(sys.argv) > 1 else "insitu-data"
    stops: list[Any] = []
    resumed = threading.Event()
    with beamline(ramp_K_s=200.0, lag_s=0.02):
        from ophyd import EpicsSignal

        furnace, detector = devices()
        beam, sample = (EpicsSignal(f"BENCH:fault:{name}", name=name) for name in ("beam_loss", "lost_sample"))
        for signal in (beam, sample):
            signal.wait_for_connection(timeout=20)
        engine: Any = RunEngine()
        engine.subscribe(lambda _, document: stops.append(document), "stop")
        with Session(engine, RECIPE, data_root=root, mode="act", operator="robot") as insitu:
            threading.Thread(target=operate, args=(insitu, beam, resumed), daemon=True).start()
            try:
                engine(heating(furnace, detector, {NO_BEAM: beam, NO_SAMPLE: sample}))
            except RunEngineInterrupted:
                print("SIMULATED: the RunEngine has aborted the plan")
        for signal in (beam, sample):
            signal.put(0, wait=True)
    print(f"suspended for want of beam, and resumed: {'yes' if resumed.is_set() else 'no'}")
    print(f"ended with {stops[-1]['exit_status']}: {stops[-1]['reason']}")
    print(insitu.summaries[0].path)
    return 0 if resumed.is_set() and stops[-1]["exit_status"] == "abort" else 1


def operate(insitu: Session, beam: Any, resumed: threading.Event) -> None:
    """The operator: waits for the suspension, brings the beam back, and lets the plan go on."""
    while not insitu.device.suspend.get():
        time.sleep(0.05)
    beam.put(0, wait=True)
    insitu.resume()
    resumed.set()


def heating(furnace: Any, detector: Any, faults: dict[int, Any]) -> Any:
    """A scan that plants a fault before some of its points, and gives the pipeline time to see each point."""

    @bpp.run_decorator(md={"plan_name": "heating"})
    def plan() -> Any:
        for k in range(POINTS):
            if k in faults:
                yield from bps.abs_set(faults[k], 1, wait=True)
            yield from bps.checkpoint()  # behind it: what stands before is not done again after a suspension
            yield from bps.mv(furnace, 330 + k)
            yield from bps.trigger_and_read([detector, furnace])
            yield from bps.sleep(0.3)

    return plan()


if __name__ == "__main__":
    sys.exit(main())
