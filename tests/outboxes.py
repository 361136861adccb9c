"""Run folders with an outbox, made with the ledger's own writer: what a forwarder finds, without a run behind it."""

import uuid
from pathlib import Path

import msgpack

from insitu.store.canonical import canonical
from insitu.store.files import Disk
from insitu.store.ledger import Ledger


def document(uid: str, i: int, *, filler: int = 0) -> tuple[str, bytes]:
    """(name, bytes) of the i-th document of a run; as long as an event of about eight features."""
    name = "start" if i == 1 else "event"
    features = {f"peak{k}_position": 28.4 + 1e-3 * (i % 97) * k for k in range(8)}
    body = {"uid": f"{uid}/{i}", "seq_num": i, "data": features, "filler": "x" * filler}
    return name, bytes(msgpack.packb((name, body)) or b"")


class Outgoing:
    """The writing side of one run. `uid` is the name of its folder."""

    def __init__(self, root: Path) -> None:
        self.uid = str(uuid.uuid4())
        self.folder = root / self.uid
        (self.folder / "inbox").mkdir(parents=True)
        self.ledger = Ledger(self.folder / "ledger.db", Disk())
        self.ledger.add("open", None, canonical({"uid": self.uid}))
        self.ledger.commit()
        self.count = 0

    def offer(self, count: int, *, group: int = 256, filler: int = 0) -> "Outgoing":
        """So many documents more, committed in groups."""
        for k in range(count):
            self.count += 1
            self.ledger.offer(None, *document(self.uid, self.count, filler=filler))
            if k % group == group - 1:
                self.ledger.commit()
        self.ledger.commit()
        return self

    def seal(self) -> "Outgoing":
        """The last document and the seal entry in one commit; then the ledger is one immutable file."""
        self.offer(0)
        self.count += 1
        self.ledger.offer(None, "stop", bytes(msgpack.packb(("stop", {"run_start": self.uid})) or b""))
        self.ledger.add("seal", None, canonical({"ended": "complete"}))
        self.ledger.commit()
        self.ledger.finish()
        return self
