"""The process that carries the documents of whole runs to Tiled: `python -m insitu.bluesky.carried`, started by a
`Carrier`, or by hand with {"uri": ..., "folder": ...} as its input.

A run is written with bluesky's `TiledWriter` and read back. Where anything fails on the way it is deleted there, and
written again later. Ends when its input does.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import select
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

from insitu.bluesky.parts import WHOLE, complete, documents, orphans

log = logging.getLogger(__name__)
LOOK_S = 0.1
ORPHANS_S = 1.0
"""So often, at most, it looks for runs that nobody writes any more."""
REST_S = (0.5, 30.0)
"""After a failure: the first rest, and the longest."""


def carry(client: Any, path: Path) -> None:
    """One run into Tiled. Raises where it is not there, whole, afterwards."""
    from bluesky.callbacks.tiled_writer import TiledWriter

    with path.open("rb") as file:
        found = list(documents(file))
    run = str(found[0][1]["uid"])
    if run in client:
        client.delete_contents(run, recursive=True, external_only=False)
    writer = TiledWriter(client)
    for name, document in found:
        writer(name, document)
    check(client[run], found)


def check(stored: Any, found: list[tuple[str, Any]]) -> None:
    """Whether Tiled has every row once: a request that was given up may have been carried out later."""
    stop = found[-1][1]
    if stored.metadata.get("stop", {}).get("uid") != stop["uid"]:
        raise OSError("its stop document is not there")
    names = {document["uid"]: document["name"] for name, document in found if name == "descriptor"}
    rows: dict[str, list[int]] = {}
    for name, document in found:
        if name == "event":
            rows.setdefault(names[document["descriptor"]], []).append(document["seq_num"])
    for stream, numbers in rows.items():
        there = stored[stream].base["internal"].read()["seq_num"].tolist()
        if there != numbers:
            raise OSError(f"{len(there)} rows of {stream} are there, and {len(numbers)} were written")


def end_orphans(folder: Path) -> None:
    """Give an end to the runs of processes that were killed."""
    for path in orphans(folder):
        try:
            complete(path)
        except Exception as e:  # noqa: BLE001 - the boundary: whatever it is, it is tried again
            log.warning("insitu: %s cannot be ended yet: %s: %.300s", path.name, type(e).__name__, e)


def over(timeout_s: float) -> bool:
    """Whether our input has ended: nobody needs us any more."""
    ready, _, _ = select.select([sys.stdin], [], [], timeout_s)
    return bool(ready) and not os.read(sys.stdin.fileno(), 1)


def main() -> int:
    """Until the input ends: what is in the folder, as it comes."""
    line = bytearray()
    while not line.endswith(b"\n") and (read := os.read(sys.stdin.fileno(), 1)):
        line += read
    settings = json.loads(line)
    folder, rest, again, client = Path(settings["folder"]), REST_S[0], 0.0, None
    failed: Counter[Path] = Counter()
    with (folder / "lock").open("w") as lock:
        while True:
            with suppress(BlockingIOError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            if over(LOOK_S):
                return 0
        look = 0.0
        while True:
            if time.monotonic() >= look:
                look = time.monotonic() + ORPHANS_S
                end_orphans(folder)
            waiting = sorted(folder.glob(f"*{WHOLE}"), key=lambda path: (failed[path], path.stat().st_mtime_ns))
            if not waiting or (failed[waiting[0]] and time.monotonic() < again):  # one that is new has its try at once
                if over(LOOK_S):
                    return 0
                continue
            try:
                client = client or connected(settings["uri"])
                carry(client, waiting[0])
                waiting[0].unlink()
                rest = REST_S[0]
            except Exception as e:  # noqa: BLE001 - the boundary: whatever it is, it is tried again
                log.warning("insitu: %s is not in Tiled yet: %s: %.300s", waiting[0].stem, type(e).__name__, e)
                failed[waiting[0]] += 1  # the others have their turn first
                again, rest, client = time.monotonic() + rest, min(2 * rest, REST_S[1]), None


def connected(uri: str) -> Any:
    """A client of the server, for a writer that knows Zarr."""
    from bluesky.callbacks.tiled_writer import TiledWriter

    from insitu.bluesky.tiled import teach

    teach()
    return TiledWriter.from_uri(uri).client


if __name__ == "__main__":
    sys.exit(main())
