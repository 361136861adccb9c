"""Frames that wait take credit: nothing grows without bound, files wait, live sources drop and count."""

import time

import numpy as np

from insitu.run import run
from tests.run.reading import proven
from tests.settings import detector, setup


def test_a_frame_larger_than_the_credit_is_a_clear_error(tmp_path):
    found = {"bench": {k: v for k, v in detector(frames=5).items() if k not in ("shape", "dtype")}}
    summary = run(setup(None, 'budget.in_flight="8 kB"', detectors=found), data_root=tmp_path)
    assert summary.exit_code == 3
    assert "larger than the whole credit" in summary.reason
    assert "budget.in_flight" in str(summary.error)


def test_a_file_source_waits_for_credit_and_loses_nothing(tmp_path):
    summary = run(setup(None, 'budget.in_flight="40 kB"', frames=80), data_root=tmp_path)
    assert summary.frames["stored"] == summary.records == 80
    proven(summary)


def test_a_live_source_without_credit_drops_frames_counts_them_and_keeps_their_rows(tmp_path, monkeypatch):
    from insitu.store.writer import RunWriter

    plain = RunWriter.commit

    def slow(self):
        time.sleep(0.05)
        return plain(self)

    monkeypatch.setattr(RunWriter, "commit", slow)
    summary = run(setup(None, 'budget.in_flight="60 kB"', frames=200, live=True), data_root=tmp_path)
    f = summary.frames
    assert f["dropped"] > 0
    assert f["stored"] + f["dropped"] == f["expected"] == 200
    monkeypatch.undo()
    proven(summary)


def test_a_live_source_that_is_behind_sheds_analysis_never_storage(tmp_path, monkeypatch):
    from insitu.pipeline import Pipeline

    plain = Pipeline.measure

    def slow(self, *a):
        time.sleep(0.02)
        return plain(self, *a)

    monkeypatch.setattr(Pipeline, "measure", slow)
    summary = run(setup(None, 'budget.lag="0.1 s"', frames=150, live=True, rate="500 Hz"), data_root=tmp_path)
    assert summary.frames["stored"] == 150
    assert summary.analysis["shed"] > 20
    assert summary.analysis["analysed"] + summary.analysis["shed"] == 150
    monkeypatch.undo()
    proven(summary)


def test_memory_does_not_hold_frames_after_their_commit(tmp_path):
    import gc

    summary = run(setup(frames=300), data_root=tmp_path)
    gc.collect()
    alive = sum(isinstance(o, np.ndarray) and o.shape == (4096,) and o.dtype == np.uint32 for o in gc.get_objects())
    assert summary.records == 300
    assert alive < 10


def test_tiny_frames_take_credit_for_what_surrounds_them_and_give_all_of_it_back(tmp_path, monkeypatch):
    """256 bytes of data are some kilobytes of memory: the queue of a fast source is bounded all the same."""
    from insitu.run.credit import Credit
    from insitu.run.intake import OVERHEAD

    seen = []
    plain = Credit.__init__
    monkeypatch.setattr(Credit, "__init__", lambda self, limit: (plain(self, limit), seen.append(self))[0])
    tiny = {"bench": {"format": 1, "source": "det", "reader": {"use": "tests.run.simple:Tiny", "frames": 400}}}
    more = {"features": [{"use": "totals"}], "models": [], "rules": []}
    summary = run(setup(more, 'budget.in_flight="100 kB"', detectors=tiny), data_root=tmp_path)
    (credit,) = seen
    assert (summary.frames["stored"], summary.records) == (400, 400)
    assert OVERHEAD + 256 <= credit.peak <= 100_000
    assert credit.peak % (OVERHEAD + 256) == 0, "nothing else was counted"
    assert credit.used == 0
