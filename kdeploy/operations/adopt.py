"""`drift --accept` and `import`: what a cluster holds, put into the environment's files.

Invariant: only files that belong to git are written, each whole or not at all, and only where the
environment is valid with all of them; no cluster and no node is changed.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from kdeploy.errors import InvalidEnvironment, KdeployError, UsageError
from kdeploy.operations import prepare, readiness
from kdeploy.operations.progress import Silent
from kdeploy.operations.status import sites_of
from kdeploy.spec import adopt, load
from kdeploy.spec.adopt import Add, Change, Remove, Set
from kdeploy.spec.source import read
from kdeploy.tuning.overrides import OWNED
from kdeploy.units import format_rate, parse_rate

if TYPE_CHECKING:
    from kdeploy.operations.drift import Drift, Drifted
    from kdeploy.spec.load import Loaded
    from kdeploy.spec.model import Environment
    from kdeploy.spec.resources import Quota, Topic, User

SERVER: Final = "server.properties: "
"""What the key of a setting in a broker's file has before its name."""


@dataclass(frozen=True)
class Accepted:
    """What was written of a drift.

    Attributes:
        files: The files that are another now.
        items: What git says from now on.
        left: What cannot be said in git, each with the reason.
    """

    files: tuple[Path, ...]
    items: tuple[Drifted, ...]
    left: tuple[tuple[Drifted, str], ...]


@dataclass(frozen=True)
class Imported:
    """What was written of a cluster.

    Attributes:
        files: The files that are another now.
        topics: Names of topics that are declared from now on.
        users: Names of users.
        quotas: Whom quotas are for.
        left_out: What is there and cannot be declared, in words.
    """

    files: tuple[Path, ...]
    topics: tuple[str, ...]
    users: tuple[str, ...]
    quotas: tuple[str, ...]
    left_out: tuple[str, ...]


def accept(loaded: Loaded, found: Drift) -> Accepted:
    """Write into the files what somebody else changed, as far as files can say it.

    Args:
        loaded: The environment.
        found: What `drift` told.

    Raises:
        UsageError: The environment came with kdeploy: nothing is written beside it.
        KdeployError: A file cannot be written, or would not be valid.
    """
    _refuse_shipped(loaded)
    changes: list[Change] = []
    items: list[Drifted] = []
    left: list[tuple[Drifted, str]] = []
    everywhere = _everywhere(loaded, found)
    for one in found.items:
        try:
            changes += _said(loaded.environment, one, everywhere)
            items.append(one)
        except _CannotSay as reason:
            left.append((one, str(reason)))
    once = [one for index, one in enumerate(changes) if one not in changes[:index]]
    return Accepted(_write(loaded, once), tuple(items), tuple(left))


def import_(loaded: Loaded, password_file: Path | None = None) -> Imported:
    """Declare all topics, users, access lists and quotas of a running cluster that no file declares.

    Users whose password the vault does not have keep theirs: they are declared with `credentials: unmanaged`.

    Args:
        loaded: The environment.
        password_file: File with the vault's password.

    Raises:
        UsageError: The environment came with kdeploy: nothing is written beside it.
        KdeployError: The cluster does not answer, a file cannot be written, or would not be valid.
    """
    from kdeploy.cluster import found, quotas

    _refuse_shipped(loaded)
    environment = loaded.environment
    here, *_ = sites_of(loaded, Silent(), password_file)
    with readiness.connected(here, patience=10) as admin:
        held = found.found(admin)
    known = {topic.name for topic in environment.topics}
    topics = [one for one in held.topics if one.name not in known]
    named = {user.name for user in environment.users}
    users = [one for one in held.users if one.name not in named]
    limited = quotas.declared(environment)
    limits = [one for one in held.quotas if quotas.entity(one) not in limited]
    changes = [
        *(Add("topics", _topic(one, environment), _file_of_topics(loaded)) for one in topics),
        *(Add("users", _user(one, one.name in here.passwords())) for one in users),
        *(Add("acls", {"user": one.name, "acls": _plain(one)["acls"]}) for one in users if one.acls),
        *(Add("quotas", _quota(one)) for one in limits),
    ]
    files = _write(loaded, changes)
    return Imported(
        files,
        tuple(one.name for one in topics),
        tuple(one.name for one in users),
        tuple(str(quotas.entity(one)) for one in limits),
        held.left_out,
    )


def _file_of_topics(loaded: Loaded) -> str | None:
    """Where imported topics stand: defaults and patterns of topics.yaml would give them what they do not have."""
    file = loaded.folder / "topics.yaml"
    said = read(file, str(file)).data if file.is_file() else {}
    return load.FILE_NAME if {"defaults", "patterns"} & said.keys() else None


class _CannotSay(Exception):
    """No file can say this; the text is the reason."""


def _said(
    environment: Environment, one: Drifted, everywhere: set[tuple[str, str, str | None]]
) -> list[Change]:
    """What files are to say so that git says what was found."""
    match one.layer:
        case "topics":
            return _of_topic(environment, one)
        case "acls" if one.found is not None:
            return [Add("acls", {"user": one.name, "acls": [_entry(one)]})]
        case "acls":
            raise _CannotSay("take the permission out where it is declared, if it is to stay away")
        case "quotas":
            name = {key: value for key, value in one.entry.items() if value}
            value = None if one.found is None else _limit(one.key, float(one.found))
            return [Set("quotas", name, (one.key,), value)]
        case "users":
            raise _CannotSay("who is a user, and by which password, is decided in the files and the vault")
        case "nodes":
            raise _CannotSay("a node that is declared runs; take it out of the environment if it is not to")
    return _of_override(one, everywhere)


def _of_topic(environment: Environment, one: Drifted) -> list[Change]:
    name = {"name": one.name}
    (topic,) = (topic for topic in environment.topics if topic.name == one.name)
    if one.key == "it":
        return [Remove("topics", name)]
    if one.key == "partitions":
        return [Set("topics", name, ("partitions",), int(one.found or 0))]
    if one.key == "replication factor":
        if not (one.found or "").isdigit():
            raise _CannotSay("its partitions do not all have as many copies")
        return [Set("topics", name, ("replication_factor",), int(one.found or 0))]
    if one.key == "retention.ms" and topic.retention is not None:
        return _of_retention(name, one.found)
    return [Set("topics", name, ("config", one.key), None if one.found is None else _value(one.found))]


def _of_retention(name: dict[str, str], found: str | None) -> list[Change]:
    """A topic's retention, which a file may say in one of two ways; no time of retention is below nothing."""
    if found is None or int(found) > 0:
        return [Set("topics", name, ("retention",), None if found is None else f"{found}ms")]
    return [
        Set("topics", name, ("retention",), None),
        Set("topics", name, ("config", "retention.ms"), int(found)),
    ]


def _of_override(one: Drifted, everywhere: set[tuple[str, str, str | None]]) -> list[Change]:
    role, key = _overridden(one)
    if role is None or one.found is None:
        raise _CannotSay("no setting of the environment says this")
    if role == "broker" and any(re.fullmatch(pattern, key) for pattern in OWNED):
        raise _CannotSay("kdeploy answers for it; say it under workload, durability or security")
    if one.name != "every broker" and (role, key, one.found) not in everywhere:
        raise _CannotSay("it is not the same on all of them, and the environment has one value for all")
    return [Set(None, {}, ("overrides", role, key), _value(one.found))]


def _overridden(one: Drifted) -> tuple[str | None, str]:
    """Under which of the overrides a setting stands, and its name there."""
    if one.layer == "settings":
        return "broker", one.key
    if one.layer == "host":
        return ("kernel" if "." in one.key and "/" not in one.key and " " not in one.key else None), one.key
    _, _, key = one.key.partition(SERVER)
    return ("broker" if key and one.name.startswith("broker-") else None), key


def _everywhere(loaded: Loaded, found: Drift) -> set[tuple[str, str, str | None]]:
    """Settings that were changed to the same value on every node they are on."""
    drawn = prepare.design(loaded, freeze=False).blueprint
    sizes = {
        "broker": sum(node.role == "broker" for node in drawn.nodes),
        "kernel": len(drawn.nodes),
    }
    counts = Counter((*_overridden(one), one.found) for one in found.items)
    return {
        (role, key, value)
        for (role, key, value), count in counts.items()
        if role is not None and count == sizes[role]
    }


def _entry(one: Drifted) -> dict[str, Any]:
    """An access list entry as a file says it."""
    usual = {"pattern": "literal", "permission": "allow", "host": "*"}
    said = {key: value for key, value in one.entry.items() if key not in ("user", "operation")}
    kept = {key: value for key, value in said.items() if usual.get(key) != value}
    return {**kept, "operations": [one.entry["operation"]]}


def _value(text: str) -> str | int | bool:
    """A setting's value as YAML would have it written."""
    if text in ("true", "false"):
        return text == "true"
    return int(text) if text.removeprefix("-").isdigit() else text


def _limit(key: str, value: float) -> str | float:
    if not key.endswith("byte_rate"):
        return int(value) if value.is_integer() else value
    text = format_rate(value)
    return text if parse_rate(text) == value else f"{value:.15g}B/s"


def _plain(one: Topic | User | Quota) -> dict[str, Any]:
    said: dict[str, Any] = one.model_dump(mode="json", exclude_defaults=True)
    return said


def _topic(one: Topic, environment: Environment) -> dict[str, Any]:
    said = _plain(one)
    if one.replication_factor == environment.durability.replication_factor:
        del said["replication_factor"]
    if one.config:
        said["config"] = {key: _value(str(value)) for key, value in one.config.items()}
    return said


def _user(one: User, known: bool) -> dict[str, Any]:
    return {"name": one.name} if known else {"name": one.name, "credentials": "unmanaged"}


def _quota(one: Quota) -> dict[str, Any]:
    return {
        key: _limit(key, float(value)) if isinstance(value, int | float) else value
        for key, value in _plain(one).items()
    }


def _refuse_shipped(loaded: Loaded) -> None:
    if loaded.shipped:
        name = loaded.environment.name
        raise UsageError(
            f"{name} came with kdeploy, and nothing is written beside it\n"
            f"  make your own with `kdeploy init NAME --from {name}`"
        )


def _write(loaded: Loaded, changes: Sequence[Change]) -> tuple[Path, ...]:
    """Write files, and put the old ones back where the environment would not be valid with the new."""
    texts = adopt.written(loaded.folder, changes)
    before = {file: file.read_text(encoding="utf-8") if file.exists() else None for file in texts}
    adopt.save(texts)
    try:
        load.load(loaded.folder)
    except InvalidEnvironment as error:
        _put_back(before)
        listed = "\n".join(f"  - {one.path}: {one.wrong}" for one in error.problems)
        raise KdeployError(
            f"the files would not be valid with what was found, and are as they were:\n{listed}\n"
            "  change that in the cluster, or in what the environment demands, first"
        ) from None
    return tuple(texts)


def _put_back(before: dict[Path, str | None]) -> None:
    adopt.save({file: text for file, text in before.items() if text is not None})
    for file in _made(before):
        file.unlink(missing_ok=True)


def _made(before: dict[Path, str | None]) -> Iterator[Path]:
    return (file for file, text in before.items() if text is None)
