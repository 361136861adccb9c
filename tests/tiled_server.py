"""Tiled's own server in a process of its own, and what it holds after bluesky's writer has filled it."""

import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import Any

import pytest

from tests.tiled_forks import ONE_THREAD

ROOT = Path(__file__).resolve().parent.parent
KEY = "secret"
READY_S = 150.0


class Fork:
    """A command line that a fork does; what it says is in files, `err` beside `out`."""

    def __init__(self, address: bytes, out: Path, module: str, *argv: str) -> None:
        self.out, self.err = out, out.with_suffix(".err")
        order = {"module": module, "argv": list(argv), "out": str(out), "err": str(self.err)}
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(address)
            connection.sendall(json.dumps(order).encode() + b"\n")
            self._answers = connection.makefile("r")
        began = self._answers.readline()
        assert began, f"{module} was not begun: see {self.err} and said.txt beside it"
        self._pid = int(began)

    def tell(self, number: signal.Signals) -> None:
        """Send it a signal."""
        if not self._answers.closed:
            os.kill(self._pid, number)

    def end(self) -> int | None:
        """Its exit code, when it has ended; None if it was killed."""
        with self._answers:
            return int(self._answers.readline() or -1)

    def kill(self) -> None:
        """It is gone when this comes back."""
        if not self._answers.closed:
            self.tell(signal.SIGKILL)
            self.end()


class Forks:
    """Tiled, imported once for all who name the same folder: see `tests/tiled_forks.py`."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self._folder = folder
        self._users = (folder / "users").open("a")
        fcntl.flock(self._users, fcntl.LOCK_SH)
        with (folder / "begin").open("a") as one_at_a_time, (folder / "said.txt").open("ab") as said:
            fcntl.flock(one_at_a_time, fcntl.LOCK_EX)
            if not self._there():
                command, env = [sys.executable, "-m", "tests.tiled_forks", str(folder)], {**os.environ, **ONE_THREAD}
                nobody = subprocess.DEVNULL
                done = subprocess.run(command, cwd=ROOT, env=env, stdin=nobody, stdout=said, stderr=said, check=False)
                assert done.returncode == 0, (folder / "said.txt").read_text()[-3000:]

    def begin(self, module: str, *argv: str) -> Fork:
        """`python -m module argv`."""
        out = self._folder / f"{module.rsplit('.')[-1]}-{uuid.uuid4().hex[:12]}.out"
        return Fork((self._folder / "address").read_bytes(), out, module, *argv)

    def done(self, module: str, *argv: str) -> str:
        """The same, when it has ended well: its output."""
        fork = self.begin(module, *argv)
        code = fork.end()
        assert code == 0, f"{module} {argv}: {code}: {fork.err.read_text()[-3000:]}"
        return fork.out.read_text()

    def close(self) -> None:
        """We need it no more; the last one ends it."""
        self._users.close()

    def _there(self) -> bool:
        try:
            with socket.socket(socket.AF_UNIX) as probe:
                probe.connect((self._folder / "address").read_bytes())
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        return True


class Tiled:
    """A server on loopback whose catalog outlives it. `readable`: the folder whose arrays it may serve."""

    def __init__(self, forks: Forks, folder: Path, readable: Path) -> None:
        self._forks, self._server = forks, None
        folder.mkdir(exist_ok=True)
        self._port = socket.socket()  # it keeps the port for us while no server has it: bound, and never listening
        self._port.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._port.bind(("127.0.0.1", 0))
        number = self._port.getsockname()[1]
        self._command = [
            *("serve", "catalog", str(folder / "catalog.db")),
            *("-w", str(folder / "data"), "-w", f"duckdb:///{folder}/data.duckdb", "-r", str(readable)),
            *("--api-key", KEY, "--port", str(number)),
        ]
        self.uri = f"http://127.0.0.1:{number}/api/v1?api_key={KEY}"
        forks.done("tiled", "catalog", "init", str(folder / "catalog.db"))  # `serve --init` imports all once more
        self.start()

    def start(self) -> None:
        """It answers when this comes back."""
        self._server = self._forks.begin("tiled", *self._command)
        deadline = time.monotonic() + READY_S
        while not self._answers():
            if time.monotonic() > deadline:
                pytest.fail(f"Tiled's server does not answer: {self._server.err.read_text()[-2000:]}")
            time.sleep(0.05)

    def tell(self, number: signal.Signals) -> None:
        """Send it a signal."""
        if self._server is not None:
            self._server.tell(number)

    def kill(self) -> None:
        """At once; it is gone when this comes back."""
        if self._server is not None:
            self._server.kill()

    def close(self) -> None:
        """It is needed no more."""
        self.kill()
        self._port.close()

    def ingested(self, path: str | Path) -> dict[str, Any]:
        """What it holds after documents went into it: those that left a run (its folder), or those of a file."""
        source = Path(path) / "ledger.db" if Path(path).is_dir() else Path(path)
        return self._asked("tests.sinks.tiled_ingest", self.uri, str(source))

    def read(self, external: str, *uids: str) -> list[dict[str, Any]]:
        """What it holds of runs; `external`: the data key whose arrays lie in files."""
        return self._asked("tests.sinks.tiled_read", self.uri, external, *uids)

    def _asked(self, module: str, *argv: str) -> Any:
        return json.loads(self._forks.done(module, *argv).splitlines()[-1])

    def _answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(self._port.getsockname()) == 0
