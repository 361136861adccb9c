"""The line to one Modbus TCP device: all registers read once, or what went wrong, by pymodbus."""

from __future__ import annotations

import importlib
import time
from typing import Any, NamedTuple

from insitu.errors import MissingExtraError
from insitu.readers.plc_registers import Register, Request, requests_of, value_of

_LASTING = (1, 2, 3)
"""Exception codes that waiting does not mend: illegal function, address, value."""
_CODES = {
    1: "illegal function",
    2: "illegal data address",
    3: "illegal data value",
    4: "device failure",
    5: "acknowledge",
    6: "device busy",
    8: "memory parity error",
    10: "gateway path unavailable",
    11: "gateway target does not respond",
}


class Poll(NamedTuple):
    """What one poll gave: `values` in the order of the registers, or what went wrong; `time_ns` of the answer (midway
    between asking and the last answer), known to `sigma_ns`; `lasting`: asking again will not help."""

    values: list[float] | None
    time_ns: int = 0
    sigma_ns: int = 0
    problem: str = ""
    lasting: bool = False
    line: bool = False


class Device:
    """The line to one device, used by one thread: connects where it is not connected, and reads all registers."""

    def __init__(self, host: str, port: int, unit_id: int, timeout: float, registers: tuple[Register, ...]) -> None:
        try:
            modbus = importlib.import_module("pymodbus.client")
            self._failure: type[Exception] = importlib.import_module("pymodbus.exceptions").ModbusException
        except ImportError as missing:
            raise MissingExtraError("pymodbus", "plc", purpose="reading a Modbus device") from missing
        self._client: Any = modbus.ModbusTcpClient(host, port=port, timeout=timeout, retries=0)
        self._unit_id, self._registers = unit_id, registers
        self._requests = requests_of(registers)

    def close(self) -> None:
        self._client.close()

    def poll(self) -> Poll:
        """Ask for everything once."""
        if not self._client.connected and not self._client.connect():
            return Poll(None, problem="the line cannot be opened", line=True)
        asked, started = time.time_ns(), time.monotonic_ns()
        found: dict[str, float] = {}
        for request in self._requests:
            try:
                answer = self._ask(request)
            except (self._failure, OSError) as error:
                self._client.close()  # an answer that comes late must not be taken for the next one
                return Poll(None, problem=f"the line broke ({_short(error)})", line=True)
            problem = _problem(answer, request)
            if problem is not None:
                return problem
            words = answer.bits if request.table in ("coil", "discrete") else answer.registers
            for register in request.registers:
                at = register.address - request.address
                found[register.name] = value_of(register, words[at : at + register.size])
        took = time.monotonic_ns() - started
        return Poll([found[r.name] for r in self._registers], asked + took // 2, took // 2 + 1)

    def _ask(self, request: Request) -> Any:
        ask = {
            "holding": self._client.read_holding_registers,
            "input": self._client.read_input_registers,
            "coil": self._client.read_coils,
            "discrete": self._client.read_discrete_inputs,
        }[request.table]
        return ask(request.address, count=request.count, device_id=self._unit_id)


def _problem(answer: Any, request: Request) -> Poll | None:
    """What is wrong with an answer: an exception of the device, or fewer values than asked for."""
    names = ", ".join(r.name for r in request.registers[:5])
    last = request.address + request.count - 1
    place = f"{request.table} {request.address}" + (f" to {last}" if request.count > 1 else "")
    if answer.isError():
        code = int(getattr(answer, "exception_code", 0))
        told = f"exception {code}, {_CODES.get(code, 'unknown')}"
        return Poll(None, problem=f"the device refuses {place} ({names}): {told}", lasting=code in _LASTING)
    got = len(answer.bits if request.table in ("coil", "discrete") else answer.registers)
    if got < request.count:
        return Poll(None, problem=f"the device gave {got} of {request.count} values of {place} ({names})")
    return None


def _short(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".replace("\n", " ")[:120]
