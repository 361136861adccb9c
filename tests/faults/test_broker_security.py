"""Passwords, rights and certificates, with a real broker that insists on them: what it refuses is said clearly, the
documents wait, and go when it is mended."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from insitu.run import run
from insitu.sinks.consume import documents
from insitu.sinks.forward import Forwarder
from insitu.sinks.kafka import Link, producer_options
from insitu.sinks.sent import read_sent
from tests.broker import USER, USERS, Broker, NoBrokerError
from tests.certificates import Authority
from tests.forwarders import link, oids, options, refused, sending
from tests.outboxes import Outgoing
from tests.settings import setup
from tests.topics import allow, end_offset, make_topic
from tests.waiting import until

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A node that speaks TLS and where nobody who has a name may do what was not granted."""
    folder = tmp_path_factory.mktemp("strict")
    settings = ["allow.everyone.if.no.acl.found=false", "auto.create.topics.enable=false"]
    try:
        node = Broker(folder / "kafka", settings, authority=Authority(folder / "ca")).start()
    except NoBrokerError as e:
        pytest.skip(str(e))
    yield node
    node.kill()


def guarded(to: Link, folder: Path, **keys: str) -> Link:
    """The link with a security file of these keys."""
    path = folder / "security.toml"
    path.touch(mode=0o600)
    path.write_text("".join(f'{key} = "{value}"\n' for key, value in keys.items()))
    return replace(to, security=path)


def known(to: Link, folder: Path, user: str = USER, **more: str) -> Link:
    """The link of a user who has a password."""
    keys = {"protocol": "SASL_PLAINTEXT", "mechanism": "PLAIN", "username": user, "password": USERS[user], **more}
    return guarded(to, folder, **keys)


def taken(out: Outgoing, to: Link) -> bool:
    return Forwarder(out.folder, to, options(to)).send_all(follow=False, give_up_s=30).state == "done"


@pytest.mark.parametrize("rights", [(), ("DESCRIBE",)], ids=["no right at all", "may see the topic"])
def test_who_may_not_write_is_told_so_and_everything_goes_when_the_right_is_granted(
    tmp_path: Path, strict: Broker, rights: tuple[str, ...]
) -> None:
    to = known(link(f"127.0.0.1:{strict.guarded}"), tmp_path)
    make_topic(strict.bootstrap, to.topic)
    allow(strict.bootstrap, USER, "another", "WRITE", *rights)
    if rights:
        allow(strict.bootstrap, USER, to.topic, *rights)
    out = Outgoing(tmp_path).offer(300)
    with sending(out, to) as forwarder:
        until(lambda: f"does not allow writing to {to.topic}" in forwarder.sent.problem)
        assert (forwarder.sent.oid, end_offset(strict.bootstrap, to.topic)) == (0, 0)
        out.offer(10)
        allow(strict.bootstrap, USER, to.topic, "WRITE", "DESCRIBE")
        out.seal()
    assert read_sent(out.folder).problem == ""
    assert oids(to, strict.bootstrap, out.uid) == list(range(1, 312))


def test_what_one_user_may_not_write_another_drains(tmp_path: Path, strict: Broker) -> None:
    to = known(link(f"127.0.0.1:{strict.guarded}"), tmp_path, "other")
    make_topic(strict.bootstrap, to.topic)
    allow(strict.bootstrap, USER, to.topic, "WRITE", "DESCRIBE")
    out = Outgoing(tmp_path).offer(50).seal()
    refused(out, to, "does not allow writing")
    assert taken(out, known(to, tmp_path, USER))
    assert oids(to, strict.bootstrap, out.uid) == list(range(1, 52))


def test_a_run_whose_user_may_not_write_ends_as_ever_and_says_why_once(tmp_path: Path, strict: Broker) -> None:
    to = known(link(f"127.0.0.1:{strict.guarded}"), tmp_path)
    make_topic(strict.bootstrap, to.topic)
    table = {"bootstrap": to.bootstrap, "beamline": to.beamline, "security": str(to.security)}
    settings = setup({"kafka": table}, "budget.linger=5 s", frames=40)
    summary = run(settings, data_root=tmp_path / "data")
    assert (summary.ended, summary.exit_code, summary.frames["stored"], summary.records) == ("complete", 0, 40, 40)
    (note,) = (note for note in summary.notes if "outbox" in note)
    assert "does not allow writing" in note
    assert end_offset(strict.bootstrap, to.topic) == 0
    allow(strict.bootstrap, USER, to.topic, "WRITE", "DESCRIBE")
    sent = Forwarder(Path(summary.path), to, options(to)).send_all(follow=False, give_up_s=30)
    assert sent.state == "done"
    assert end_offset(strict.bootstrap, to.topic) == sent.documents > 3


def test_a_topic_that_may_not_be_read_is_refused_to_the_consumer(tmp_path: Path, strict: Broker) -> None:
    from kafka.errors import TopicAuthorizationFailedError

    to = known(link(f"127.0.0.1:{strict.guarded}"), tmp_path)
    make_topic(strict.bootstrap, to.topic)
    with pytest.raises(TopicAuthorizationFailedError):
        list(documents(to, beginning=True, idle_s=3))


def test_passwords_go_over_tls_by_scram_with_the_name_from_the_environment(
    tmp_path: Path, strict: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert strict.authority is not None
    shutil.copy(strict.authority.ca, tmp_path / "authority.pem")
    to = guarded(link(f"127.0.0.1:{strict.guarded_tls}"), tmp_path, ca_file="authority.pem")
    monkeypatch.setenv("INSITU_KAFKA_USERNAME", "other")
    monkeypatch.setenv("INSITU_KAFKA_PASSWORD", USERS["other"])
    assert producer_options(to)["security_protocol"] == "SASL_SSL"
    make_topic(strict.bootstrap, to.topic)
    allow(strict.bootstrap, "other", to.topic, "WRITE", "READ", "DESCRIBE")
    out = Outgoing(tmp_path).offer(500).seal()
    assert taken(out, to)
    assert oids(to, strict.bootstrap, out.uid) == list(range(1, 502))
    assert len(list(documents(to, beginning=True, idle_s=3))) == 501
    assert USERS["other"] not in (out.folder / "sent.json").read_text()


def test_a_certificate_of_our_own_says_who_we_are(tmp_path: Path, strict: Broker) -> None:
    assert strict.authority is not None
    own = strict.authority.issue("beamline", password="opens-the-key")
    keys = {"ca_file": str(strict.authority.ca), "cert_file": str(own), "key_password": "opens-the-key"}
    to = guarded(link(f"127.0.0.1:{strict.tls}"), tmp_path, protocol="SSL", **keys)
    make_topic(strict.bootstrap, to.topic)
    out = Outgoing(tmp_path).offer(50).seal()
    refused(out, to, "does not allow writing")
    allow(strict.bootstrap, "CN=beamline", to.topic, "WRITE", "DESCRIBE")
    assert taken(out, to)
    assert oids(to, strict.bootstrap, out.uid) == list(range(1, 52))


def test_a_broker_that_an_unknown_authority_has_signed_for_is_not_spoken_to(tmp_path: Path, strict: Broker) -> None:
    other = Authority(tmp_path / "other", "another authority")
    to = guarded(link(f"127.0.0.1:{strict.tls}"), tmp_path, protocol="SSL", ca_file=str(other.ca))
    out = Outgoing(tmp_path).offer(50).seal()
    assert "`ca_file`" in refused(out, to, "shows a certificate that is not trusted")


def test_a_certificate_for_another_address_is_not_trusted(tmp_path: Path, strict: Broker) -> None:
    assert strict.authority is not None
    to = guarded(link(f"localhost:{strict.tls}"), tmp_path, protocol="SSL", ca_file=str(strict.authority.ca))
    refused(Outgoing(tmp_path).offer(5).seal(), to, "not valid for 'localhost'")


def test_tls_with_a_broker_that_speaks_none_is_told(tmp_path: Path, strict: Broker) -> None:
    assert strict.authority is not None
    to = guarded(link(strict.bootstrap), tmp_path, protocol="SSL", ca_file=str(strict.authority.ca))
    refused(Outgoing(tmp_path).offer(5).seal(), to, "TLS")


def test_a_mechanism_that_the_broker_does_not_take_is_told(tmp_path: Path, strict: Broker) -> None:
    to = known(link(f"127.0.0.1:{strict.guarded}"), tmp_path, mechanism="SCRAM-SHA-256")
    refused(Outgoing(tmp_path).offer(5).seal(), to, "set `mechanism`")
