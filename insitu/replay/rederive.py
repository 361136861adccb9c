"""The records of a run as they follow from its stored frames, every one computed again."""

from collections.abc import Iterator

from insitu.config import Setup
from insitu.errors import StorageError
from insitu.replay.fold import origin
from insitu.replay.spread import judged
from insitu.store.canonical import canonical, record_body
from insitu.store.runs import StoredRun


def rederive(run: StoredRun, setup: Setup, processes: int | None = None) -> Iterator[tuple[int, bytes]]:
    """(n, canonical record bytes)."""
    with origin(run) as source:
        head = run.open_body().get("derived_head", "")
        if head and source.head() != head:
            raise StorageError(
                f"run {source.uid}, from which this one was derived, is not what it was: its head has changed",
                where=str(source.path),
                remedy="`insitu verify` that run; restore it from a backup",
            )
        growing = source is run
        for _, record in judged(source, setup, run.path, left=run, growing=growing, processes=processes):
            yield record.measurement.n, canonical(record_body(record))
