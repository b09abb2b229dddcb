"""Secret files: what is in each, and how they are written.

Invariant: a secret file is 0600 from the moment it exists, and is replaced in one
step, so that no reader ever sees half of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from kdeploy.errors import KdeployError
from kdeploy.spec.identity import MIRROR
from kdeploy.spec.replacing import clear, replace

if TYPE_CHECKING:
    from kdeploy.security.content import Vault
    from kdeploy.security.identity import Identity

Kind = Literal[
    "identity",
    "broker-zookeeper-identity",
    "nodes-authority",
    "clients-authority",
    "mirror-login",
    "rest-identity",
    "rest-authorities",
]
"""What a node's secret file holds; the same names as `blueprint.SecretKind`, which this room may not know."""


def node_secrets(vault: Vault, node_key: str, kinds: Mapping[str, Kind]) -> dict[str, bytes]:
    """Content of a node's secret files.

    Args:
        vault: Where it comes from.
        node_key: `DATACENTER/NODE`.
        kinds: What each file holds, by its path.

    Returns:
        Content of each, by its path.

    Raises:
        KdeployError: The vault has no certificate for this node.
    """
    return {path: _content(vault, node_key, kind) for path, kind in kinds.items()}


def _content(vault: Vault, node_key: str, kind: Kind) -> bytes:
    datacenter = node_key.partition("/")[0]
    if kind == "nodes-authority":
        return vault.nodes_authority.certificate.encode()
    if kind == "clients-authority":
        return vault.clients_authority.certificate.encode()
    if kind in _OF_MIRRORS:
        return _OF_MIRRORS[kind](vault, _held(vault, node_key, vault.nodes.get(node_key), kind))
    held = vault.nodes.get(node_key) if kind == "identity" else vault.brokers.get(datacenter)
    return _held(vault, node_key, held, kind).pem


def _held(vault: Vault, node_key: str, held: Identity | None, kind: Kind) -> Identity:
    if held is None:
        raise KdeployError(
            f"the vault of {vault.environment} has no certificate ({kind}) for {node_key}\n"
            f"  add it with `kdeploy vault create {vault.environment}`"
        )
    return held


def _mirror_login(vault: Vault, own: Identity) -> bytes:
    """How a worker of MirrorMaker logs in to both clusters, and what opens its stores."""
    password = vault.passwords.get(MIRROR)
    if password is None:
        raise KdeployError(
            f"the vault of {vault.environment} has no password for {MIRROR}\n"
            f"  add it with `kdeploy vault create {vault.environment}`"
        )
    # Of characters that neither properties nor JAAS read otherwise (`issue.new_password`).
    module = "org.apache.kafka.common.security.scram.ScramLoginModule"
    login = f'{module} required username="{MIRROR}" password="{password}";'
    return f"login={login}\nstore={_store_password(vault, own)}\n".encode()


def _store_password(vault: Vault, own: Identity) -> str:
    """Opens a worker's two stores: another one as soon as anything in them is another, and the same until then."""
    authorities = vault.nodes_authority.certificate + vault.clients_authority.certificate
    return hashlib.sha256(own.pem + authorities.encode()).hexdigest()


def _rest_identity(vault: Vault, own: Identity) -> bytes:
    from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, pkcs12

    encryption = BestAvailableEncryption(_store_password(vault, own).encode())
    return pkcs12.serialize_key_and_certificates(b"rest", own.private_key, own.parsed, None, encryption)


def _rest_authorities(vault: Vault, own: Identity) -> bytes:
    """Whom a worker's REST interface believes: its peers, and the administrator."""
    from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, pkcs12

    believed = {b"nodes": vault.nodes_authority, b"clients": vault.clients_authority}
    trusted = [pkcs12.PKCS12Certificate(one.parsed, name) for name, one in believed.items()]
    encryption = BestAvailableEncryption(_store_password(vault, own).encode())
    return pkcs12.serialize_java_truststore(trusted, encryption)


_OF_MIRRORS: Final[Mapping[Kind, Callable[[Vault, Identity], bytes]]] = {
    "mirror-login": _mirror_login,
    "rest-identity": _rest_identity,
    "rest-authorities": _rest_authorities,
}


def administrator_files(vault: Vault) -> dict[str, bytes]:
    """Files with which kdeploy reaches the clusters as their administrator, by name.

    `nodes-authority.pem` is the authority to trust, `admin.pem` the administrator's key and
    certificate. `DATACENTER-node.pem` is what ZooKeeper nodes admit; only ZooKeeper mode has it.
    """
    files = {
        "nodes-authority.pem": vault.nodes_authority.certificate.encode(),
        "admin.pem": vault.administrator.pem,
    }
    return files | {f"{datacenter}-node.pem": shared.pem for datacenter, shared in vault.brokers.items()}


def write_secret(path: Path, content: bytes) -> None:
    """Put a secret in a file of mode 0600, in one step; does nothing when it is there already.

    The folder is made with mode 0700 where it is missing.

    Raises:
        KdeployError: The file cannot be written.
    """
    try:
        if _holds(path, content):
            clear(path)
            return
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        replace(path, content)
    except OSError as error:
        fault = error.strerror
    else:
        return
    raise KdeployError(f"{path} cannot be written: {fault}\n  make its folder writable, and run this again")


def _holds(path: Path, content: bytes) -> bool:
    if path.is_symlink() or not path.is_file() or path.stat().st_mode & 0o777 != 0o600:
        return False
    return path.stat().st_size == len(content) and path.read_bytes() == content
