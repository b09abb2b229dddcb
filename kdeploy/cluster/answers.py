"""Kafka's answers as kdeploy's values, and kdeploy's wishes as kafka-python takes them.

Invariant: pure; knows the shape of kafka-python's dictionaries and nothing of connections.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from kdeploy.cluster.state import Broker, BrokerSetting, Metadata, Moving, NewTopic, Partition, Quorum, Voter


def metadata(found: Mapping[str, Any]) -> Metadata:
    """One answer to "metadata of everything": brokers and partitions as one broker knows them at one moment."""
    brokers = (Broker(one["node_id"], one["rack"], one["host"], one["port"]) for one in found["brokers"])
    partitions = (_partition(topic["name"], one) for topic in found["topics"] for one in topic["partitions"])
    return Metadata(
        found["cluster_id"],
        found["controller_id"] if found["controller_id"] >= 0 else None,
        tuple(sorted(brokers)),
        tuple(sorted(partitions)),
        {topic["name"]: _topic_id(topic["topic_id"]) for topic in found["topics"] if _has_id(topic)},
    )


def created(found: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Ids of those of some topics that were created, by name."""
    return {
        one["name"]: _topic_id(one["topic_id"]) for one in found if not one["error_code"] and _has_id(one)
    }


def _has_id(topic: Mapping[str, Any]) -> bool:
    """Whether a topic's id is known: a zero stands for none."""
    return UUID(str(topic.get("topic_id") or UUID(int=0))).int != 0


def _topic_id(found: str) -> str:
    """An id as Kafka's own tools print it: URL-safe base64 without padding (org.apache.kafka.common.Uuid)."""
    return urlsafe_b64encode(UUID(str(found)).bytes).rstrip(b"=").decode()


def uuid(topic_id: str) -> UUID:
    """The id that Kafka's own tools print so."""
    return UUID(bytes=urlsafe_b64decode(topic_id + "=="))


def _partition(topic: str, found: Mapping[str, Any]) -> Partition:
    return Partition(
        topic,
        found["partition_index"],
        found["leader_id"] if found["leader_id"] >= 0 else None,
        tuple(found["replica_nodes"]),
        tuple(found["isr_nodes"]),
        tuple(found["offline_replicas"]),
    )


def broker_setting(name: str, entry: Mapping[str, Any]) -> BrokerSetting:
    """A setting of a broker, from the values by source that a broker lists as synonyms, the one in effect first.

    Synonyms of other names are left aside: log.retention.hours is one of log.retention.ms, in another unit.
    """
    values = {one["source"]: one["value"] for one in entry["synonyms"] if one["name"] == name}
    own = values.pop("DYNAMIC_BROKER_CONFIG", None)
    everywhere = values.pop("DYNAMIC_DEFAULT_BROKER_CONFIG", None)
    below = next(iter(values.values()), None)
    return BrokerSetting(entry["value"], own, below, everywhere)


def quorum(found: Mapping[str, Any]) -> Quorum:
    """The answer to "describe the quorum", for the metadata log's one partition.

    A controller that is not the leader any more answers with an error, no voters, and 0 in place of the
    leader's id (DescribeQuorumResponse, Kafka 3.9 to 4.3): then no leader is known.
    """
    if found.get("error"):
        return Quorum(None, ())
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


def moving(found: Mapping[str, Any]) -> Moving:
    """One partition of the answer to "list reassignments"."""
    return Moving(
        tuple(found["replicas"]), tuple(found["adding_replicas"]), tuple(found["removing_replicas"])
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
