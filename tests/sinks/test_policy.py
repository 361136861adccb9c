"""The policy as a fold: ceilings that no burst passes, and what it lets through."""

import os
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from insitu.errors import ConfigError
from insitu.sinks.policy import (
    Policy,
    Spent,
    after,
    decision_of,
    is_first,
    matching,
    needs_eyes,
    period_ns,
    refusal,
    too_large,
)
from insitu.sinks.pseudonyms import pseudonym, read_key
from tests.documents import sending


def body(time_ns=0, label="normal", action="CONTINUE", **more):
    said = {"action": action, "rule": ""}
    return {"time_ns": time_ns, "source": "det", "verdicts": {"m": {"label": label}}, "decision": said, **more}


def left(policy, bodies):
    """The records that leave, by the same fold as the documents (without their bytes)."""
    spent, out = Spent(), []
    for b in bodies:
        if not refusal(policy, spent, b):
            spent = after(policy, spent, b)
            out.append(b)
    return out


ACTIONS = ("CONTINUE", "ADAPT", "PAUSE", "FINISH", "HALT")
bursts = st.lists(
    st.tuples(st.integers(-(10**9), 10**9) | st.just(0), st.sampled_from(ACTIONS), st.sampled_from("ab")), max_size=300
)
"""Steps of time in ns, backwards too, and what two rules ask for."""


def bodies(burst):
    t, found = 0, []
    for step, action, rule in burst:
        t += step
        found.append(body(t, decision={"action": action, "rule": "" if action == "CONTINUE" else rule}))
    return found


def kinds(found):
    """Decisions of which each has left at least once."""
    return {decision_of(b) for b in found} - {("CONTINUE", "")}


@given(burst=bursts, rate=st.floats(0.1, 1000.0), second=st.integers(0, 10**10))
@settings(max_examples=150, deadline=None)
def test_no_second_of_frame_time_holds_more_records_than_rate_and_first_decisions_allow(burst, rate, second):
    out = [b["time_ns"] for b in left(Policy(max_rate_hz=rate), bodies(burst))]
    first = len(kinds(bodies(burst)))
    assert sum(second <= t < second + 10**9 for t in out) <= rate + 2 + first
    if not first:
        assert all(b - a >= period_ns(rate) for a, b in pairwise(out))


@given(burst=bursts, rate=st.floats(0.001, 1000.0))
@settings(max_examples=150, deadline=None)
def test_the_first_decision_of_each_kind_always_leaves(burst, rate):
    given_, out = bodies(burst), left(Policy(max_rate_hz=rate), bodies(burst))
    assert kinds(out) == kinds(given_)
    for kind in kinds(given_):
        assert next(b for b in out if decision_of(b) == kind) == next(b for b in given_ if decision_of(b) == kind)


def test_decisions_that_repeat_and_flicker_keep_to_the_rate():
    policy = Policy(max_rate_hz=5.0)
    repeated = [body(k * 10**7, action="HALT") for k in range(1000)]  # 10 s of 100 Hz
    assert len(left(policy, repeated)) == 50
    for one in (0, 2):  # HALT in turn with CONTINUE, and with PAUSE
        flicker = [body(k * 10**7, action=ACTIONS[4 if k % 2 else one]) for k in range(1000)]
        assert len(left(policy, flicker)) <= 53
    assert len(left(policy, [body(5, action=ACTIONS[4 * (k % 2)]) for k in range(1000)])) <= 3


def test_a_change_of_decision_takes_the_next_turn_early():
    told = left(
        Policy(max_rate_hz=1.0), [body(k * 10**8, action="HALT" if k in (3, 31) else "CONTINUE") for k in range(50)]
    )
    assert [b["time_ns"] // 10**8 for b in told if b["decision"]["action"] == "HALT"] == [3, 31]
    assert [b["time_ns"] // 10**8 for b in told] == [0, 3, 20, 30, 31]


def test_a_burst_of_equal_times_leaves_one_record():
    assert len(left(Policy(max_rate_hz=10.0), [body(5)] * 1000)) == 1
    assert len(left(Policy(), [body(5)] * 1000)) == 1000


@given(sizes=st.lists(st.integers(1, 2000), max_size=100), ratio=st.floats(0.001, 1.0))
@settings(max_examples=150, deadline=None)
def test_the_bytes_that_left_never_pass_the_ratio_nor_a_document_its_size(sizes, ratio):
    policy, spent = Policy(max_ratio=ratio, max_bytes=1000), Spent()
    for size in sizes:
        spent = spent._replace(raw=spent.raw + 1000)
        if not too_large(policy, spent, [size]):
            assert size <= 1000
            spent = spent._replace(bytes=spent.bytes + size)
        assert spent.bytes <= ratio * spent.raw


@given(burst=bursts, ratio=st.floats(0.01, 1.0), size=st.integers(100, 1000))
@settings(max_examples=150, deadline=None)
def test_only_first_decisions_may_pass_the_ratio_and_room_is_kept_for_one(burst, ratio, size):
    policy, spent, over = Policy(max_ratio=ratio), Spent(), 0
    for b in bodies(burst):
        spent = spent._replace(raw=spent.raw + 1000)
        first = is_first(spent, b)
        why = too_large(policy, spent, [size], b)
        assert not (first and why)
        if not why:
            spent = after(policy, spent._replace(bytes=spent.bytes + size), b)
            over += size if first else 0
            assert first or spent.bytes <= ratio * spent.raw
        assert spent.bytes <= ratio * spent.raw + over


def test_an_ordinary_record_leaves_room_for_a_decision():
    policy, spent = Policy(max_ratio=0.5), Spent(raw=1000, bytes=0)
    assert too_large(policy, spent, [300], body()) == "ratio"
    assert too_large(policy, spent, [300], body(action="HALT")) == ""
    assert too_large(policy, spent, [250], body()) == ""


def test_triage_lets_through_what_needs_eyes_only():
    policy = Policy(triage=True)
    assert refusal(policy, Spent(), body()) == "normal"
    for label in ("review", "anomaly", "change", "unknown"):
        assert needs_eyes(body(label=label))
        assert refusal(policy, Spent(), body(label=label)) == ""
    assert refusal(policy, Spent(), body(action="PAUSE")) == ""


def test_references_and_provisional_records_stay():
    assert refusal(Policy(), Spent(), body(role="dark")) == "reference"
    assert refusal(Policy(), Spent(), body(complete=False)) == "provisional"
    assert refusal(Policy(), Spent(), body(complete=False, action="HALT")) == ""


def test_patterns_name_keys_and_nothing_names_none():
    assert matching(("peak1_*",), ["peak1_height", "peak10_height", "total"]) == ["peak1_height"]
    assert matching((), ["total"]) == []


def test_a_pseudonym_follows_from_key_name_and_text(tmp_path):
    made = pseudonym(b"k" * 16, "sample", "BaTiO3")
    assert made == pseudonym(b"k" * 16, "sample", "BaTiO3")
    others = [pseudonym(b"l" * 16, "sample", "BaTiO3"), pseudonym(b"k" * 16, "title", "BaTiO3")]
    assert len({made, pseudonym(b"k" * 16, "sample", "BaTiO4"), *others}) == 4
    assert len(made.removeprefix("hmac-sha256:")) == 32


@pytest.mark.parametrize(("content", "mode", "said"), [(b"short", 0o600, "bytes"), (b"k" * 32, 0o644, "others may")])
def test_a_key_that_is_none_is_refused(tmp_path, content, mode, said):
    path = tmp_path / "key"
    path.write_bytes(content)
    os.chmod(path, mode)
    with pytest.raises(ConfigError, match=said):
        read_key(path)


ARRAY = {"feature": "pattern", "shape": [4096], "dtype": "float32", "max_rate": "1 Hz"}
MORE = {"features": [{"use": "totals"}, {"use": "prepared"}], "models": [], "rules": []}


@pytest.mark.parametrize(
    ("policy", "where", "said"),
    [
        ({"features": ["pattern"]}, "policy.features", "matches arrays only"),
        ({"features": ["nothing_*"]}, "policy.features", "matches no feature"),
        ({"verdicts": ["limits"]}, "policy.verdicts", "matches no model"),
        ({"arrays": [{**ARRAY, "feature": "total"}]}, "policy.arrays", "no array feature"),
        ({"arrays": [ARRAY, ARRAY]}, "policy.arrays", "named twice"),
        ({"arrays": [{k: v for k, v in ARRAY.items() if k != "max_rate"}]}, "policy.arrays", "max_rate"),
        ({"arrays": [{k: v for k, v in ARRAY.items() if k != "shape"}]}, "policy.arrays", "shape"),
        ({"arrays": [{**ARRAY, "shape": [10**7]}]}, "policy.arrays", "more than max_bytes"),
        ({"context": ["total"]}, "policy.context", "something else"),
        ({"context": ["time"]}, "policy.context", "something else"),
        ({"metadata": ["*"]}, "policy.metadata", "cannot leave"),
        ({"metadata": ["uid"]}, "policy.metadata", "cannot leave"),
        ({"metadata": ["sample"], "pseudonyms": ["sample"]}, "policy", "as it is and as a pseudonym"),
        ({"pseudonyms": ["sample"]}, "policy", "need a key"),
        ({"pseudonyms": ["sample"], "pseudonym_key": "/nowhere/key"}, "policy", "cannot be read"),
        ({"triage": True}, "policy.triage", "no models"),
        ({"pseudonyms": ["sampel"], "pseudonym_key": "KEY"}, "policy.pseudonyms.0", "nothing is named"),
        ({"pseudonyms": ["wavelength"], "pseudonym_key": "KEY"}, "policy.pseudonyms.0", "has no pseudonym"),
        ({"metadata": ["proposal"]}, "policy.metadata.0", 'nothing is named "proposal"'),
        ({"max_ratio": 0.0}, "policy.max_ratio", "above 0"),
        ({"max_ratio": 1.5}, "policy.max_ratio", "at most 1"),
        ({"max_ratio": -0.5}, "policy.max_ratio", "above 0"),
        ({"max_rate": "0 Hz"}, "policy.max_rate", "above 0"),
        ({"max_rate": "5 s"}, "policy.max_rate", "Hz"),
        ({"arrays": [{**ARRAY, "max_rate": "0 Hz"}]}, "policy.arrays.0.max_rate", "above 0"),
        ({"arrays": [{**ARRAY, "shape": []}]}, "policy.arrays.0.shape", "no shape"),
        ({"arrays": [{**ARRAY, "dtype": "float"}]}, "policy.arrays.0.dtype", "no dtype"),
        ({"max_bytes": "500 byte"}, "policy.max_bytes", "too few"),
        ({"max_bytes": "0 byte"}, "policy.max_bytes", "above 0"),
        ({"max_bytes": "2 MB"}, "policy.max_bytes", "no message"),
        ({"everything": True}, "policy.everything", "not a key"),
    ],
)
def test_a_policy_that_cannot_be_meant_is_refused_with_its_key(tmp_path, policy, where, said):
    if policy.get("pseudonym_key") == "KEY":
        key = tmp_path / "key"
        key.write_bytes(b"k" * 32)
        key.chmod(0o600)
        policy = {**policy, "pseudonym_key": str(key)}
    with pytest.raises(ConfigError) as refused:
        sending(policy, more=MORE)
    assert any(where in p.where and said in str(p) for p in refused.value.problems), str(refused.value)


def test_a_name_of_the_recipe_that_the_run_tells_itself_is_refused():
    with pytest.raises(ConfigError, match="told by the run itself"):
        sending(more={"metadata": {"operator": "anna"}})
