"""What holds for every model on any stream: it never raises, is a fold, and its numbers are finite."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from insitu.inference.change_point import ChangePoint
from insitu.inference.limits import Limits
from insitu.types import Feature, Measurement, Verdict

MODELS = {
    "bounds": lambda: Limits(feature="total", low=Feature(0.0, "K"), hysteresis=Feature(1.0, "K"), sigmas=2.0),
    "deviation": lambda: Limits(feature="total", deviation=4.0, warm_up=4, window=6, relearn_after=3, back=2.0),
    "levels": lambda: ChangePoint(feature="total", window=12, threshold=3.0, hold=2, against="x"),
    "lines": lambda: ChangePoint(feature="total", window=12, threshold=3.0, hold=2, on="trend", against="x"),
    "lines over frames": lambda: ChangePoint(feature="total", window=12, threshold=3.0, on="trend"),
}
numbers = st.one_of(st.floats(allow_nan=False, allow_infinity=False), st.sampled_from([0.0, 1.0, 2.0, 1e99]))
features = st.one_of(
    st.builds(Feature, numbers, st.sampled_from(["K", "K", "mm", ""]), st.one_of(st.none(), st.floats(0.0, 1e300))),
    st.just(Feature(None, "K", why="not measured")),
)
named = st.dictionaries(st.sampled_from(["total", "total", "x", "other"]), features)
frames = st.lists(st.tuples(st.sampled_from(["a", "a", "b"]), named, named, st.booleans()), max_size=40)


@pytest.mark.parametrize("name", MODELS)
@settings(max_examples=60, deadline=None)
@given(frames=frames)
def test_a_model_never_raises_is_a_fold_and_its_numbers_are_finite(name, frames):
    first, second = MODELS[name](), MODELS[name]()
    for n, (source, feature, context, complete) in enumerate(frames):
        measurement = Measurement(
            source=source, seq=n, n=n, time_ns=n, features=feature, context=context, complete=complete
        )
        verdict = first(measurement)
        assert verdict == second(measurement)
        assert complete or verdict is None
        if verdict is not None:
            assert isinstance(verdict, Verdict)
            assert verdict.label in ("normal", "anomaly", "change", "unknown")
            assert verdict.reason
            assert all(math.isfinite(s) for s in (verdict.score or 0.0, *verdict.scores.values()))
