"""Shadow, canary, promote, roll back: through real runs."""

import time
from pathlib import Path

import numpy as np
import pytest
from bluesky.plans import count
from ophyd.sim import SynSignal

from insitu.bluesky import Session
from insitu.config import load
from insitu.errors import ModelError
from insitu.models.manifest import Ranges
from insitu.models.registry import Registry
from insitu.replay.verify import verify
from insitu.rollout.criteria import Criteria
from insitu.rollout.evidence import Evidence
from insitu.rollout.labels import read_labels
from insitu.rollout.steps import after_run, promote, review
from insitu.run import run
from insitu.store.runs import StoredRun
from tests.bundles import dense, pair, written

RECIPE = {
    "format": 1,
    "title": "rollout",
    "detectors": ["bench"],
    "features": [{"use": "totals"}],
    "models": [{"use": "network", "bundle": "registry:tiny", "name": "state"}],
    "budget": {"latency": "20 s"},  # how fast this machine is today is not what is tried here
    "rules": [{"use": "halt_after", "model": "state", "count": 100000}],
}
BENCH = {
    "format": 1,
    "source": "det",
    "shape": [512],
    "dtype": "uint32",
    "reader": {"use": "simulated.diffractometer", "frames": 40, "seed": 3},
}


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    """Serial 2 says what serial 1 says, serial 3 something else."""
    private, public = pair(tmp_path / "keys")
    monkeypatch.setenv("INSITU_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("INSITU_MODEL_KEYS", str(public))
    found = Registry()
    keys = {
        "labels": ("good", "bad"), "shape": (2,), "output": (2,), "preparation": "features",
        "params": {"keys": ["total", "noise"], "log": ["total", "noise"]}, "ranges": Ranges(),
    }  # fmt: skip
    for serial, seed in ((1, 1), (2, 1), (3, 3)):
        bundle = written(
            tmp_path / f"b{serial}", dense(2, 2, seed=seed), key=private, serial=serial, version=f"1.{serial}.0", **keys
        )
        found.add(bundle)
    found.activate("tiny", "1")
    return found


def one_run(root: Path) -> Path:
    setup = load(RECIPE, detectors={"bench": BENCH})
    return Path(run(setup, data_root=root).path)


def test_a_shadow_is_recorded_never_acts_and_is_promoted_once_it_has_agreed(tmp_path: Path, registry: Registry) -> None:
    registry.shadow("tiny", "2")
    folder = one_run(tmp_path / "data")
    with StoredRun(folder) as stored:
        record = stored.record(5)
        assert record is not None
        own, twin = record["verdicts"]["state"], record["verdicts"]["state_shadow"]
        assert own["model"] != twin["model"]
        assert own["label"] == twin["label"]
        assert {b["role"] for b in stored.open_body()["bundles"].values()} == {"current", "twin"}
    assert verify(folder).identical
    criteria = Criteria(frames=100)
    found = review(registry, "tiny", tmp_path / "data", criteria)
    assert found.against == ("both have judged 40 frames, 100 are asked for",)
    with pytest.raises(ModelError, match="not promoted"):
        promote(registry, found, criteria)
    passing = review(registry, "tiny", tmp_path / "data", Criteria(frames=40))
    promote(registry, passing, criteria)
    assert registry.standing("tiny").current == registry.standing("tiny").find("2")
    assert registry.entries()[-1].body["criteria"]["seen"]["agreed"] == 40


def test_a_canary_that_disagrees_is_rolled_back_after_its_run_and_no_frame_is_lost(
    tmp_path: Path, registry: Registry
) -> None:
    registry.canary("tiny", "3", share=1.0)
    folder = one_run(tmp_path / "data")
    (told,) = after_run(registry, folder, Criteria())
    assert "rolled back: it agrees on" in told
    standing = registry.standing("tiny")
    assert (standing.canary, standing.current) == (None, standing.find("1"))
    assert [e.kind for e in registry.entries()[-2:]] == ["note", "rollback"]
    assert registry.entries()[-1].body["automatic"] is True
    with StoredRun(folder) as stored:
        assert stored.counts()["frames"]["stored"] == 40
    assert verify(folder).identical, "the run keeps the bundle that acted in it"


def test_a_canary_that_agrees_stays(tmp_path: Path, registry: Registry) -> None:
    registry.canary("tiny", "2", share=1.0)
    (told,) = after_run(registry, one_run(tmp_path / "data"), Criteria())
    assert "passed" in told
    assert registry.standing("tiny").canary is not None


def test_a_run_of_a_session_is_looked_at_too(tmp_path: Path, registry: Registry) -> None:
    """A canary that acted beside a RunEngine goes as it would after `insitu run`."""
    from tests.sessions import run_engine

    registry.canary("tiny", "3", share=1.0)
    camera = SynSignal(func=lambda: np.arange(512, dtype="u4") % 97, name="camera")
    bench = {"format": 1, "source": "det", "reader": {"use": "documents", "data": "camera"}}
    with run_engine() as engine, Session(engine, RECIPE, data_root=tmp_path, detectors={"bench": bench}):
        engine(count([camera], 5))
    (note,) = (e.body for e in registry.entries() if e.kind == "note")
    assert (note["seen"]["both"], note["against"]) == (5, [])


def test_the_next_run_of_an_open_session_takes_what_the_registry_says_then(tmp_path: Path, registry: Registry) -> None:
    """A canary that was rolled back is in no later run; nothing changes inside a run."""
    from tests.sessions import run_engine

    registry.canary("tiny", "3", share=1.0)
    camera = SynSignal(func=lambda: np.arange(512, dtype="u4") % 97, name="camera")
    bench = {"format": 1, "source": "det", "reader": {"use": "documents", "data": "camera"}}
    with run_engine() as engine, Session(engine, RECIPE, data_root=tmp_path, detectors={"bench": bench}) as insitu:
        engine(count([camera], 2))
        registry.rollback("tiny")
        engine(count([camera], 2))
        first, until = insitu.run, time.monotonic() + 30
        while first.status()["frames"]["stored"] < 4 and time.monotonic() < until:
            time.sleep(0.01)
        first.stop()
        while insitu.run is first and time.monotonic() < until:
            time.sleep(0.01)
        engine(count([camera], 2))
    acted = []
    for summary in insitu.summaries:
        with StoredRun(Path(summary.path)) as stored:
            roles = [(b["serial"], b["role"]) for b in stored.open_body()["bundles"].values()]
            acted.append((roles, stored.counts()["frames"]["stored"]))
    assert acted == [([(3, "canary"), (1, "twin")], 4), ([(1, "current")], 2)]


def test_labels_decide_where_there_are_some(tmp_path: Path, registry: Registry) -> None:
    registry.shadow("tiny", "3")
    folder = one_run(tmp_path / "data")
    with StoredRun(folder) as stored:
        rows = []
        for record in stored.records():
            scores = record["verdicts"]["state_shadow"]["scores"]
            rows.append(f"insitu:{stored.uid}/det/{record['seq']},{max(('good', 'bad'), key=scores.__getitem__)}")
    table = tmp_path / "labels.csv"
    table.write_text("frame,label\n" + "\n".join(rows) + "\n")
    found = review(registry, "tiny", tmp_path / "data", Criteria(frames=10), read_labels(table))
    assert found.evidence.labelled == 40
    assert found.evidence.right_candidate > found.evidence.right_current
    assert not any("agrees" in why for why in found.against)


@pytest.mark.parametrize(
    ("seen", "why"),
    [
        (Evidence(due=100, missing=1, both=2000, agreed=2000), "no verdict for 1 of 100"),
        (Evidence(due=2000, both=2000, agreed=1900), "agrees on 95.0%"),
        (Evidence(both=2000, agreed=2000, unsure_candidate=200), "cannot tell for 10.0%"),
        (Evidence(both=2000, agreed=2000, p99_ms=80.0, budget_ms=50.0), "80.0 ms"),
        (Evidence(both=2000, agreed=2000, labelled=100, right_current=99, right_candidate=97), "97 of 100"),
    ],
)
def test_every_criterion_can_refuse(seen: Evidence, why: str) -> None:
    (told,) = Criteria().against(seen)
    assert why in told
