"""What replacing a machine changes before anything is started: the environment, the lock, the vault.

Invariant: pure up to `write`. The node keeps its id, its name, its rack and its ports; only the machine
it runs on is another. Whatever was killed in between, the same command goes on from what is written.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from kdeploy.errors import KdeployError, UsageError
from kdeploy.operations import places, prepare, vaults
from kdeploy.operations.killpoint import kill_point

if TYPE_CHECKING:
    from kdeploy.spec.load import Loaded
    from kdeploy.spec.lock import Lock, LockedDatacenter, LockedNode


@dataclass(frozen=True)
class Exchange:
    """One machine for another.

    Attributes:
        before: The environment with the old machine.
        after: The environment with the new one.
        lock: What was decided before, with the node on the new machine.
        node: The node's name.
        datacenter: Its datacenter.
        old: Address of the machine that goes; the new one's, where an earlier run came this far.
        new: Address of the machine that comes.
        text: Text of environment.yaml with the new address; None where it is there already.
    """

    before: Loaded
    after: Loaded
    lock: Lock
    node: str
    datacenter: str
    old: str
    new: str
    text: str | None

    @property
    def is_decided(self) -> bool:
        """Whether an earlier run, that was stopped, has written the lock already."""
        return self.old == self.new


def exchange(loaded: Loaded, name: str, address: str) -> Exchange:
    """Find out what is to be changed; changes nothing.

    Args:
        loaded: The environment, with the old machine's address or, where a person wrote it, the new one's.
        name: The node, `broker-1`, or `DATACENTER/broker-1` where two datacenters have one.
        address: The new machine's.

    Raises:
        UsageError: There is no such node, or it cannot go there.
        StaleLock: The environment asks for other changes too.
        KdeployError: Nothing is decided about the environment yet.
    """
    from kdeploy.spec import lockfile

    lock = lockfile.read_lock(places.lock_file(loaded))
    if lock is None:
        raise KdeployError(vaults.undecided(loaded))
    datacenter, node = _node(lock, name)
    old = node.host or ""
    _refuse_taken(lock, node, address)
    at, position = _declared(loaded, datacenter, node, old, address)
    _refuse_stale(_with_address(loaded, at, position, old), lock, at, position)
    addressed = loaded.environment.datacenters[at].hosts[position].address
    text = None if addressed == address else _edited(loaded, at, position, addressed, address)
    return Exchange(
        before=_with_address(loaded, at, position, old),
        after=_with_address(loaded, at, position, address),
        lock=_with_host(lock, datacenter, node, address),
        node=node.name,
        datacenter=datacenter.name,
        old=old,
        new=address,
        text=text,
    )


def write(exchanged: Exchange, password_file: Path | None) -> None:
    """Write the environment, the lock, and the vault with a certificate for the new address; again does no harm."""
    from kdeploy.security import issue, vault
    from kdeploy.spec.load import FILE_NAME
    from kdeploy.spec.replacing import replace as put

    loaded = exchanged.after
    if exchanged.text is not None:
        file = loaded.folder / FILE_NAME
        put(file, exchanged.text.encode(), file.stat().st_mode & 0o777)
    kill_point("environment-edited")
    design = prepare.design(loaded, freeze=False, previous=exchanged.lock)
    prepare.save_lock(replace(design, previous=None))
    kill_point("lock-written")
    needed = issue.requirements(loaded.environment, design.lock)
    key, file = vaults.password(loaded, password_file), places.vault_file(loaded)
    before = vault.read(file, key)
    node = f"{exchanged.datacenter}/{exchanged.node}"
    renewed = issue.made_out_anew(before, needed, node, datetime.now(UTC))
    if renewed is not before:
        vault.write(file, renewed, key)
    kill_point("vault-written")


def _node(lock: Lock, name: str) -> tuple[LockedDatacenter, LockedNode]:
    everything = [
        (datacenter, node)
        for datacenter in lock.datacenters
        for node in (*datacenter.nodes, *datacenter.mirrors)
    ]
    found = [(one, node) for one, node in everything if name in (node.name, f"{one.name}/{node.name}")]
    if len(found) > 1:
        raise UsageError(f"more than one datacenter has a {name}\n  write {found[0][0].name}/{name}")
    if not found:
        known = ", ".join(node.name for _, node in everything)
        raise UsageError(f"there is no node {name!r}\n  there are: {known}")
    datacenter, node = found[0]
    if node.role not in ("broker", "mirror"):
        raise UsageError(
            f"{name} is a member of the quorum, whose other members and brokers know it by its address: kdeploy "
            "replaces brokers and workers of MirrorMaker so far\n"
            "  the cluster goes on while a majority of the quorum serves; bring that machine back at its address"
        )
    return datacenter, node


def _refuse_taken(lock: Lock, node: LockedNode, address: str) -> None:
    for datacenter in lock.datacenters:
        for other in (*datacenter.nodes, *datacenter.mirrors):
            if other.host == address and other is not node:
                raise UsageError(f"{address} is the machine of {other.name}\n  let each machine run one node")


def _refuse_stale(before: Loaded, lock: Lock, at: int, position: int) -> None:
    """Refuse other changes at the same time; the new machine may have other hardware, and disks at other paths."""
    from kdeploy.planner import decide

    own = f"datacenters[{at}].hosts[{position}].hardware."
    differences = [one for one in decide.stale(before.environment, lock) if not one.startswith(own)]
    prepare.refuse_stale(before, differences)


def _declared(
    loaded: Loaded, datacenter: LockedDatacenter, node: LockedNode, old: str, new: str
) -> tuple[int, int]:
    """Where the machine stands in the environment: position of the datacenter, and of the host in it."""
    datacenters = loaded.environment.datacenters
    at = next(index for index, one in enumerate(datacenters) if one.name == datacenter.name)
    places_ = {host.address: index for index, host in enumerate(datacenters[at].hosts)}
    if old in places_ and new in places_ and old != new:
        raise UsageError(
            f"{new} is declared in the environment beside {old}, as another machine\n"
            f"  remove its entry: {node.name} keeps {old}'s, with the new address"
        )
    position = places_.get(new, places_.get(old))
    if position is None:
        raise UsageError(
            f"neither {old} nor {new} is declared in {datacenter.name}\n  put back the entry of {old}"
        )
    host = datacenters[at].hosts[position]
    if (host.role, host.rack) != (node.role, node.rack):
        raise UsageError(
            f"{node.name} is a {node.role} in rack {node.rack}, and {host.address} is declared as a {host.role} in "
            f"rack {host.rack}\n  declare it as what it replaces"
        )
    return at, position


def _edited(loaded: Loaded, at: int, position: int, old: str, new: str) -> str:
    """The file's text with the new address, and nothing else changed.

    Raises:
        UsageError: It is not an address, or the text is such that a person has to do it.
    """
    from kdeploy.spec import edit
    from kdeploy.spec.load import FILE_NAME, interpret, with_text

    file, path = loaded.folder / FILE_NAME, ("datacenters", at, "hosts", position, "address")
    text = edit.with_value(file.read_text(encoding="utf-8-sig"), path, old, new)
    if text is None:
        raise UsageError(
            f"{file}:{loaded.source.line(path)}: the address is written in a way that kdeploy does not edit\n"
            f"  write {new} in place of {old} there, then run this again"
        )
    # Whatever is wrong with it is said by line.
    interpret(with_text(loaded.source, text), loaded.folder.absolute().name)
    return text


def _with_address(loaded: Loaded, at: int, position: int, address: str) -> Loaded:
    datacenters = list(loaded.environment.datacenters)
    hosts = list(datacenters[at].hosts)
    hosts[position] = hosts[position].model_copy(update={"address": address})
    datacenters[at] = datacenters[at].model_copy(update={"hosts": tuple(hosts)})
    environment = loaded.environment.model_copy(update={"datacenters": tuple(datacenters)})
    return replace(loaded, environment=environment)


def _with_host(lock: Lock, datacenter: LockedDatacenter, node: LockedNode, address: str) -> Lock:
    moved = node.model_copy(update={"host": address})
    update = {
        kind: tuple(moved if one is node else one for one in nodes)
        for kind, nodes in (("nodes", datacenter.nodes), ("mirrors", datacenter.mirrors))
    }
    changed = datacenter.model_copy(update=update)
    datacenters = tuple(changed if one is datacenter else one for one in lock.datacenters)
    return lock.model_copy(update={"datacenters": datacenters})
