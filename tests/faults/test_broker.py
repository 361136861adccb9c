"""What a broker can do to a forwarder, with a real one: every document arrives, each once and in order after the
consumer's one rule, counted against what the broker itself says that it holds."""

import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from insitu.sinks.consume import unpack
from insitu.sinks.forward import Forwarder
from insitu.sinks.sent import read_sent
from tests.broker import PASSWORD, USER, Broker
from tests.forwarders import link, oids, once, options, refused, sending
from tests.outboxes import Outgoing
from tests.proxy import Proxy
from tests.topics import make_topic, messages
from tests.waiting import until

# kafka-python leaves the sockets of a producer that was ended at once to the garbage collector
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

MANY = 20_000
"""Documents: some megabytes, so that a fault finds batches on their way."""


def test_a_broker_that_is_absent_at_the_start_gets_everything_when_it_comes(tmp_path: Path, broker: Broker) -> None:
    late = Broker(tmp_path / "late")
    to, out = link(late.bootstrap), Outgoing(tmp_path).offer(500)
    try:
        with sending(out, to) as forwarder:
            until(lambda: forwarder.sent.state == "waiting")
            assert forwarder.sent.problem == f"the broker at {late.bootstrap} cannot be reached"
            late.start()
            out.seal()
        assert oids(to, late.bootstrap, out.uid) == list(range(1, 502))
    finally:
        late.kill()


def test_a_broker_that_pauses_gets_everything_once_and_in_order(tmp_path: Path, broker: Broker) -> None:
    to, out = link(broker.bootstrap), Outgoing(tmp_path).offer(MANY)
    with sending(out, to) as forwarder:
        until(lambda: forwarder.sent.oid > 500)
        broker.pause()
        until(lambda: forwarder.sent.state == "waiting")
        in_flight = forwarder.sent.oid
        time.sleep(5)  # more than two request time-outs
        assert forwarder.sent.oid < MANY
        assert forwarder.sent.oid - in_flight < 100
        out.offer(100)
        broker.resume()
        out.seal()
    found = oids(to, broker.bootstrap, out.uid)
    assert once(found) == list(range(1, out.count + 1))
    assert read_sent(out.folder).documents == out.count


def test_a_broker_that_is_killed_and_comes_back_gets_everything(tmp_path: Path, broker: Broker) -> None:
    to, out = link(broker.bootstrap), Outgoing(tmp_path).offer(MANY)
    with sending(out, to) as forwarder:
        until(lambda: forwarder.sent.oid > 500)
        broker.kill()
        time.sleep(1)
        assert forwarder.sent.oid < MANY
        broker.start()
        out.seal()
    assert once(oids(to, broker.bootstrap, out.uid)) == list(range(1, out.count + 1))


def test_a_forwarder_that_is_killed_during_an_outage_is_followed_by_another(tmp_path: Path, broker: Broker) -> None:
    to, out = link(broker.bootstrap), Outgoing(tmp_path).offer(MANY)
    (out.folder / "recipe.toml").write_text(f'[kafka]\nbootstrap = "{to.bootstrap}"\nbeamline = "{to.beamline}"\n')
    child = subprocess.Popen([sys.executable, "-m", "insitu.sinks.forward", str(out.folder)])
    try:
        until(lambda: read_sent(out.folder).oid > 0)
        broker.pause()
        time.sleep(0.5)
    finally:
        child.kill()
        child.wait()
    kept = read_sent(out.folder).oid
    assert 0 < kept < out.count
    broker.resume()
    with sending(out, to):
        out.seal()
    found = oids(to, broker.bootstrap, out.uid)
    assert once(found) == list(range(1, out.count + 1))
    assert len(found) > out.count, "what was appended and not noted comes again: that is what the header is for"


def test_a_topic_that_is_missing_is_named_and_everything_goes_when_it_is_made(tmp_path: Path, broker: Broker) -> None:
    strict = Broker(tmp_path / "strict", ["auto.create.topics.enable=false"]).start()
    to, out = link(strict.bootstrap), Outgoing(tmp_path).offer(100)
    try:
        with sending(out, to) as forwarder:
            until(lambda: forwarder.sent.state == "waiting")
            assert to.topic in forwarder.sent.problem
            make_topic(strict.bootstrap, to.topic)
            out.seal()
        assert oids(to, strict.bootstrap, out.uid) == list(range(1, 102))
    finally:
        strict.kill()


@pytest.mark.parametrize(("limit", "filler"), [(None, 2_000_000), (50_000, 60_000)], ids=["for us", "for the topic"])
def test_a_document_that_is_too_large_is_set_aside_and_the_others_go_on(
    tmp_path: Path, broker: Broker, limit: int | None, filler: int
) -> None:
    to, out = link(broker.bootstrap), Outgoing(tmp_path).offer(400).offer(1, filler=filler).offer(400).seal()
    make_topic(broker.bootstrap, to.topic, {"max.message.bytes": str(limit)} if limit else {})
    with sending(out, to):
        pass
    sent = read_sent(out.folder)
    assert [(a["oid"], a["name"]) for a in sent.set_aside] == [(401, "event")]
    assert (sent.state, sent.oid, sent.documents) == ("done", 802, 801)
    assert once(oids(to, broker.bootstrap, out.uid)) == [oid for oid in range(1, 803) if oid != 401]


def test_a_wrong_password_is_told_and_never_shown(tmp_path: Path, broker: Broker) -> None:
    secrets = tmp_path / "secrets.toml"
    secrets.touch(mode=0o600)
    text = f'protocol = "SASL_PLAINTEXT"\nmechanism = "PLAIN"\nusername = "{USER}"\npassword = '
    secrets.write_text(f'{text}"not-this-one"\n')
    to = replace(link(f"127.0.0.1:{broker.guarded}"), security=secrets)
    out = Outgoing(tmp_path).offer(50).seal()
    refused(out, to, "refuses the name or the password")
    assert "not-this-one" not in (out.folder / "sent.json").read_text()
    secrets.write_text(f'{text}"{PASSWORD}"\n')
    assert Forwarder(out.folder, to, options(to)).send_all(follow=False, give_up_s=30).state == "done"
    assert oids(to, broker.bootstrap, out.uid) == list(range(1, 52))


LOSE = 8


def lossy(broker: Broker) -> Proxy:
    """Loses every second acknowledgement, `LOSE` in all: the last ones come through."""
    return Proxy(broker.proxy, broker.behind, lambda k: k % 2 == 1 and k < 2 * LOSE)


def test_lost_acknowledgements_repeat_nothing_within_one_producers_life(tmp_path: Path, broker: Broker) -> None:
    to, out = link(f"127.0.0.1:{broker.proxy}"), Outgoing(tmp_path).offer(MANY).seal()
    proxy = lossy(broker)
    try:
        with sending(out, to):
            pass
    finally:
        proxy.close()
    assert proxy.lost == LOSE
    found = oids(to, broker.bootstrap, out.uid)
    assert once(found) == list(range(1, out.count + 1))
    assert len(found) == out.count


def test_without_idempotence_lost_acknowledgements_do_repeat_documents(tmp_path: Path, broker: Broker) -> None:
    """The test above can fail: this is what it looks like without what it tests."""
    to, out = link(f"127.0.0.1:{broker.proxy}"), Outgoing(tmp_path).offer(MANY).seal()
    proxy = lossy(broker)
    try:
        with sending(out, to, enable_idempotence=False, max_in_flight_requests_per_connection=1):
            pass
    finally:
        proxy.close()
    assert proxy.lost == LOSE
    found = oids(to, broker.bootstrap, out.uid)
    assert len(found) > out.count
    assert found != sorted(set(found)), "without the consumer's rule there are repeats"
    assert once(found) == list(range(1, out.count + 1))


def test_no_byte_leaves_that_is_not_a_document(tmp_path: Path, broker: Broker) -> None:
    to, out = link(f"127.0.0.1:{broker.proxy}"), Outgoing(tmp_path).offer(300).seal()
    canary = "canary-7d1f"
    (out.folder / f"{canary}.txt").write_text(canary)
    out.folder.joinpath("recipe.toml").write_text(f'title = "{canary}"')
    proxy = Proxy(broker.proxy, broker.behind, capture=True)
    try:
        with sending(out, to):
            pass
    finally:
        proxy.close()
    assert unpack(messages(broker.bootstrap, to.topic)[1].value)[1]["uid"].encode() in proxy.captured
    for secret in (canary, str(tmp_path)):
        assert secret.encode() not in proxy.captured


def test_sigterm_ends_a_forwarder_in_order(tmp_path: Path, broker: Broker) -> None:
    to, out = link(broker.bootstrap), Outgoing(tmp_path).offer(50)
    (out.folder / "recipe.toml").write_text(f'[kafka]\nbootstrap = "{to.bootstrap}"\nbeamline = "{to.beamline}"\n')
    with (out.folder / "lock").open("w") as lock:
        import fcntl

        fcntl.flock(lock, fcntl.LOCK_EX)  # the run lives
        child = subprocess.Popen([sys.executable, "-m", "insitu.sinks.forward", str(out.folder)])
        try:
            until(lambda: read_sent(out.folder).oid == 50)
            child.send_signal(signal.SIGTERM)
            assert child.wait(60) == 5
        finally:
            child.kill()
            child.wait()
    assert read_sent(out.folder).oid == 50
