"""Options of a node's Java machine.

Invariant: pure; heap and metaspace leave the larger part of memory to the page cache (broker)
or unused (ZooKeeper must never swap); the machine ends when it is out of memory, so that
what supervises it starts a whole one; JMX is not reachable from elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

from kdeploy.errors import InvalidSetting
from kdeploy.spec.lock import Role
from kdeploy.tuning.situation import Situation

MEBIBYTE: Final = 2**20

LARGEST_HEAP: Final[dict[Role, int]] = {
    "broker": 6 * 2**30,
    "controller": 4 * 2**30,
    "zookeeper": 4 * 2**30,
    "mirror": 4 * 2**30,
}
"""Most heap per role. Brokers: LinkedIn's busiest clusters ran with 6 GB (Kafka 3.9 documentation, 6.6 Java
Version); controllers: cp-ansible's -Xmx4g (roles/kafka_controller); ZooKeeper holds its whole tree, which for
Kafka is far below this, and collections of a larger heap would outlast a session; a worker of MirrorMaker holds a
fetch and its batches for each task, tens of megabytes, and more heap only makes its pauses longer (our bounds)."""

HEAP_SHARE: Final = 0.25
"""Share of a host's memory that is heap, as the planner counts it: what a broker reads and writes goes through
the page cache, which is the rest (Kafka 3.9 documentation, 6.7 Hardware and OS: 30 s of writes)."""

LOCAL_HEAP_SHARE: Final = 0.5
"""The same of a process of provider local: its memory is its own alone, and the page cache the whole
machine's (Strimzi's 50 % of a container's, cluster-operator KafkaCluster.java, 2024)."""

LOCAL_MACHINE: Final = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
"""Of this machine, where six nodes and more share a few processors, each gets one thread that collects and one
that compiles, as Java chooses by itself for small machines (Java 21, GC tuning guide, Ergonomics).
Measured 2026-11-25 with two processors, Kafka 3.9.2, Java 21.0.8: with the quick compiler (C1) alone `up local`
took 28 s in place of 40 s, and its nodes 38 s of processor time in place of 65 s.
Nodes on machines of their own keep G1 and both compilers, for their throughput and their short pauses."""

LEAST_HEAP: Final = 64 * MEBIBYTE
"""Below this Kafka does not start; our bound."""

REGION_HEAP: Final = 4 * 2**30
"""Heap from which regions of 16 MiB are asked for: 256 of them at least. Java's own choice aims at 2048
(Java 21 G1 tuning guide), and a 512 MiB heap would have 32."""

GC_LOG_FILES: Final = 10
GC_LOG_BYTES: Final = "10M"
"""The last 100 MB of collections: ten files as in kafka-run-class.sh (Kafka 3.9), each a tenth of its 100M."""

FORBIDDEN: Final = ("-cp", "-classpath", "--class-path", "-jar", "-version", "--version", "-help", "-Xint")
_NAMED = (
    re.compile(r"(-Xmx|-Xms|-Xss|-Xmn)"),
    re.compile(r"(-Xlog:gc)"),
    re.compile(r"(-XX:)[+-]?([A-Za-z0-9]+)"),
    re.compile(r"(-D[^=]+)"),
)
_COLLECTORS = re.compile(r"-XX:\+Use(\w+)GC")


def heap(role: Role, memory: float, share: float) -> int:
    """Bytes of heap, in whole mebibytes.

    Args:
        role: What the node is.
        memory: Bytes of memory it may count on.
        share: The part of it that is heap, 0 to 1.
    """
    wanted = min(memory * share, LARGEST_HEAP[role])
    return int(max(wanted, LEAST_HEAP)) // MEBIBYTE * MEBIBYTE


def options(situation: Situation, logging: str) -> tuple[str, ...]:
    """Java options of one node, a person's overrides included.

    Args:
        situation: The node.
        logging: The option that names the logging configuration.

    Raises:
        InvalidSetting: An override is no option, or one that is kdeploy's own.
    """
    role = situation.member.role
    # What a worker of MirrorMaker carries is in its heap, not in the page cache.
    share = LOCAL_HEAP_SHARE if situation.is_local or role == "mirror" else HEAP_SHARE
    decided = (
        "-server",
        *memory_options(heap(role, situation.memory, share)),
        *(LOCAL_MACHINE if situation.is_local else collector_options()),
        gc_log(situation.layout.logs),
        "-XX:+ExitOnOutOfMemoryError",
        "-Djava.awt.headless=true",
        logging,
    )
    return override(decided, situation.environment.overrides.jvm.get(role, ()), role)


def memory_options(size: int) -> tuple[str, ...]:
    """Heap and metaspace. One size from the start: growing pauses (Kafka 3.9 documentation, 6.6, has both equal).

    Args:
        size: Bytes of heap.
    """
    amount = f"{size // MEBIBYTE}m"
    regions = ("-XX:G1HeapRegionSize=16M",) if size >= REGION_HEAP else ()
    # MetaspaceSize and both free ratios: Kafka 3.9 documentation, 6.6 Java Version.
    metaspace = ("-XX:MetaspaceSize=96m", "-XX:MinMetaspaceFreeRatio=50", "-XX:MaxMetaspaceFreeRatio=80")
    return (f"-Xms{amount}", f"-Xmx{amount}", *metaspace, *regions)


def collector_options() -> tuple[str, ...]:
    """G1 as Kafka runs it (Kafka 3.9 documentation, 6.6 Java Version; kafka-run-class.sh has the same values).

    MaxInlineLevel of that script is Java's own since 14 (JDK-8234863), so it is left out.
    """
    return (
        "-XX:+UseG1GC",
        "-XX:MaxGCPauseMillis=20",
        "-XX:InitiatingHeapOccupancyPercent=35",
        "-XX:+ExplicitGCInvokesConcurrent",
    )


def gc_log(folder: str) -> str:
    """The option that logs collections to rotated files (JEP 158; kafka-run-class.sh, Kafka 3.9)."""
    rotation = f"filecount={GC_LOG_FILES},filesize={GC_LOG_BYTES}"
    return f"-Xlog:gc*:file={folder}/gc.log:time,tags:{rotation}"


def override(decided: Iterable[str], wanted: Iterable[str], role: Role) -> tuple[str, ...]:
    """Options with a person's in the place of those that say the same; others of theirs follow.

    A largest heap without a first one sets both, or Java would refuse the pair. A first one alone is
    refused: against the largest that kdeploy decided, no node of the role might start.

    Raises:
        InvalidSetting: One is no option, one that is kdeploy's own, or half of a pair.
    """
    merged = {name(option): option for option in decided}
    wanted = tuple(wanted)
    for mistake in mistakes_of(wanted, role):
        raise mistake
    theirs = {name(option): option for option in wanted}
    if "-Xmx" in theirs and "-Xms" not in theirs:
        theirs["-Xms"] = theirs["-Xmx"].replace("-Xmx", "-Xms")
    if any(_COLLECTORS.fullmatch(option) for option in theirs.values()):
        merged = {key: option for key, option in merged.items() if not _is_g1(option)}
    return tuple((merged | theirs).values())


def mistakes_of(wanted: Iterable[str], role: Role) -> Iterator[InvalidSetting]:
    """What is wrong with a person's options for one role."""
    theirs = {}
    for index, option in enumerate(wanted):
        yield from _mistake(option, ("overrides", "jvm", role, index))
        theirs[name(option)] = option
    if "-Xms" in theirs and "-Xmx" not in theirs:
        alone = theirs["-Xms"]
        largest = alone.replace("-Xms", "-Xmx")
        yield InvalidSetting(
            ("overrides", "jvm", role), f"{alone} has no largest heap beside it", f"add {largest}, or more"
        )


def name(option: str) -> str:
    """What an option sets: two options of one name say the same thing twice."""
    for pattern in _NAMED:
        match = pattern.match(option)
        if match:
            return "".join(match.groups())
    return option


def _is_g1(option: str) -> bool:
    return "G1" in option or option.startswith("-XX:InitiatingHeapOccupancyPercent")


def _mistake(option: str, path: tuple[str | int, ...]) -> Iterator[InvalidSetting]:
    if not option.startswith("-") or re.search(r"\s", option):
        yield InvalidSetting(
            path, f"{option!r} is not one Java option", "write each like -Xmx2g, one an item"
        )
    elif option.split("=")[0] in FORBIDDEN:
        yield InvalidSetting(
            path, f"{option} would replace what kdeploy starts", "give options of the machine, no class path"
        )
