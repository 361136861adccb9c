"""The policy as a fold: ceilings that no burst passes, and what it lets through."""

import os
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from insitu.errors import ConfigError
from insitu.sinks.policy import Policy, Spent, matching, needs_eyes, period_ns, refusal, too_large
from insitu.sinks.pseudonyms import pseudonym, read_key
from tests.documents import sending


def body(time_ns=0, label="normal", action="CONTINUE", **more):
    return {"time_ns": time_ns, "verdicts": {"m": {"label": label}}, "decision": {"action": action}, **more}


def left(policy, times):
    """The times of the records that leave."""
    spent, out = Spent(), []
    for t in times:
        if not refusal(policy, spent, body(t)):
            spent = spent._replace(last_ns=t)
            out.append(t)
    return out


@given(
    steps=st.lists(st.integers(-(10**9), 10**9), max_size=300),
    rate=st.floats(0.1, 1000.0),
    second=st.integers(0, 10**10),
)
@settings(max_examples=150, deadline=None)
def test_no_second_of_frame_time_holds_more_records_than_the_rate_allows(steps, rate, second):
    t, times = 0, []
    for step in steps:
        t += step
        times.append(t)
    out = left(Policy(max_rate_hz=rate), times)
    assert all(b - a >= period_ns(rate) for a, b in pairwise(out))
    assert sum(second <= t < second + 10**9 for t in out) <= rate + 1


def test_a_burst_of_equal_times_leaves_one_record():
    assert len(left(Policy(max_rate_hz=10.0), [5] * 1000)) == 1
    assert len(left(Policy(), [5] * 1000)) == 1000


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
        ({"max_ratio": 0.0}, "policy.max_ratio", "above 0"),
        ({"max_bytes": "0 byte"}, "policy.max_bytes", "above 0"),
        ({"everything": True}, "policy.everything", "not a key"),
    ],
)
def test_a_policy_that_cannot_be_meant_is_refused_with_its_key(policy, where, said):
    with pytest.raises(ConfigError) as refused:
        sending(policy, more=MORE)
    assert any(where in p.where and said in str(p) for p in refused.value.problems), str(refused.value)


def test_a_name_of_the_recipe_that_the_run_tells_itself_is_refused():
    with pytest.raises(ConfigError, match="told by the run itself"):
        sending(more={"metadata": {"operator": "anna"}})
