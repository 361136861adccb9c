"""Features as objectives of bluesky-adaptive: stock plans, and failures that are registered as failures."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from bluesky import RunEngine
from ophyd.sim import SynAxis

from insitu.bluesky import Session
from insitu.bluesky.adaptive import Evaluation, optimize
from insitu.errors import SourceError
from tests.bluesky.playback import played
from tests.sessions import run_engine

protocols = pytest.importorskip("bluesky_adaptive.protocols")


class Walk:
    """An optimizer that suggests given places, and remembers what it is told."""

    def __init__(self, places: Sequence[float]) -> None:
        self.places, self.asked = list(places), 0
        self.ingested: list[Mapping[str, Any]] = []
        self.failed: list[Any] = []

    def suggest(self, num_points: int | None = None) -> list[dict[str, Any]]:
        first, self.asked = self.asked, self.asked + (num_points or 1)
        return [{"_id": k, "lens": self.places[k]} for k in range(first, self.asked)]

    def ingest(self, points: Sequence[Mapping[str, Any]]) -> None:
        self.ingested.extend(points)

    def get_best_points(self) -> list[Any]:
        return []

    def register_failures(self, suggestions: Sequence[Mapping[str, Any]]) -> None:
        self.failed.extend(s["_id"] for s in suggestions)


@pytest.fixture
def engine() -> Iterator[RunEngine]:
    with run_engine() as engine:
        engine._call_returns_result = True
        yield engine


def session(engine: RunEngine, root: Any, fail: float = 0.0) -> Session:
    features = [{"use": "tests.bluesky.playback:Middle", "name": "middle", "fail": fail}]
    recipe = {"format": 1, "title": "t", "detectors": ["bench"], "features": features}
    bench = {
        "format": 1, "source": "det", "dims": ["x"], "reader": {"use": "documents", "data": "pattern"},
        "limits": {"lens": {"min": 0, "max": 100, "unit": "mm"}},
    }  # fmt: skip
    return Session(engine, recipe, data_root=root, detectors={"bench": bench})


def problem(optimizer: Walk, lens: SynAxis, evaluation: Evaluation, brightest: float = 50.0) -> Any:
    x = np.arange(100)

    def pattern(at: float) -> np.ndarray:
        height = 2000 if at >= brightest else 200
        return np.round(height * np.exp(-0.5 * ((x - at) / 3) ** 2)).astype("u4")

    camera: Any = played("pattern", lens, pattern)
    return protocols.OptimizationProblem(
        optimizer=optimizer,
        actuators=[lens],
        sensors=[camera],
        evaluation_function=evaluation,
        acquisition_plan=evaluation.acquire,
    )


def test_stock_plans_are_given_the_features_as_outcomes(engine, tmp_path):
    from bluesky_adaptive.plans import optimize as stock

    optimizer, lens = Walk([20.0, 30.0, 40.0, 45.0]), SynAxis(name="lens")
    with session(engine, tmp_path) as insitu, Evaluation(insitu, {"place": "middle"}, within_s=20) as evaluation:
        assert isinstance(evaluation, protocols.EvaluationFunction)
        assert isinstance(evaluation.acquire, protocols.AcquisitionPlan)
        engine(stock(problem(optimizer, lens, evaluation), iterations=2, n_points=2))
    assert [point["_id"] for point in optimizer.ingested] == [0, 1, 2, 3]
    assert [point["place"] for point in optimizer.ingested] == pytest.approx([20.0, 30.0, 40.0, 45.0], abs=0.01)
    assert optimizer.failed == []


def test_what_fails_is_registered_and_the_others_are_ingested(engine, tmp_path):
    """Above 50 mm the extractor fails; 120 mm is out of limits and is never moved to."""
    optimizer, lens = Walk([20.0, 60.0, 120.0, 30.0]), SynAxis(name="lens")
    with (
        session(engine, tmp_path, fail=5000.0) as insitu,
        Evaluation(insitu, {"place": "middle"}, within_s=20) as evaluation,
    ):
        result = engine(optimize(problem(optimizer, lens, evaluation), iterations=2, n_points=2)).plan_result
        assert "out of what the beamline allows" in evaluation.failures[2]
        assert "middle has no value" in evaluation.failures[1]
        with pytest.raises(SourceError, match="suggestion 1: middle has no value"):
            evaluation("uid", [{"_id": 1, "lens": 60.0}])
    assert result == (2, 2)
    assert [point["_id"] for point in optimizer.ingested] == [0, 3]
    assert optimizer.failed == [1, 2]
    assert lens.position == 30.0


def test_stock_plans_register_the_batch_of_a_pipeline_that_does_not_answer(engine):
    from bluesky_adaptive.plans import optimize as stock

    optimizer, lens = Walk([20.0]), SynAxis(name="lens")
    with Evaluation(None, {"place": "middle"}) as evaluation:
        with pytest.raises(SourceError, match="did not answer"):
            engine(stock(problem(optimizer, lens, evaluation), iterations=1))
        again = Walk([20.0, 30.0])
        result = engine(optimize(problem(again, lens, evaluation), iterations=2)).plan_result
    assert optimizer.failed == [0]
    assert (result, again.failed) == ((0, 2), [0, 1])
