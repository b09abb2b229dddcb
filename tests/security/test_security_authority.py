"""Two authorities, what each signs, and that a certificate and its key are one."""

from __future__ import annotations

import base64
from datetime import datetime, timedelta
from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from kdeploy.errors import KdeployError
from kdeploy.security.authority import AUTHORITY_DAYS, issue, new_authority
from kdeploy.security.content import Vault
from kdeploy.security.identity import Identity, InvalidIdentity
from kdeploy.spec import identity as names


def extension(identity: Identity, kind: type) -> object:
    return identity.parsed.extensions.get_extension_for_class(kind).value


@pytest.mark.parametrize(
    "subject",
    [
        names.node_subject("prod-eu", "dc1", "broker-1"),
        names.brokers_subject("prod-eu", "eu-west-1"),
        names.administrator_subject("a" * 40),
    ],
)
def test_a_subject_reads_back_as_written_and_its_der_order_is_the_reverse(
    vault: Vault, now: datetime, subject: str
) -> None:
    made = issue(vault.nodes_authority, subject, "client", now, 10)
    assert made.subject == subject
    order = [attribute.oid for attribute in made.parsed.subject]
    assert order == [NameOID.ORGANIZATION_NAME, NameOID.ORGANIZATIONAL_UNIT_NAME, NameOID.COMMON_NAME]


def test_an_authority_signs_leaf_certificates_alone(vault: Vault) -> None:
    for authority in (vault.nodes_authority, vault.clients_authority):
        constraints = authority.parsed.extensions.get_extension_for_class(x509.BasicConstraints)
        assert constraints.critical
        assert constraints.value == x509.BasicConstraints(ca=True, path_length=0)
        usage = extension(authority, x509.KeyUsage)
        assert usage.key_cert_sign
        assert not usage.digital_signature


def test_a_node_serves_and_calls_under_its_names_and_addresses(vault: Vault) -> None:
    made = vault.nodes["dc1/broker-1"]
    alternatives = extension(made, x509.SubjectAlternativeName)
    assert alternatives.get_values_for_type(x509.DNSName) == ["localhost", "broker-1"]
    assert alternatives.get_values_for_type(x509.IPAddress) == [ip_address("127.0.0.1")]
    purposes = {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}
    assert set(extension(made, x509.ExtendedKeyUsage)) == purposes
    assert extension(made, x509.BasicConstraints).ca is False
    assert extension(made, x509.KeyUsage).digital_signature


def test_a_client_can_only_call(vault: Vault) -> None:
    for made in (vault.administrator, vault.brokers["dc1"]):
        assert list(extension(made, x509.ExtendedKeyUsage)) == [ExtendedKeyUsageOID.CLIENT_AUTH]
        with pytest.raises(x509.ExtensionNotFound):
            extension(made, x509.SubjectAlternativeName)


def test_each_authority_signs_its_own_kind_and_no_other(vault: Vault) -> None:
    for made in (*vault.nodes.values(), *vault.brokers.values()):
        made.parsed.verify_directly_issued_by(vault.nodes_authority.parsed)
        with pytest.raises((InvalidSignature, ValueError)):
            made.parsed.verify_directly_issued_by(vault.clients_authority.parsed)
    vault.administrator.parsed.verify_directly_issued_by(vault.clients_authority.parsed)
    with pytest.raises((InvalidSignature, ValueError)):
        vault.administrator.parsed.verify_directly_issued_by(vault.nodes_authority.parsed)


def test_a_certificate_holds_for_a_slow_clock_and_for_the_days_asked(vault: Vault, now: datetime) -> None:
    made = issue(vault.nodes_authority, "CN=a,O=b", "node", now, 10)
    assert made.parsed.not_valid_before_utc < now
    assert made.not_after == now + timedelta(days=10)


def test_no_certificate_outlives_its_authority(now: datetime) -> None:
    authority = new_authority("CN=a,O=b", now)
    late = now + timedelta(days=AUTHORITY_DAYS - 5)
    assert issue(authority, "CN=c,O=b", "node", late, 365).not_after == authority.not_after
    with pytest.raises(KdeployError, match="ended on"):
        issue(authority, "CN=c,O=b", "node", authority.not_after, 365)


def test_a_certificate_and_the_key_of_another_are_no_identity(vault: Vault) -> None:
    with pytest.raises(InvalidIdentity, match="is not the key") as caught:
        Identity(vault.administrator.certificate, vault.nodes_authority.key)
    assert caught.value.part == "key"


CURVE, NO_CURVE = bytes.fromhex("06082a8648ce3d030107"), bytes.fromhex("06082a8648ce3d03017f")
"""Object identifiers in DER: P-256, and one that names nothing."""


def of_no_curve(pem: str) -> str:
    first, *middle, last = pem.strip().splitlines()
    der = base64.b64decode("".join(middle))
    assert CURVE in der
    return f"{first}\n{base64.encodebytes(der.replace(CURVE, NO_CURVE)).decode()}{last}\n"


@pytest.mark.parametrize("part", ["certificate", "key"])
def test_a_kind_of_key_that_nothing_here_knows_is_no_identity(vault: Vault, part: str) -> None:
    admin = vault.administrator
    texts = {"certificate": admin.certificate, "key": admin.key}
    texts[part] = of_no_curve(texts[part])
    with pytest.raises(InvalidIdentity) as refused:
        Identity(**texts)
    assert refused.value.part == part


def test_no_repr_shows_a_secret(vault: Vault, planted: set[str]) -> None:
    shown = f"{vault!r} {vault} {vault.identities()} {vault.nodes}"
    assert "broker-1" in shown
    assert not [secret for secret in planted if secret in shown]
