"""A host seen from another machine: which ports answer, and what they say to those who should not be let in."""

from __future__ import annotations

import datetime
import socket
import ssl
from collections.abc import Iterable
from pathlib import Path

EVERY_PORT = range(1, 65536)


def open_ports(address: str, ports: Iterable[int] = EVERY_PORT) -> set[int]:
    """The TCP ports of a host that answer."""
    found = set()
    for port in ports:
        with socket.socket() as tried:
            tried.settimeout(5)
            if tried.connect_ex((address, port)) == 0:
                found.add(port)
    return found


def answer_to_tls(
    address: str, port: int, version: ssl.TLSVersion, certificate: Path | None = None
) -> str | None:
    """What a port says to a client that speaks this version of TLS and no other; None when it lets it in.

    TLS 1.2 and before say so within the handshake; in TLS 1.3 a client's certificate is judged after it.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    # OpenSSL itself refuses what is older than TLS 1.2 at its usual level (SSL_CTX_set_security_level(3)).
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = version
    if certificate is not None:
        context.load_cert_chain(certificate)
    with socket.create_connection((address, port), timeout=10) as plain:
        try:
            with context.wrap_socket(plain):
                return None
        except OSError as error:
            return str(error)


def strangers_certificate(file: Path) -> Path:
    """A certificate with its key that nobody here signed, though it bears a broker's name."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "broker-1")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return file
