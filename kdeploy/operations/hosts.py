"""Provider hosts put together: its way to the hosts, the playbook, and Kafka's jars from the cache.

Invariant: what hosts have shown of their keys is kept beside the environment; all else that
this machine keeps of them is in the state folder.
"""

from __future__ import annotations

import os
import shutil
import socket
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from kdeploy.operations import places
from kdeploy.operations.killpoint import kill_point
from kdeploy.operations.lease import lease, user_name
from kdeploy.operations.progress import Progress, Silent

if TYPE_CHECKING:
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
    from kdeploy.tuning import place

    user = datacenter.ssh.user or first.USER
    return datacenter.ssh.model_copy(update={"user": user, "through": place.through(datacenter)})


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
def held(design: Design, command: str, vault: Vault | None = None) -> Iterator[Held | None]:
    """Hold the leases of an environment's hosts, which keep operators on different machines apart.

    A lease of a run that was killed is taken over by the next run from the same state folder;
    from elsewhere it takes `kdeploy unlock`. Nothing is held for provider local.

    Args:
        design: The environment's design.
        command: What is being done.
        vault: Its secrets (provider aws); opened where they are not given.

    Returns:
        What is held, for hosts that come later; None for provider local.

    Raises:
        LeaseHeld: Another operator is at work there.
    """
    if places.is_local(design.loaded):
        yield None
        return
    provider, nodes = any_provider(design, Silent(), vault), design.blueprint.nodes
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
    design: Design, progress: Progress, vault: Vault | None = None
) -> HostsProvider | AwsProvider:
    """The provider of nodes on hosts, or on machines in AWS as they are now."""
    if not is_in_aws(design.loaded):
        return provider_of(design.loaded, progress)
    from kdeploy.operations import aws, vaults

    return aws.known(design, vault or vaults.open_existing(design.loaded), progress)


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


def unlock(loaded: Loaded) -> tuple[str, ...]:
    """End the leases of an environment's hosts, whoever has them.

    Returns:
        Who had them, in words; empty when nobody did, or for provider local, whose lease ends with its process.
    """
    from kdeploy.operations import prepare

    if places.is_local(loaded) or not places.lock_file(loaded).exists():
        return ()
    design = prepare.design(loaded, freeze=False)
    if is_in_aws(loaded):
        from kdeploy.operations import aws, vaults

        aws.unlock(design, vaults.open_existing(loaded))
    return any_provider(design, Silent()).release(design.blueprint.nodes)


def down(loaded: Loaded, progress: Progress, *, delete_data: bool) -> tuple[str, ...]:
    """Stop every node of an environment on hosts; afterwards, where asked, delete its data and files there.

    Machines, packages and file systems stay; so do the lock and the vault, which belong to git. In AWS machines run
    on and cost what they cost until their data is deleted: then all that was made there is deleted, volumes too.

    Returns:
        Names of the nodes that were stopped.
    """
    from kdeploy.operations import prepare

    name = loaded.environment.name
    if not places.lock_file(loaded).exists():
        return ()
    with lease(places.state_folder(name), "down"):
        design = prepare.design(loaded, freeze=False)
        vault = _vault(loaded)
        with held(design, "down", vault) as holding:
            stopped = _stop(design, progress, vault, delete_data=delete_data)
            if delete_data and vault is not None and holding is not None:
                _destroy(design, vault, progress, holding)
        if delete_data:
            prepare.forget_ids(loaded)
            prepare.forget_images(loaded)
            shutil.rmtree(places.state_folder(name))
    return stopped


def _vault(loaded: Loaded) -> Vault | None:
    """Its secrets, where AWS cannot be asked without them."""
    if not is_in_aws(loaded):
        return None
    from kdeploy.operations import vaults

    return vaults.open_existing(loaded)


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
    stopping = [node for node in nodes if states[node.key].running]
    stop_all(provider.stop, [node for node in stopping if node.role == "broker"], progress)
    kill_point("brokers-stopped")
    stop_all(provider.stop, [node for node in stopping if node.role != "broker"], progress)
    kill_point("coordination-stopped")
    if delete_data and not is_in_aws(design.loaded):  # there the machines themselves go
        progress.step("delete", f"data and files on {len(nodes)} hosts")
        site.in_parallel(provider.delete, list(nodes))
    return tuple(node.name for node in stopping)
