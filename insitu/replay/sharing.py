"""The process that measures a share of a stored run: `python -m insitu.replay.sharing`, started by `spread`.

It reads the run itself, measures its blocks of frames, and writes them as they come. It ends when it is done, or when
nobody reads any more.
"""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import orjson

from insitu.config import load_stored
from insitu.pipeline import Item
from insitu.replay.carried import LENGTH, Share, pack
from insitu.replay.fold import left_out, measured, reference_fold, with_neighbours
from insitu.replay.kept import kept
from insitu.store.runs import StoredRun


def blocks(share: Share) -> Iterator[bytes]:
    """The measurements of every block of a share, in order."""
    from threadpoolctl import threadpool_limits

    setup = load_stored(Path(share.settings))
    pipeline = setup.pipeline()
    with ExitStack() as stack:
        stack.enter_context(threadpool_limits(limits=1))
        source = stack.enter_context(StoredRun(Path(share.source)))
        known = kept(stack.enter_context(StoredRun(Path(share.known))), setup, pipeline).of if share.known else None
        mine = _mine(source, share)
        block: list[Item] = []
        of_block = -1
        wanted = with_neighbours(source, pipeline, reference_fold(setup), wanted=lambda n, _, __: n in mine)
        for item in wanted:
            number = mine.get(item[0].n, -1)
            if number < 0:
                continue
            if block and number != of_block:
                yield _packed(block, measured(block, pipeline, known))
                block = []
            block.append(item)
            of_block = number
        if block:
            yield _packed(block, measured(block, pipeline, known))


def _mine(source: StoredRun, share: Share) -> dict[int, int]:
    """{n: number of its block} of the frames of a share."""
    left: frozenset[int] = frozenset()
    if share.left:
        with StoredRun(Path(share.left)) as run:
            left = left_out(run)
    rows = source.query("SELECT n FROM log WHERE kind = 'frame' AND n > ? ORDER BY id", (share.after,))
    judged = (n for (n,) in rows if n not in left)
    return {n: i // share.size for i, n in enumerate(judged) if i // share.size % share.of == share.place}


def _packed(block: list[Item], found: list[Any]) -> bytes:
    return pack([(frame.data.nbytes, m) for (frame, _, _), m in zip(block, found, strict=True)])


def main(fd: int, share: Share) -> int:
    """Writes each block with its length before it, and a length of 0 behind the last one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who started us ends us
    os.nice(share.nice)
    with open(fd, "wb", buffering=0) as out:
        try:
            for block in blocks(share):
                _write(out, len(block).to_bytes(LENGTH, "little") + block)
            _write(out, bytes(LENGTH))
        except BrokenPipeError:
            return 1
    return 0


def _write(out: Any, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[out.write(view) :]


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), Share(*orjson.loads(sys.argv[2]))))
