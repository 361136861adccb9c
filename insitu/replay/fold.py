"""The fold of a stored run: its frames in order of `n` through the same `measure` and `judge` as the live run."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from insitu.config import Setup
from insitu.errors import NotFoundError
from insitu.pipeline import Item, Pipeline
from insitu.references import Declared, ReferenceFold
from insitu.store.runs import StoredRun, Wanted
from insitu.types import Feature, Frame, Measurement, Record, References

MOST_BYTES = 64_000_000
"""Of frames that wait to be measured together."""
FIRST = (1, 4)
"""Frames that are measured together at first: what they take tells what the rest will."""
Known = Callable[[Frame, References], Mapping[str, Feature]]
"""Features of a frame that need not be computed."""


def fold(
    run: StoredRun,
    pipeline: Pipeline,
    references: ReferenceFold,
    left_out: frozenset[int] = frozenset(),
    *,
    growing: bool = False,
    known: Known | None = None,
    after: int = -1,
) -> Iterator[tuple[Frame, Record]]:
    """Every stored frame and the record about it, in order of `n`. `left_out`: frames that were shed or skipped; they
    are neighbours and references, but are not judged. `growing`: with the provisional frames of scans that went on.
    `after`: only frames behind this one are judged."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1):  # as in the live run: sums of several threads end in other bits
        waiting: list[Item] = []
        nbytes, flushed = 0, 0
        for item in with_neighbours(run, pipeline, references, growing=growing):
            frame = item[0]
            if frame.n in left_out or frame.n <= after:
                continue
            waiting.append(item)
            nbytes += frame.data.nbytes * (1 + len(item[2]))
            most = pipeline.batch(frame.source)
            if len(waiting) >= (min(FIRST[flushed], most) if flushed < len(FIRST) else most) or nbytes > MOST_BYTES:
                yield from _judged(waiting, pipeline, known)
                waiting, nbytes, flushed = [], 0, flushed + 1
        yield from _judged(waiting, pipeline, known)


def with_neighbours(
    run: StoredRun,
    pipeline: Pipeline,
    references: ReferenceFold,
    *,
    growing: bool = False,
    wanted: Wanted | None = None,
) -> Iterator[Item]:
    """Every stored frame in order of `n`, with the references in force and the frames before it. `wanted`: the frames
    that are asked for; those that references and neighbours are made of come as well."""
    rings: dict[str, list[Frame]] = {}

    def read(n: int, source: str, role: str) -> bool:
        assert wanted is not None
        return wanted(n, source, role) or role != "sample" or references.waits(source) or pipeline.before(source) > 0

    for frame in run.frames(growing=growing, wanted=None if wanted is None else read):
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


def _judged(waiting: list[Item], pipeline: Pipeline, known: Known | None) -> Iterator[tuple[Frame, Record]]:
    """The records of several frames, in order."""
    for (frame, _, _), measurement in zip(waiting, measured(waiting, pipeline, known), strict=True):
        yield frame, pipeline.judge(measurement)


def measured(items: list[Item], pipeline: Pipeline, known: Known | None = None) -> list[Measurement]:
    """The features of several frames; what is `known` is not computed."""
    if known is not None:
        return pipeline.measure_many(items, [known(frame, refs) for frame, refs, _ in items])
    return [pipeline.measure(*items[0])] if len(items) == 1 else pipeline.measure_many(items)


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
