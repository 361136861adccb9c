"""The frames of a stored run as a source: a new run takes them as if they came from the instrument."""

from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

from insitu.errors import SourceError
from insitu.store.runs import StoredRun, is_run
from insitu.types import Arrival, Detector

_SAME = tuple(f.name for f in fields(Arrival) if f.name not in ("source", "source_run_uid"))


class Stored:
    """Arrivals in the order in which they were stored. `path`: a run folder; `source`: which of its sources (needed
    where it has several). Times, numbers, context and labels are those of the stored frames; `source_run_uid` names
    the run. Use `insitu reanalyse` where the raw data need not be stored again."""

    def __init__(self, path: str, *, source: str | None = None, detector: Detector | None = None) -> None:
        self.path, self.source = Path(path), source
        self._name = detector.source if detector else None

    def __call__(self) -> Iterator[Arrival]:
        if not is_run(self.path):
            raise SourceError("this is no run folder", where=str(self.path), expected="a folder with a ledger.db")
        with StoredRun(self.path) as run:
            sources = run.sources()
            if self.source is None and len(sources) != 1:
                raise SourceError(
                    f"the run has {len(sources)} sources", where=str(self.path), expected=f"source = one of {sources}"
                )
            source = self.source or sources[0]
            for frame in run.frames(source):
                same = {name: getattr(frame, name) for name in _SAME}
                yield Arrival(source=self._name or source, source_run_uid=run.uid, **same)
