"""The fold of a stored run: its frames in order of `n` through the same `measure` and `judge` as the live run."""

from collections.abc import Iterator
from contextlib import contextmanager

from insitu.config import Setup
from insitu.errors import NotFoundError, StorageError
from insitu.pipeline import Pipeline
from insitu.references import Declared, ReferenceFold
from insitu.store.canonical import canonical, record_body
from insitu.store.runs import StoredRun
from insitu.types import Frame, Record, References

MOST_BYTES = 64_000_000
"""Of frames that wait to be measured together."""


def fold(
    run: StoredRun,
    pipeline: Pipeline,
    references: ReferenceFold,
    left_out: frozenset[int] = frozenset(),
    *,
    growing: bool = False,
) -> Iterator[tuple[Frame, Record]]:
    """Every stored frame and the record about it, in order of `n`. `left_out`: frames that were shed or skipped; they
    are neighbours and references, but are not judged. `growing`: with the provisional frames of scans that went on."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1):  # as in the live run: sums of several threads end in other bits
        yield from _fold(run, pipeline, references, left_out, growing=growing)


def _fold(
    run: StoredRun, pipeline: Pipeline, references: ReferenceFold, left_out: frozenset[int], *, growing: bool
) -> Iterator[tuple[Frame, Record]]:
    waiting: list[tuple[Frame, References, tuple[Frame, ...]]] = []
    nbytes = 0
    for item in _with_neighbours(run, pipeline, references, growing=growing):
        frame = item[0]
        if frame.n in left_out:
            continue
        waiting.append(item)
        nbytes += frame.data.nbytes * (1 + len(item[2]))
        if len(waiting) >= pipeline.batch(frame.source) or nbytes > MOST_BYTES:
            yield from _judged(waiting, pipeline)
            waiting, nbytes = [], 0
    yield from _judged(waiting, pipeline)


def _with_neighbours(
    run: StoredRun, pipeline: Pipeline, references: ReferenceFold, *, growing: bool
) -> Iterator[tuple[Frame, References, tuple[Frame, ...]]]:
    """Every stored frame in order of `n`, with the references in force and the frames before it."""
    rings: dict[str, list[Frame]] = {}
    for frame in run.frames(growing=growing):
        k = pipeline.before(frame.source)
        ring = rings.setdefault(frame.source, [])
        before = tuple(ring[-k:]) if k else ()
        if k and not frame.provisional:
            ring.append(frame)
            del ring[:-k]
        refs = references.of(frame.source)
        if not frame.provisional:
            references.see(frame)
        yield frame, refs, before


def _judged(
    waiting: list[tuple[Frame, References, tuple[Frame, ...]]], pipeline: Pipeline
) -> Iterator[tuple[Frame, Record]]:
    """The records of several frames, in order."""
    if len(waiting) == 1:
        yield waiting[0][0], pipeline.step(*waiting[0])
        return
    for (frame, _, _), measurement in zip(waiting, pipeline.measure_many(waiting), strict=True):
        yield frame, pipeline.judge(measurement)


def left_out(run: StoredRun) -> frozenset[int]:
    """`n` of the frames that were stored and not analysed."""
    return frozenset(e.n for e in run.entries("shed", "skipped") if e.n is not None)


def reference_fold(setup: Setup) -> ReferenceFold:
    """The references as a run of this setup begins."""
    return ReferenceFold(Declared(r.name, r.source, r.first, r.file) for r in setup.references)


@contextmanager
def origin(run: StoredRun) -> Iterator[StoredRun]:
    """The run that holds the raw frames: itself, or the one that a derived run was made from."""
    uid = run.open_body().get("derived_from", "")
    if not uid:
        yield run
        return
    for path in run.path.absolute().parent.parent.glob(f"*/{uid}"):
        with StoredRun(path) as source:
            yield source
        return
    raise NotFoundError(
        f"the raw frames are in run {uid}, which is not beside this one",
        where=str(run.path),
        remedy="Put both run folders under the same data root",
    )


def rederive(run: StoredRun, setup: Setup) -> Iterator[tuple[int, bytes]]:
    """(n, canonical record bytes) as they follow from the stored frames."""
    with origin(run) as source:
        head = run.open_body().get("derived_head", "")
        if head and source.head() != head:
            raise StorageError(
                f"run {source.uid}, from which this one was derived, is not what it was: its head has changed",
                where=str(source.path),
                remedy="`insitu verify` that run; restore it from a backup",
            )
        out = left_out(run)
        for frame, record in fold(source, setup.pipeline(), reference_fold(setup), out, growing=source is run):
            yield frame.n, canonical(record_body(record))
