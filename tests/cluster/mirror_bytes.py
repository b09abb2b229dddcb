"""MirrorMaker's own records as bytes, written by hand from the layout that Kafka's classes have."""

from __future__ import annotations

import json
import struct


def text(value: str) -> bytes:
    return struct.pack(">h", len(value.encode())) + value.encode()


def heartbeat(source: str, target: str, timestamp: float) -> tuple[bytes, bytes]:
    return text(source) + text(target), struct.pack(">hq", 0, round(timestamp * 1000))


def checkpoint(group: str, topic: str, partition: int, upstream: int, downstream: int) -> tuple[bytes, bytes]:
    key = text(group) + text(topic) + struct.pack(">i", partition)
    return key, struct.pack(">hqq", 0, upstream, downstream) + text("")


def sync(topic: str, partition: int, upstream: int, downstream: int) -> tuple[bytes, bytes]:
    return text(topic) + struct.pack(">i", partition), struct.pack(">qq", upstream, downstream)


def reached(connector: str, source: str, topic: str, partition: int, upstream: int) -> tuple[bytes, bytes]:
    """As Connect notes it: JSON without a schema, a connector's name before its own words for a partition."""
    place = {"cluster": source, "partition": partition, "topic": topic}
    return json.dumps([connector, place]).encode(), json.dumps({"offset": upstream}).encode()
