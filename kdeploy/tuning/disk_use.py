"""How full disks are, told to CloudWatch by each machine in AWS that is watched: what is sent, and what sends it.

A program of this project's own, since the alternative, CloudWatch's agent, is a package of more than 100 MB that is in no
Debian repository: a host without a way to the internet could not fetch it. Invariant: pure. What a metric is sent under says
whose it is and where, never which instance: one that is replaced goes on in its predecessor's place.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Final

from kdeploy.spec.aws import DISK_USE, METRICS
from kdeploy.spec.model import Datacenter
from kdeploy.tuning import disks
from kdeploy.tuning.situation import Situation

PROGRAM: Final = "/usr/local/lib/kdeploy/disk_use.py"
SETTINGS: Final = "/etc/kdeploy/disk-use.json"
SERVICE: Final = "kdeploy-disk-use.service"
TIMER: Final = "kdeploy-disk-use.timer"

METADATA: Final = "http://169.254.169.254"
"""Where a machine answers about itself (Amazon EC2 User Guide, Access instance metadata)."""

ROOT: Final = "/"
"""Where the operating system is, and Kafka's logs of its own doings."""

PATIENCE: Final = 55
"""Seconds that one run may take: less than to the next one."""

SPREAD: Final = 30
"""Seconds over which machines of one account are spread, each at its own moment: CloudWatch takes 500 calls a second of an
account (Amazon CloudWatch User Guide, service quotas, PutMetricData, recalled), and cloned clocks would make them all at once."""


@dataclass(frozen=True)
class Watched:
    """A file system of a machine whose use is told to CloudWatch, and watched there.

    Attributes:
        mount: Where it is mounted.
        dimensions: What the metric is sent under; the alarm names the same.
    """

    mount: str
    dimensions: dict[str, str]


def watched(situation: Situation) -> tuple[Watched, ...]:
    """File systems of a node's machine that are watched: the operating system's, and each data disk's; none outside AWS,
    or where no alarms are asked for.
    """
    cluster = situation.cluster
    if cluster.provider != "aws" or not _datacenter(situation).machine.alarms:
        return ()
    node = f"{cluster.datacenter}/{situation.member.name}"
    mounts = (ROOT, *(one.mount for one in disks.volumes(situation)))
    return tuple(
        Watched(one, {"environment": cluster.environment.name, "node": node, "mount": one}) for one in mounts
    )


def settings(situation: Situation) -> str:
    """What the program is told: JSON, without a secret."""
    datacenter = _datacenter(situation)
    region = str(datacenter.region)
    suffix = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    document = {
        "region": region,
        "endpoint": datacenter.machine.metrics_endpoint or f"https://monitoring.{region}.{suffix}",
        "metadata": METADATA,
        "namespace": METRICS,
        "metric": DISK_USE,
        "mounts": [{"mount": one.mount, "dimensions": one.dimensions} for one in watched(situation)],
    }
    return json.dumps(document, indent=1, sort_keys=True) + "\n"


@cache
def program() -> str:
    """The program, whole."""
    return (resources.files("kdeploy.tuning") / "programs" / "disk_use.py").read_text()


def service() -> dict[str, dict[str, str]]:
    """The unit's sections (systemd.service(5), systemd.exec(5), version 252).

    Its user is made for each run and is nobody else: it may read neither Kafka's keys nor its data, and needs to look
    at nothing but how full a file system is.
    """
    return {
        "Unit": {
            "Description": "Tell CloudWatch how full disks are",
            "After": "network-online.target",
            "Wants": "network-online.target",
        },
        "Service": {
            "Type": "oneshot",
            # Isolated: no module and no variable of its surroundings (Python 3.11, command line, -I).
            "ExecStart": f"/usr/bin/python3 -I -B {PROGRAM} {SETTINGS}",
            "TimeoutStartSec": str(PATIENCE),
            "DynamicUser": "yes",
            "UMask": "0077",
            # One line where something is wrong; that a run began and ended is said of none.
            "SyslogLevel": "warning",
            "LogLevelMax": "notice",
            "CapabilityBoundingSet": "",
            "LockPersonality": "yes",
            "MemoryDenyWriteExecute": "yes",
            "MemoryMax": "128M",
            "NoNewPrivileges": "yes",
            "PrivateDevices": "yes",
            "PrivateTmp": "yes",
            "ProtectClock": "yes",
            "ProtectControlGroups": "yes",
            "ProtectHome": "yes",
            "ProtectHostname": "yes",
            "ProtectKernelLogs": "yes",
            "ProtectKernelModules": "yes",
            "ProtectKernelTunables": "yes",
            "ProtectSystem": "strict",
            # Netlink: the C library asks the kernel for its addresses when it resolves names; a name may be asked of
            # systemd-resolved by a socket.
            "RestrictAddressFamilies": "AF_INET AF_INET6 AF_NETLINK AF_UNIX",
            "RestrictNamespaces": "yes",
            "RestrictRealtime": "yes",
            "RestrictSUIDSGID": "yes",
            "SystemCallArchitectures": "native",
            "SystemCallErrorNumber": "EPERM",
            "SystemCallFilter": "@system-service",
        },
    }


def timer() -> dict[str, dict[str, str]]:
    """The timer's sections (systemd.timer(5), version 252): each minute, always at the machine's own moment of it."""
    return {
        "Unit": {"Description": "Tell CloudWatch how full disks are, every minute"},
        "Timer": {
            "OnCalendar": "minutely",
            "AccuracySec": "1s",
            "RandomizedDelaySec": f"{SPREAD}s",
            "FixedRandomDelay": "yes",
        },
        "Install": {"WantedBy": "timers.target"},
    }


def _datacenter(situation: Situation) -> Datacenter:
    cluster = situation.cluster
    return next(one for one in cluster.environment.datacenters if one.name == cluster.datacenter)
