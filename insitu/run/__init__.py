"""One live run: readers, store, analysis, operator; commit, stop, seal. `run` is the only entry.

Threads: one reader per source, one store (the only writer), one analysis (the only caller of the pipeline); main
supervises. Queues are unbounded but covered by one credit in bytes. Stop: readers end, the analysis drains, the last
commit, the seal. A second signal exits at once, which is the same as a crash.
"""

from pathlib import Path

from insitu.config import Setup
from insitu.errors import UsageError
from insitu.run import folder as folders
from insitu.run.engine import ENCODERS, Engine, source_spec
from insitu.run.summary import Summary
from insitu.run.view import Observer
from insitu.store.files import Disk

MODES = ("advise", "act")


def run(
    setup: Setup,
    *,
    data_root: Path,
    mode: str = "advise",
    operator: str = "",
    continues: str = "",
    observer: Observer | None = None,
    disk: Disk | None = None,
) -> Summary:
    """Run a recipe until its sources end, a rule ends it (mode `act`), or a signal does. Blocks; call it from the
    main thread so that SIGINT and SIGTERM are handled. `observer` is shown the status about five times a second.

    Raises `InsituError` only before anything was taken; afterwards the summary carries the error.
    """
    if mode not in MODES:
        raise UsageError(f"unknown mode {mode!r}", expected=" or ".join(MODES))
    told, found = folders.recover_leftovers(data_root)
    engine = Engine(setup, data_root, mode, operator, continues, found, disk or Disk())
    engine.shared.notes.extend(told)
    return engine.run(observer)


__all__ = ["ENCODERS", "Summary", "run", "source_spec"]
