"""What holds for every rule on any stream: it never raises, is a fold, and its words are complete."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from insitu.decisions.adapt import AdaptStep
from insitu.decisions.agree import Agree
from insitu.decisions.finish import FinishWhen
from insitu.decisions.halt import HaltAfter
from insitu.decisions.pause import PauseOn
from insitu.types import Decision, Feature, Measurement, Verdict

RULES = {
    "agree": lambda: Agree(models=("limits", "change_point"), count=2, within=1e-8),
    "agree by source": lambda: Agree(models=("limits",), by="source", within=1.0, action="pause"),
    "halt": lambda: HaltAfter(model="limits", count=2, within=4, cool_down=2, clear_after=2),
    "halt on unknown": lambda: HaltAfter(model="limits", count=2, unknown="count"),
    "pause": lambda: PauseOn(model="limits", count=2, resume_after=2),
    "finish": lambda: FinishWhen(feature="total", above=Feature(0.0, "K"), mean_sigma=Feature(5.0, "K"), count=1),
    "adapt": lambda: AdaptStep(feature="total", low=Feature(0.0, "K"), high=Feature(1.0, "K"), count=1, cool_down=1),
    "adapt by steps": lambda: AdaptStep(feature="total", low=Feature(0.0, "K"), step=Feature(1.0, "s"), count=1),
}
numbers = st.floats(allow_nan=False, allow_infinity=False)
features = st.one_of(
    st.builds(Feature, numbers, st.sampled_from(["K", "mm", "", "s"]), st.one_of(st.none(), st.floats(0.0, 1e300))),
    st.just(Feature(None, "K", why="not measured")),
)
named = st.dictionaries(st.sampled_from(["total", "exposure_s", "other"]), features)
labels = st.sampled_from(["normal", "anomaly", "change", "unknown", "review", "anything"])
verdicts = st.dictionaries(st.sampled_from(["limits", "change_point"]), st.builds(lambda x: Verdict(label=x), labels))
frames = st.lists(st.tuples(st.sampled_from(["a", "b"]), named, named, verdicts, st.booleans()), max_size=25)


@pytest.mark.parametrize("name", RULES)
@settings(max_examples=60, deadline=None)
@given(frames=frames)
def test_a_rule_never_raises_and_is_a_fold(name, frames):
    first, second = RULES[name](), RULES[name]()
    for n, (source, feature, context, said, complete) in enumerate(frames):
        measurement = Measurement(
            source=source, seq=n, n=n, time_ns=n, features=feature, context=context, complete=complete
        )
        decision = first(measurement, said)
        assert decision is None or (isinstance(decision, Decision) and decision.reason and decision.valid_s > 0.0)
        assert decision == second(measurement, said)
