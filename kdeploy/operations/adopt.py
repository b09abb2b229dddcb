"""`drift --accept` and `import`: what a cluster holds, put into the environment's files.

Invariant: only files that belong to git are written, each whole or not at all, and only where the
environment is valid with all of them; no cluster and no node is changed.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from kdeploy.errors import InvalidEnvironment, KdeployError, UsageError
from kdeploy.operations import belonging, hosts, places, prepare, readiness
from kdeploy.operations.lease import lease
from kdeploy.operations.progress import Silent
from kdeploy.operations.status import sites_of
from kdeploy.spec import adopt, load
from kdeploy.spec.adopt import Add, Change, Remove, Set
from kdeploy.spec.source import read
from kdeploy.tuning.overrides import OWNED
from kdeploy.units import format_rate, parse_rate

if TYPE_CHECKING:
    from kdeploy.cluster.found import Found
    from kdeploy.operations.drift import Drift, Drifted
    from kdeploy.operations.site import Site
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


def look_and_accept(loaded: Loaded, password_file: Path | None = None) -> tuple[Drift, Accepted]:
    """Look for drift and write it into the files, while nobody else changes the environment.

    Args:
        loaded: The environment.
        password_file: File with the vault's password.

    Raises:
        LeaseHeld: Somebody else is at work: what they are changing now is no drift.
        UsageError: The environment came with kdeploy: nothing is written beside it.
        KdeployError: As `drift` and `accept`.
    """
    from kdeploy.operations.drift import drift

    _refuse_shipped(loaded)
    with _alone(loaded, "drift --accept", password_file):
        found = drift(loaded, password_file)
        return found, accept(loaded, found)


@contextmanager
def _alone(loaded: Loaded, command: str, password_file: Path | None) -> Iterator[None]:
    """Hold the leases of an environment that was brought up before; of another none leaves a trace."""
    belonging.refuse_other(loaded)
    if not (places.vault_file(loaded).exists() and places.lock_file(loaded).exists()):
        yield  # what follows says so
        return
    with lease(places.state_folder(loaded.environment.name), command):
        design = prepare.design(loaded, freeze=False)
        with hosts.held(design, command, None, password_file):
            yield


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
    items: list[tuple[Drifted, list[Change]]] = []
    left: list[tuple[Drifted, str]] = []
    everywhere = _everywhere(loaded, found)
    topics = {topic.name: topic for topic in loaded.environment.topics}
    for one in found.items:
        try:
            items.append((one, _said(topics, one, everywhere)))
        except _CannotSay as reason:
            left.append((one, str(reason)))
    files, unsaid = _write(loaded, items)
    left += [(one, GIVEN_ELSEWHERE) for one in unsaid]
    missing = set(map(id, unsaid))
    return Accepted(files, tuple(one for one, _ in items if id(one) not in missing), tuple(left))


GIVEN_ELSEWHERE: Final = (
    "the defaults or a pattern of topics.yaml, or the environment itself, give it this; say it there"
)
"""Why a topic's value that is gone in the cluster cannot be taken out of its own entry."""


def import_(loaded: Loaded, password_file: Path | None = None, datacenter: str | None = None) -> Imported:
    """Declare all topics, users, access lists and quotas of a running cluster that no file declares.

    Users whose password the vault does not have keep theirs: they are declared with `credentials: unmanaged`.

    Args:
        loaded: The environment.
        password_file: File with the vault's password.
        datacenter: Whose cluster; left out, every cluster has to hold the same.

    Raises:
        LeaseHeld: Somebody else is at work.
        UsageError: The environment came with kdeploy: nothing is written beside it. There is no such datacenter,
            or clusters differ and none was named.
        KdeployError: The cluster does not answer, a file cannot be written, or would not be valid.
    """
    _refuse_shipped(loaded)
    with _alone(loaded, "import", password_file):
        return _import(loaded, sites_of(loaded, Silent(), password_file), datacenter)


def _import(loaded: Loaded, sites: Sequence[Site], datacenter: str | None) -> Imported:
    from kdeploy.cluster import quotas

    environment = loaded.environment
    here, held = _held(sites, datacenter)
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
    files, _ = _write(loaded, [(None, changes)])
    return Imported(
        files,
        tuple(one.name for one in topics),
        tuple(one.name for one in users),
        tuple(str(quotas.entity(one)) for one in limits),
        held.left_out,
    )


def _held(sites: Sequence[Site], datacenter: str | None) -> tuple[Site, Found]:
    """What the cluster holds that is meant; refused where several do not hold the same and none was named."""
    from kdeploy.cluster import found

    names = [here.cluster.datacenter for here in sites]
    if datacenter is not None and datacenter not in names:
        raise UsageError(f"there is no datacenter {datacenter!r}\n  there are: {', '.join(names)}")
    seen = []
    for here in sites:
        if datacenter in (None, here.cluster.datacenter):
            with readiness.connected(here, patience=10) as admin:
                seen.append((here, found.found(admin)))
    for here, held in seen[1:]:
        _refuse_different(names[0], seen[0][1], here.cluster.datacenter, held)
    return seen[0]


def _refuse_different(one: str, first: Found, other: str, second: Found) -> None:
    lines = []
    for kind in ("topics", "users", "quotas"):
        mine, theirs = ({_named(entry): entry for entry in getattr(held, kind)} for held in (first, second))
        told = (
            (f"{kind} only in {one}", mine.keys() - theirs.keys()),
            (f"{kind} only in {other}", theirs.keys() - mine.keys()),
            (
                f"{kind} that differ",
                {name for name in mine.keys() & theirs.keys() if mine[name] != theirs[name]},
            ),
        )
        lines += [f"  - {words}: {_some(sorted(names))}" for words, names in told if names]
    if lines:
        listed = "\n".join(lines)
        raise UsageError(
            f"{one} and {other} do not hold the same, and an environment declares one list for both:\n{listed}\n"
            f"  choose whose is declared, with --datacenter {one} or --datacenter {other}"
        )


def _named(entry: Topic | User | Quota) -> str:
    from kdeploy.cluster import quotas
    from kdeploy.spec.resources import Quota

    return str(quotas.entity(entry)) if isinstance(entry, Quota) else entry.name


def _some(names: Sequence[str]) -> str:
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")


NAMED: Final = 10
"""Names that a difference of two clusters tells."""


def _file_of_topics(loaded: Loaded) -> str | None:
    """Where imported topics stand: defaults and patterns of topics.yaml would give them what they do not have."""
    file = loaded.folder / "topics.yaml"
    said = read(file, str(file)).data if file.is_file() else {}
    return load.FILE_NAME if {"defaults", "patterns"} & said.keys() else None


class _CannotSay(Exception):
    """No file can say this; the text is the reason."""


def _said(
    topics: Mapping[str, Topic], one: Drifted, everywhere: set[tuple[str, str, str | None]]
) -> list[Change]:
    """What files are to say so that git says what was found."""
    match one.layer:
        case "topics":
            return _of_topic(topics[one.name], one)
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


def _of_topic(topic: Topic, one: Drifted) -> list[Change]:
    name = {"name": one.name}
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


def _write(
    loaded: Loaded, items: Sequence[tuple[Drifted | None, Sequence[Change]]]
) -> tuple[tuple[Path, ...], list[Drifted]]:
    """Write files, and put the old ones back where the environment would not be valid with the new, or where kdeploy
    is ended meanwhile.

    Returns:
        The files that are another now, and what they do not say all the same: that is left as it was.
    """
    unsaid: list[Drifted] = []
    while True:
        missing = set(map(id, unsaid))
        chosen = [(one, changes) for one, changes in items if id(one) not in missing]
        # Several nodes may say the same; what is said twice is written once.
        once = {repr(change): change for _, changes in chosen for change in changes}
        texts = adopt.written(loaded.folder, list(once.values()))
        before = {file: file.read_text(encoding="utf-8") if file.exists() else None for file in texts}
        try:
            adopt.save(texts)
            topics = {topic.name: topic for topic in load.load(loaded.folder).environment.topics}
            more = [one for one, _ in chosen if one is not None and not _holds(topics, one)]
        except InvalidEnvironment as error:
            _put_back(before)
            listed = "\n".join(f"  - {one.path}: {one.wrong}" for one in error.problems)
            raise KdeployError(
                f"the files would not be valid with what was found, and are as they were:\n{listed}\n"
                "  change that in the cluster, or in what the environment demands, first"
            ) from None
        except BaseException:  # also Ctrl-C: no file stays that says half of it
            _put_back(before)
            raise
        if not more:
            return tuple(texts), unsaid
        _put_back(before)
        unsaid += more


def _holds(topics: Mapping[str, Topic], one: Drifted) -> bool:
    """Whether files say that a topic has no value where none was found: something else may still give it one."""
    topic = topics.get(one.name)
    if one.layer != "topics" or one.found is not None or topic is None or one.key == "it":
        return True
    return one.key not in topic.settings


def _put_back(before: dict[Path, str | None]) -> None:
    adopt.save({file: text for file, text in before.items() if text is not None})
    for file in _made(before):
        file.unlink(missing_ok=True)


def _made(before: dict[Path, str | None]) -> Iterator[Path]:
    return (file for file, text in before.items() if text is None)
