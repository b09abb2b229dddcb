"""Provider hosts put together: its way to the hosts, the playbook, and Kafka's jars from the cache.

Invariant: what hosts have shown of their keys is kept beside the environment; all else that
this machine keeps of them is in the state folder.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from kdeploy.operations import places
from kdeploy.operations.killpoint import kill_point
from kdeploy.operations.lease import lease
from kdeploy.operations.progress import Progress

if TYPE_CHECKING:
    from kdeploy.infra.hosts.provider import HostsProvider
    from kdeploy.spec.load import Loaded


def provider_of(loaded: Loaded, progress: Progress) -> HostsProvider:
    """The provider of an environment whose nodes are on hosts."""
    from kdeploy.infra import artefacts
    from kdeploy.infra.hosts.provider import HostsProvider, Sources
    from kdeploy.infra.hosts.ssh import Shell
    from kdeploy.playbooks.runner import SUDO_PASSWORD_FILE, Runner

    name = loaded.environment.name
    folder = places.hosts_folder(name)
    chosen = os.environ.get(SUDO_PASSWORD_FILE)
    password = Path(chosen).expanduser().absolute() if chosen else None
    datacenters = loaded.environment.datacenters
    shells = {
        one.name: Shell(one.ssh, places.known_hosts_file(loaded), folder / one.name, password)
        for one in datacenters
    }
    cache = artefacts.default_cache()
    sizes = {(one.name, host.address): host.hardware.disk_size for one in datacenters for host in one.hosts}
    return HostsProvider(
        Sources(
            shells=shells,
            play=Runner(folder, progress.step).play,
            jars=lambda version: artefacts.jars(
                version, cache, artefacts.Sources.from_environment(), progress.bar
            ),
            cache=cache / "kafka",
            private=folder,
            tell=progress.step,
            disk_sizes=sizes,
        )
    )


def down(loaded: Loaded, progress: Progress, *, delete_data: bool) -> tuple[str, ...]:
    """Stop every node of an environment on hosts; afterwards, where asked, delete its data and files there.

    Machines, packages and file systems stay; so do the lock and the vault, which belong to git.

    Returns:
        Names of the nodes that were stopped.
    """
    from kdeploy.operations import prepare, site
    from kdeploy.operations.down import stop_all

    name = loaded.environment.name
    if not places.lock_file(loaded).exists():
        return ()
    with lease(places.state_folder(name), "down"):
        nodes = prepare.design(loaded, freeze=False).blueprint.nodes
        provider = provider_of(loaded, progress)
        states = provider.observe(nodes)
        stopping = [node for node in nodes if states[node.key].running]
        stop_all(provider.stop, [node for node in stopping if node.role == "broker"], progress)
        kill_point("brokers-stopped")
        stop_all(provider.stop, [node for node in stopping if node.role != "broker"], progress)
        kill_point("coordination-stopped")
        if delete_data:
            progress.step("delete", f"data and files on {len(nodes)} hosts")
            site.in_parallel(provider.delete, list(nodes))
            shutil.rmtree(places.state_folder(name))
    return tuple(node.name for node in stopping)
