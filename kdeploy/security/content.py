"""What a vault holds, and its form as YAML, which a person may read and edit.

Invariant: a `Vault` that was read is sound: every certificate has its key, was
signed by the vault's own authority and carries the name that Kafka knows its
owner by. A fault is named by its place in the document; no secret is ever part of
a message or a repr.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from cryptography.exceptions import InvalidSignature

from kdeploy.security.identity import Identity, InvalidIdentity
from kdeploy.spec import identity as names

VAULT_SCHEMA: Final = "kdeploy.vault/v1"
"""Value of the document's `schema`."""

PASSWORD_LENGTHS: Final = (8, 256)
"""Fewest and most characters of a user's password. Fewer than 8 no verifier should take (NIST SP
800-63B-4, section 3.1.1.2); generated ones have 32."""

_HEAD: Final = (
    "# Every secret of the environment {environment}, as kdeploy keeps it. What is taken out here, `kdeploy vault\n"
    "# create` makes anew; comments are not kept.\n"
)


class Damaged(ValueError):
    """The document is not a vault's content; the message is `place: what is wrong`, without any secret."""


@dataclass(frozen=True, repr=False)
class Vault:
    """Every secret of one environment.

    Attributes:
        environment: The environment's name.
        nodes_authority: Signs nodes; what nodes and clients trust.
        clients_authority: Signs the administrator; what the admin listener trusts.
        administrator: kdeploy's own certificate towards the cluster.
        nodes: Each node's identity, by `DATACENTER/NODE`.
        brokers: The identity that all brokers of a datacenter share towards ZooKeeper, by datacenter.
        passwords: Users' SCRAM passwords, by user.
        stack: Passphrase of the state that Pulumi keeps (provider aws); None elsewhere.
    """

    environment: str
    nodes_authority: Identity
    clients_authority: Identity
    administrator: Identity
    nodes: Mapping[str, Identity] = field(default_factory=dict)
    brokers: Mapping[str, Identity] = field(default_factory=dict)
    passwords: Mapping[str, str] = field(default_factory=dict)
    stack: str | None = None

    def __repr__(self) -> str:
        held = f"{len(self.nodes)} nodes, {len(self.passwords)} passwords"
        return f"Vault({self.environment!r}, {held})"

    def identities(self) -> dict[str, Identity]:
        """Every certificate with its key, by the name `vault show` gives it."""
        named = {
            "authority/nodes": self.nodes_authority,
            "authority/clients": self.clients_authority,
            "administrator": self.administrator,
        }
        named |= {f"node/{key}": identity for key, identity in sorted(self.nodes.items())}
        return named | {f"brokers/{key}": identity for key, identity in sorted(self.brokers.items())}


def to_yaml(vault: Vault) -> str:
    """The document; `from_yaml` gives the vault back."""
    from ruamel.yaml import YAML
    from ruamel.yaml.scalarstring import LiteralScalarString

    def pair(identity: Identity) -> dict[str, str]:
        texts = {"certificate": identity.certificate, "key": identity.key}
        return {name: LiteralScalarString(text.strip() + "\n") for name, text in texts.items()}

    document = {
        "schema": VAULT_SCHEMA,
        "environment": vault.environment,
        "authorities": {"nodes": pair(vault.nodes_authority), "clients": pair(vault.clients_authority)},
        "administrator": pair(vault.administrator),
        "nodes": {key: pair(identity) for key, identity in sorted(vault.nodes.items())},
        "brokers": {key: pair(identity) for key, identity in sorted(vault.brokers.items())},
        "passwords": dict(sorted(vault.passwords.items())),
        **({"stack": vault.stack} if vault.stack is not None else {}),
    }
    yaml, stream = YAML(), io.StringIO()
    yaml.width = 4096
    yaml.dump(document, stream)
    return _HEAD.format(environment=vault.environment) + stream.getvalue()


def from_yaml(text: str) -> Vault:
    """Read a document strictly.

    Raises:
        Damaged: It is not YAML, or not a sound vault; says where.
    """
    document = _Place("", _load(text))
    schema = document.text("schema")
    if schema != VAULT_SCHEMA:
        newer = re.fullmatch(r"kdeploy\.vault/v[1-9][0-9]{0,8}", schema)
        raise Damaged(
            f"schema: the vault is of a newer kdeploy ({schema}), upgrade kdeploy"
            if newer
            else f"schema: this kdeploy reads {VAULT_SCHEMA}, and the vault says something else"
        )
    document.only(
        *("schema", "environment", "authorities", "administrator", "nodes", "brokers", "passwords", "stack")
    )
    environment = document.text("environment")
    authorities = document.map("authorities")
    authorities.only("nodes", "clients")
    nodes_authority = _authority(authorities.map("nodes"))
    clients_authority = _authority(authorities.map("clients"))

    def node(place: _Place) -> Identity:
        datacenter, slash, name = place.key.partition("/")
        if not (datacenter and slash and name):
            raise Damaged(f"{place.path}: the name is not DATACENTER/NODE")
        return _signed(place, nodes_authority, names.node_subject(environment, datacenter, name))

    def brokers(place: _Place) -> Identity:
        return _signed(place, nodes_authority, names.brokers_subject(environment, place.key))

    administrator = names.administrator_subject(environment)
    return Vault(
        environment=environment,
        nodes_authority=nodes_authority,
        clients_authority=clients_authority,
        administrator=_signed(document.map("administrator"), clients_authority, administrator),
        nodes=document.map("nodes").each(node),
        brokers=document.map("brokers").each(brokers),
        passwords=_passwords(document.map("passwords")),
        stack=document.text("stack") if "stack" in document._members() else None,
    )


def _load(text: str) -> object:
    """Parse YAML. The parser's own messages quote the text, so only the line is taken from them."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    line = 0
    try:
        return YAML(typ="safe", pure=True).load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 0
    except (YAMLError, ValueError, RecursionError):
        pass  # said below, without a line
    # Raised out here, so that the parser's error, which quotes the text, is not this one's context.
    raise Damaged(
        f"line {line}: this is not YAML, or a name stands there twice" if line else "it is not YAML"
    )


@dataclass(frozen=True, repr=False)
class _Place:
    """A value of the document, and the way to it."""

    path: str
    value: object
    key: str = ""

    def map(self, key: str) -> _Place:
        return _Place(self._below(key), self._members().get(key), key)

    def text(self, key: str) -> str:
        value = self._members().get(key)
        if isinstance(value, str) and value:
            return value
        wrong = "is missing" if key not in self._members() else "is not text; write it in quotes"
        raise Damaged(f"{self._below(key)}: {wrong}")

    def only(self, *keys: str) -> None:
        for key in self._members():
            if key not in keys:
                # The unknown name itself is not shown: it could be a secret that slipped a line.
                raise Damaged(
                    f"{self.path or 'document'}: holds an unknown name; known are {', '.join(keys)}"
                )

    def each(self, read: Callable[[_Place], Identity]) -> dict[str, Identity]:
        return {key: read(self.map(key)) for key in self._members()}

    def _below(self, key: str) -> str:
        step = key if key.isidentifier() else f"[{key[:80]!r}]"
        return f"{self.path}.{step}".removeprefix(".").replace(".[", "[")

    def _members(self) -> dict[str, Any]:
        if isinstance(self.value, dict) and all(isinstance(key, str) for key in self.value):
            return self.value
        wrong = "is missing" if self.value is None else "is not a map of names to values"
        raise Damaged(f"{self.path or 'document'}: {wrong}")


def _identity(place: _Place) -> Identity:
    place.only("certificate", "key")
    certificate, key = place.text("certificate"), place.text("key")
    try:
        return Identity(certificate, key)
    except InvalidIdentity as error:
        fault = f"{place.path}.{error.part}: {error}"
    raise Damaged(fault)


def _authority(place: _Place) -> Identity:
    from cryptography.x509 import BasicConstraints, ExtensionNotFound

    authority = _identity(place)
    try:
        may_sign = authority.parsed.extensions.get_extension_for_class(BasicConstraints).value.ca
    except (ExtensionNotFound, ValueError):
        may_sign = False
    if not may_sign or not _is_signed(authority, authority):
        raise Damaged(f"{place.path}.certificate: is not an authority's own certificate")
    return authority


def _signed(place: _Place, authority: Identity, subject: str) -> Identity:
    identity = _identity(place)
    if not _is_signed(identity, authority):
        raise Damaged(f"{place.path}.certificate: was not signed by the vault's own {authority.subject}")
    if identity.subject != subject:
        raise Damaged(f"{place.path}.certificate: is made out to {identity.subject}, not to {subject}")
    return identity


def _is_signed(identity: Identity, authority: Identity) -> bool:
    try:
        identity.parsed.verify_directly_issued_by(authority.parsed)
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True


def _passwords(place: _Place) -> dict[str, str]:
    least, most = PASSWORD_LENGTHS
    passwords = {user: place.text(user) for user in place._members()}
    for user, password in passwords.items():
        if not (
            least <= len(password) <= most
            and password.isascii()
            and password.isprintable()
            and " " not in password
        ):
            raise Damaged(f"{place._below(user)}: is not {least} to {most} ASCII characters without spaces")
    return passwords
