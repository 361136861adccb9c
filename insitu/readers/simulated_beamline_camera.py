"""The detector and the counters of a bench beamline as PVs: exposures, arrays over both protocols, numbers."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from typing import Any, NamedTuple

import numpy as np

from insitu.readers.simulated_beamline_bench import Bench, Shot
from insitu.readers.simulated_beamline_motion import HOT

log = logging.getLogger(__name__)
SINGLE, MULTIPLE, CONTINUOUS = range(3)
LOOK_S = 0.005


class _Taken(NamedTuple):
    """A frame that is shown when frame `due` has been taken, `copies` times; `at`: the IOC's time of it, s since 1970;
    `reading` of the thermometer."""

    due: int
    copies: int
    shot: Shot
    number: int
    at: float
    reading: float


def busy(builder: Any, name: str, start: Any, going: Any, **more: Any) -> Any:
    """A record that clients write 1 to, and that completes a put with callback when `going()` is over."""

    async def wait(_: int) -> None:
        while going():
            await asyncio.sleep(LOOK_S)

    hidden = builder.longOut(f"{name}:busy", on_update=wait, always_update=True, blocking=True, initial_value=0)
    return builder.boolOut(
        name, ZNAM="Done", ONAM="Acquire", on_update=start, always_update=True, initial_value=0, FLNK=hidden, **more
    )


class Counters:
    """`scaler:Count` counts for `scaler:Time`; each exposure of the detector counts too."""

    def __init__(self, bench: Bench, builder: Any) -> None:
        self.bench, self.index, self._counting = bench, 0, False
        self._time = builder.aOut("scaler:Time", initial_value=1.0, EGU="s", PREC=4)
        self._count = busy(builder, "scaler:Count", self._start, lambda: self._counting)
        self._values = {
            name: builder.longOut(f"scaler:{name}", initial_value=0, EGU="counts") for name in bench.counters
        }

    def show(self, counted: dict[str, int]) -> None:
        for name, value in counted.items():
            self._values[name].set(min(value, 2**31 - 1))

    async def _start(self, value: int) -> None:
        if not value or self._counting:
            return
        self._counting = True
        asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        try:
            exposure = max(1e-4, self._time.get())
            await asyncio.sleep(exposure)
            self.show(self.bench.count(self.index, exposure, time.monotonic()))
            self._count.set(0)
        finally:
            self._counting = False


class Camera:
    """`cam1:*` as areaDetector calls them, `image1:ArrayData`, and the array of `Pva1:Image`, which `post` takes."""

    def __init__(self, bench: Bench, builder: Any, counters: Counters, post: Any) -> None:
        self.bench, self.counters, self.taken = bench, counters, 0
        self._post, self._acquiring, self._stop = post, False, threading.Event()
        self._turn = threading.Lock()  # an acquisition ends, or the next one begins
        self._late: list[_Taken] = []
        sample = bench.sample
        self._acquire = busy(builder, "cam1:Acquire", self._start, lambda: self._acquiring)
        self._set = {
            name: self._setting(builder, name, kind, value)
            for name, kind, value in (
                ("AcquireTime", "aOut", bench.settings.exposure_s),
                ("AcquirePeriod", "aOut", bench.settings.period_s),
                ("NumImages", "longOut", 1),
            )
        }
        mode = CONTINUOUS if bench.settings.acquire else SINGLE
        self._mode = builder.mbbOut("cam1:ImageMode", "Single", "Multiple", "Continuous", initial_value=mode)
        self._state = builder.mbbOut("cam1:DetectorState_RBV", "Idle", "Acquire", initial_value=0)
        self._counter = builder.longOut("cam1:ArrayCounter_RBV", initial_value=0)
        self._array = builder.WaveformOut(
            "image1:ArrayData", initial_value=np.zeros(sample.shape, sample.dtype).ravel(), TSE=-2
        )
        self._id = builder.longOut("image1:UniqueId_RBV", initial_value=0)
        self._total = builder.aOut("Stats1:Total_RBV", initial_value=0.0, EGU=sample.unit)
        if sample.axis is not None:
            builder.WaveformOut("image1:Axis", initial_value=sample.axis.values, EGU=sample.axis.unit)

    def begin(self) -> None:
        """The IOC runs."""
        if self.bench.settings.acquire:
            self._acquire.set(1)

    @staticmethod
    def _setting(builder: Any, name: str, kind: str, value: float) -> Any:
        """A setting, and its readback behind it."""
        back = getattr(builder, kind)(f"cam1:{name}_RBV", initial_value=value)
        return getattr(builder, kind)(f"cam1:{name}", initial_value=value, on_update=back.set)

    def _start(self, value: int) -> None:
        with self._turn:
            if not value:
                self._stop.set()
            elif not self._acquiring:
                self._acquiring = True
                self._stop.clear()
                threading.Thread(target=self._run, name="exposures", daemon=True).start()

    def _run(self) -> None:
        try:
            self._state.set(1)
            mode = self._mode.get()
            left = {SINGLE: 1, MULTIPLE: max(1, self._set["NumImages"].get())}.get(mode, -1)
            due = time.monotonic()
            while left and not self._stop.is_set():
                exposure = max(1e-4, self._set["AcquireTime"].get())
                if not self._expose(due, exposure):
                    break
                left -= 1
                due += max(exposure, self._set["AcquirePeriod"].get())
                due = max(due, time.monotonic() - exposure)  # what cannot be kept up with is not made up for
                self._stop.wait(max(0.0, due - time.monotonic()) if left else 0.0)
        except Exception:
            log.exception("an exposure failed")
        finally:
            self._state.set(0)
            with self._turn:
                self._acquire.set(0)
                self._acquiring = False

    def _expose(self, begun: float, exposure: float) -> bool:
        """One frame, if nothing stops it."""
        index = self.taken
        while (wait := begun + exposure - time.monotonic()) > 0.0 or "stalled" in self.bench.now_wrong(index):
            if self._stop.wait(max(LOOK_S, wait)):
                return False
        now, at = time.monotonic(), time.time() - exposure
        shot = self.bench.expose(index, exposure, now)
        self.taken = self.counters.index = index + 1
        wrong = self.bench.now_wrong(index)
        at += wrong.get("clock", 0.0)
        self.counters.show(shot.counters)
        if "missing" not in wrong:
            self._late.append(
                _Taken(
                    due=index + int(wrong.get("reorder", 0)), copies=1 + int(wrong.get("duplicate", 0)), shot=shot,
                    number=self.bench.number(index), at=at, reading=self.bench.reading(HOT, now),
                )
            )  # fmt: skip
        for taken in [taken for taken in self._late if taken.due <= index]:
            self._late.remove(taken)
            self._show(taken, exposure)
        self._counter.set(index + 1)
        return True

    def _show(self, taken: _Taken, exposure: float) -> None:
        shot, sample = taken.shot, self.bench.sample
        self._array._record.TIME = taken.at  # the record keeps the time that it is given
        self._array.set(shot.array.ravel())
        self._total.set(float(shot.array.sum(dtype=np.float64)))
        self._id.set(taken.number)
        told: dict[str, Any] = {f"true_{HOT}" if name == HOT else name: value for name, value in shot.places.items()}
        told |= {name: float(value) for name, value in shot.counters.items()}
        told |= {"temperature": taken.reading, "exposure_s": exposure, "sample": sample.name, "ColorMode": 0}
        if sample.simulated:
            told["simulated"] = "true"
        for _ in range(taken.copies):
            self._post(shot.array, taken.number, taken.at, told)
