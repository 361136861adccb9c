"""Follow experiments live in another process: `python examples/follow_a_run.py localhost:9092 my_beamline`.

Prints one line a document, each once and in order, whatever happened to the broker meanwhile.
"""

import argparse

from insitu.sinks.consume import documents
from insitu.sinks.kafka import Link


def line(name: str, document: dict) -> str:
    """What a document says, short."""
    if name == "event":
        data = document["data"]
        numbers = {
            k: v for k, v in data.items() if isinstance(v, float) and v == v
        }  # NaN: no value; see `<key>_status`
        shown = [f"{k} {v:.6g}" for k, v in numbers.items() if not k.endswith("_sigma")][:6]
        if data.get("action", "CONTINUE") != "CONTINUE":
            shown.insert(0, f"{data['action']} by {data['rule']}")
        return f"{document['seq_num']:>6}  frame {data['frame_seq']}  {', '.join(shown)}"
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
