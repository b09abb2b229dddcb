"""Kernel settings and limits of a host that runs a node (not for provider local, whose machine is yours).

Invariant: pure; a value that a larger node needs only ever grows with it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from kdeploy.errors import InvalidSetting
from kdeploy.spec.resources import Setting, setting_text
from kdeploy.tuning.overrides import Settings
from kdeploy.tuning.situation import Situation

SOCKET_BUFFER: Final = 16 * 2**20
"""Most bytes the kernel may grow a connection's buffer to: 1 GB/s at a 16 ms round trip, or 10 Gbit/s between
zones (about 1 ms) ten times over. Linux's own bounds are 6 and 4 MiB (tcp(7), Linux man-pages 6.03)."""

MEMORY_MAPS: Final = 262_144
"""Least vm.max_map_count. Each segment has two maps: 50,000 partitions need some 100,000 and Linux allows
65,530 (Kafka 3.9 documentation, 6.7 Hardware and OS). cp-ansible and Canonical's charm set this number."""

MAPS_PER_PARTITION: Final = 40
"""Two maps for each of some 20 segments: ten of the retention (`topics.SEGMENTS_PER_RETENTION`), doubled."""

OPEN_FILES: Final = 524_288
"""Files and connections a node may have open. Kafka asks for 100,000 as a start (Kafka 3.9 documentation, 6.7);
this is the hard limit systemd gives since version 240 (its NEWS, December 2018)."""

USER: Final = "kafka"
"""The user that nodes run as."""

_SYSCTL = re.compile(r"[a-z0-9_-]+([./][A-Za-z0-9_-]+)+")


def settings(situation: Situation) -> Settings:
    """Kernel settings by sysctl's names, a person's overrides included.

    Raises:
        InvalidSetting: An override's name cannot be a kernel setting's.
    """
    decided = memory(situation) | network()
    wanted = situation.environment.overrides.kernel
    for mistake in mistakes_of(wanted):
        raise mistake
    return {**decided, **{name: setting_text(value) for name, value in wanted.items()}}


def mistakes_of(wanted: Mapping[str, Setting]) -> Iterator[InvalidSetting]:
    """Overrides whose names cannot be kernel settings'."""
    for name in wanted:
        if not _SYSCTL.fullmatch(name):
            path = ("overrides", "kernel", name)
            yield InvalidSetting(path, f"{name} is not a name of sysctl", "write it like vm.swappiness")


def memory(situation: Situation) -> Settings:
    """Swap as good as off, writes to disk begun early, room for memory maps."""
    cluster = situation.cluster
    copies = cluster.partitions * cluster.environment.durability.replication_factor
    each = copies / max(1, len(cluster.of("broker")))
    maps = (
        max(MEMORY_MAPS, round(each * MAPS_PER_PARTITION))
        if situation.member.role == "broker"
        else MEMORY_MAPS
    )
    return {
        # A paused broker loses its session, and swap takes room from the page cache; 1, not 0, or the kernel
        # would rather kill (Linux Documentation/admin-guide/sysctl/vm.rst; Cloudera Runtime 7.1, Kafka
        # Performance Tuning, Virtual memory handling, has 1, as have cp-ansible and Canonical's charm).
        "vm.swappiness": "1",
        # Kafka leaves flushing to the kernel: begin at 5 % so that it is steady, block writers only at 80 %
        # (both as cp-ansible and Canonical's charm; Kafka 3.9 documentation, 6.7, Application vs. OS Flush).
        "vm.dirty_background_ratio": "5",
        "vm.dirty_ratio": "80",
        "vm.max_map_count": str(maps),
    }


def network() -> Settings:
    """Bounds for the socket buffers that Kafka leaves to the kernel (`broker.network`).

    Others that lists for Kafka often name are left alone, because what is there already does: fs.file-max is as good
    as without end under systemd (240 and later, its NEWS), net.core.somaxconn (4096 since Linux 5.4) is far above
    the 50 connections that Kafka lets wait (socket.listen.backlog.size), and ports lent to outgoing connections
    begin above every port of ours (`spec.ports.FIRST_LENT`).
    """
    largest = str(SOCKET_BUFFER)
    return {
        "net.core.rmem_max": largest,
        "net.core.wmem_max": largest,
        # Least, first and most: the first two are Linux's own (tcp(7)).
        "net.ipv4.tcp_rmem": f"4096 131072 {largest}",
        "net.ipv4.tcp_wmem": f"4096 16384 {largest}",
    }


def pages() -> dict[str, str]:
    """Values of the kernel's files that sysctl does not know: huge pages only where a program asks for them.

    A broker's memory is its page cache and a heap that does not ask for them; made in its way, they
    cost pauses while the kernel puts pages together (Linux Documentation/admin-guide/mm/transhuge.rst).
    """
    return {"/sys/kernel/mm/transparent_hugepage/enabled": "madvise"}


def limits() -> dict[str, str]:
    """Limits of the user that nodes run as, for whatever is started outside systemd (limits.conf(5))."""
    return {"nofile": str(OPEN_FILES)}
