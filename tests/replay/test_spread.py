"""A stored run over several processes: the same bytes as by one, also where one of them dies."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from insitu.config import load_stored
from insitu.replay import carried, spread
from insitu.run import run
from insitu.store.canonical import canonical, record_body
from insitu.store.runs import StoredRun
from insitu.types import ArrayFeature, Axis, Feature, Measurement
from tests.settings import setup


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    table = {
        "references": [{"name": "reference", "source": "det", "first": 20}],
        "features": [{"use": "totals"}],
        "models": [{"use": "limits", "feature": "total", "low": "1 counts", "high": "2e9 counts"}],
    }
    return Path(run(setup(table, frames=60), data_root=tmp_path_factory.mktemp("data")).path)


def again(folder: Path, **keys: Any) -> list[tuple[int, bytes]]:
    with StoredRun(folder) as given:
        found = spread.judged(given, load_stored(folder), folder, left=given, **keys)
        return [(j.nbytes, canonical(record_body(j.record))) for j in found]


def test_two_processes_and_none_that_dies_change_a_byte(stored: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = again(stored, processes=1)
    with StoredRun(stored) as given:
        assert [body for _, body in alone] == [body for _, body in given.record_bytes()]
    monkeypatch.setattr(spread, "BLOCK_S", 0.0)
    asked: list[int] = []
    own = spread._Process.next

    def count(process: Any) -> bytes | None:
        asked.append(len(asked))
        return own(process)

    monkeypatch.setattr(spread._Process, "next", count)
    assert again(stored, processes=2, pays_s=0.0) == alone
    assert len(asked) > 50

    def dies(process: Any) -> bytes | None:
        asked.append(len(asked))
        return own(process) if len(asked) < 12 else None

    asked.clear()
    monkeypatch.setattr(spread._Process, "next", dies)
    assert again(stored, processes=2, pays_s=0.0) == alone
    assert len(asked) == 12


def test_a_short_run_stays_in_one_process(stored: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spread, "_measured", None)
    assert len(again(stored)) == 60


def test_a_measurement_is_carried_to_the_last_bit() -> None:
    axes = {"q": Axis(np.array([0.1, 0.2, 0.30000000000000004]), "1/angstrom")}
    arrays = {"map": ArrayFeature(values=np.arange(6, dtype=">f4").reshape(2, 3)[:, ::-1], dims=("y", "q"), axes=axes)}
    features = {
        "a": Feature(0.1 + 0.2, "deg", sigma=1e-300), "b": Feature(7), "c": Feature(10**30), "d": Feature(-0.0),
        "e": Feature(None, "K", why="caf\udce9"),
    }  # fmt: skip
    m = Measurement(
        source="det", seq=3, n=9, time_ns=2**62, source_seq=None, role="dark", complete=False, provisional=True,
        points=5, features=features, arrays=arrays, context={"t": Feature(300, "K")}, labels={"file": "caf\udce9.xy"},
        references={"dark": "blake3:0"}, faults=("one", "two"), source_run_uid="u",
    )  # fmt: skip
    ((nbytes, back),) = carried.unpack(carried.pack([(12, m)]))
    assert nbytes == 12
    for name in ("features", "context"):
        assert repr(getattr(back, name)) == repr(getattr(m, name))
    assert all(getattr(back, name) == getattr(m, name) for name in carried.PLAIN)
    a, b = back.arrays["map"], arrays["map"]
    assert (a.values.tobytes(), a.values.dtype, a.values.shape) == (b.values.tobytes(), b.values.dtype, (2, 3))
    assert (a.dims, a.unit, a.axes["q"].unit) == (b.dims, b.unit, "1/angstrom")
    assert np.array_equal(a.axes["q"].values, axes["q"].values)
