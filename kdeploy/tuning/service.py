"""The systemd unit of a node.

Invariant: a stop waits for the controlled shutdown and never ends it early; the service
writes nowhere but to its data and its logs.
"""

from __future__ import annotations

from typing import Final

from kdeploy.tuning.kernel import OPEN_FILES, USER
from kdeploy.tuning.situation import Situation

JAVA: Final = "/usr/bin/java"
LIBRARIES: Final = "/opt/kafka/current/libs/*"
"""Where hosts have Java and the distribution that is in use."""

STOP: Final = 300
"""Seconds a stop may take. A broker moves its leaders away and flushes every log; systemd's own 90 s would kill
it in between, and the next start would check every log (Kafka 3.9 documentation, 6.1, Graceful shutdown)."""

RESTART: Final = 5
"""Seconds before a failed node is started again (axonops' role has the same)."""

TERMINATED: Final = 143
"""Exit status of a Java machine ended by SIGTERM: 128 + 15; it is no failure."""


APPLIED: Final = "applied"
"""File beside the configuration whose text stands for everything a running node was started with."""


def unit_folder(situation: Situation) -> str:
    """Name of its folders: `kafka` or `zookeeper`."""
    return "zookeeper" if situation.member.role == "zookeeper" else "kafka"


def unit_name(situation: Situation) -> str:
    """`kafka.service` or `zookeeper.service`."""
    return "zookeeper.service" if situation.member.role == "zookeeper" else "kafka.service"


def unit(
    situation: Situation, main_class: str, options_file: str, configuration: str
) -> dict[str, dict[str, str]]:
    """The unit's sections (systemd.service(5), systemd.exec(5), version 252).

    Args:
        situation: The node.
        main_class: Java class it runs.
        options_file: Path of its Java options.
        configuration: Path of its configuration.
    """
    layout, member = situation.layout, situation.member
    command = f"{JAVA} @{options_file} -cp {LIBRARIES} {main_class} {configuration}"
    writable = (*layout.data, layout.logs)
    return {
        "Unit": {
            "Description": f"{member.name} of {situation.cluster.datacenter}, {situation.environment.name}",
            "After": "network-online.target",
            "Wants": "network-online.target",
            **({"RequiresMountsFor": " ".join(layout.data)} if layout.data else {}),
        },
        "Service": {
            "Type": "exec",
            "User": USER,
            "Group": USER,
            "UMask": "0027",
            # Which files it was started with, whoever starts it: kdeploy, systemd after a crash, a boot.
            "ExecStartPre": f"-/bin/cp {layout.config}/{APPLIED} /run/{unit_folder(situation)}/{APPLIED}",
            "RuntimeDirectory": unit_folder(situation),
            "ExecStart": command,
            "Restart": "on-failure",
            "RestartSec": str(RESTART),
            "SuccessExitStatus": str(TERMINATED),
            "TimeoutStopSec": str(STOP),
            "LimitNOFILE": str(OPEN_FILES),
            # Swapped out it would miss its session's time; the host's other programs may still swap
            # (systemd.resource-control(5); vm.swappiness in tuning/kernel.py).
            "MemorySwapMax": "0",
            # The page cache is the kernel's to give back; the broker is the last that should go.
            "OOMScoreAdjust": "-500",
            "NoNewPrivileges": "yes",
            # It listens, reads its files and writes its data; all else is taken from it (systemd.exec(5)).
            # The JVM compiles, so memory that is both writable and executable stays allowed.
            "CapabilityBoundingSet": "",
            "LockPersonality": "yes",
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
            # Netlink: the C library asks the kernel for its addresses when it resolves names.
            "RestrictAddressFamilies": "AF_INET AF_INET6 AF_NETLINK AF_UNIX",
            "RestrictNamespaces": "yes",
            "RestrictRealtime": "yes",
            "RestrictSUIDSGID": "yes",
            "ReadWritePaths": " ".join(writable),
        },
        "Install": {"WantedBy": "multi-user.target"},
    }
