"""A canary is planted wherever data come from. No byte of the outbox holds it, unless the policy names the place."""

import os
from pathlib import Path

import pytest

from insitu.replay import verify
from insitu.run import run
from insitu.store.runs import StoredRun
from tests.documents import documents, events, packed, sending

CANARY = "canary7f3e"
EVERYTHING = {"features": ["*"], "context": ["temperature", "secret"]}


def planted(policy, tmp_path, **more):
    """A run with the canary in data, labels, context, faults, operator, title, metadata and path."""
    table = {"bench": {"format": 1, "source": "det", "reader": {"use": "tests.run.simple:Telling", "canary": CANARY}}}
    recipe = {
        "title": CANARY,
        "metadata": {"proposal": CANARY, "sample": CANARY},
        "features": [{"use": "totals"}, {"use": "tests.run.simple:Whispering"}],
        "models": [],
        "rules": [],
        **more,
    }
    setup = sending(policy, detectors=table, more=recipe)
    return run(setup, data_root=tmp_path / CANARY, operator=CANARY)


def hits(summary):
    return [doc for doc in packed(summary) if CANARY.encode() in doc or CANARY.encode().hex().encode() in doc]


@pytest.mark.parametrize("policy", [None, {}, EVERYTHING])
def test_the_canary_is_in_the_run_and_in_no_byte_that_may_leave(tmp_path, policy):
    summary = planted(policy, tmp_path)
    with StoredRun(Path(summary.path)) as stored:
        assert stored.open_body()["operator"] == CANARY
        assert all(r["labels"]["sample"] == CANARY for r in stored.records())
        assert any(CANARY in fault for r in stored.records() for fault in r.get("faults", []))
    assert len(documents(summary)) == 9
    assert hits(summary) == []
    assert verify(Path(summary.path)).identical


@pytest.mark.parametrize(
    ("policy", "name"),
    [
        ({"metadata": ["operator"]}, "start"),
        ({"metadata": ["proposal"]}, "start"),
        ({"metadata": ["title"]}, "start"),
        ({"metadata": ["file"]}, "event"),
        ({"features": ["whisper"], "reasons": True}, "event"),
    ],
)
def test_the_canary_leaves_where_the_policy_names_its_place_and_nowhere_else(tmp_path, policy, name):
    summary = planted(policy, tmp_path)
    found = [n for n, document in documents(summary) if CANARY in str(document)]
    assert found
    assert set(found) == {name}
    assert hits(summary), "a test that cannot find the canary proves nothing"


def test_a_pseudonym_leaves_in_place_of_the_canary_and_is_the_same_in_start_and_events(tmp_path):
    key = tmp_path / "key"
    key.write_bytes(b"a secret of the beamline")
    os.chmod(key, 0o600)
    policy = {"pseudonyms": ["proposal", "file"], "pseudonym_key": str(key)}
    summary = planted(policy, tmp_path)
    found = documents(summary)
    assert hits(summary) == []
    assert found[0][1]["proposal"].startswith("hmac-sha256:")
    assert len({e["data"]["label_file"] for e in events(found)}) == 1
    assert events(found)[0]["data"]["label_file"] != found[0][1]["proposal"]
    secret = key.read_bytes()
    stored = [p for p in Path(summary.path).rglob("*") if p.is_file()]
    assert not any(secret in p.read_bytes() for p in stored), "the key stays where it is"


def test_an_error_of_the_source_leaves_its_text_at_home(tmp_path):
    table = {"bench": {"format": 1, "source": "det", "reader": {"use": "tests.run.broken:FailingReader"}}}
    more = {"features": [{"use": "totals"}], "models": [], "rules": []}
    summary = run(sending({}, detectors=table, more=more), data_root=tmp_path)
    assert summary.ended == "failed"
    stop = documents(summary)[-1][1]
    assert (stop["exit_status"], stop["reason"]) == ("fail", "")
    assert not any(b"cable" in doc for doc in packed(summary))
