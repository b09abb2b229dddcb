"""Kafka's and ZooKeeper's own definitions of their settings, version by version.

Each VERSION.json beside this module was generated from that version's jars by
.ci/definitions/generate.py. Kafka's come from `KafkaConfig.configDef()`, `LogConfig.configDefCopy()`
and `DynamicBrokerConfig.dynamicConfigUpdateModes()`. ZooKeeper has no such table: a key is
known when `QuorumPeerConfig.parseProperties` takes it by name, or when a class of its jar reads
the system property `zookeeper.KEY`, as which it hands every other key on.

Invariant: a value that `problem` lets pass is one that the class of that version would
parse. It judges one setting at a time; what two settings mean together is Kafka's to say.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any, Final, Literal

UpdateMode = Literal["read-only", "per-broker", "cluster-wide"]
"""Whether a broker takes a new value while it runs, and for whom (KIP-226)."""

UNDEFINED: Final[Mapping[str, str]] = MappingProxyType(
    {"super.users": "string", "allow.everyone.if.no.acl.found": "boolean"}
)
"""Broker settings that Kafka reads but does not define: the authorizers' own, with their types
(StandardAuthorizer.SUPER_USERS_CONFIG and ALLOW_EVERYONE_IF_NO_ACL_IS_FOUND_CONFIG, Kafka 3.9 and 4.3)."""

_LISTENER = re.compile(r"listener\.name\.[a-z0-9_.-]+?\.(?P<rest>.+)")
_MECHANISM = re.compile(r"(plain|scram-sha-256|scram-sha-512|gssapi|oauthbearer)\.(?P<rest>sasl\..+)")
_PROVIDER = re.compile(r"config\.providers\.[^.]+\.(class|param\..+)")
_ZOOKEEPER_MEMBER = re.compile(r"(server|group|weight)\.\d+")
_WHOLE = {"int": 2**31, "long": 2**63, "short": 2**15}
_WHOLE_NUMBER = re.compile(r"[-+]?[0-9]{1,40}")
_NUMBER = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]{1,5})?")
"""Numbers as Java's parseInt, parseLong and parseDouble read them (Java 21), which take neither the 1_000, the
Arabic digits nor the `inf` that Python's int() and float() take; Kafka cuts blanks off first (ConfigDef.parseType)."""
_SIMILAR = 0.6
"""How alike a name must be to be suggested: difflib's own default (Python 3.11 documentation)."""


@dataclass(frozen=True)
class Definition:
    """One setting, as its version defines it.

    Attributes:
        name: Its name.
        type: boolean, string, int, short, long, double, list, class, password; or any (ZooKeeper).
        default: As text; None where it has none.
        update: Whether it changes while a broker runs; read-only needs a restart.
        choices: All that it (or each item of a list) may be; None where not enumerated.
        any_case: Whether choices are compared without regard to case.
        minimum: Least number; None where unbounded.
        maximum: Greatest number; None where unbounded.
        valid: Kafka's own words for what is valid.
    """

    name: str
    type: str
    default: str | None = None
    update: UpdateMode = "read-only"
    choices: tuple[str, ...] | None = None
    any_case: bool = False
    minimum: float | None = None
    maximum: float | None = None
    valid: str = ""

    def problem(self, value: str) -> str | None:
        """What is wrong with a value, as `Problem.right` would put it; None when it is valid."""
        if self.type == "boolean" and value.lower() not in ("true", "false"):
            return "it is true or false"
        if self.type in (*_WHOLE, "double"):
            return self._number(value)
        items = [item.strip() for item in value.split(",")] if self.type == "list" else [value]
        return self._choice(items)

    def _number(self, value: str) -> str | None:
        text = value.strip()
        if self.type == "double":
            if not _NUMBER.fullmatch(text):
                return "it is a number"
        elif not _WHOLE_NUMBER.fullmatch(text):
            return "it is a whole number without a unit"
        number = float(text) if self.type == "double" else int(text)
        bound = _WHOLE.get(self.type)
        low = self.minimum if self.minimum is not None else -bound if bound else None
        high = self.maximum if self.maximum is not None else bound - 1 if bound else None
        if low is not None and number < low:
            return f"it is at least {_shown(low)}"
        if high is not None and number > high:
            return f"it is at most {_shown(high)}"
        return None

    def _choice(self, items: list[str]) -> str | None:
        if self.choices is None:
            return None
        known = {choice.lower() for choice in self.choices} if self.any_case else set(self.choices)
        if all((item.lower() if self.any_case else item) in known for item in items):
            return None
        return f"it is {'one or more' if self.type == 'list' else 'one'} of: {', '.join(self.choices)}"


def _shown(bound: float) -> str:
    """A bound in full: nobody can type 2.14748e+09 into a file."""
    return str(bound) if isinstance(bound, int) else f"{bound:g}"


@dataclass(frozen=True)
class Definitions:
    """Every setting of one version.

    Attributes:
        version: Kafka's version.
        broker: Brokers' and controllers' settings by name.
        topic: Topics' settings by name.
        zookeeper: zoo.cfg's keys by name; empty where the version has no ZooKeeper.
    """

    version: str
    broker: Mapping[str, Definition]
    topic: Mapping[str, Definition]
    zookeeper: Mapping[str, Definition]

    def broker_setting(self, name: str) -> Definition | None:
        """A broker's or controller's setting; also one with a listener's or a provider's prefix."""
        if name in self.broker:
            return self.broker[name]
        if _PROVIDER.fullmatch(name):
            return Definition(name, "string")
        match = _LISTENER.fullmatch(name)
        if match is None:
            return None
        rest = match["rest"]
        with_mechanism = _MECHANISM.fullmatch(rest)
        return self.broker.get(with_mechanism["rest"] if with_mechanism else rest)

    def zookeeper_setting(self, name: str) -> Definition | None:
        """A key of zoo.cfg; also a member of the ensemble, or a metrics provider's own."""
        if _ZOOKEEPER_MEMBER.fullmatch(name) or name.startswith(("metricsProvider.", "authProvider.")):
            return Definition(name, "any")
        return self.zookeeper.get(name)

    def topic_setting(self, name: str) -> Definition | None:
        """A topic's setting."""
        return self.topic.get(name)


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name most like a misspelt one; None when nothing is like it."""
    by_lower = {one.lower(): one for one in known}
    found = get_close_matches(name.lower(), by_lower, n=1, cutoff=_SIMILAR)
    return by_lower[found[0]] if found else None


@cache
def definitions(version: str) -> Definitions:
    """The definitions of a version in `spec.versions.SUPPORTED`.

    Example:
        >>> definitions("3.9.2").broker["num.io.threads"].update
        'cluster-wide'
    """
    document = json.loads(files(__name__).joinpath(f"{version}.json").read_text())
    broker = {name: _definition(name, one) for name, one in document["broker"].items()}
    broker |= {name: Definition(name, kind) for name, kind in UNDEFINED.items()}
    return Definitions(
        version,
        MappingProxyType(broker),
        MappingProxyType({name: _definition(name, one) for name, one in document["topic"].items()}),
        MappingProxyType({name: Definition(name, "any") for name in document["zookeeper"]}),
    )


def _definition(name: str, document: Mapping[str, Any]) -> Definition:
    return Definition(
        name=name,
        type=document["type"],
        default=document.get("default"),
        update=document.get("update", "read-only"),
        choices=tuple(document["choices"]) if "choices" in document else None,
        any_case=document.get("any_case", False),
        minimum=document.get("min"),
        maximum=document.get("max"),
        valid=document.get("valid", ""),
    )
