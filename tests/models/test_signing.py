"""Signatures: this reader and the package `model_signing` agree on what is signed, in both directions."""

import base64
import json
import os
import shutil
import stat
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from model_signing import verifying

from insitu.errors import ModelError, UsageError
from insitu.models import signing
from tests import networks


def package_takes(folder: Path, public: Path) -> bool:
    """What the package of the OpenSSF says."""
    try:
        verifying.Config().use_elliptic_key_verifier(public_key=public).verify(folder, folder / signing.NAME)
    except Exception:  # noqa: BLE001 - whatever it raises, it does not take it
        return False
    return True


def we_take(folder: Path, public: Path) -> bool:
    """What is said here."""
    files = {p.name: p.read_bytes() for p in folder.iterdir() if p.name != signing.NAME}
    try:
        signing.verify((folder / signing.NAME).read_bytes(), files, signing.trusted([public]))
    except ModelError:
        return False
    return True


def test_what_the_package_signs_is_taken_by_both(whole: Path, pair: tuple[Path, Path]) -> None:
    assert package_takes(whole, pair[1])
    assert we_take(whole, pair[1])


@pytest.mark.parametrize("curve", [ec.SECP256R1, ec.SECP384R1, ec.SECP521R1])
def test_each_curve_of_the_standard_is_taken_by_both(whole: Path, tmp_path: Path, curve: Any) -> None:
    key = curve_pair(tmp_path, curve())
    copy = shutil.copytree(whole, tmp_path / "copy")
    (copy / signing.NAME).unlink()
    signing.sign(copy, key[0])
    assert package_takes(copy, key[1])
    assert we_take(copy, key[1])


def curve_pair(folder: Path, curve: ec.EllipticCurve) -> tuple[Path, Path]:
    key = ec.generate_private_key(curve)
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    (folder / "k.key").write_bytes(key.private_bytes(pem, pkcs8, serialization.NoEncryption()))
    (folder / "k.pub").write_bytes(key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo))
    return folder / "k.key", folder / "k.pub"


def test_what_the_package_refuses_is_refused_here(whole: Path, pair: tuple[Path, Path], tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    names = sorted(p.name for p in whole.iterdir())
    refused = 0
    for i in range(40):
        copy = shutil.copytree(whole, tmp_path / str(i))
        name = names[i % len(names)]
        data = bytearray((copy / name).read_bytes())
        data[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
        (copy / name).write_bytes(data)
        theirs, ours = package_takes(copy, pair[1]), we_take(copy, pair[1])
        assert not ours
        refused += not theirs
    assert refused > 30  # the package forgives some bits of the envelope that change nothing


def test_another_key_does_not_count(whole: Path, tmp_path: Path) -> None:
    other = signing.make_keys(tmp_path)
    assert not package_takes(whole, other[1])
    with pytest.raises(ModelError, match="not trusted") as found:
        signing.verify((whole / signing.NAME).read_bytes(), {}, signing.trusted([other[1]]))
    assert signing.KEYS in found.value.remedy


def test_a_key_that_only_claims_to_be_trusted_does_not_count(
    whole: Path, tmp_path: Path, pair: tuple[Path, Path]
) -> None:
    copy = shutil.copytree(whole, tmp_path / "copy")
    (copy / signing.NAME).unlink()
    signing.sign(copy, signing.make_keys(tmp_path)[0])
    body = json.loads((copy / signing.NAME).read_text())
    body["verificationMaterial"]["publicKey"]["hint"] = next(
        iter(signing.trusted([pair[1]]).keys() - signing.trusted())
    )[7:]
    (copy / signing.NAME).write_text(json.dumps(body))
    files = {p.name: p.read_bytes() for p in copy.iterdir() if p.name != signing.NAME}
    with pytest.raises(ModelError, match="signature is wrong"):
        signing.verify((copy / signing.NAME).read_bytes(), files, signing.trusted([pair[1]]))


def test_files_that_are_missing_added_or_swapped_are_named(whole: Path, pair: tuple[Path, Path]) -> None:
    files = {p.name: p.read_bytes() for p in whole.iterdir()}
    signature, keys = files.pop(signing.NAME), signing.trusted([pair[1]])
    for changed, name, why in (
        ({n: d for n, d in files.items() if n != "LICENSE"}, "LICENSE", "not here"),
        (files | {"more": b""}, "more", "not signed"),
        (files | {"model.onnx": files["golden.npz"]}, "model.onnx", "not the bytes"),
    ):
        with pytest.raises(ModelError, match=why) as found:
            signing.verify(signature, changed, keys)
        assert found.value.where == name


def resigned(whole: Path, key: Path, change: Any) -> bytes:
    """A signature by a trusted key over another statement."""
    body = json.loads((whole / signing.NAME).read_text())
    payload = change(json.loads(base64.b64decode(body["dsseEnvelope"]["payload"])))
    payload = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    private: Any = serialization.load_pem_private_key(key.read_bytes(), None)
    from cryptography.hazmat.primitives import hashes

    kind = b"application/vnd.in-toto+json"
    proof = private.sign(b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload), ec.ECDSA(hashes.SHA256()))
    body["dsseEnvelope"]["payload"] = base64.b64encode(payload).decode()
    body["dsseEnvelope"]["signatures"][0]["sig"] = base64.b64encode(proof).decode()
    return json.dumps(body).encode()


@pytest.mark.parametrize(
    "change",
    [
        lambda s: b"not json",
        lambda s: b"[" * 100_000,
        lambda s: [],
        lambda s: s | {"_type": "other"},
        lambda s: s | {"predicateType": "other"},
        lambda s: s | {"subject": []},
        lambda s: s | {"subject": [{"digest": {"sha256": "0" * 64}}]},
        lambda s: s | {"predicate": s["predicate"] | {"resources": s["predicate"]["resources"][1:]}},
        lambda s: s | {"predicate": s["predicate"] | {"resources": s["predicate"]["resources"] * 2}},
        lambda s: s | {"predicate": s["predicate"] | {"resources": None}},
        lambda s: s | {"predicate": s["predicate"] | {"serialization": {"method": "shards", "hash_type": "sha256"}}},
    ],
)
def test_a_statement_of_another_kind_is_refused_even_when_signed(
    whole: Path, pair: tuple[Path, Path], change: Any
) -> None:
    files = {p.name: p.read_bytes() for p in whole.iterdir() if p.name != signing.NAME}
    assert signing.verify(resigned(whole, pair[0], lambda s: s), files, signing.trusted([pair[1]]))
    with pytest.raises(ModelError):
        signing.verify(resigned(whole, pair[0], change), files, signing.trusted([pair[1]]))


@pytest.mark.parametrize(
    "change",
    [
        lambda b: b | {"mediaType": "other"},
        lambda b: b | {"more": 1},
        lambda b: {k: v for k, v in b.items() if k != "dsseEnvelope"},
        lambda b: b | {"verificationMaterial": {"certificate": {"rawBytes": ""}}},
        lambda b: b | {"dsseEnvelope": b["dsseEnvelope"] | {"signatures": []}},
        lambda b: b | {"dsseEnvelope": b["dsseEnvelope"] | {"signatures": b["dsseEnvelope"]["signatures"] * 2}},
        lambda b: b | {"dsseEnvelope": b["dsseEnvelope"] | {"payload": b["dsseEnvelope"]["payload"] + "="}},
        lambda b: b | {"dsseEnvelope": b["dsseEnvelope"] | {"payload": 7}},
        lambda b: b | {"dsseEnvelope": b["dsseEnvelope"] | {"payload": "\u00e9"}},
        lambda b: b | {"dsseEnvelope": [b["dsseEnvelope"]]},
        lambda b: [b],
        lambda b: "text",
        lambda b: None,
    ],
)
def test_an_envelope_of_another_form_is_refused(whole: Path, pair: tuple[Path, Path], change: Any) -> None:
    body = json.loads((whole / signing.NAME).read_text())
    with pytest.raises(ModelError):
        signing.verify(json.dumps(change(body)).encode(), {}, signing.trusted([pair[1]]))


def test_a_key_that_is_there_twice_is_refused(whole: Path, pair: tuple[Path, Path]) -> None:
    files = {p.name: p.read_bytes() for p in whole.iterdir()}
    signature = files.pop(signing.NAME)
    twice = signature.replace(b'{"mediaType":', b'{"mediaType":"other","mediaType":', 1)
    assert twice != signature
    with pytest.raises(ModelError, match="twice"):
        signing.verify(twice, files, signing.trusted([pair[1]]))


def test_a_private_key_is_for_its_owner_only_and_never_overwritten(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        private, public = signing.make_keys(tmp_path, "mine")
    finally:
        os.umask(old)
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    assert signing.public_of(private).fingerprint in signing.trusted([public])
    before = private.read_bytes()
    with pytest.raises(UsageError, match="a key already"):
        signing.make_keys(tmp_path, "mine")
    assert private.read_bytes() == before


def test_keys_of_the_environment_count_as_files_and_as_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = (signing.make_keys(tmp_path / name)[1] for name in "ab")
    monkeypatch.setenv(signing.KEYS, f"{one}{os.pathsep}{two.parent}")
    assert {key.path for key in signing.trusted().values()} >= {one, two}
    monkeypatch.setenv(signing.KEYS, str(tmp_path / "gone"))
    with pytest.raises(ModelError, match="no public key is here"):
        signing.trusted()


@pytest.mark.parametrize("content", [b"", b"nothing", b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"])
def test_what_is_no_key_is_told(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.pub").write_bytes(content)
    with pytest.raises(ModelError, match="no public key can be read"):
        signing.trusted([tmp_path / "x.pub"])
    (tmp_path / "x.key").write_bytes(content)
    with pytest.raises(ModelError, match="no private key"):
        signing.sign(tmp_path, tmp_path / "x.key")


def test_a_key_of_another_kind_is_told(tmp_path: Path) -> None:
    _, public = curve_pair(tmp_path, ec.SECP256K1())
    with pytest.raises(ModelError, match="another kind"):
        signing.trusted([public])


def test_the_projects_own_key_is_shipped() -> None:
    assert next(key.path.name for key in signing.trusted().values()) == "insitu.pub"


def test_an_empty_folder_gives_a_bundle_of_the_hand_made_network(tmp_path: Path, pair: tuple[Path, Path]) -> None:
    assert networks.write(tmp_path / "new", pair[0]).signed_by in signing.trusted([pair[1]])


@pytest.mark.parametrize("kind", ["rsa", "ed25519", "secp256k1"])
def test_a_private_key_of_another_kind_signs_nothing(tmp_path: Path, kind: str) -> None:
    keys = {
        "rsa": lambda: rsa.generate_private_key(65537, 1024),
        "ed25519": ed25519.Ed25519PrivateKey.generate,
        "secp256k1": lambda: ec.generate_private_key(ec.SECP256K1()),
    }
    none = serialization.NoEncryption()
    pem = keys[kind]().private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, none)
    (tmp_path / "odd.key").write_bytes(pem)

    with pytest.raises(ModelError, match="this is no private key for signing: it is of another kind"):
        signing.sign(tmp_path, tmp_path / "odd.key")


@pytest.mark.parametrize("name", ["", "../up", "a/b", ".hidden"])
def test_a_pair_of_keys_stays_in_its_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="no name of a file"):
        signing.make_keys(tmp_path / "keys", name)

    assert list(tmp_path.iterdir()) == []
