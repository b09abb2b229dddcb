"""Settings of thousands of topics and sizes of their copies, read byte by byte.

A Kafka client makes an object of every field of every setting of every topic, which takes longer than the
broker takes to say them. Here only what is wanted is kept. Invariant: read-only; a broker that does not
answer is passed over for the next, and the answer is the same whoever gave it.
"""

from __future__ import annotations

import ssl
import struct
from collections.abc import Sequence
from typing import Final, TypeAlias

from kdeploy.cluster import Proxy
from kdeploy.cluster.failure import ClusterError
from kdeploy.cluster.wire import call, connected

DESCRIBE_CONFIGS: Final = 32
"""API key of DescribeConfigs; version 1 is served by every Kafka from 1.1 to 4.3 (KIP-896)."""

DESCRIBE_LOG_DIRS: Final = 35
"""API key of DescribeLogDirs; version 1 is served by every Kafka from 2.0 to 4.3 (KIP-896)."""

TOPIC: Final = 2
"""Kind of resource (ConfigResource.Type, Kafka 3.9 to 4.3)."""

EVERY: Final = -1
"""The length of a list that stands for everything (Kafka protocol guide, nullable arrays)."""

OWN: Final = 1
"""Where a topic's own settings come from: DYNAMIC_TOPIC_CONFIG (DescribeConfigsResponse.ConfigSource)."""

GONE: Final = (3, 39)
"""UNKNOWN_TOPIC_OR_PARTITION, and what Kafka says of a resource that is not there (protocol guide)."""

TIMEOUT: Final = 20.0
"""Seconds that a step of an answer may take."""

Settings: TypeAlias = dict[str, dict[str, tuple[str | None, bool]]]
"""By topic and name: the value in effect, and whether it was set for the topic itself."""


def topic_settings(
    brokers: Sequence[tuple[str, int]], tls: ssl.SSLContext, proxy: Proxy | None, topics: Sequence[str]
) -> Settings:
    """All settings of topics, from the first broker that answers.

    Args:
        brokers: Where to ask: host and port of admin listeners.
        tls: As the administrator.
        proxy: What to go through, if anything.
        topics: Their names; one that is gone is left out.

    Raises:
        OSError: No broker answers.
        ClusterError: Settings of a topic are refused.
    """
    body = struct.pack(">i", len(topics)) + b"".join(map(_wanted, topics)) + b"\0"
    return _read_settings(_answer(brokers, tls, proxy, DESCRIBE_CONFIGS, body))


def stored_bytes(
    broker: tuple[str, int], tls: ssl.SSLContext, proxy: Proxy | None, topics: Sequence[str]
) -> int:
    """Bytes of some topics' copies on one broker, those on their way included.

    Raises:
        OSError: It does not answer.
    """
    wanted = frozenset(topics)
    body = struct.pack(">i", EVERY)
    return _read_sizes(_answer([broker], tls, proxy, DESCRIBE_LOG_DIRS, body), wanted)


def _answer(
    brokers: Sequence[tuple[str, int]], tls: ssl.SSLContext, proxy: Proxy | None, api: int, body: bytes
) -> bytes:
    failed: OSError = ConnectionError("no broker is known")
    for host, port in brokers:
        try:
            with connected(host, port, tls, TIMEOUT, proxy) as channel:
                return call(channel, api, 1, body)
        except OSError as error:
            failed = error
    raise failed


def _wanted(topic: str) -> bytes:
    name = topic.encode()
    return struct.pack(">bh", TOPIC, len(name)) + name + struct.pack(">i", EVERY)


def _string(body: bytes, at: int) -> tuple[str | None, int]:
    (size,) = struct.unpack_from(">h", body, at)
    at += 2
    return (None, at) if size < 0 else (body[at : at + size].decode(), at + size)


def _read_settings(body: bytes) -> Settings:
    """The answer to DescribeConfigs, version 1, without synonyms."""
    found: Settings = {}
    (count,) = struct.unpack_from(">i", body, 4)
    at = 8
    for _ in range(count):
        (error,) = struct.unpack_from(">h", body, at)
        message, at = _string(body, at + 2)
        name, at = _string(body, at + 1)
        (entries,) = struct.unpack_from(">i", body, at)
        at += 4
        settings: dict[str, tuple[str | None, bool]] = {}
        for _ in range(entries):
            key, at = _string(body, at)
            value, at = _string(body, at)
            source, synonyms = body[at + 1], struct.unpack_from(">i", body, at + 3)[0]
            at += 7
            if synonyms:
                raise ClusterError(f"the cluster says more of the settings of topic {name} than it was asked")
            settings[str(key)] = (value, source == OWN)
        if error and error not in GONE:
            raise ClusterError(
                f"the cluster does not tell the settings of topic {name}: {message or f'error {error}'}"
            )
        if not error:
            found[str(name)] = settings
    return found


def _read_sizes(body: bytes, wanted: frozenset[str]) -> int:
    """The answer to DescribeLogDirs, version 1."""
    total = 0
    (folders,) = struct.unpack_from(">i", body, 4)
    at = 8
    for _ in range(folders):
        _, at = _string(body, at + 2)
        (topics,) = struct.unpack_from(">i", body, at)
        at += 4
        for _ in range(topics):
            name, at = _string(body, at)
            (partitions,) = struct.unpack_from(">i", body, at)
            at += 4
            for _ in range(partitions):
                if name in wanted:
                    total += struct.unpack_from(">q", body, at + 4)[0]
                at += 21
    return total
