"""Certificates for the tests: an authority of our own, and what it signs, as PEM files."""

import datetime
import ipaddress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


def _key_and_name(common: str) -> tuple[ec.EllipticCurvePrivateKey, x509.Name]:
    return ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _signed(name: x509.Name, key: ec.EllipticCurvePrivateKey, by: x509.Name, *more: x509.ExtensionType):
    now = datetime.datetime.now(datetime.UTC)
    build = x509.CertificateBuilder(by, name, key.public_key(), x509.random_serial_number())
    build = build.not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(now + datetime.timedelta(days=1))
    for extension in more:
        build = build.add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
    return build


def _pem(key: ec.EllipticCurvePrivateKey, password: str = "") -> bytes:
    kind = serialization.BestAvailableEncryption(password.encode()) if password else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, kind)


class Authority:
    """Signs for loopback. `ca`: the file that those need who trust it."""

    def __init__(self, folder: Path, common: str = "insitu tests") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.ca = folder, folder / "ca.pem"
        self._key, self._name = _key_and_name(common)
        identity = x509.SubjectKeyIdentifier.from_public_key(self._key.public_key())
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        build = _signed(self._name, self._key, self._name, x509.BasicConstraints(True, None), identity, usage)
        self.ca.write_bytes(build.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))

    def issue(self, common: str, *, address: str = "127.0.0.1", password: str = "") -> Path:
        """A PEM file of a key (encrypted with `password`) and its certificate, good for one address."""
        key, name = _key_and_name(common)
        names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))])
        by = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        signed = _signed(name, key, self._name, names, by).sign(self._key, hashes.SHA256())
        path = self.folder / f"{common}.pem"
        path.write_bytes(_pem(key, password) + signed.public_bytes(serialization.Encoding.PEM))
        return path
