"""A process that imports Tiled's server, its client and bluesky's writer once, which is most of what they cost, and
does command lines in forks of itself, for all workers of a test session: `python -m tests.tiled_forks FOLDER`.

It comes back when another process goes on behind it: its address is in FOLDER/address, and it ends, with its forks,
when nobody holds a lock on FOLDER/users any more, however they came to let go of it. A connection is one command: a
line with the module, its arguments and the files for what it says; the answers are the process id and, when it has
ended, the exit code.
"""

import ctypes
import fcntl
import importlib
import json
import os
import runpy
import select
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import IO

NEEDED = (
    "tiled.commandline.main", "tiled.server.app", "tiled.catalog", "tiled.client", "uvicorn", "zarr",
    "adbc_driver_manager", "bluesky.callbacks.tiled_writer", "tests.sinks.tiled_ingest",
)  # fmt: skip
ONE_THREAD = {
    "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "NUMEXPR_MAX_THREADS": "1",
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
}  # fmt: skip
"""The environment that it needs: only a process without threads can be forked."""
PR_SET_PDEATHSIG = 1
LOOK_S = 0.5


def main(folder: Path) -> None:
    for name in NEEDED:
        importlib.import_module(name)
    threads = os.listdir("/proc/self/task")
    assert len(threads) == 1, f"{len(threads)} threads: a library has begun them when it was imported"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("")  # the kernel's choice, and no file
        listening.listen(16)
        if not os.fork():
            os.setsid()  # no Ctrl-C of the terminal
            with (folder / "users").open("a") as users:
                serve(listening, users)
                (folder / "address").unlink()
            return
        new = folder / "address.new"
        new.write_bytes(listening.getsockname())
        new.rename(folder / "address")


def serve(listening: socket.socket, users: IO[str]) -> None:
    """A fork for each connection, as long as there are users."""
    while used(users):
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        if not select.select([listening], [], [], LOOK_S)[0]:
            continue
        connection, _ = listening.accept()
        with connection:
            if not os.fork():
                ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # it ends when we do, in whatever way
                listening.close()
                users.close()
                work(connection)


def used(users: IO[str]) -> bool:
    """Whether somebody holds it; if not it is ours, and nobody's until we have ended."""
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False


def work(connection: socket.socket) -> None:
    """In a fork: does not come back."""
    code = 1
    try:
        with connection.makefile("r") as lines:
            line = lines.readline()
        if not line:
            os._exit(0)  # somebody looked whether we are there
        order = json.loads(line)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        for number, path in ((1, order["out"]), (2, order["err"])):
            os.dup2(os.open(path, flags, 0o600), number)
        connection.sendall(b"%d\n" % os.getpid())
        sys.argv = [order["module"], *order["argv"]]
        runpy.run_module(order["module"], run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as e:
        code = e.code if isinstance(e.code, int) else int(e.code is not None)
    except BaseException:  # noqa: BLE001 - a fork must not go on as its parent
        sys.excepthook(*sys.exc_info())
    finally:
        with suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        with suppress(OSError):  # nobody waits for it
            connection.sendall(b"%d\n" % code)
        os._exit(code)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
