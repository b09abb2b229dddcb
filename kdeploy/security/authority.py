"""Own certificate authorities, and the certificates they sign.

There are two per environment: one signs nodes only and is what nodes trust among
themselves; one signs clients only. Invariant: an authority signs leaf certificates
alone (path length 0), and no certificate outlives the authority that signed it.

Keys are ECDSA on P-256: 128 bits of strength, acceptable beyond 2030 (NIST SP
800-57 part 1 rev. 5, tables 2 and 4), and the one curve that every TLS stack of a
Kafka client has to speak (RFC 8446, section 9.1).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from ipaddress import ip_address
from typing import Final, Literal

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID

from kdeploy.errors import KdeployError
from kdeploy.security.identity import Identity

Usage = Literal["node", "client"]
"""What a certificate is for: a node serves and calls, a client only calls."""

AUTHORITY_DAYS: Final = 7300
"""Days an authority is valid: twice the longest `security.certificate_days` (3650), so that for ten
years whatever it signs ends before it does; a new authority means a new trust store for every client."""

CLOCK_SKEW: Final = timedelta(hours=1)
"""How far a certificate's beginning lies in the past, for machines whose clocks are slow. Let's
Encrypt backdates by the same hour (letsencrypt.org/docs/faq, read 2026-10)."""

_PURPOSES: Final = {
    "node": [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH],
    "client": [ExtendedKeyUsageOID.CLIENT_AUTH],
}


def new_authority(subject: str, now: datetime) -> Identity:
    """Make an authority with a new key.

    Args:
        subject: Its name, RFC 4514 (`CN=nodes,OU=authorities,O=prod-eu`).
        now: The present, with a time zone.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name.from_rfc4514_string(subject)
    builder = _builder(name, name, key.public_key(), now, now + timedelta(days=AUTHORITY_DAYS))
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_key_usage(key_cert_sign=True, crl_sign=True), critical=True)
    return _identity(builder.sign(key, hashes.SHA256()), key)


def issue(
    authority: Identity,
    subject: str,
    usage: Usage,
    now: datetime,
    days: int,
    names: Sequence[str] = (),
    addresses: Sequence[str] = (),
) -> Identity:
    """Make an identity with a new key, signed by an authority.

    Args:
        authority: Who signs.
        subject: Whose it is, as `spec.identity` writes it.
        usage: node (TLS server and client) or client (TLS client only).
        now: The present, with a time zone.
        days: How long it is valid, never longer than the authority itself.
        names: Host names that a TLS client may reach it by.
        addresses: IP addresses that a TLS client may reach it by.

    Raises:
        KdeployError: The authority has ended.
    """
    if authority.not_after <= now:
        raise KdeployError(
            f"the authority {authority.subject} ended on {authority.not_after:%Y-%m-%d}: it cannot sign {subject}\n"
            "  take it out with `kdeploy vault edit`, with all it signed, and make new ones with `kdeploy vault create`"
        )
    key = ec.generate_private_key(ec.SECP256R1())
    ending = min(now + timedelta(days=days), authority.not_after)
    name = x509.Name.from_rfc4514_string(subject)
    builder = _builder(name, authority.parsed.subject, key.public_key(), now, ending)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_key_usage(digital_signature=True), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage(_PURPOSES[usage]), critical=False)
    issuer_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.private_key.public_key())
    builder = builder.add_extension(issuer_key, critical=False)
    alternatives: list[x509.GeneralName] = [x509.DNSName(host) for host in names]
    alternatives += [x509.IPAddress(ip_address(address)) for address in addresses]
    if alternatives:
        builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
    return _identity(builder.sign(authority.private_key, hashes.SHA256()), key)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime, ending: datetime
) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key)
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now - CLOCK_SKEW).not_valid_after(ending)
    return builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)


def _key_usage(
    *, digital_signature: bool = False, key_cert_sign: bool = False, crl_sign: bool = False
) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        encipher_only=False,
        decipher_only=False,
    )


def _identity(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> Identity:
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return Identity(certificate.public_bytes(Encoding.PEM).decode(), secret.decode())
