"""Kafka's answers, as kafka-python hands them over, read as kdeploy's values."""

from __future__ import annotations

from typing import Any

import pytest

from kdeploy.cluster import answers, checks, gate, roundtrip
from kdeploy.cluster.client import Foreign, kafka
from kdeploy.cluster.failure import ClusterError
from kdeploy.cluster.health import observe
from kdeploy.cluster.kafka_admin import KafkaAdmin
from kdeploy.cluster.state import Broker, ClusterState, Metadata, Partition, Quorum


def metadata_answer(brokers: int, topics: dict[str, int], controller: int = 1) -> dict[str, Any]:
    """What a broker answers that knows of some brokers and topics, by kafka-python's own classes."""
    kafka()
    from kafka.protocol.metadata import MetadataResponse as Response

    topic = Response.MetadataResponseTopic
    answer: dict[str, Any] = Response[12](
        throttle_time_ms=0,
        brokers=[
            Response.MetadataResponseBroker(node_id=one, host="localhost", port=9000 + one, rack="a")
            for one in range(1, brokers + 1)
        ],
        cluster_id="cluster",
        controller_id=controller,
        topics=[
            topic(
                error_code=0,
                name=name,
                partitions=[
                    topic.MetadataResponsePartition(
                        error_code=0,
                        partition_index=index,
                        leader_id=1,
                        replica_nodes=[1, 2],
                        isr_nodes=[1],
                        offline_replicas=[2],
                    )
                    for index in range(partitions)
                ],
            )
            for name, partitions in topics.items()
        ],
    ).to_dict()
    return answer


def test_an_answer_is_read_whole() -> None:
    assert answers.metadata(metadata_answer(2, {"t": 1})) == Metadata(
        "cluster",
        1,
        (Broker(1, "a", "localhost", 9001), Broker(2, "a", "localhost", 9002)),
        (Partition("t", 0, 1, (1, 2), (1,), (2,)),),
    )
    assert answers.metadata(metadata_answer(1, {}, controller=-1)).controller is None


def test_a_topics_id_is_read_as_kafkas_own_tools_print_it_and_sent_back_as_it_was() -> None:
    found = metadata_answer(1, {"t": 1})
    assert answers.metadata(found).topic_ids == {}, "a broker that knows no ids says zero"
    found["topics"][0]["topic_id"] = "61af5284-94b4-4a22-86ad-c6bdb1ccb3ff"
    ids = answers.metadata(found).topic_ids
    assert ids == {"t": "Ya9ShJS0SiKGrca9scyz_w"}
    assert str(answers.uuid(ids["t"])) == "61af5284-94b4-4a22-86ad-c6bdb1ccb3ff"


class OneBroker:
    """The network side of kafka-python's admin client: every question is answered by the next broker in turn."""

    def __init__(self, *found: dict[str, Any]) -> None:
        self.found = list(found)
        self._manager = self

    def run(self, question: Foreign, *arguments: Foreign) -> Foreign:
        return question(*arguments)

    def _get_cluster_metadata(self, _topics: Foreign) -> Foreign:
        return self.found.pop(0)

    def describe_cluster(self) -> Foreign:
        found = self.found.pop(0)
        return {**found, "brokers": [{**one, "broker_id": one["node_id"]} for one in found["brokers"]]}

    def describe_topics(self) -> Foreign:
        return self.found.pop(0)["topics"]


def admin_of(client: object) -> KafkaAdmin:
    admin = KafkaAdmin.__new__(KafkaAdmin)
    admin._kafka = client
    return admin


def test_brokers_of_one_that_knows_are_never_put_beside_topics_of_one_that_has_just_started() -> None:
    whole, empty = metadata_answer(3, {"t": 1}), metadata_answer(0, {}, controller=-1)
    for first, second in ((whole, empty), (empty, whole)):
        seen = admin_of(OneBroker(first, second)).metadata()
        state = ClusterState("cluster", seen.brokers, seen.controller, seen.partitions, {"t": 1})
        assert not gate.judge(state, 1).open, "broker 1 has the last copy in sync"


def test_a_quorum_that_is_answered_with_an_error_has_no_leader_whatever_number_stands_there() -> None:
    found = {
        "error": "[Error 6] NotLeaderForPartitionError",
        "leader_id": 0,
        "current_voters": [],
        "observers": [],
    }
    assert answers.quorum(found) == Quorum(None, ())
    state = ClusterState("cluster", (Broker(1, "a", "h"),), answers.quorum(found).leader, ())
    assert not checks.controller(state).ok
    assert not gate.judge(state, 1).open


class Unset(OneBroker):
    """A cluster in which a setting has no value."""

    def describe_configs(self, *_: object, **__: object) -> Foreign:
        return {"topic": {"t": {"min.insync.replicas": {"value": None}}}}

    def describe_metadata_quorum(self) -> Foreign:
        return {"topics": [{"partitions": [{"leader_id": 1, "current_voters": []}]}]}

    def list_partition_reassignments(self) -> Foreign:
        return ()


def test_a_setting_without_a_value_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(KafkaAdmin, "silent", lambda *_: ())
    assert observe(admin_of(Unset(metadata_answer(1, {"t": 1})))).min_insync == {}


@pytest.mark.parametrize(
    "use",
    [
        lambda client: roundtrip.produce(client, "t", 0, [b"x"], None),
        lambda client: roundtrip.consume(client, "t", 0, 1, None),
    ],
)
def test_a_client_that_cannot_even_be_made_is_an_error_of_ours(use: Any) -> None:
    with pytest.raises(ClusterError, match="refused"):
        use({"bootstrap.servers": "localhost:9", "no.such.setting": "1"})
