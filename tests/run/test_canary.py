"""A canary is planted wherever data come from. No byte of the outbox holds it, unless the policy names the place."""

import os
from base64 import b64encode
from pathlib import Path

import pytest

from insitu.replay import verify
from insitu.run import run
from insitu.sinks.sentences import ERROR
from insitu.store.runs import StoredRun
from tests.documents import documents, events, packed, sending

CANARY = "canary7f3e"
NUMBERS = {"features": ["*"], "context": ["temperature", "secret_canary7f3e"]}
SENTENCES = {"features": ["*"], "context": ["temperature"], "verdicts": ["*"], "reasons": True}


def planted(policy, tmp_path, reader="Telling", **more):
    """A run with the canary in data, labels, context, faults, sentences, file names, operator, title, metadata, the
    detector's name, and the path of it all."""
    table = {
        f"{CANARY}_bench": {
            "format": 1,
            "source": "det",
            "reader": {"use": f"tests.run.simple:{reader}", "canary": CANARY},
            "calibration": {"wavelength": "1.5406 angstrom"},
        }
    }
    recipe = {
        "title": CANARY,
        "metadata": {"proposal": CANARY, "sample": CANARY},
        "features": [{"use": "totals"}, {"use": "tests.run.simple:Whispering"}],
        "models": [{"use": "tests.run.simple:Telltale", "name": "telltale"}],
        "rules": [{"use": "tests.run.simple:Quoting", "name": "quoting"}],
        **more,
    }
    setup = sending(policy, detectors=table, more=recipe)
    return run(setup, data_root=tmp_path / CANARY, operator=CANARY, continues=CANARY)


def hits(summary):
    """Documents that hold the canary: as text, in hex, in base64, or as the numbers of its bytes."""
    raw = CANARY.encode()
    forms = [
        raw,
        raw.upper(),
        raw.hex().encode(),
        *(b64encode(b"x" * k + raw)[4:12] for k in range(3)),
        bytes(raw[::-1]),
    ]
    return [doc for doc in packed(summary) if any(form in doc for form in forms)]


@pytest.mark.parametrize("policy", [None, {}, {**NUMBERS, "context": ["temperature"]}, SENTENCES, {"triage": True}])
def test_the_canary_is_in_the_run_and_in_no_byte_that_may_leave(tmp_path, policy):
    summary = planted(policy, tmp_path)
    with StoredRun(Path(summary.path)) as stored:
        assert stored.open_body()["operator"] == CANARY
        records = list(stored.records())
        assert all(r["labels"]["sample"] == CANARY for r in records)
        assert any(CANARY in fault for r in records for fault in r.get("faults", []))
        assert any(CANARY in r["decision"]["reason"] for r in records)
        assert any(CANARY in r["verdicts"]["telltale"]["reason"] for r in records)
        assert any(CANARY in e.body.get("name", "") for e in stored.entries("invalid"))
    actions = [e["data"]["action"] for e in events(documents(summary))]
    if policy == {"triage": True}:
        assert actions == ["PAUSE", "CONTINUE", "PAUSE", "PAUSE"]
    else:
        assert actions == ["PAUSE", "CONTINUE", "CONTINUE", "PAUSE", "PAUSE", "CONTINUE"]
    assert hits(summary) == []
    assert verify(Path(summary.path)).identical


@pytest.mark.parametrize(
    ("policy", "name"),
    [
        ({"metadata": ["operator"]}, "start"),
        ({"metadata": ["proposal"]}, "start"),
        ({"metadata": ["title"]}, "start"),
        ({"metadata": ["file"]}, "event"),
        (NUMBERS, "descriptor"),
    ],
)
def test_the_canary_leaves_where_the_policy_names_its_place_and_nowhere_else(tmp_path, policy, name):
    summary = planted(policy, tmp_path)
    found = {n for n, document in documents(summary) if CANARY in str(document)}
    assert found == ({"descriptor", "event"} if policy == NUMBERS else {name}), "a name of a key is in its events too"
    assert hits(summary), "a test that cannot find the canary proves nothing"


def test_sentences_leave_with_their_words_and_numbers(tmp_path):
    found = events(documents(planted(SENTENCES, tmp_path)))
    said = [e["data"]["reason"] for e in found if e["data"]["action"] == "PAUSE"]
    assert said[0] == "<proposal> of <file> at <path> is 300 K: look at it"
    assert found[2]["data"]["whisper_status"] == f"absent: {ERROR}"


def test_a_pseudonym_leaves_in_place_of_the_canary_and_is_the_same_in_start_and_events(tmp_path):
    key = tmp_path / "key"
    key.write_bytes(b"a secret of the beamline")
    os.chmod(key, 0o600)
    policy = {"pseudonyms": ["proposal", "file"], "pseudonym_key": str(key)}
    summary = planted(policy, tmp_path)
    found = documents(summary)
    assert found[0][1]["proposal"].startswith("hmac-sha256:")
    assert len({e["data"]["label_file"] for e in events(found)}) == 1
    assert events(found)[0]["data"]["label_file"] != found[0][1]["proposal"]
    secret = key.read_bytes()
    stored = [p for p in Path(summary.path).rglob("*") if p.is_file()]
    assert not any(secret in p.read_bytes() for p in stored), "the key stays where it is"


def test_an_error_of_the_source_leaves_its_text_at_home(tmp_path):
    table = {"bench": {"format": 1, "source": "det", "reader": {"use": "tests.run.broken:FailingReader"}}}
    more = {"features": [{"use": "totals"}], "models": [], "rules": []}
    summary = run(sending({"reasons": True}, detectors=table, more=more), data_root=tmp_path)
    assert summary.ended == "failed"
    assert "cable" in summary.reason
    stop = documents(summary)[-1][1]
    assert (stop["exit_status"], stop["reason"]) == ("fail", "")
    assert not any(b"cable" in doc for doc in packed(summary))
