"""The soft IOC of a bench beamline: `python -m insitu.readers.simulated_beamline_ioc`, told on its standard input.

The first line holds the settings in JSON and the port of the array's server; the first line that it says is
{"ready": ..., "pvs": ...} or {"error": ...}. It ends when its input does, so that none outlives who started it. Records
are softioc's, over Channel Access and PV Access; the array is p4p's, from the same process.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from insitu.errors import InsituError
from insitu.readers.faults import Kind
from insitu.readers.simulated_beamline_bench import Bench
from insitu.readers.simulated_beamline_camera import LOOK_S, Camera, Counters
from insitu.readers.simulated_beamline_motion import HOT
from insitu.readers.simulated_beamline_record import Fields, load_record, load_type
from insitu.readers.simulated_beamline_settings import ALLOWED, BY_PV, BenchSettings

TICK_S, SLOW_S = 0.02, 0.1
"""How often a motor that moves is looked at, and everything."""
TURNS = 8
"""Puts with callback that a motor can tell from each other."""


def main() -> None:
    """Serve until the input ends."""
    said = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # what the IOC itself prints is none of our words
    try:
        told = json.loads(sys.stdin.buffer.readline() or b"null")
        if told is not None:
            pvs = _serve(BenchSettings.of(told["settings"]), told["image_port"])
            said.write(json.dumps({"ready": True, "pvs": pvs}).encode() + b"\n")
            sys.stdin.buffer.read()
    except InsituError as e:
        said.write(json.dumps({"error": e.as_dict()}).encode() + b"\n")
    except Exception as e:  # noqa: BLE001 - the boundary: the parent says it
        said.write(json.dumps({"error": {"kind": "source", "what": f"{type(e).__name__}: {e}"}}).encode() + b"\n")
    finally:
        with contextlib.suppress(OSError):
            said.close()
        os._exit(0)  # EPICS has threads that do not end


def _serve(settings: BenchSettings, image_port: int) -> dict[str, Any]:
    """Start everything; names of the PVs."""
    from softioc import asyncio_dispatcher, builder, softioc

    bench, prefix = Bench(settings), settings.prefix
    dispatcher = asyncio_dispatcher.AsyncioDispatcher()
    builder.SetDeviceName(prefix)
    image = _Image(bench)
    counters = Counters(bench, builder)
    camera = Camera(bench, builder, counters, image.post)
    told = threading.Event()
    movers = [_Mover(bench, name, prefix, camera, builder, told) for name in bench.drives]
    slow = _Slow(bench, camera, builder)
    _switches(bench, builder)
    builder.LoadDatabase()
    with tempfile.TemporaryDirectory() as folder:
        load_type(Path(folder))
        for mover in movers:
            mover.load(Path(folder))
    softioc.iocInit(dispatcher)
    for mover in movers:
        mover.begin()
    image.serve(f"{prefix}:Pva1:Image", image_port)
    camera.begin()
    threading.Thread(target=_watch, args=(movers, slow, told), name="movements", daemon=True).start()
    while not all(mover.settled for mover in movers):
        time.sleep(LOOK_S)
    return {
        "motors": [f"{prefix}:{name}" for name in bench.drives],
        "image": f"{prefix}:Pva1:Image",
        "array": f"{prefix}:image1:ArrayData",
        "acquire": f"{prefix}:cam1:Acquire",
        "counters": [f"{prefix}:scaler:{name}" for name in bench.counters],
        "shutter": f"{prefix}:shutter",
        "faults": [f"{prefix}:fault:{name}" for name in BY_PV],
        "shape": list(bench.sample.shape),
        "dtype": bench.sample.dtype.name,
        "dims": list(bench.sample.dims),
    }


def _switches(bench: Bench, builder: Any) -> None:
    """The shutter, and what is to go wrong."""

    def shut(value: int) -> None:
        bench.shutter = bool(value)

    builder.boolOut("shutter", ZNAM="Closed", ONAM="Open", initial_value=1, on_update=shut)
    for name in BY_PV:
        _fault(bench, builder, name, ALLOWED[name])


def _fault(bench: Bench, builder: Any, name: str, kind: Kind) -> None:
    strength = None
    if kind.strength:

        def changed(value: float) -> None:
            if name in bench.wrong:
                bench.wrong = {**bench.wrong, name: value}

        strength = builder.aOut(
            f"fault:{name}:strength", initial_value=kind.default, DRVL=kind.low, DRVH=kind.high,
            DESC=kind.strength[:40], on_update=changed,
        )  # fmt: skip

    def switched(value: int) -> None:
        without = {k: v for k, v in bench.wrong.items() if k != name}
        bench.wrong = {**without, name: strength.get() if strength else kind.default} if value else without

    builder.boolOut(
        f"fault:{name}", ZNAM="Off", ONAM="On", initial_value=0, DESC=kind.text[:40], on_update=switched
    )  # fmt: skip


class _Mover:
    """One drive as a motor record."""

    def __init__(
        self, bench: Bench, name: str, prefix: str, camera: Camera, builder: Any, told: threading.Event
    ) -> None:
        self.bench, self.name, self.camera, self.pv = bench, name, camera, f"{prefix}:{name}"
        self._moves, self._lock = told, threading.Lock()
        self.moving = False
        self._since, self._told_by_us = 0.0, 0

        async def wait(_: int) -> None:
            import asyncio

            while self.moving:
                await asyncio.sleep(LOOK_S)

        # A put with callback is over when the motion is: it waits for a record that is busy until then. It must be
        # one that is idle, for EPICS waits for none that was busy before, and one may be so for a moment after its
        # motion: so they take turns. What `_told` does comes before any of them looks.
        waiting = [
            builder.longOut(f"{name}:busy{k}", on_update=wait, always_update=True, blocking=True, initial_value=0)
            for k in range(TURNS)
        ]
        links = {f"LNK{k + 1:X}": record for k, record in enumerate(waiting)}
        turn = f"{prefix}:{name}:turn"
        chosen = builder.records.fanout(f"{name}:chosen", SELM="Specified", SELL=turn, **links)
        builder.records.calc(f"{name}:turn", CALC=f"(VAL%{TURNS})+1", FLNK=chosen)
        builder.longOut(f"{name}:told", on_update=self._told, always_update=True, initial_value=0, FLNK=turn)

    @property
    def settled(self) -> bool:
        """Whether it has been told where it is, and stays there."""
        return self._since > 0.0 and not self.moving

    def load(self, folder: Path) -> None:
        drive = self.bench.drives[self.name]
        load_record(folder, self.pv, drive.unit, f"{self.pv}:told", drive.low, drive.high)

    def begin(self) -> None:
        """What the fields are at the start."""
        drive, self.fields = self.bench.drives[self.name], Fields(self.pv)
        for field, value in {
            "RBV": drive.value, "DRBV": drive.value, "DVAL": drive.value, "VELO": drive.velocity, "ACCL": 0.0,
            "VMAX": 1e6, "RDBD": drive.deadband, "DLLM": drive.low, "DHLM": drive.high, "MRES": 1e-4, "ERES": 1e-4,
            "UREV": 1.0, "SREV": 10000, "DMOV": 1, "TDIR": 0, "FOFF": 0, "SET": 0, "DIR": 0,
        }.items():  # fmt: skip
            self.fields[field] = value
        for field in ("MOVN", "STOP", "HLS", "LLS", "HOMF", "HOMR", "LVIO", "MSTA", "JOGF", "JOGR", "CNEN"):
            self.fields[field] = 0
        self.fields.put("VAL", drive.value, process=True)  # a record that was never processed is in alarm

    def _told(self, _: int) -> None:
        """A client wrote a command."""
        with self._lock:
            self._obey()
        self._moves.set()

    def _obey(self) -> None:
        fields, bench, now = self.fields, self.bench, time.monotonic()
        drive = bench.drives[self.name]
        if fields["STOP"]:
            fields["STOP"] = 0
            self._tell(bench.stop(self.name, now))
            return
        if fields["HOMF"] or fields["HOMR"]:
            fields["HOMF"] = fields["HOMR"] = 0
            self._go(min(max(0.0, drive.low), drive.high), now)
            self._tell(drive.target)
            return
        target = fields["VAL"]
        if self._told_by_us and target == drive.target:
            self._told_by_us -= 1
            return
        if fields["SET"]:
            drive.place(target)
            fields["RBV"] = target
            return
        inside = fields["LLM"] <= target <= fields["HLM"]
        fields["LVIO"] = int(not inside)
        if not inside:
            self._tell(drive.target)
            return
        self._told_by_us = 0  # at worst a command is obeyed twice; one that is passed over would never be done
        self._go(target, now)

    def _go(self, target: float, now: float) -> None:
        self.fields["TDIR"] = int(target >= self.bench.drives[self.name].value)
        self.moving, self._since = True, now
        self.fields["DMOV"], self.fields["MOVN"] = 0, 1
        self.bench.go(self.name, target, now)

    def _tell(self, target: float) -> None:
        """Clients see the target only when the record is processed, which is no command then."""
        self._told_by_us += 1
        self.fields.put("VAL", target, process=True)

    def look(self, slowly: bool) -> None:
        """Fields as things are now."""
        with self._lock:
            self._show(slowly)

    def _show(self, slowly: bool) -> None:
        fields, drive, now = self.fields, self.bench.drives[self.name], time.monotonic()
        velocity = fields["VELO"]
        if velocity > 0.0:
            drive.velocity = velocity
        arrived = self.moving and now - self._since > TICK_S and self.bench.arrived(self.name, self.camera.taken)
        value = self.bench.reading(self.name, now)
        if (self.name != HOT or slowly or arrived) and value != fields["RBV"]:
            fields["RBV"] = value
            fields["DRBV"] = value
        if arrived:
            fields["MOVN"] = 0
            fields["DMOV"] = 1
            self.moving = False


class _Slow:
    """Readings that come a few times a second."""

    def __init__(self, bench: Bench, camera: Camera, builder: Any) -> None:
        self._bench, self._camera = bench, camera
        self._current = builder.aIn("ring:current", initial_value=0.0, EGU="mA", PREC=2)
        self._monitor = builder.aIn("monitor", initial_value=0.0, EGU="counts/s", PREC=0)
        self._true = builder.aIn(f"truth:{HOT}", initial_value=bench.sample.start_K, EGU="K", PREC=3)

    def look(self) -> None:
        now, index = time.monotonic(), self._camera.taken
        self._current.set(self._bench.current_mA(index))
        self._monitor.set(self._bench.count(index, 0.1, now)["i0"] / 0.1)
        self._true.set(self._bench.where(HOT, now))


class _Image:
    """The NTNDArray and its server."""

    def __init__(self, bench: Bench) -> None:
        from p4p.nt import NTNDArray
        from p4p.server.thread import SharedPV

        self._type = NTNDArray()
        self._pv = SharedPV(initial=self._type.type())
        self._server: Any = None
        self._dtype = bench.sample.dtype

    def serve(self, name: str, port: int) -> None:
        from p4p.server import Server

        self._server = Server(providers=[{name: self._pv}], conf={"EPICS_PVAS_SERVER_PORT": str(port)}, useenv=True)

    def post(self, array: np.ndarray, number: int, at: float, told: Mapping[str, Any]) -> None:
        value = self._type.wrap(np.ascontiguousarray(array, self._dtype), attrib=dict(told), timestamp=at)
        value["uniqueId"] = number
        value["dataTimeStamp"] = {"secondsPastEpoch": int(at // 1), "nanoseconds": int(at % 1 * 1e9)}
        self._pv.post(value)


def _watch(movers: list[_Mover], slow: _Slow, told: threading.Event) -> None:
    """Look at what moves often, at the rest a few times a second, and at once where a client wrote a command."""
    due = 0.0
    while True:
        slowly = time.monotonic() >= due
        if slowly:
            due = time.monotonic() + SLOW_S
            slow.look()
        for mover in movers:
            if slowly or mover.moving:
                mover.look(slowly)
        told.clear()
        if any(mover.moving for mover in movers):
            time.sleep(TICK_S)
        else:
            told.wait(SLOW_S)


if __name__ == "__main__":
    main()
