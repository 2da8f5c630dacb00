"""Certificates of an authority that exists for one simulator, made when it starts."""

import datetime as dt
import ipaddress
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_DAY: Final = dt.timedelta(days=1)


@dataclass(frozen=True)
class Certificates:
    """Files in PEM.

    Attributes:
        authority: the root that both sides trust.
        server: the service's certificate with its key.
        expired_server: one that expired yesterday, with its key.
        client: a consumer's certificate.
        client_key: the consumer's key.
        expired_client: a certificate of the same key that expired yesterday.
        stranger: a consumer's certificate of another authority, with its key.
    """

    authority: Path
    server: Path
    expired_server: Path
    client: Path
    client_key: Path
    expired_client: Path
    stranger: Path


class _Authority:
    def __init__(self, name: str, now: dt.datetime, days: int) -> None:
        self._now, self._days = now, days
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.certificate = (
            self._begun(self._name, self._key.public_key(), expired=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .sign(self._key, hashes.SHA256())
        )

    def server(self, key: ec.EllipticCurvePrivateKey, host: str, *, expired: bool = False) -> x509.Certificate:
        """Certify a server, by its name and by the loopback address."""
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
        names = [x509.DNSName(host), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        return (
            self._leaf(name, key, ExtendedKeyUsageOID.SERVER_AUTH, expired=expired)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .sign(self._key, hashes.SHA256())
        )

    def client(self, key: ec.EllipticCurvePrivateKey, *, expired: bool = False) -> x509.Certificate:
        """Certify a consumer, whose HSA-id is plainly made up."""
        name = x509.Name([
            x509.NameAttribute(NameOID.COMMON_NAME, "Synthetic consumer"),
            x509.NameAttribute(NameOID.SERIAL_NUMBER, "SE0000000000-WAITLIST"),
        ])  # fmt: skip
        builder = self._leaf(name, key, ExtendedKeyUsageOID.CLIENT_AUTH, expired=expired)
        return builder.sign(self._key, hashes.SHA256())

    def _leaf(
        self, name: x509.Name, key: ec.EllipticCurvePrivateKey, use: x509.ObjectIdentifier, *, expired: bool
    ) -> x509.CertificateBuilder:
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        return (
            self._begun(name, key.public_key(), expired=expired)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([use]), critical=False)
            .add_extension(issuer, critical=False)
        )

    def _begun(self, name: x509.Name, key: ec.EllipticCurvePublicKey, *, expired: bool) -> x509.CertificateBuilder:
        ends = self._now + (-_DAY if expired else self._days * _DAY)
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(self._now - 2 * _DAY)
            .not_valid_after(ends)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def make_certificates(folder: Path, *, host: str = "localhost", days: int = 365) -> Certificates:
    """Create new certificates and keys.

    Args:
        folder: is made where it is missing; files of an earlier simulator are replaced.
        host: by which the service is reached, besides 127.0.0.1.
        days: that they are valid.
    """
    folder.mkdir(parents=True, exist_ok=True)
    now = dt.datetime.now(dt.UTC).replace(microsecond=0)
    authority = _Authority("Synthetic authority", now, days)
    other = _Authority("Another synthetic authority", now, days)
    server, client = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    made = Certificates(
        authority=folder / "authority.pem",
        server=folder / "server.pem",
        expired_server=folder / "server-expired.pem",
        client=folder / "client.pem",
        client_key=folder / "client-key.pem",
        expired_client=folder / "client-expired.pem",
        stranger=folder / "stranger.pem",
    )
    _write(made.authority, _pem(authority.certificate))
    _write(made.server, _pem(authority.server(server, host)) + _key_pem(server))
    _write(made.expired_server, _pem(authority.server(server, host, expired=True)) + _key_pem(server))
    _write(made.client, _pem(authority.client(client)))
    _write(made.client_key, _key_pem(client))
    _write(made.expired_client, _pem(authority.client(client, expired=True)))
    _write(made.stranger, _pem(other.client(client)) + _key_pem(client))
    return made


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _write(path: Path, content: bytes) -> None:
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
