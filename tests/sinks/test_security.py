"""The settings of a connection: what a security file and the environment say, and what is refused before a broker is
asked."""

import ssl
from pathlib import Path

import pytest

from insitu.errors import ConfigError
from insitu.sinks.kafka import Link, connection_options
from insitu.sinks.security import KEYS
from tests.certificates import Authority

ROOT = Path(__file__).resolve().parent.parent.parent


def secrets(folder: Path, text: str, mode: int = 0o600) -> Link:
    path = folder / "secrets.toml"
    path.write_text(text)
    path.chmod(mode)
    return Link(bootstrap="a:1, b:2", beamline="bl", security=path)


def refused(to: Link, environment: dict[str, str] | None = None) -> str:
    with pytest.raises(ConfigError) as error:
        connection_options(to, environment or {})
    return str(error.value)


def test_without_a_security_file_the_connection_is_plain() -> None:
    plain = connection_options(Link(bootstrap="a:1, b:2", beamline="bl"), {})
    assert plain == {"bootstrap_servers": ["a:1", "b:2"], "security_protocol": "PLAINTEXT"}


def test_a_security_file_names_user_password_and_authority(tmp_path: Path) -> None:
    ca = Authority(tmp_path).ca
    text = f'protocol = "SASL_SSL"\nusername = "u"\npassword = "p"\nca_file = "{ca.name}"\n'
    found = connection_options(secrets(tmp_path, text), {})
    assert found["sasl_mechanism"] == "SCRAM-SHA-512"
    assert (found["sasl_plain_username"], found["sasl_plain_password"]) == ("u", "p")
    context = found["ssl_context"]
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert [dict(pair[0] for pair in c["subject"])["commonName"] for c in context.get_ca_certs()] == ["insitu tests"]


def test_the_environment_wins_over_the_security_file(tmp_path: Path) -> None:
    to = secrets(tmp_path, 'username = "u"\npassword = "from inside"\n')
    found = connection_options(to, {"INSITU_KAFKA_PASSWORD": "from outside"})
    assert found["security_protocol"] == "SASL_SSL"
    assert found["sasl_plain_password"] == "from outside"


def test_name_and_password_may_come_from_the_environment_alone() -> None:
    environment = {"INSITU_KAFKA_USERNAME": "u", "INSITU_KAFKA_PASSWORD": "p"}
    found = connection_options(Link(bootstrap="a:1", beamline="bl"), environment)
    assert (found["security_protocol"], found["sasl_plain_username"]) == ("SASL_SSL", "u")


def test_a_password_that_others_may_read_is_refused(tmp_path: Path) -> None:
    assert "chmod 600" in refused(secrets(tmp_path, 'password = "p"\n', 0o640))


@pytest.mark.parametrize("text", ['pasword = "S3CRET"', "password = 3", 'password = "S3CRET', "\x00"])
def test_a_wrong_security_file_is_refused_without_showing_it(tmp_path: Path, text: str) -> None:
    assert "S3CRET" not in refused(secrets(tmp_path, text))


@pytest.mark.parametrize(("key", "value"), [("protocol", "TLS"), ("mechanism", "PLAIN-TEXT")])
def test_a_word_that_kafka_does_not_know_is_refused(tmp_path: Path, key: str, value: str) -> None:
    said = refused(secrets(tmp_path, f'{key} = "{value}"\n'))
    assert f": {key}" in said
    assert "SSL" in said or "SCRAM-SHA-512" in said


@pytest.mark.parametrize("given", ["username", "password"])
def test_half_of_a_login_is_refused(tmp_path: Path, given: str) -> None:
    missing = {"username": "password", "password": "username"}[given]
    said = refused(secrets(tmp_path, f'protocol = "SASL_SSL"\n{given} = "S3CRET"\n'))
    assert f"SASL_SSL needs a {missing}" in said
    assert f"INSITU_KAFKA_{missing.upper()}" in said
    assert "S3CRET" not in said


@pytest.mark.parametrize("key", ["ca_file", "cert_file", "key_file"])
def test_a_certificate_that_is_not_there_is_named(tmp_path: Path, key: str) -> None:
    said = refused(secrets(tmp_path, f'{key} = "gone.pem"\n'))
    assert f"secrets.toml: {key}" in said
    assert str(tmp_path / "gone.pem") in said


def test_an_authority_that_is_no_certificate_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    assert "secrets.toml: ca_file" in refused(secrets(tmp_path, 'ca_file = "ca.pem"\n'))


@pytest.mark.parametrize("line", ["", 'key_password = "not-this-one"'], ids=["missing", "wrong"])
def test_a_key_that_cannot_be_opened_is_refused_and_the_terminal_is_not_asked(tmp_path: Path, line: str) -> None:
    own = Authority(tmp_path).issue("beamline", password="opens-the-key")
    said = refused(secrets(tmp_path, f'cert_file = "{own.name}"\n{line}\n'))
    assert "key_password" in said
    assert "not-this-one" not in said


def test_the_guide_lists_the_keys_of_a_security_file() -> None:
    page = (ROOT / "docs/how-to/send-to-kafka.md").read_text()
    assert "Its keys: " + ", ".join(f"`{key}`" for key in KEYS) in page
