"""A bench beamline: a real soft IOC in a child process, on ports of its own, on this computer alone.

with Beamline(BenchSettings(prefix="BENCH")) as bench:
    os.environ.update(bench.environment)      # before the first EPICS client of this process

Behind the prefix: motors `x` (the sample stage), `furnace` and, of an absorption sample, `energy`, each as a motor
record; a detector (`cam1:*`, `image1:ArrayData`, and `Pva1:Image` as an NTNDArray); counters (`scaler:*`); `shutter`,
`ring:current`, `monitor`; and faults, `fault:KIND` with `fault:KIND:strength`. See `docs/how-to/bench-beamline.md`.
"""

from __future__ import annotations

import importlib.util
import json
import os
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from typing import Any

from insitu.errors import ConfigError, MissingExtraError, SourceError
from insitu.readers.simulated_beamline_settings import BenchSettings

READY_S = 60.0
PORTS = 9
"""Ports that a bench takes from `port` on: four of its own, four of a neighbour, and the array's."""


class Beamline:
    """A bench beamline that runs until it is closed.

    `interface`: the address that it listens at. `port`: the first of `PORTS` ports, default: any that are free.
    `environment`: what clients must know; it also names the ports on which one more IOC that is started with it is
    found, such as that of `insitu run --pvs`. `pvs`: their names. `problem`: why it is not there any more, where that
    is so. `ConfigError` for settings that are impossible, `SourceError` where it does not start, `MissingExtraError`
    without softioc or p4p.
    """

    def __init__(
        self, settings: BenchSettings | None = None, *, interface: str = "127.0.0.1", port: int | None = None
    ) -> None:
        self.settings = settings or BenchSettings()
        for package in ("softioc", "p4p"):
            if importlib.util.find_spec(package) is None:
                raise MissingExtraError(package, "epics", purpose="A bench beamline")
        if port is not None and not 1024 <= port <= 65535 - PORTS:
            raise ConfigError(f"port {port}", where="port", expected=f"1024 to {65535 - PORTS}")
        ports = _free(PORTS) if port is None else list(range(port, port + PORTS))
        self.environment = _client(interface, ports)
        self.pvs: dict[str, Any] = {}
        self.problem = ""
        self._closing = False
        self._child = subprocess.Popen(
            [sys.executable, "-m", "insitu.readers.simulated_beamline_ioc"],
            env={**os.environ, **self.environment, **_server(interface, ports)},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        told = {"settings": self.settings.as_dict(), "image_port": ports[8]}
        try:
            self._begin(json.dumps(told).encode() + b"\n")
        except BaseException:
            self.close()
            raise

    @property
    def pid(self) -> int:
        """Of the IOC's process."""
        return self._child.pid

    @property
    def alive(self) -> bool:
        """Whether it serves."""
        ended = self._child.poll()
        if ended is not None and not self._closing and not self.problem:
            self.problem = f"the soft IOC has ended ({ended})"
        return ended is None

    def close(self) -> None:
        """It goes away."""
        self._closing = True
        assert self._child.stdin is not None
        with suppress(OSError):
            self._child.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            self._child.wait(2)
        if self._child.poll() is None:
            self._child.kill()
            self._child.wait(5)
        if self._child.stdout is not None:
            self._child.stdout.close()

    def __enter__(self) -> Beamline:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _begin(self, told: bytes) -> None:
        """Tell it what to be, and wait until it is."""
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        with suppress(OSError):
            self._child.stdin.write(told)
            self._child.stdin.flush()
        late = threading.Timer(READY_S, self._child.kill)
        late.start()
        try:
            line = self._child.stdout.readline()
        finally:
            late.cancel()
        said = json.loads(line) if line else {}
        if error := said.get("error"):
            kind = ConfigError if error["kind"] in ("recipe", "usage") else SourceError
            more = {key: error.get(key, "") for key in ("where", "expected", "remedy")}
            raise kind(error["what"], **more)
        if not said.get("ready"):
            raise SourceError("the soft IOC did not start", remedy="Take other ports, and look whether softioc works")
        self.pvs = said["pvs"]


def _client(interface: str, ports: list[int]) -> dict[str, str]:
    """What clients must know. Servers that know no better take the ports of the neighbour."""
    ca, _, _, search, ca2, _, pva2, search2, _ = ports
    return {
        "EPICS_CA_ADDR_LIST": f"{interface}:{ca} {interface}:{ca2}",
        "EPICS_CA_AUTO_ADDR_LIST": "NO",
        "EPICS_CA_REPEATER_PORT": str(ports[1]),
        "EPICS_CA_SERVER_PORT": str(ca2),
        "EPICS_PVA_ADDR_LIST": f"{interface}:{search} {interface}:{search2}",
        "EPICS_PVA_AUTO_ADDR_LIST": "NO",
        "EPICS_PVA_BROADCAST_PORT": str(search2),
        "EPICS_PVA_SERVER_PORT": str(pva2),
    } | _listening(interface, ca2, ports[5], pva2, search2)  # fmt: skip


def _server(interface: str, ports: list[int]) -> dict[str, str]:
    """What the bench itself must know."""
    return _listening(interface, ports[0], ports[1], ports[2], ports[3])


def _listening(interface: str, ca: int, beacons: int, pva: int, search: int) -> dict[str, str]:
    return {
        "EPICS_CAS_INTF_ADDR_LIST": interface,
        "EPICS_CAS_SERVER_PORT": str(ca),
        "EPICS_CAS_BEACON_ADDR_LIST": interface,
        "EPICS_CAS_BEACON_PORT": str(beacons),
        "EPICS_CAS_AUTO_BEACON_ADDR_LIST": "NO",
        "EPICS_PVAS_INTF_ADDR_LIST": interface,
        "EPICS_PVAS_SERVER_PORT": str(pva),
        "EPICS_PVAS_BROADCAST_PORT": str(search),
        "EPICS_PVAS_BEACON_ADDR_LIST": interface,
        "EPICS_PVAS_AUTO_BEACON_ADDR_LIST": "NO",
    }


def _free(count: int) -> list[int]:
    """Ports that are free now for TCP and UDP, all different."""
    found: dict[int, tuple[socket.socket, socket.socket]] = {}
    try:
        while len(found) < count:
            tcp, udp = socket.socket(), socket.socket(type=socket.SOCK_DGRAM)
            tcp.bind(("127.0.0.1", 0))
            port = tcp.getsockname()[1]
            found[port] = (tcp, udp)
            with suppress(OSError):
                udp.bind(("127.0.0.1", port))
                continue
            for one in found.pop(port):
                one.close()
        return list(found)
    finally:
        for pair in found.values():
            for one in pair:
                one.close()


__all__ = ["Beamline", "BenchSettings"]
