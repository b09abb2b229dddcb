"""How a node is, from what its host shows.

Invariant: pure. A node is applied only when every file has the hash that its record says and
every kernel setting has the value it should have.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import replace
from typing import Any, Final

from kdeploy.blueprint import Node
from kdeploy.infra import NodeState, Standing, Strayed, stray
from kdeploy.infra.hosts import archive, variables
from kdeploy.units import format_bytes

RETURNS: Final = 5
"""Times in a row that systemd is trusted to start a node again. A broker that was killed ends some times more, until
ZooKeeper has forgotten it (18 s, every 10 s or so); one that has ended more often will go on so."""


def state(node: Node, seen: Mapping[str, Any]) -> NodeState:
    """A node's state.

    Args:
        node: As it should be.
        seen: What `remote.look` answers.
    """
    record, service = seen["record"], seen["service"]
    soft = {file.path: file.sha256 for file in node.files if file.live or not file.restart}
    gone = set(archive.recorded(record)) - {file.path for file in node.files}
    gone -= {secret.path for secret in node.secrets}
    outdated = [path for path, digest in soft.items() if (record or {}).get("files", {}).get(path) != digest]
    whole = record is not None and not seen["damaged"] and not outdated and not gone and not seen["drift"]
    return NodeState(
        present=record is not None,
        running=bool(seen["running"]),
        applied=seen["applied"] if whole else None,
        started=seen["started"],
        detail=_detail(seen, service) + _limited(node, seen) + _swapped(seen) + _clock(seen),
        live=tuple((record or {}).get("live", ())),
        may_return=_returns(service),
        prepared=_prepared(node, seen, gone),
    )


def strayed(node: Node, seen: Mapping[str, Any]) -> tuple[Strayed, ...]:
    """What is not as it was put there.

    Args:
        node: As it should be.
        seen: What `remote.strayed` answers.
    """
    # A host keeps hashes only: the text that was put there is known where it is still the one wanted.
    texts = {file.sha256: file.text for file in node.files}
    files = (
        stray(
            one["path"],
            texts.get(one["digest"]),
            None if one["found"] is None else one["found"].encode(),
            one["secret"],
        )
        for one in seen["files"]
    )
    # Settings of a file that git has changed since are not strayed: `up` has yet to bring the new ones.
    changed = [one for one in node.files if seen["recorded"].get(one.path) not in (None, one.sha256)]
    waiting = {name for name, _, _ in variables.settings(replace(node, files=tuple(changed)))}
    settings = (
        Strayed("host", name, wanted, found)
        for name, wanted, found in seen["settings"]
        if name not in waiting
    )
    return tuple(sorted([*files, *settings], key=lambda one: (one.layer, one.name)))


def standing(seen: Mapping[str, Any]) -> Standing | None:
    """What stands of a node; None where nothing was ever put there.

    Args:
        seen: What `remote.files` answers.
    """
    if not seen["recorded"]:
        return None
    return Standing(
        files={path: text or "" for path, text in sorted(seen["texts"].items())},
        secrets=dict(sorted(seen["secrets"].items())),
        by_hand=tuple(sorted(seen["damaged"])),
    )


def _prepared(node: Node, seen: Mapping[str, Any], gone: Set[str]) -> bool:
    """Whether a host's own part is as it should be: its files, kernel, disks, firewall and Kafka's jars."""
    if seen["record"] is None or seen["drift"] or seen["unmounted"] or seen["version"] in ("", "current"):
        return False
    wanted = archive.hashes(archive.host_entries(node))
    there = {path: digest for path, digest in seen["record"]["files"].items() if archive.is_of_host(path)}
    return wanted == there and not any(map(archive.is_of_host, [*seen["damaged"], *gone]))


def _returns(service: Mapping[str, str]) -> bool:
    """Whether systemd is about to start it again; it counts from the last start that was asked for."""
    return service.get("ActiveState") == "activating" and int(service.get("NRestarts") or 0) < RETURNS


def _detail(seen: Mapping[str, Any], service: Mapping[str, str]) -> str:
    drift = "".join(f"; {name} is {found}, wanted {wanted}" for name, wanted, found in seen["drift"])
    if seen["running"]:
        return f"process {service.get('MainPID')} since {service.get('ActiveEnterTimestamp')}{drift}"
    if seen["record"] is None:
        return "never started"
    if seen["unmounted"]:
        return f"{', '.join(seen['unmounted'])} is not mounted"
    if service.get("Result", "success") == "success":
        return f"{'is being started by systemd' if _returns(service) else 'stopped'}{drift}"
    again = ", and is started again by systemd" if _returns(service) else ""
    return f"ended by itself ({service.get('Result')}){again}; its logs last say: {seen['last']}"


def _swapped(seen: Mapping[str, Any]) -> str:
    """That part of a node is swapped out, which its service forbids where the host can keep to that."""
    found = seen.get("swapped", 0)
    return f"; {format_bytes(found)} of it are swapped out, wanted none" if found else ""


def _clock(seen: Mapping[str, Any]) -> str:
    """That nothing keeps the host's clock right at the moment; what should is seen to by `up`.

    The clock of a container is that of the machine under it, where nobody in the container sees who keeps it.
    """
    if seen.get("synchronised") is not False:
        return ""
    if seen.get("contained"):
        return "; its clock is not synchronised, which only the machine under this container can do"
    return "; its clock is not synchronised"


def _limited(node: Node, seen: Mapping[str, Any]) -> str:
    """That a node may have fewer files open than its service asks for: no restart helps where the host has no more."""
    found, wanted = seen["open_files"], variables.open_files(node)
    if found is None or wanted is None or found >= wanted:
        return ""
    return f"; LimitNOFILE is {found}, wanted {wanted}"
