"""Provider hosts put together: its way to the hosts, the playbook, and Kafka's jars from the cache.

Invariant: what hosts have shown of their keys is kept beside the environment; all else that
this machine keeps of them is in the state folder.
"""

from __future__ import annotations

import os
import shutil
import socket
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from kdeploy.errors import KdeployError
from kdeploy.operations import places
from kdeploy.operations.killpoint import kill_point
from kdeploy.operations.lease import lease, user_name
from kdeploy.operations.progress import Progress, Silent

AT_ONCE: Final = 25
"""Hosts that are asked at the same time, as many as Ansible has (ansible.cfg)."""

if TYPE_CHECKING:
    from kdeploy.blueprint import Node
    from kdeploy.infra.aws.provider import AwsProvider
    from kdeploy.infra.hosts.provider import HostsProvider
    from kdeploy.infra.hosts.ssh import Reached
    from kdeploy.operations.prepare import Design
    from kdeploy.security.vault import Vault
    from kdeploy.spec.load import Loaded
    from kdeploy.spec.model import Datacenter, Ssh


def provider_of(
    loaded: Loaded, progress: Progress, machines: Mapping[str, tuple[Reached, ...]] | None = None
) -> HostsProvider:
    """The provider of an environment whose nodes are on hosts.

    Args:
        loaded: The environment.
        progress: Where to report.
        machines: Hosts that are called otherwise than where they are, by datacenter (provider aws).
    """
    from kdeploy.infra import artefacts
    from kdeploy.infra.hosts.provider import HostsProvider
    from kdeploy.infra.hosts.sources import Sources
    from kdeploy.infra.hosts.ssh import Shell
    from kdeploy.playbooks.runner import SUDO_PASSWORD_FILE, Runner

    name = loaded.environment.name
    folder = places.hosts_folder(name)
    chosen = os.environ.get(SUDO_PASSWORD_FILE)
    password = Path(chosen).expanduser().absolute() if chosen else None
    datacenters = loaded.environment.datacenters
    known, there = places.known_hosts_file(loaded), machines or {}
    shells = {
        one.name: Shell(
            login(one),
            known,
            folder / one.name,
            password,
            instances={machine.host: machine.instance for machine in there.get(one.name, ())},
            region=one.region,
            machines=there.get(one.name, ()),
        )
        for one in datacenters
    }
    cache = artefacts.default_cache()
    sizes = {(one.name, host.address): host.hardware.disk_size for one in datacenters for host in one.hosts}
    return HostsProvider(
        Sources(
            shells=shells,
            play=Runner(folder, progress.step, progress.now).play,
            jars=lambda version: artefacts.jars(
                version, cache, artefacts.Sources.from_environment(), progress.bar
            ),
            cache=cache / "kafka",
            private=folder,
            tell=progress.step,
            disk_sizes=sizes,
        )
    )


def login(datacenter: Datacenter) -> Ssh:
    """How SSH gets to a datacenter's machines, with what AWS's images bring where nothing else is wanted."""
    if datacenter.provider != "aws":
        return datacenter.ssh
    from kdeploy.infra.aws import first
    from kdeploy.spec.aws import through

    user = datacenter.ssh.user or first.USER
    return datacenter.ssh.model_copy(update={"user": user, "through": through(datacenter)})


@dataclass(frozen=True)
class Held:
    """Leases that are held.

    Attributes:
        provider: By what they are given back.
        holder: Whose they are.
    """

    provider: HostsProvider | AwsProvider
    holder: Mapping[str, str]


@contextmanager
def held(
    design: Design,
    command: str,
    vault: Vault | None = None,
    password_file: Path | None = None,
    datacenters: Collection[str] | None = None,
) -> Iterator[Held | None]:
    """Hold the leases of an environment's hosts, which keep operators on different machines apart.

    A lease of a run that was killed is taken over by the next run from the same state folder;
    from elsewhere it takes `kdeploy unlock`. Nothing is held for provider local.

    Args:
        design: The environment's design.
        command: What is being done.
        vault: Its secrets (provider aws); opened where they are not given.
        password_file: File with the vault's password, by which it is opened then.
        datacenters: Whose hosts are asked, where nobody is to wait for those of others; all when left out.

    Returns:
        What is held, for hosts that come later; None for provider local.

    Raises:
        LeaseHeld: Another operator is at work there.
    """
    if places.is_local(design.loaded):
        yield None
        return
    provider = any_provider(design, Silent(), vault, password_file)
    nodes = [one for one in design.blueprint.nodes if datacenters is None or one.datacenter in datacenters]
    folder = places.hosts_folder(design.loaded.environment.name)
    _remove_what_was_carried(folder)
    operator = _operator(folder)
    since = datetime.now(UTC).isoformat(timespec="seconds")
    holder = {"operator": operator, "command": command, "since": since}
    holder |= {"user": user_name(), "host": socket.gethostname()}
    provider.hold(nodes, holder)
    try:
        yield Held(provider, holder)
    finally:
        provider.release(nodes, operator)


def is_in_aws(loaded: Loaded) -> bool:
    """Whether nodes of the environment are in AWS."""
    return any(datacenter.provider == "aws" for datacenter in loaded.environment.datacenters)


def any_provider(
    design: Design, progress: Progress, vault: Vault | None = None, password_file: Path | None = None
) -> HostsProvider | AwsProvider:
    """The provider of nodes on hosts, or on machines in AWS as they are now; there the vault is opened if not given."""
    if not is_in_aws(design.loaded):
        return provider_of(design.loaded, progress)
    from kdeploy.operations import aws, vaults

    return aws.known(design, vault or vaults.open_existing(design.loaded, password_file), progress)


def _remove_what_was_carried(folder: Path) -> None:
    """Delete archives that a killed run left; one that still carries them ends with an error, and is done again."""
    for left in [*folder.glob("carry-*"), *folder.glob("run-*")]:
        shutil.rmtree(left, ignore_errors=True)


def _operator(folder: Path) -> str:
    """What stands for every run from this state folder: random, made once."""
    file = folder / "operator"
    if not file.exists():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        file.write_text(uuid.uuid4().hex)
    return file.read_text()


@dataclass(frozen=True)
class Unlocked:
    """What became of leases that were to be ended.

    Attributes:
        ended: Who had them, in words.
        unasked: Names of nodes whose hosts cannot be reached: a lease there ends when its host boots.
    """

    ended: tuple[str, ...] = ()
    unasked: tuple[str, ...] = ()


def unlock(loaded: Loaded, password_file: Path | None = None) -> Unlocked:
    """End the leases of an environment's hosts, whoever has them.

    Args:
        loaded: The environment.
        password_file: File with the vault's password, without which AWS cannot be asked.

    Returns:
        Who had them; nobody for provider local, whose lease ends with its process.

    Raises:
        KdeployError: No host can be reached.
    """
    from kdeploy.operations import prepare

    if places.is_local(loaded) or not places.lock_file(loaded).exists():
        return Unlocked()
    design, vault = prepare.design(loaded, freeze=False), _vault(loaded, password_file)
    if vault is not None:
        from kdeploy.operations import aws

        aws.unlock(design, vault)
    provider, nodes = any_provider(design, Silent(), vault), design.blueprint.nodes
    silent = _silent(provider, nodes)
    if len(silent) == len(nodes):
        raise KdeployError(
            f"no host of {loaded.environment.name} can be reached, so no lease was looked at\n"
            "  run this again where they answer; a lease also ends when its host boots"
        )
    return Unlocked(provider.release(nodes), tuple(node.name for node in silent))


def _silent(provider: HostsProvider | AwsProvider, nodes: Sequence[Node]) -> tuple[Node, ...]:
    """Those whose hosts are there and cannot be reached."""
    from kdeploy.infra.aws.provider import AwsProvider

    if isinstance(provider, AwsProvider):
        return provider.unreached(nodes)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        reached = list(pool.map(provider.reaches, nodes))
    return tuple(node for node, yes in zip(nodes, reached, strict=True) if not yes)


def down(
    loaded: Loaded, progress: Progress, password_file: Path | None = None, *, delete_data: bool
) -> tuple[str, ...]:
    """Stop every node of an environment on hosts; afterwards, where asked, delete its data and files there.

    Machines, packages and file systems stay; so do the lock and the vault, which belong to git. In AWS machines run
    on and cost what they cost until their data is deleted: then all that was made there is deleted, volumes too.

    Returns:
        Names of the nodes that were stopped.

    Raises:
        KdeployError: Some could not be asked. The others are stopped then, unless data was to be deleted.
    """
    from kdeploy.operations import prepare

    name = loaded.environment.name
    if not places.lock_file(loaded).exists():
        return ()
    with lease(places.state_folder(name), "down"):
        design = prepare.design(loaded, freeze=False)
        vault = _vault(loaded, password_file)
        with held(design, "down", vault) as holding:
            stopped = _stop(design, progress, vault, delete_data=delete_data)
            if delete_data and vault is not None and holding is not None:
                _destroy(design, vault, progress, holding)
        if delete_data:
            prepare.forget_ids(loaded)
            prepare.forget_images(loaded)
            shutil.rmtree(places.state_folder(name))
    return stopped


def _vault(loaded: Loaded, password_file: Path | None) -> Vault | None:
    """Its secrets, where AWS cannot be asked without them."""
    if not is_in_aws(loaded):
        return None
    from kdeploy.operations import vaults

    return vaults.open_existing(loaded, password_file)


def _destroy(design: Design, vault: Vault, progress: Progress, holding: Held) -> None:
    from kdeploy.infra.aws.provider import AwsProvider
    from kdeploy.operations import aws

    aws.destroy(design, vault, progress)
    if isinstance(holding.provider, AwsProvider):
        holding.provider.use({})  # leases went with their hosts


def _stop(design: Design, progress: Progress, vault: Vault | None, *, delete_data: bool) -> tuple[str, ...]:
    from kdeploy.operations import site
    from kdeploy.operations.down import stop_all

    nodes, provider = design.blueprint.nodes, any_provider(design, progress, vault)
    states = provider.observe(nodes)
    unseen = {node.name: states[node.key].detail for node in nodes if states[node.key].unseen}
    deletes = delete_data and not is_in_aws(design.loaded)  # there the machines themselves go
    if deletes and unseen:
        raise _unseen("nothing was stopped or deleted, since not every host can be asked", unseen)
    stopping = [node for node in nodes if states[node.key].running]
    stop_all(provider.stop, [node for node in stopping if node.role == "mirror"], progress)
    kill_point("mirrors-stopped")
    stop_all(provider.stop, [node for node in stopping if node.role == "broker"], progress)
    kill_point("brokers-stopped")
    others = [node for node in stopping if node.role not in ("broker", "mirror")]
    stop_all(provider.stop, others, progress)
    kill_point("coordination-stopped")
    if deletes:
        progress.step("delete", f"data and files on {len(nodes)} hosts")
        site.in_parallel(provider.delete, list(nodes))
    if unseen and not delete_data:
        raise _unseen("what could be asked is stopped, and what could not may still run", unseen)
    return tuple(node.name for node in stopping)


def _unseen(what: str, nodes: Mapping[str, str]) -> KdeployError:
    """That some nodes cannot be asked, by name and with why."""
    listed = "\n".join(f"  - {name}: {why}" for name, why in nodes.items())
    return KdeployError(f"{what}:\n{listed}\n  run this again when they answer, or stop them there")
