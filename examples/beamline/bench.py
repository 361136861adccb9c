"""What the examples share: a bench beamline, found or started, and its devices, all of stock ophyd."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from insitu.readers.simulated_beamline import Beamline, BenchSettings

HERE = Path(__file__).resolve().parent
RECIPE = HERE / "pipelines" / "bench_heating.toml"
EXPOSURE_S = 0.05


@contextmanager
def beamline(**settings: Any) -> Iterator[None]:
    """The one that the environment tells of (see `insitu sim beamline`), else one of our own for as long."""
    own = None if "EPICS_CA_ADDR_LIST" in os.environ else Beamline(BenchSettings(**settings))
    with own or nullcontext():
        os.environ.update(own.environment if own else {})  # before the first EPICS client
        yield


def devices(prefix: str = "BENCH") -> tuple[Any, Any]:
    """The furnace and the detector."""
    from ophyd import Component, Device, EpicsMotor, EpicsSignal, EpicsSignalRO, EpicsSignalWithRBV

    class Detector(Device):
        """One pattern for each trigger, and what the counters counted meanwhile."""

        acquire = Component(EpicsSignal, "cam1:Acquire", put_complete=True, kind="omitted")
        exposure = Component(EpicsSignalWithRBV, "cam1:AcquireTime", kind="config")
        pattern = Component(EpicsSignalRO, "image1:ArrayData", kind="normal")
        number = Component(EpicsSignalRO, "image1:UniqueId_RBV", kind="normal")
        i0 = Component(EpicsSignalRO, "scaler:i0", kind="normal")

        def trigger(self) -> Any:
            return self.acquire.set(1)

    detector: Any = Detector(f"{prefix}:", name="det")
    furnace: Any = EpicsMotor(f"{prefix}:furnace", name="furnace")
    for device in (detector, furnace):
        device.wait_for_connection(timeout=20)
    for part in (detector.pattern, detector.number, detector.i0):
        part.name = part.attr_name  # `pattern`, as the detector file calls it
    detector.exposure.set(EXPOSURE_S).wait(10)
    return furnace, detector
