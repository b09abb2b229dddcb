"""One identity: a certificate and its private key, both PEM.

Invariant: an `Identity` that exists is whole: its certificate can be read, its key
can be read, and they belong together. Its key appears in no repr and no error.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key


class InvalidIdentity(ValueError):
    """A certificate and a key that are no identity; `part` says which of them is at fault.

    The message never holds any of the material.
    """

    def __init__(self, part: str, wrong: str) -> None:
        self.part = part
        super().__init__(wrong)


@dataclass(frozen=True)
class Identity:
    """A certificate and its private key.

    Attributes:
        certificate: One X.509 certificate, PEM.
        key: Its private key, PEM (PKCS #8, not encrypted, elliptic curve).

    Raises:
        InvalidIdentity: One of them cannot be read, or they do not belong together.
    """

    certificate: str
    key: str = field(repr=False)

    def __post_init__(self) -> None:
        try:
            key = self.parsed.public_key()
        except (ValueError, UnsupportedAlgorithm):
            raise InvalidIdentity("certificate", "is not for a kind of key that is known here") from None
        public = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        own = self.private_key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        if public != own:
            raise InvalidIdentity("key", "is not the key of the certificate beside it")

    def __repr__(self) -> str:
        return f"Identity({self.subject!r}, until {self.not_after:%Y-%m-%d})"

    @cached_property
    def parsed(self) -> x509.Certificate:
        """The certificate, parsed."""
        if self.certificate.count("-----BEGIN ") == 1:
            try:
                return x509.load_pem_x509_certificate(self.certificate.encode())
            except ValueError:
                pass  # said below, outside: the parser's error could quote the file
        raise InvalidIdentity("certificate", "is not one certificate in PEM form")

    @cached_property
    def private_key(self) -> ec.EllipticCurvePrivateKey:
        """The private key, parsed."""
        if self.key.count("-----BEGIN ") == 1:
            try:
                key = load_pem_private_key(self.key.encode(), password=None)
            except (ValueError, TypeError, UnsupportedAlgorithm):
                key = None
            if isinstance(key, ec.EllipticCurvePrivateKey):
                return key
        raise InvalidIdentity("key", "is not one elliptic-curve private key in PEM form, without a password")

    @property
    def subject(self) -> str:
        """Who it is, in the form that `spec.identity` and Java's X500Principal.getName() have."""
        return self.parsed.subject.rfc4514_string()

    @property
    def not_after(self) -> datetime:
        """When the certificate ends (UTC)."""
        return self.parsed.not_valid_after_utc

    @property
    def reached_by(self) -> frozenset[str]:
        """Names and addresses that a TLS client may reach it by."""
        try:
            found = self.parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except x509.ExtensionNotFound:
            return frozenset()
        addresses = found.get_values_for_type(x509.IPAddress)
        return frozenset((*found.get_values_for_type(x509.DNSName), *map(str, addresses)))

    @property
    def pem(self) -> bytes:
        """Key and certificate in one file, as Kafka, ZooKeeper, librdkafka and Python read it."""
        return f"{self.key.strip()}\n{self.certificate.strip()}\n".encode()
