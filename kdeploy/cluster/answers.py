"""Kafka's answers as kdeploy's values, and kdeploy's wishes as kafka-python takes them.

Invariant: pure; knows the shape of kafka-python's dictionaries and nothing of connections.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kdeploy.cluster.state import Broker, Metadata, NewTopic, Partition, Quorum, Voter


def metadata(cluster: Mapping[str, Any], topics: list[Mapping[str, Any]]) -> Metadata:
    """The answers to "describe the cluster" and "describe the topics"."""
    brokers = (one for one in cluster["brokers"] if not one.get("is_fenced"))
    return Metadata(
        cluster["cluster_id"],
        cluster["controller_id"] if cluster["controller_id"] >= 0 else None,
        tuple(sorted(Broker(one["broker_id"], one["rack"], one["host"], one["port"]) for one in brokers)),
        tuple(sorted(_partition(topic["name"], one) for topic in topics for one in topic["partitions"])),
    )


def _partition(topic: str, found: Mapping[str, Any]) -> Partition:
    return Partition(
        topic,
        found["partition_index"],
        found["leader_id"] if found["leader_id"] >= 0 else None,
        tuple(found["replica_nodes"]),
        tuple(found["isr_nodes"]),
        tuple(found["offline_replicas"]),
    )


def quorum(found: Mapping[str, Any]) -> Quorum:
    """The answer to "describe the quorum", for the metadata log's one partition."""
    voters = found["current_voters"]
    end = max((voter["log_end_offset"] for voter in voters), default=0)
    now = max((voter.get("last_fetch_timestamp", -1) for voter in voters), default=-1)
    leader = found["leader_id"] if found["leader_id"] >= 0 else None

    def silent(voter: Mapping[str, Any]) -> float | None:
        if voter["replica_id"] == leader:
            return 0.0
        seen: int = voter.get("last_fetch_timestamp", -1)
        return (now - seen) / 1000 if seen >= 0 else None

    return Quorum(
        leader,
        tuple(
            sorted(
                Voter(voter["replica_id"], end - max(voter["log_end_offset"], 0), silent(voter))
                for voter in voters
            )
        ),
    )


def creation(topic: NewTopic) -> dict[str, Any]:
    """A topic to create."""
    wanted: dict[str, Any] = {"configs": dict(topic.config)}
    if topic.assignment:
        return {**wanted, "assignments": {index: list(ids) for index, ids in enumerate(topic.assignment)}}
    if topic.partitions is not None:
        wanted["num_partitions"] = topic.partitions
    if topic.replication_factor is not None:
        wanted["replication_factor"] = topic.replication_factor
    return wanted
