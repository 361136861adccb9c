"""The documents as a fold over records, without a run: order, uids, streams, and what stock readers decode."""

import os
import random

import msgpack
import msgpack_numpy
import numpy as np
import pytest

from insitu.sinks.documents import About, Documents
from insitu.sinks.policy import ArrayRule, Policy
from insitu.store.outbox import Egress, pack, packed, unpack
from insitu.types import ArrayFeature, Output

UID = "019a0000-0000-7000-8000-000000000000"
OUTPUTS = {"det": {"total": Output(unit="counts"), "map": Output(unit="", array=True)}}
ABOUT = About(uid=UID, started_ns=10**18, outputs=OUTPUTS, models=("limits",), source_run_uid="raw")
ALL = Policy(
    features=("*",), verdicts=("*",), arrays=(ArrayRule(feature="map", shape=(2, 3), dtype="float32", max_rate_hz=1.0),)
)


def record(n, *, seq=None, step_ns=10**8, **more):
    return {
        "n": n,
        "source": "det",
        "seq": n if seq is None else seq,
        "time_ns": 10**18 + n * step_ns,
        "features": {"total": {"value": 5 * n, "unit": "counts"}},
        "verdicts": {"limits": {"label": "normal", "score": 0.5, "reason": "", "model": ""}},
        "decision": {"action": "CONTINUE", "rule": "", "reason": "", "valid_s": 1.0},
        **more,
    }


def told(documents, records, arrays=None):
    offers = [*documents.start(), *(o for b in records for o in documents.record(b, arrays or {}, 1000))]
    return [unpack(offer.packed) for offer in offers]


def test_uids_follow_from_run_source_and_seq():
    first, second = (told(Documents(ALL, ABOUT), [record(n) for n in range(5)]) for _ in range(2))
    assert repr(first) == repr(second)  # NaN is not equal to itself
    assert len({d["uid"] for _, d in first}) == len(first)


def test_the_start_document_is_the_run_and_names_the_run_it_comes_from():
    (start,) = told(Documents(ALL, ABOUT), [])
    assert start == ("start", {"uid": UID, "time": 1e9, "simulated": False, "source_run_uid": "raw"})


def test_whole_numbers_leave_as_doubles_so_that_a_column_has_one_type():
    events = [d for name, d in told(Documents(ALL, ABOUT), [record(n) for n in range(3)]) if name == "event"]
    assert [type(e["data"]["total"]) for e in events] == [float] * 3


def test_a_value_in_another_unit_than_promised_is_absent():
    wrong = record(0, features={"total": {"value": 5, "unit": "K"}})
    event = told(Documents(ALL, ABOUT), [wrong])[-1][1]
    assert event["data"]["total_status"] == "absent"
    assert np.isnan(event["data"]["total"])


def test_a_late_frame_of_an_earlier_segment_goes_into_the_stream_of_that_segment():
    documents = Documents(ALL, ABOUT)
    documents.segment({"source": "det", "first_seq": 0})
    documents.segment({"source": "det", "first_seq": 10})
    found = told(documents, [record(0, seq=0), record(1, seq=10), record(2, seq=9)])
    names = {d["uid"]: d["name"] for name, d in found if name == "descriptor"}
    assert [names[d["descriptor"]] for name, d in found if name == "event"] == ["det", "det-1", "det"]


def test_arrays_have_a_rate_of_their_own_and_keep_shape_and_values():
    array = ArrayFeature(values=np.arange(6, dtype="f4").reshape(2, 3), dims=("y", "x"))
    documents = Documents(ALL, ABOUT)
    found = told(documents, [record(n) for n in range(25)], {"map": array})
    maps = [d["data"]["map"] for name, d in found if name == "event" and "map" in d["data"]]
    assert maps == [[[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]] * 3
    assert documents.arrays_withheld == {"rate": 22}
    other = ArrayFeature(values=np.zeros((2, 3)), dims=("y", "x"))
    assert told(Documents(ALL, ABOUT), [record(0)], {"map": other})[-1][1]["data"].keys() != {"frame_seq", "map"}


def test_the_account_is_the_same_when_it_is_folded_again_from_the_documents():
    documents, egress = Documents(ALL, ABOUT), Egress()
    offers = [*documents.start(), *(o for n in range(9) for o in documents.record(record(n), {}, 1000))]
    for offer in offers:
        egress.add(*unpack(offer.packed), offer.packed)
    assert egress.manifest() == documents.egress.manifest()
    assert documents.manifest().items() >= egress.manifest().items()


def test_every_record_leaves_or_is_counted_whatever_comes():
    rng = random.Random(int(os.environ.get("INSITU_SEED", "0")))
    for _ in range(20):
        policy = Policy(
            triage=rng.random() < 0.3, max_rate_hz=rng.choice([None, 3.0]), max_ratio=rng.choice([None, 0.5, 2.0])
        )
        documents, n = Documents(policy, ABOUT), 40
        records = [record(k, role=rng.choice(["sample", "sample", "dark"])) for k in range(n)]
        found = told(documents, records)
        events = [d for name, d in found if name == "event"]
        assert len(events) + sum(documents.withheld.values()) == n == documents.records
        assert sum(e["data"]["withheld"] for e in events) <= sum(documents.withheld.values())


def test_what_bluesky_kafka_decodes_is_what_was_packed():
    documents = Documents(ALL, ABOUT)
    offers = [*documents.start(), *documents.record(record(0), {}, 1000)]
    for offer in offers:
        name, document = msgpack.loads(offer.packed, object_hook=msgpack_numpy.decode)
        assert (name, document.keys()) == (offer.name, unpack(offer.packed)[1].keys())


def test_an_event_is_packed_as_event_model_would_sanitize_it():
    """The short way through msgpack gives the bytes of the long way through JSON."""
    documents = Documents(ALL, ABOUT)
    odd = record(1, verdicts={"limits": {"label": "normal", "score": np.float32(0.5), "reason": "", "model": ""}})
    offers = [o for b in (record(0), odd, record(2, features={})) for o in documents.record(b, {}, 1000)]
    for offer in offers:
        assert pack(*unpack(offer.packed))[1] == offer.packed
    assert unpack(offers[2].packed)[1]["data"]["limits_score"] == 0.5


@pytest.mark.parametrize("score", ["high", None, [1], 10**400])
def test_what_a_role_says_wrongly_does_not_stop_the_documents(score):
    verdict = {"label": "caf\udce9", "score": score, "reason": 5, "model": ""}
    documents = Documents(Policy(verdicts=("*",), reasons=True), ABOUT)
    event = unpack(documents.record(record(0, verdicts={"limits": verdict}), {}, 1000)[-1].packed)[1]
    assert event["data"]["limits_label"].startswith("caf")
    assert np.isnan(event["data"]["limits_score"])
    assert event["data"]["limits_reason"] == "5"


def test_a_text_that_is_no_utf8_is_escaped():
    assert unpack(packed("event", {"data": {"x": "caf\udce9"}}))[1]["data"]["x"] == "caf\\udce9"


HALT = {"action": "HALT", "rule": "r", "reason": "it is lost", "valid_s": 1.0}


def test_a_decision_leaves_without_values_where_its_event_is_too_large():
    policy = Policy(features=("*",), verdicts=("*",), metadata=("file",), max_bytes=2000)
    long = {"labels": {"file": "x" * 5000}}
    documents = Documents(policy, ABOUT)
    found = told(documents, [record(0, **long), record(1, **long, decision=HALT)])
    (event,) = [d for name, d in found if name == "event"]
    assert (event["data"]["frame_seq"], event["data"]["action"], event["data"]["withheld"]) == (1, "HALT", 1)
    assert (event["data"]["total_status"], event["data"]["label_file"]) == ("withheld", "")
    (descriptor,) = [d for name, d in found if name == "descriptor"]
    assert [*event["data"]] == [*descriptor["data_keys"]]
    assert documents.withheld == {"bytes": 1}


def test_what_is_told_as_the_least_is_enough_for_a_decision_and_a_byte_less_is_not():
    def left(max_bytes):
        policy = Policy(features=("*",), verdicts=("*",), max_bytes=max_bytes)
        return told(Documents(policy, ABOUT), [record(0, decision=HALT)])

    least = Documents(Policy(features=("*",), verdicts=("*",)), ABOUT).least("det", "r")
    assert [name for name, _ in left(least)] == ["start", "descriptor", "event"]
    assert [name for name, _ in left(least - 1)] == ["start"]


def test_the_first_decision_leaves_whatever_the_ceilings_say_and_is_paid_for_later():
    policy = Policy(features=("*",), max_rate_hz=0.5, max_ratio=0.2)
    documents = Documents(policy, ABOUT)
    found = told(documents, [record(n, **({"decision": HALT} if n == 2 else {})) for n in range(600)])
    events = [d["data"] for name, d in found if name == "event"]
    assert [e["action"] for e in events].count("HALT") == 1
    assert events[0]["frame_seq"] == 2, "at frame 2 the ratio allows 600 bytes: not even a descriptor"
    assert documents.egress.total_bytes <= 0.2 * 600 * 1000
    assert documents.withheld.keys() == {"rate", "ratio"}


def test_a_provisional_record_leaves_only_with_a_first_decision_and_under_a_uid_of_its_own():
    half = {"complete": False, "k": 5}
    found = told(Documents(ALL, ABOUT), [record(0, **half), record(1, **half, decision=HALT), record(2, seq=1)])
    events = [d for name, d in found if name == "event"]
    assert [(e["data"]["frame_seq"], e["data"]["action"]) for e in events] == [(1, "HALT"), (1, "CONTINUE")]
    assert len({e["uid"] for e in events}) == 2


def test_a_stop_document_tells_what_a_rule_said_and_no_error():
    seal = {"counts": {}, "egress": {}, "reason": "phase is lost at /data/x.xy"}
    for ended, reason in (("halted", "phase is lost at <path>"), ("failed", ""), ("complete", "")):
        documents = Documents(Policy(reasons=True), ABOUT)
        told(documents, [record(0)])
        _, stop = unpack(documents.stop({**seal, "ended": ended}, "", 0.0).packed)
        assert stop["reason"] == reason
