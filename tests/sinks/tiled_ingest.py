"""Write the outbox of a run into a Tiled server with bluesky's TiledWriter, and print what the server then holds.

    python -m tests.sinks.tiled_ingest URI LEDGER
    python -m tests.sinks.tiled_ingest URI DOCUMENTS.jsonl          # of a RunEngine, one run

A process of its own: the client's warnings are none of ours.
"""

import sqlite3
import sys
from contextlib import closing
from pathlib import Path

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
    uid = documents[0][1]["uid"]
    stored = from_uri(uri)[uid]
    held = {"start": stored.metadata["start"]["uid"], "stop": stored.metadata["stop"]["num_events"], "streams": {}}
    arrays = {key for name, d in documents if name == "descriptor" for key, k in d["data_keys"].items() if k["shape"]}
    keys = [item for name, d in documents if name == "descriptor" for item in d["data_keys"].items()]
    external = {key for key, described in keys if "external" in described}
    for name in held["stop"]:
        table = stored[name].base["internal"].read()
        # the table has arrays as shortened text; they are read one by one
        held["streams"][name] = {
            key: (stored[name][key].read() if key in arrays else table[key]).tolist() for key in table
        }
        for key in external & set(stored[name]):
            array = stored[name][key].read()
            held["streams"][name][key] = {"values": array.tolist(), "dtype": array.dtype.str}
    print(orjson.dumps(held).decode())


if __name__ == "__main__":
    main(*sys.argv[1:])
