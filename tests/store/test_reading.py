"""Frames read one after another are those that are read alone, also while a run is being written."""

from dataclasses import replace

import numpy as np

from insitu.store.ledger import AHEAD
from insitu.store.runs import StoredRun
from insitu.types import Frame


def same(a: Frame, b: Frame) -> bool:
    return (a.n, a.seq, a.data.tobytes(), a.context) == (b.n, b.seq, b.data.tobytes(), b.context)


def test_frames_one_after_another_are_those_read_alone(new_run) -> None:
    run = new_run()
    taken = [run.take(number) for number in range(2 * AHEAD + 9)]
    run.end()
    with StoredRun(run.folder) as stored:
        for found in (list(stored.frames()), [stored.frame_n(f.n) for f in taken]):
            assert all(same(a, b) for a, b in zip(found, taken, strict=True))
        few = list(stored.frames(wanted=lambda n, _, __: n % 50 == 7))
        assert [f.n for f in few] == [7, 57, 107]
        assert all(same(f, taken[f.n]) for f in few)
        assert [f.n for f in stored.frames(after=2 * AHEAD + 6)] == [2 * AHEAD + 7, 2 * AHEAD + 8]


def test_places_are_asked_for_several_frames_at_a_time(new_run) -> None:
    run = new_run()
    for number in range(3 * AHEAD):
        run.take(number)
    run.end()
    with StoredRun(run.folder) as stored:
        asked: list[str] = []
        stored.connection.set_trace_callback(asked.append)
        assert sum(1 for _ in stored.frames()) == 3 * AHEAD
        assert sum("FROM place" in sql for sql in asked) <= 5


def test_frames_that_are_committed_while_others_are_read_come_too(new_run) -> None:
    run = new_run()
    for number in range(3):
        run.take(number)
    run.writer.commit()
    with StoredRun(run.folder) as stored:
        frames = stored.frames()
        first = [next(frames), next(frames)]
        more = [run.take(number) for number in range(3, 100)]
        run.writer.commit()
        found = [*first, *frames]
    assert len(found) == 100
    assert all(same(found[f.n], f) for f in more)
    run.end()


def test_a_frame_with_several_arrays_has_them_all(new_run) -> None:
    run = new_run()
    for number in range(5):
        run.take(number, sigma=np.full(64, number + 1.0), mask=np.arange(64) == number)
    run.end()
    with StoredRun(run.folder) as stored:
        for k, f in enumerate(stored.frames()):
            assert f.sigma is not None
            assert f.mask is not None
            assert (f.sigma[0], int(np.argmax(f.mask))) == (k + 1.0, k)
            assert same(replace(f), stored.frame_n(k))
