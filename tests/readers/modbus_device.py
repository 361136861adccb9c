"""A real Modbus TCP server of pymodbus in a process of its own: `python modbus_device.py PORT`.

Holding 0: 1234; 10, 11: float32 21.5; 20: int16 -5; input 0: 77; coil 3: on; a float64 NaN at 30. Holding 900 is busy.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from typing import Any

BUSY = 900


def free_port() -> int:
    """A port of this computer that nobody uses now."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Device:
    """The server, which can be killed, stopped for a while, and started again on its port."""

    def __init__(self) -> None:
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Device:
        self._process = subprocess.Popen([sys.executable, __file__, str(self.port)], stdin=subprocess.DEVNULL)
        for _ in range(200):
            with socket.socket() as s:
                if s.connect_ex(("127.0.0.1", self.port)) == 0:
                    return self
            time.sleep(0.05)
        raise RuntimeError("the Modbus server did not start")

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def pause(self) -> None:
        assert self._process
        os.kill(self._process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        assert self._process
        os.kill(self._process.pid, signal.SIGCONT)


async def _serve(port: int) -> None:
    from pymodbus.constants import ExcCodes
    from pymodbus.server import ModbusTcpServer
    from pymodbus.simulator import DataType, SimData, SimDevice

    async def action(code: int, start: int, address: int, count: int, now: list[int], new: Any) -> Any:
        return ExcCodes.DEVICE_BUSY if code == 3 and address <= BUSY < address + count else None

    holding = [
        SimData(0, values=[1234, 5678], datatype=DataType.REGISTERS),
        SimData(10, values=21.5, datatype=DataType.FLOAT32),
        SimData(20, values=-5, datatype=DataType.INT16),
        SimData(30, values=[0x7FF8, 0, 0, 0], datatype=DataType.REGISTERS),
        SimData(BUSY, values=[1], datatype=DataType.REGISTERS),
    ]
    bits = [SimData(0, values=[False, False, False, True], datatype=DataType.BITS)]
    device = SimDevice(
        id=1, simdata=(bits, bits, holding, [SimData(0, values=[77], datatype=DataType.REGISTERS)]), action=action
    )
    await ModbusTcpServer(device, address=("127.0.0.1", port)).serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1])))
