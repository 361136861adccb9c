"""Write the outbox of a run into a Tiled server with bluesky's TiledWriter, and print what the server then holds.

    python -m tests.sinks.tiled_ingest URI LEDGER
    python -m tests.sinks.tiled_ingest URI DOCUMENTS.jsonl          # of a RunEngine

A process of its own: the client's warnings are none of ours.
"""

import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson
from bluesky.callbacks.tiled_writer import TiledWriter
from tiled.client import from_uri

from insitu.bluesky.tiled import teach
from insitu.store.outbox import rows, unpack


def main(uri: str, ledger: str) -> None:
    teach()
    writer = TiledWriter.from_uri(uri)
    if ledger.endswith(".jsonl"):
        documents = [orjson.loads(line) for line in Path(ledger).read_bytes().splitlines()]
    else:
        with closing(sqlite3.connect(f"file:{ledger}?mode=ro", uri=True)) as db:
            documents = [unpack(packed) for _, _, _, packed in rows(db)]
    for name, document in documents:
        writer(name, document)
    keys = [item for name, d in documents if name == "descriptor" for item in d["data_keys"].items()]
    arrays = {key for key, described in keys if described["shape"]}
    external = {key for key, described in keys if "external" in described}
    client = from_uri(uri)
    runs = [read(client[d["uid"]], arrays, external) for name, d in documents if name == "start"]
    print(orjson.dumps({**runs[0], "runs": runs}).decode())


def read(stored: Any, arrays: set[str], external: set[str]) -> dict[str, Any]:
    """What the server holds of one run."""
    stop = stored.metadata["stop"]
    held = {"start": stored.metadata["start"]["uid"], "stop": stop["num_events"], "ended": stop["exit_status"]}
    held |= {"reason": stop.get("reason", ""), "streams": {}}
    for name in held["stop"]:
        base = stored[name].base
        table = base["internal"].read() if "internal" in base else {}  # a fly scan has frames alone
        # the table has arrays as shortened text; they are read one by one
        held["streams"][name] = {
            key: (stored[name][key].read() if key in arrays else table[key]).tolist() for key in table
        }
        for key in external & set(stored[name]):
            array = stored[name][key].read()
            held["streams"][name][key] = {"values": array.tolist(), "dtype": array.dtype.str}
    return held


if __name__ == "__main__":
    main(*sys.argv[1:])
