"""Who vouches for a bundle: OpenSSF model signing with an elliptic-curve key, without any network.

`signature.json` is the file of the `model_signing` package (a Sigstore bundle: DSSE envelope, in-toto statement, one
SHA-256 for each file). That package makes it. Here it is checked with `cryptography` alone, against the very bytes that
were read and will be loaded: the package would read the files a second time, and its import takes longer than a session
may take to start. Decision 0010 says more; the tests hold both against each other.
"""

import base64
import hashlib
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from insitu.errors import MissingExtraError, ModelError, StorageError, UsageError
from insitu.models import parsing

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

NAME = "signature.json"
LARGEST = 256 * 1024
KEYS = "INSITU_MODEL_KEYS"
"""Environment variable: more trusted public keys, files or folders of `*.pub`, separated as in PATH."""

_MEDIA = "application/vnd.dev.sigstore.bundle.v0.3+json"
_PAYLOAD = "application/vnd.in-toto+json"
_STATEMENT = "https://in-toto.io/Statement/v1"
_PREDICATE = "https://model_signing/signature/v1.0"
_CURVES = {"secp256r1": "SHA256", "secp384r1": "SHA384", "secp521r1": "SHA512"}


class Key(NamedTuple):
    """A public key and the file that it is from."""

    public: "EllipticCurvePublicKey"
    path: Path

    @property
    def fingerprint(self) -> str:
        """`sha256:...` of the key's PEM: what `signature.json` calls its hint."""
        _, serialization = _cryptography("reading a key")
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        return sha256(self.public.public_bytes(serialization.Encoding.PEM, form))


def sha256(data: bytes) -> str:
    """`sha256:<hex>`."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def shipped_keys() -> Path:
    """The folder of the project's own public key: in the installed package, or beside it in a checkout. Never in the
    current folder: what vouches for a bundle may not come with it."""
    package = Path(__file__).resolve().parent.parent
    inside = package / "_shipped" / "pipelines" / "models"
    return inside if inside.is_dir() else package.parent / "pipelines" / "models"


def trusted(more: Sequence[Path] = ()) -> dict[str, Key]:
    """Every public key that counts, by fingerprint (`sha256:...`): the project's own, those that `INSITU_MODEL_KEYS`
    names, and `more`."""
    named = [Path(p).expanduser() for p in os.environ.get(KEYS, "").split(os.pathsep) if p]
    found: dict[str, Key] = {}
    for path in _files([shipped_keys(), *named, *more]):
        key = Key(_public(path), path)
        found.setdefault(key.fingerprint, key)
    return found


def verify(signature: bytes, files: Mapping[str, bytes], keys: Mapping[str, Key]) -> str:
    """The fingerprint of the trusted key that signed exactly these files. Raises `ModelError`.

    Nothing in the envelope is read before its signature is right, except which key made it.
    """
    where = NAME
    try:
        body = parsing.loads(signature, where, largest=LARGEST)
        envelope, hint = body["dsseEnvelope"], body["verificationMaterial"]["publicKey"]["hint"]
        (signed,) = envelope["signatures"]
        payload, proof = _base64(envelope["payload"]), _base64(signed["sig"])
        same = {
            "mediaType": _MEDIA,
            "verificationMaterial": {"publicKey": {"hint": hint}, "tlogEntries": []},
            "dsseEnvelope": {
                "payload": envelope["payload"],
                "payloadType": _PAYLOAD,
                "signatures": [{"sig": signed["sig"], "keyid": ""}],
            },
        }
        if body != same or not re.fullmatch("[0-9a-f]{64}", hint):
            raise ValueError("keys or values that are not of this format")
    except (KeyError, TypeError, ValueError) as e:
        if isinstance(e, ModelError):
            raise
        raise ModelError(
            "this is no signature of OpenSSF model signing with a key", where=where, expected=f"a bundle {_MEDIA}",
            remedy="Sign it again, or get the bundle again from where it comes from",
        ) from e  # fmt: skip
    key = keys.get("sha256:" + hint)
    if key is None:
        raise ModelError(
            f"signed with a key that is not trusted here (sha256:{hint[:16]})",
            where=where,
            expected=", ".join(f"{known.path.name} ({name[:23]})" for name, known in keys.items()) or "a trusted key",
            remedy=f"If you trust who made this bundle, put their public key into a folder that {KEYS} names",
        )
    _check_proof(key.public, payload, proof, where)
    _check_statement(payload, files, where)
    return "sha256:" + hint


def _check_proof(key: "EllipticCurvePublicKey", payload: bytes, proof: bytes, where: str) -> None:
    """The signature over DSSE's pre-authentication encoding of the payload."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA

    encoded = b"DSSEv1 %d %s %d %s" % (len(_PAYLOAD), _PAYLOAD.encode(), len(payload), payload)
    try:
        key.verify(proof, encoded, ECDSA(getattr(hashes, _CURVES[key.curve.name])()))
    except InvalidSignature:
        raise ModelError(
            "the signature is wrong: the list of files was changed after it was signed", where=where,
            remedy="Get the bundle again from where it comes from",
        ) from None  # fmt: skip


def _check_statement(payload: bytes, files: Mapping[str, bytes], where: str) -> None:
    """The signed list names exactly `files`, with their digests."""
    try:
        statement = parsing.loads(payload, where, largest=LARGEST)
        predicate, (subject,) = statement["predicate"], statement["subject"]
        listed = predicate["resources"]
        digests = {item["name"]: item["digest"] for item in listed if item["algorithm"] == "sha256"}
        whole = hashlib.sha256(b"".join(bytes.fromhex(item["digest"]) for item in listed)).hexdigest()
        how = predicate["serialization"]
        if (statement["_type"], statement["predicateType"]) != (_STATEMENT, _PREDICATE) or len(digests) != len(listed):
            raise ValueError("another kind of statement")
        if (how["method"], how["hash_type"]) != ("files", "sha256") or subject["digest"] != {"sha256": whole}:
            raise ValueError("digests of another kind")
    except (KeyError, TypeError, ValueError) as e:
        raise ModelError("what was signed is no list of files with sha256 digests", where=where) from e
    for name in sorted(digests.keys() | files.keys()):
        if name not in files:
            raise ModelError("signed, but not here", where=name, remedy="Get the whole bundle again")
        if name not in digests:
            raise ModelError("here, but not signed", where=name, remedy="Sign the bundle again")
        if hashlib.sha256(files[name]).hexdigest() != digests[name]:
            raise ModelError(
                "not the bytes that were signed", where=name, expected=f"sha256 {digests[name][:16]}...",
                remedy="Get the bundle again from where it comes from",
            )  # fmt: skip


def sign(folder: Path, key: Path) -> None:
    """Write `signature.json` over every other file of `folder` with the private key in `key` (PEM, no password)."""
    try:
        from model_signing import hashing, signing
    except ImportError as e:
        raise MissingExtraError("model_signing", "models", purpose="signing a bundle") from e
    if not key.is_file():
        raise ModelError("no private key is here", where=str(key), remedy="`insitu model key FOLDER` makes a pair")
    public_of(key)
    by_file = hashing.Config().use_file_serialization(hashing_algorithm="sha256")
    by_file.set_ignored_paths(paths=[NAME], ignore_git_paths=False)
    signer = signing.Config().use_elliptic_key_signer(private_key=key)
    signer.set_hashing_config(by_file).sign(folder, folder / NAME)


def make_keys(folder: Path, name: str = "models") -> tuple[Path, Path]:
    """A new P-256 pair: `NAME.key` (mode 0600) and `NAME.pub`. Existing files are never overwritten."""
    if not re.fullmatch(r"\w[\w.-]{0,60}", name):
        raise UsageError(f"{name!r} is no name of a file", where="--name", expected="letters, digits, . _ and -")
    ec, serialization = _cryptography("making a key")
    key = ec.generate_private_key(ec.SECP256R1())
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    paths = folder / f"{name}.key", folder / f"{name}.pub"
    for path in paths:
        if path.exists() or path.is_symlink():
            raise UsageError("there is a key already", where=str(path), remedy="Choose another folder or --name")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, data, mode in ((paths[0], private, 0o600), (paths[1], public, 0o644)):
            with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode), "wb") as f:
                f.write(data)
                f.flush()
                os.fsync(f.fileno())
    except OSError as e:
        raise StorageError(f"cannot write a key: {e.strerror}", where=str(e.filename or folder)) from e
    return paths


def public_of(key: Path) -> Key:
    """The public half of the private key in a file."""
    ec, serialization = _cryptography("reading a key")
    try:
        public = serialization.load_pem_private_key(key.read_bytes(), None).public_key()
        if not isinstance(public, ec.EllipticCurvePublicKey) or public.curve.name not in _CURVES:
            raise ValueError("it is of another kind")
    except (OSError, ValueError, TypeError) as e:
        raise ModelError(
            f"this is no private key for signing: {e}", where=str(key),
            expected="an EC key (P-256, P-384 or P-521) as PEM without a password",
            remedy="`insitu model key FOLDER` makes a pair",
        ) from e  # fmt: skip
    return Key(public, key)


def _files(places: Iterable[Path]) -> Iterable[Path]:
    for place in places:
        if place.is_dir():
            yield from sorted(place.glob("*.pub"))
        elif place.is_file():
            yield place
        elif place != shipped_keys():
            raise ModelError(
                "no public key is here", where=str(place), expected="a file, or a folder of *.pub",
                remedy=f"Correct {KEYS}, or make a pair with `insitu model key FOLDER`",
            )  # fmt: skip


def _public(path: Path) -> "EllipticCurvePublicKey":
    ec, serialization = _cryptography("reading a signed bundle")
    try:
        with open(path, "rb") as f:
            key = serialization.load_pem_public_key(f.read(64 * 1024))
    except (OSError, ValueError) as e:
        raise ModelError(f"no public key can be read here: {e}", where=str(path), expected="an EC key as PEM") from e
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name not in _CURVES:
        raise ModelError(
            "this key is of another kind", where=str(path), expected=f"an EC key on {', '.join(_CURVES)}",
            remedy="`insitu model key FOLDER` makes a pair",
        )  # fmt: skip
    return key


def _base64(text: Any) -> bytes:
    """Strict: one text for one value."""
    data = base64.b64decode(text, validate=True)
    if base64.b64encode(data).decode() != text:
        raise ValueError("not canonical base64")
    return data


def _cryptography(purpose: str) -> tuple[Any, Any]:
    try:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ec
    except ImportError as e:
        raise MissingExtraError("cryptography", "models", purpose=purpose) from e
    return ec, serialization
