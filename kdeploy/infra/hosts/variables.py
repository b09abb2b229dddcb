"""What roles are given about a node: names, paths and lists that follow from the Blueprint.

Invariant: pure; whatever a role needs to know is here, so that it computes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final

from kdeploy.blueprint import Blueprint, Node
from kdeploy.infra.hosts import archive

FORMATTED: Final = "/etc/kdeploy/formatted"
"""On a host: there once its KRaft storage was formatted."""


def settings(node: Node) -> Iterator[tuple[str, str, str]]:
    """Kernel settings that a node's files ask for: name, path and value."""
    for file in node.files:
        for line in file.text.splitlines():
            if file.path.startswith("/etc/sysctl.d/") and "=" in line and not line.startswith("#"):
                name, _, value = line.partition("=")
                path = "/proc/sys/" + name.strip().replace(".", "/")
                yield name.strip(), path, " ".join(value.split())
            if file.path.startswith("/etc/tmpfiles.d/") and line.startswith("w"):
                parts = line.split()
                yield parts[1], parts[1], parts[6]


def setting_name(path: str) -> str:
    """What people call a kernel setting that is in this file: sysctl(8)'s name where it has one."""
    return path.removeprefix("/proc/sys/").replace("/", ".") if path.startswith("/proc/sys/") else path


def open_files(node: Node) -> int | None:
    """Files that a node's service lets it have open."""
    for file in node.files:
        found = (
            re.search(r"^LimitNOFILE=(\d+)$", file.text, re.MULTILINE)
            if file.path.endswith(".service")
            else None
        )
        if found:
            return int(found[1])
    return None


def host_variables(node: Node, blueprint: Blueprint, carried: Path) -> dict[str, Any]:
    """What role host takes.

    Args:
        node: The node.
        blueprint: Every node.
        carried: The archive with the host's own files.
    """
    config = archive.config_folder(node)
    folders = [
        {"path": "/etc/kdeploy", "owner": "root", "mode": "0755"},
        {"path": "/opt/kafka", "owner": "root", "mode": "0755"},
        {"path": config, "owner": "root", "mode": "0750"},
        {"path": f"{config}/secrets", "owner": archive.USER, "mode": "0700"},
        {"path": log_folder(node), "owner": archive.USER, "mode": "0750"},
    ]
    if tells_disk_use(node):
        folders.append({"path": "/usr/local/lib/kdeploy", "owner": "root", "mode": "0755"})
    known = known_by(node, blueprint)
    names = [f"{one.host} {_names(one, node)}" for one in known if _is_address(one.host)]
    names += [
        f"{one.machine.address} {one.host} {_names(one, node)}" for one in known if one.machine is not None
    ]
    return {
        "host_folders": folders,
        "host_names": names,
        "host_archive": str(carried),
        "host_hashes": archive.hashes(archive.host_entries(node)),
    }


def known_by(node: Node, blueprint: Blueprint) -> tuple[Node, ...]:
    """Nodes whose names a node's host has to know.

    These are all of its own cluster; for a worker of MirrorMaker brokers of the other one too, from which it
    fetches, and for a broker workers of the other one, which its firewall lets in.
    """
    wanted = {"mirror": "broker", "broker": "mirror"}.get(node.role)
    return tuple(one for one in blueprint.nodes if one.datacenter == node.datacenter or one.role == wanted)


def _names(one: Node, of: Node) -> str:
    """What a node is called on the host of another; without its datacenter in its own alone."""
    full = f"{one.name}.{one.datacenter}"
    return f"{full} {one.name}" if one.datacenter == of.datacenter else full


def disk_variables(node: Node, *, known: bool) -> dict[str, Any]:
    """What role disks takes; `known` says whether the node was on this host before."""
    volumes = [
        {
            "device": disk.device,
            "file_system": disk.file_system,
            "mount": disk.mount,
            "unit": _mount_unit(disk.mount),
            "queues": disk.queues,
        }
        for disk in node.disks
    ]
    return {"disks_volumes": volumes, "disks_folders": list(node.data_directories), "disks_known": known}


def firewall_variables(node: Node, *, known: bool) -> dict[str, Any]:
    """What role firewall takes; `known` says whether the node was on this host before."""
    return {"firewall_digest": node.firewall.digest if node.firewall else "", "firewall_known": known}


def disk_use_variables(node: Node) -> dict[str, Any]:
    """What role disk_use takes."""
    wanted = "on" if tells_disk_use(node) else "off"
    return {"disk_use_wanted": wanted if node.machine else ""}


def tells_disk_use(node: Node) -> bool:
    """Whether a node's host tells CloudWatch how full its disks are: its files have what does."""
    return any(file.path.endswith("/kdeploy-disk-use.timer") for file in node.files)


def _mount_unit(mount: str) -> str:
    return mount.strip("/").replace("-", "\\x2d").replace("/", "-") + ".mount"


def format_command(node: Node) -> list[str]:
    """Format as the node's user, and note that it was done."""
    if not node.format_arguments:
        return []
    tool = "/usr/bin/java -Xmx256m -cp '/opt/kafka/current/libs/*' kafka.tools.StorageTool"
    script = f'runuser -u {archive.USER} -- {tool} "$@" && touch {FORMATTED}'
    return ["/bin/sh", "-c", script, "format", *node.format_arguments]


def log_folder(node: Node) -> str:
    """Folder of the node's own logs."""
    return f"/var/log/{unit(node).removesuffix('.service')}"


def unit(node: Node) -> str:
    """The node's service."""
    return "zookeeper.service" if node.role == "zookeeper" else "kafka.service"


def name(node: Node) -> str:
    """A node's name in the inventory."""
    return f"{node.datacenter}.{node.name}"


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
