"""What a client is handed: properties for Java, librdkafka and Python, and certificates.

Everything of one client is in one folder of mode 0700, each file 0600. Invariant:
the folder ignores itself for git, so that nobody commits a password by mistake, and
nothing from an earlier hand-out of another format stays in it.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from kdeploy.errors import KdeployError
from kdeploy.security.files import write_secret

if TYPE_CHECKING:
    from kdeploy.security.content import Vault

Form = Literal["pem", "pkcs12"]
"""How Java gets its certificates: inside its properties, or as PKCS #12 stores beside them."""

Protocol = Literal["SASL_SSL", "PLAINTEXT"]
"""What the client listener speaks (`spec.model.Security.client_listener`)."""

CLIENT_SCHEMA: Final = "kdeploy.client/v1"
"""Value of `schema` in python.json."""

FILES: Final = (
    "client.properties",
    "librdkafka.conf",
    "python.json",
    "ca.pem",
    "admin.pem",
    "truststore.p12",
    "keystore.p12",
    ".gitignore",
)
"""Every name that a hand-out can have; what another one left under these names is removed."""


@dataclass(frozen=True, repr=False)
class _Client:
    """One client's settings in its three dialects, and its other files."""

    java: Mapping[str, str]
    librdkafka: Mapping[str, str]
    kafka_python: Mapping[str, object]
    files: Mapping[str, bytes]


def write_user(
    folder: Path, vault: Vault, user: str, bootstrap: str, protocol: Protocol = "SASL_SSL", form: Form = "pem"
) -> tuple[Path, ...]:
    """Write what a user needs to reach the client listener.

    Args:
        folder: The client's own folder; made with mode 0700.
        vault: Where the password and the authority to trust come from.
        user: The user's name.
        bootstrap: `host:port,...` of the client listeners.
        protocol: What they speak.
        form: How Java gets the authority.

    Returns:
        The files.

    Raises:
        KdeployError: The vault has no password for the user, or the folder cannot be used.
    """
    if user not in vault.passwords:
        raise KdeployError(
            f"the vault of {vault.environment} has no password for {user!r}\n"
            "  declare the user in environment.yaml; its password is made by `kdeploy vault create` "
            "(provider local: by `kdeploy up`)"
        )
    if protocol == "PLAINTEXT":
        return _write(folder, _plaintext(bootstrap))
    return _write(folder, _scram(folder.absolute(), vault, user, bootstrap, form))


def write_administrator(folder: Path, vault: Vault, bootstrap: str, form: Form = "pem") -> tuple[Path, ...]:
    """Write what reaches the admin listener as a super user, by mutual TLS.

    Args:
        folder: The administrator's own folder; made with mode 0700.
        vault: Where the certificate and the authority to trust come from.
        bootstrap: `host:port,...` of the admin listeners.
        form: How Java gets key, certificate and authority.

    Returns:
        The files.

    Raises:
        KdeployError: The folder cannot be used.
    """
    return _write(folder, _mutual_tls(folder.absolute(), vault, bootstrap, form))


def _plaintext(bootstrap: str) -> _Client:
    settings = {"bootstrap.servers": bootstrap, "security.protocol": "PLAINTEXT"}
    python = {"bootstrap_servers": bootstrap.split(","), "security_protocol": "PLAINTEXT"}
    return _Client(settings, settings, python, {})


def _scram(folder: Path, vault: Vault, user: str, bootstrap: str, form: Form) -> _Client:
    password = vault.passwords[user]
    store = secrets.token_urlsafe(24)
    ca = str(folder / "ca.pem")
    login = f"username={_jaas(user)} password={_jaas(password)}"
    java = {
        "bootstrap.servers": bootstrap,
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.jaas.config": f"org.apache.kafka.common.security.scram.ScramLoginModule required {login};",
        **_java_trust(folder, vault, form, store),
    }
    librdkafka = {
        "bootstrap.servers": bootstrap,
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": user,
        "sasl.password": password,
        "ssl.ca.location": ca,
        "ssl.endpoint.identification.algorithm": "https",
    }
    python = {
        "bootstrap_servers": bootstrap.split(","),
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": user,
        "sasl_plain_password": password,
        "ssl_cafile": ca,
    }
    return _Client(java, librdkafka, python, _trust_files(vault, form, store))


def _mutual_tls(folder: Path, vault: Vault, bootstrap: str, form: Form) -> _Client:
    admin, store = vault.administrator, secrets.token_urlsafe(24)
    ca, own = str(folder / "ca.pem"), str(folder / "admin.pem")
    java = {
        "bootstrap.servers": bootstrap,
        "security.protocol": "SSL",
        **_java_trust(folder, vault, form, store),
    }
    files = {**_trust_files(vault, form, store), "admin.pem": admin.pem}
    if form == "pkcs12":
        files["keystore.p12"] = _key_store(vault, store)
        java |= {
            "ssl.keystore.type": "PKCS12",
            "ssl.keystore.location": str(folder / "keystore.p12"),
            "ssl.keystore.password": store,
            "ssl.key.password": store,
        }
    else:
        java |= {
            "ssl.keystore.type": "PEM",
            "ssl.keystore.certificate.chain": admin.certificate.strip(),
            "ssl.keystore.key": admin.key.strip(),
        }
    librdkafka = {
        "bootstrap.servers": bootstrap,
        "security.protocol": "SSL",
        "ssl.ca.location": ca,
        "ssl.certificate.location": own,
        "ssl.key.location": own,
        "ssl.endpoint.identification.algorithm": "https",
    }
    python = {
        "bootstrap_servers": bootstrap.split(","),
        "security_protocol": "SSL",
        "ssl_cafile": ca,
        "ssl_certfile": own,
        "ssl_keyfile": own,
    }
    return _Client(java, librdkafka, python, files)


def _java_trust(folder: Path, vault: Vault, form: Form, store: str) -> dict[str, str]:
    if form == "pkcs12":
        return {
            "ssl.truststore.type": "PKCS12",
            "ssl.truststore.location": str(folder / "truststore.p12"),
            "ssl.truststore.password": store,
        }
    authority = vault.nodes_authority.certificate.strip()
    return {"ssl.truststore.type": "PEM", "ssl.truststore.certificates": authority}


def _trust_files(vault: Vault, form: Form, store: str) -> dict[str, bytes]:
    files = {"ca.pem": vault.nodes_authority.certificate.encode()}
    return files | ({"truststore.p12": _trust_store(vault, store)} if form == "pkcs12" else {})


def _trust_store(vault: Vault, password: str) -> bytes:
    """A PKCS #12 store whose certificate bears Java's mark of trust; without it Java sees an empty store."""
    from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, pkcs12

    trusted = pkcs12.PKCS12Certificate(vault.nodes_authority.parsed, b"nodes-authority")
    return pkcs12.serialize_java_truststore([trusted], BestAvailableEncryption(password.encode()))


def _key_store(vault: Vault, password: str) -> bytes:
    from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, pkcs12

    admin, encryption = vault.administrator, BestAvailableEncryption(password.encode())
    return pkcs12.serialize_key_and_certificates(b"admin", admin.private_key, admin.parsed, None, encryption)


def _write(folder: Path, client: _Client) -> tuple[Path, ...]:
    _own(folder)
    python = {
        "schema": CLIENT_SCHEMA,
        "kafka-python": client.kafka_python,
        "confluent-kafka": client.librdkafka,
    }
    # Stores first: who reads the properties finds what they name.
    content = {
        ".gitignore": b"*\n",
        **client.files,
        "client.properties": _properties(client.java).encode(),
        "librdkafka.conf": "".join(f"{key}={value}\n" for key, value in client.librdkafka.items()).encode(),
        "python.json": (json.dumps(python, sort_keys=True, indent=2) + "\n").encode(),
    }
    for name, data in content.items():
        write_secret(folder / name, data)
    for name in set(FILES) - set(content):
        (folder / name).unlink(missing_ok=True)
    return tuple(folder / name for name in FILES if name in content and name != ".gitignore")


def _own(folder: Path) -> None:
    """Make the folder ours alone, or refuse one that another user could read or exchange."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        is_ours = not folder.is_symlink() and folder.stat().st_uid == os.getuid()
        if is_ours:
            folder.chmod(0o700)
    except OSError as error:
        raise KdeployError(
            f"{folder} cannot be made: {error.strerror}\n  name another folder with --to"
        ) from None
    if not is_ours:
        raise KdeployError(f"{folder} is a link, or another user's\n  name another folder with --to")


def _properties(settings: Mapping[str, str]) -> str:
    """Settings as a Java properties file (java.util.Properties.load); values of several lines stay readable."""
    return "".join(f"{key}={_escaped(value)}\n" for key, value in settings.items())


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n\\\n")


def _jaas(value: str) -> str:
    """A quoted value of a JAAS configuration, as Kafka's JaasConfig (java.io.StreamTokenizer) reads it."""
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
