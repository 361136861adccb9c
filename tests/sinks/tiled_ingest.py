"""Write the outbox of a run into a Tiled server with bluesky's TiledWriter, and print what the server then holds.

    python -m tests.sinks.tiled_ingest URI LEDGER

A process of its own: the client's warnings are none of ours.
"""

import sqlite3
import sys
from contextlib import closing

import orjson
from bluesky.callbacks.tiled_writer import TiledWriter
from tiled.client import from_uri

from insitu.store.outbox import rows, unpack


def main(uri: str, ledger: str) -> None:
    writer = TiledWriter.from_uri(uri)
    with closing(sqlite3.connect(f"file:{ledger}?mode=ro", uri=True)) as db:
        documents = [unpack(packed) for _, _, _, packed in rows(db)]
    for name, document in documents:
        writer(name, document)
    uid = documents[0][1]["uid"]
    stored = from_uri(uri)[uid]
    held = {"start": stored.metadata["start"]["uid"], "stop": stored.metadata["stop"]["num_events"], "streams": {}}
    arrays = {key for name, d in documents if name == "descriptor" for key, k in d["data_keys"].items() if k["shape"]}
    for name in held["stop"]:
        table = stored[name].base["internal"].read()
        # the table has arrays as shortened text; they are read one by one
        held["streams"][name] = {
            key: (stored[name][key].read() if key in arrays else table[key]).tolist() for key in table
        }
    print(orjson.dumps(held).decode())


if __name__ == "__main__":
    main(*sys.argv[1:])
