"""Follow experiments live in another process: `python examples/follow_a_run.py localhost:9092 my_beamline`.

Prints one line a document, each once and in order, whatever happened to the broker meanwhile.
"""

import argparse

from insitu.sinks.consume import documents
from insitu.sinks.kafka import Link


def line(name: str, document: dict) -> str:
    """What a document says, short."""
    if name == "event":
        values = {k: v for k, v in document["data"].items() if v == v}  # NaN: no value, `<key>_status` says why
        shown = ", ".join(f"{k} {v:.6g}" if isinstance(v, float) else f"{k} {v}" for k, v in list(values.items())[:6])
        return f"{document['seq_num']:>6}  {shown}"
    if name == "stop":
        return f"stop    {document.get('exit_status')} {document.get('reason', '')}"
    return f"{name:<7} {document['uid']}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bootstrap", help="host:port of the broker")
    parser.add_argument("beamline", help="as in the recipe's [kafka]")
    parser.add_argument("--beginning", action="store_true", help="also what was sent before")
    parser.add_argument("--idle", type=float, metavar="SECONDS", help="end when nothing came for so long")
    given = parser.parse_args()
    to = Link(bootstrap=given.bootstrap, beamline=given.beamline)
    for name, document in documents(to, beginning=given.beginning, idle_s=given.idle):
        print(line(name, document), flush=True)


if __name__ == "__main__":
    main()
