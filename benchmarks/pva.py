"""1 Mpx images over PV Access on loopback: every `uniqueId` accounted for, and the highest rate without shedding.

A server in a process of its own (p4p) posts uint16 images at a steady rate; the run stores them, integrates them (2000
bins, no splitting) and measures the totals of the pattern. What is lost on the way, or finds no room in the reader's
queue, is a gap in `uniqueId` and has a row of its own. Live frames are never held back: analysis that comes too late
is shed.
"""

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from insitu.config import load
from insitu.readers.simulated_image import AreaDetector
from insitu.run import LiveRun
from insitu.store.runs import StoredRun

SHAPE = (1024, 1024)
DISTINCT = 8
PV = "bench:image"
LADDER_HZ = (30, 60, 100, 150, 200, 300)


def main(disk: Path, *, quick: bool) -> None:
    """Frames posted, stored, lost and shed at each rate. The ladder ends where something was lost or shed."""
    seconds = 10 if quick else 60
    os.environ.update(_loopback())
    simulator = AreaDetector(frames=1, shape=SHAPE, exposure=0.001)
    print(f"1 Mpx uint16 images over PV Access, {seconds} s each (30 and 100 Hz), stored and integrated")
    print("   asked   posted  reached  stored   lost  (in our queue)  dropped   shed  CPU/frame  accounted")
    best = 0.0
    with tempfile.TemporaryDirectory(dir=disk) as folder:
        poni = Path(folder, "bench.poni")
        poni.write_text(simulator.poni())
        for rate in LADDER_HZ:
            long = rate in (30, 100)
            clean, reached = _one(rate, seconds if long else 5, poni, Path(folder))
            best = max(best, reached) if clean else best
            if not clean and rate >= 100:
                break
    print(f"  highest rate stored and integrated without losing or shedding: {best:.0f} frames/s")


def _one(rate: float, seconds: float, poni: Path, folder: Path) -> tuple[bool, float]:
    """One rate: whether all was stored and analysed, and the rate that the server reached."""
    with (
        tempfile.TemporaryDirectory(dir=folder) as root,
        subprocess.Popen(
            [sys.executable, "-m", "benchmarks.pva", str(rate), str(round(rate * seconds))],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        ) as server,
    ):  # fmt: skip
        assert server.stdin is not None
        assert server.stdout is not None
        assert server.stdout.readline().strip() == "ready"
        live = LiveRun(_setup(poni), data_root=Path(root))
        reader: Any = live.readers["det"]
        while not reader.connected:
            time.sleep(0.02)
        server.stdin.write("\n")
        server.stdin.flush()
        busy = time.process_time()
        said = json.loads(server.stdout.readline())
        summary = live.wait(300)  # ends by itself once nothing has come for a while
        busy = time.process_time() - busy
        server.stdin.close()
        with StoredRun(live.path) as stored:
            rows = [f.source_seq for f in stored.frames()]
    frames, analysis = summary.frames, summary.analysis
    counted = frames["stored"] + frames["lost"] + frames["dropped"] + frames["invalid"]
    whole = (
        counted == said["posted"] and len(set(rows)) == len(rows) == frames["stored"] and max(rows) <= said["posted"]
    )
    print(
        f"  {rate:6.0f}  {said['posted']:7d}  {said['rate']:7.1f}  {frames['stored']:6d}  {frames['lost']:5d}"
        f"  {reader.missed:14d}  {frames['dropped']:7d}  {analysis['shed']:5d}  {1e3 * busy / frames['stored']:6.1f} ms"
        f"  {'all' if whole else f'NO: {counted}'}"
    )
    assert whole, summary
    slow = said["rate"] < 0.95 * rate
    return frames["stored"] == said["posted"] and not analysis["shed"] and not slow, said["rate"]


def _setup(poni: Path) -> Any:
    detector: dict[str, Any] = {
        "format": 1, "source": "det", "live": True, "shape": list(SHAPE), "dtype": "uint16", "dims": ["y", "x"],
        "reader": {"use": "epics.pva", "pv": PV, "idle": "2 s"}, "geometry": {"poni": str(poni)},
    }  # fmt: skip
    recipe = {
        "format": 1, "title": "benchmark", "detectors": ["d"],
        "prepare": [{"use": "azimuthal", "bins": 2000, "split": "no"}], "features": [{"use": "totals"}],
    }  # fmt: skip
    return load(recipe, detectors={"d": detector})


def _loopback() -> dict[str, str]:
    ports = []
    for _ in range(2):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            ports.append(str(s.getsockname()[1]))
    own = "127.0.0.1"
    return {
        "EPICS_PVA_ADDR_LIST": own, "EPICS_PVA_AUTO_ADDR_LIST": "NO", "EPICS_PVA_SERVER_PORT": ports[0],
        "EPICS_PVA_BROADCAST_PORT": ports[1], "EPICS_PVAS_INTF_ADDR_LIST": own, "EPICS_PVAS_SERVER_PORT": ports[0],
        "EPICS_PVAS_BROADCAST_PORT": ports[1], "EPICS_PVAS_BEACON_ADDR_LIST": own,
        "EPICS_PVAS_AUTO_BEACON_ADDR_LIST": "NO",
    }  # fmt: skip


def serve(rate: float, count: int) -> None:
    """Post `count` images, numbered from 1, `rate` a second, once the other side says so."""
    from p4p.nt import NTNDArray
    from p4p.server import Server
    from p4p.server.thread import SharedPV
    from p4p.wrapper import Value

    simulator = AreaDetector(frames=DISTINCT, shape=SHAPE, exposure=0.001)
    images = [np.ascontiguousarray(simulator.arrival(k).data, np.uint16).ravel() for k in range(DISTINCT)]
    kind = NTNDArray().type
    sizes = [{"size": n, "fullSize": n, "binning": 1} for n in reversed(SHAPE)]
    pv = SharedPV(initial=Value(kind))
    with Server(providers=[{PV: pv}]):
        print("ready", flush=True)
        sys.stdin.readline()
        began = time.monotonic()
        for k in range(count):
            time.sleep(max(0.0, began + k / rate - time.monotonic()))
            now = time.time_ns()
            stamp = {"secondsPastEpoch": now // 10**9, "nanoseconds": now % 10**9}
            image = images[k % DISTINCT]
            told = {
                "value": ("ushortValue", image), "uniqueId": k + 1, "dimension": sizes, "dataTimeStamp": stamp,
                "timeStamp": stamp, "compressedSize": image.nbytes, "uncompressedSize": image.nbytes,
            }  # fmt: skip
            pv.post(Value(kind, told))
        took = time.monotonic() - began
        print(json.dumps({"posted": count, "rate": count / took}), flush=True)
        sys.stdin.readline()
    os._exit(0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("rate", type=float)
    parser.add_argument("count", type=int)
    given = parser.parse_args()
    serve(given.rate, given.count)
