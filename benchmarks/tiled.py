"""Plans beside Tiled: how long one takes where nobody listens, and with a `Carrier` while Tiled is there, is stopped
(SIGSTOP) in the middle of the plan, or is killed there. Afterwards every row of every plan must be in Tiled.
"""

import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bluesky import RunEngine, plan_stubs, preprocessors
from ophyd.sim import SynSignal

from benchmarks.session import engine_alone
from benchmarks.timing import interleave
from insitu.bluesky.carrier import Carrier

bps: Any = plan_stubs
bpp: Any = preprocessors
EVENTS, KEY, WAIT_S = 300, "secret", 180.0


class Server:
    """Tiled's own, with a catalog that outlives it."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        store = ("-w", str(folder / "data"), "-w", f"duckdb:///{folder}/data.duckdb")
        self._command = [
            *(sys.executable, "-m", "tiled", "serve", "catalog", str(folder / "catalog.db"), "--init", *store),
            *("--api-key", KEY, "--port", str(port)),
        ]
        self.uri = f"http://127.0.0.1:{port}/api/v1?api_key={KEY}"
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def stop(self) -> None:
        os.kill(self.process.pid, signal.SIGSTOP)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


def plan_s(engine: RunEngine, at_half: Callable[[], None]) -> float:
    """Seconds of a plan, without what is done in its middle."""
    counter = SynSignal(func=lambda: 7, name="counter")
    less: list[float] = []

    @bpp.run_decorator()
    def plan() -> Any:
        for k in range(EVENTS):
            if k == EVENTS // 2:
                began = time.perf_counter()
                at_half()
                less.append(time.perf_counter() - began)
            yield from bps.checkpoint()
            yield from bps.trigger_and_read([counter])

    began = time.perf_counter()
    engine(plan())
    return time.perf_counter() - began - sum(less)


def arrived(carrier: Carrier) -> None:
    """Wait until Tiled has everything."""
    end = time.monotonic() + WAIT_S
    while carrier.waiting:
        assert time.monotonic() < end, f"{carrier.waiting} runs are not in Tiled"
        time.sleep(0.1)


def main(disk: Path, *, quick: bool) -> None:
    """All of it."""
    with tempfile.TemporaryDirectory(dir=disk) as folder, engine_alone() as bare, engine_alone() as engine:
        server = Server(Path(folder))
        uids: list[str] = []
        try:
            with Carrier(server.uri, Path(folder) / "waits") as carrier:
                engine.subscribe(carrier)
                engine.subscribe(lambda name, document: uids.append(document["uid"]), "start")

                def there() -> float:
                    return plan_s(engine, lambda: None)

                def stopped() -> float:
                    found = plan_s(engine, server.stop)
                    os.kill(server.process.pid, signal.SIGCONT)
                    arrived(carrier)
                    return found

                def killed() -> float:
                    found = plan_s(engine, server.kill)
                    server.start()
                    arrived(carrier)
                    return found

                there()
                arrived(carrier)
                jobs: dict[str, Callable[[], float]] = {
                    "nobody listens": lambda: plan_s(bare, lambda: None),
                    "Tiled is there": there,
                    "Tiled is stopped in the plan": stopped,
                    "Tiled is killed in the plan": killed,
                }
                figures = interleave(jobs, 3 if quick else 7)
                arrived(carrier)
            assert carrier.lost == 0
            held(server.uri, uids)
        finally:
            server.kill()
    print(f"\nA plan of {EVENTS} events beside Tiled, s: median (least to most), and of one to which nobody listens")
    alone = figures["nobody listens"]
    for name, found in figures.items():
        ratio = statistics.median(a / b for a, b in zip(found, alone, strict=True))
        print(f"  {name:<30} {statistics.median(found):.3f}  ({min(found):.3f} to {max(found):.3f})  {ratio:.2f}")
    print(f"  all {len(uids)} plans are in Tiled, row for row")


def held(uri: str, uids: list[str]) -> None:
    """Whether every plan has all its rows."""
    from tiled.client import from_uri

    client = from_uri(uri)
    for uid in uids:
        rows = client[uid]["primary"].base["internal"].read()["seq_num"].tolist()
        assert rows == list(range(1, EVENTS + 1)), (uid, len(rows))
