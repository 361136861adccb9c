"""Tiled's own server in a process of its own, and what it holds after bluesky's writer has filled it."""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
KEY = "secret"
READY_S = 150.0


@contextmanager
def tiled_server(said: Path, readable: Path) -> Iterator[str]:
    """The address of a server with an empty catalog on loopback. `readable`: the folder whose arrays it may serve."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = ["-m", "tiled", "serve", "catalog", "--temp", "--api-key", KEY, "--port", str(port), "-r", str(readable)]
    with said.open("wb") as out, subprocess.Popen([sys.executable, *command], stdout=out, stderr=out) as process:
        try:
            _answers(port, process, said)
            yield f"http://127.0.0.1:{port}/api/v1?api_key={KEY}"
        finally:
            process.terminate()


def _answers(port: int, process: subprocess.Popen[bytes], said: Path) -> None:
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.2)
    pytest.fail(f"Tiled's server does not answer: {said.read_text()[-2000:]}")


def ingested(server: str, path: str | Path) -> dict[str, Any]:
    """What Tiled holds after documents went into it: those that left a run (its folder), or those of a file."""
    source = Path(path) / "ledger.db" if Path(path).is_dir() else Path(path)
    command = [sys.executable, "-m", "tests.sinks.tiled_ingest", server, str(source)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])
