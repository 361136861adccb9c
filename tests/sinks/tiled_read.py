"""Print what a Tiled server holds of some runs: `python -m tests.sinks.tiled_read URI EXTERNAL UID...`. `EXTERNAL`: the
data key whose arrays lie in files. A process of its own: the client's warnings are none of ours."""

import sys

import orjson
from tiled.client import from_uri

from tests.sinks.tiled_ingest import read


def main(uri: str, external: str, *uids: str) -> None:
    client = from_uri(uri)
    print(orjson.dumps([read(client[uid], set(), {external}) for uid in uids]).decode())


if __name__ == "__main__":
    main(*sys.argv[1:])
