"""Real EPICS servers on loopback for tests, each in a process of its own on ports of its own.

Run as a script: `pva` is a p4p server that posts pictures or something odd; `ioc` is a soft IOC.
"""

import argparse
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from typing import Any


def free_ports(count: int) -> list[int]:
    """Ports that are free for TCP and UDP, no two alike: all are held until there are enough."""
    found: list[int] = []
    with ExitStack() as held:
        while len(found) < count:
            tcp, udp = (held.enter_context(socket.socket(type=t)) for t in (socket.SOCK_STREAM, socket.SOCK_DGRAM))
            tcp.bind(("127.0.0.1", 0))
            port = tcp.getsockname()[1]
            with suppress(OSError):
                udp.bind(("127.0.0.1", port))
                found.append(port)
    return found


def environment(pva_port: int, pva_search: int, ca_port: int = 0, ca_repeater: int = 0) -> dict[str, str]:
    """What servers and clients need to know; nothing leaves this computer."""
    own = {
        "EPICS_PVA_ADDR_LIST": "127.0.0.1", "EPICS_PVA_AUTO_ADDR_LIST": "NO",
        "EPICS_PVA_SERVER_PORT": str(pva_port), "EPICS_PVA_BROADCAST_PORT": str(pva_search),
        "EPICS_PVAS_INTF_ADDR_LIST": "127.0.0.1", "EPICS_PVAS_BEACON_ADDR_LIST": "127.0.0.1",
        "EPICS_PVAS_AUTO_BEACON_ADDR_LIST": "NO", "EPICS_PVAS_SERVER_PORT": str(pva_port),
        "EPICS_PVAS_BROADCAST_PORT": str(pva_search),
    }  # fmt: skip
    if ca_port:
        own |= {
            "EPICS_CA_ADDR_LIST": "127.0.0.1", "EPICS_CA_AUTO_ADDR_LIST": "NO", "EPICS_CAS_INTF_ADDR_LIST": "127.0.0.1",
            "EPICS_CA_SERVER_PORT": str(ca_port), "EPICS_CAS_SERVER_PORT": str(ca_port),
            "EPICS_CA_REPEATER_PORT": str(ca_repeater), "EPICS_CAS_BEACON_ADDR_LIST": "127.0.0.1",
            "EPICS_CAS_AUTO_BEACON_ADDR_LIST": "NO",
        }  # fmt: skip
    return own


def new_environment() -> dict[str, str]:
    """With ports that are free now."""
    return environment(*free_ports(4))


@contextmanager
def pva_client(environment: Mapping[str, str]) -> Iterator[Any]:
    """A client of PV Access that knows what stands there, and nothing else."""
    from p4p.client.thread import Context

    known = {k: v for k, v in environment.items() if k.startswith("EPICS_PVA_")}
    with Context("pva", conf=known, useenv=False, nt=False) as context:
        yield context


@contextmanager
def server(kind: str, env: dict[str, str], *args: str) -> Iterator[Any]:
    """A server that is ready, killed afterwards. It ends by itself when its standard input does."""
    process = subprocess.Popen(
        [sys.executable, __file__, kind, *args], env={**os.environ, **env}, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if line.strip() == "ready":
                break
        else:
            raise RuntimeError(f"the {kind} server ended with {process.wait(60)}")
        yield process
    finally:
        process.kill()
        process.wait(60)
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            pipe.close()


def pva(args: argparse.Namespace) -> None:
    """Pictures `uniqueId` = first ... on PV `t:image`, `t:temperature` beside it; odd PVs for errors."""
    import numpy as np
    from p4p.nt import NTNDArray, NTScalar
    from p4p.server import Server
    from p4p.server.thread import SharedPV

    nt = NTNDArray()
    image = SharedPV(initial=nt.type())  # no picture yet
    pvs = {
        "t:image": image,
        "t:temperature": SharedPV(nt=NTScalar("d", display=True), initial={"value": 300.0, "display.units": "K"}),
        "t:sample": SharedPV(nt=NTScalar("s"), initial="NiTi"),
        "t:number": SharedPV(nt=NTScalar("d"), initial=1.0),
        "t:wave": SharedPV(nt=NTScalar("ad", display=True), initial={"value": [0.0], "display.units": "V"}),
    }
    with Server(providers=[pvs]):
        print("ready", flush=True)
        sys.stdin.readline()  # the client is there: go on
        began = time.monotonic()
        for k in range(args.frames):
            time.sleep(max(0.0, began + k / args.rate - time.monotonic()))
            rows = 8 if args.change == 0 or k < args.change else 12
            frame = nt.wrap(np.full((rows, 16), k % 1000, np.uint16), timestamp=time.time())
            frame["uniqueId"] = args.first + k if not args.still else 0
            image.post(frame)
            pvs["t:wave"].post({"value": np.arange(50.0) + k, "timeStamp.secondsPastEpoch": int(time.time())})
        print("done", flush=True)
        sys.stdin.readline()


def ioc(args: argparse.Namespace) -> None:
    """A soft IOC with a waveform `T:WAVE`, an image `T:IMAGE`, a number `T:TEMP` and a choice `T:MODE`."""
    import numpy as np
    from softioc import asyncio_dispatcher, builder, softioc

    dispatcher = asyncio_dispatcher.AsyncioDispatcher()
    builder.SetDeviceName("T")
    wave = builder.WaveformIn("WAVE", length=64, datatype=float, EGU="V")
    image = builder.WaveformIn("IMAGE", length=12, datatype=np.uint16)
    temperature = builder.aIn("TEMP", initial_value=300.0, EGU="K")
    builder.mbbIn("MODE", "idle", "fly", initial_value=1)
    builder.LoadDatabase()
    softioc.iocInit(dispatcher)
    print("\nready", flush=True)
    sys.stdin.readline()
    for k in range(args.frames):
        time.sleep(1 / args.rate)
        temperature.set(300.0 + k, severity=3 if k >= 5 else 0, alarm=1)
        wave.set(np.arange(64.0) + k, severity=1 if k == 3 else 0, alarm=4)
        image.set(np.arange(12) + k)
    sys.stdin.readline()


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=["pva", "ioc"])
    parser.add_argument("--frames", type=int, default=50)
    parser.add_argument("--rate", type=float, default=50.0)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--change", type=int, default=0)
    parser.add_argument("--still", action="store_true")
    given = parser.parse_args()
    {"pva": pva, "ioc": ioc}[given.kind](given)
    os._exit(0)
