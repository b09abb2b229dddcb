"""Where partitions begin and end, asked of librdkafka's own stand-in for a broker, and what groups committed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from confluent_kafka import Producer

from kdeploy.cluster import batches
from kdeploy.cluster.client import kafka
from kdeploy.cluster.kafka_admin import KafkaAdmin


@pytest.fixture(scope="module")
def admin() -> Iterator[KafkaAdmin]:
    producer = Producer({"test.mock.num.brokers": 2, "bootstrap.servers": "", "acks": "all", "log_level": 0})
    bootstrap = ",".join(
        f"{one.host}:{one.port}" for one in producer.list_topics(timeout=10).brokers.values()
    )
    for number in range(30):
        producer.produce("orders", b"v", partition=number % 2)
    producer.flush(10)
    made = object.__new__(KafkaAdmin)
    # The stand-in answers a question for versions that it does not know in a form of its own.
    made._kafka = kafka().admin.KafkaAdminClient(bootstrap_servers=bootstrap.split(","), api_version=(2, 1))
    yield made
    made.close()


def test_partitions_begin_and_end_where_the_broker_says_and_what_is_not_there_is_left_out(
    admin: KafkaAdmin,
) -> None:
    found = admin.spans({("orders", 0), ("orders", 1), ("orders", 2), ("gone", 0), ("orders", 99)})
    assert found == {("orders", 0): (0, 15), ("orders", 1): (0, 15), ("orders", 2): (0, 0)}
    assert admin.spans([]) == {}


def test_no_partition_has_a_transaction_open_where_readers_of_committed_records_see_all(
    admin: KafkaAdmin,
) -> None:
    assert admin.unfinished({("orders", 0), ("orders", 1), ("gone", 0)}) == frozenset()
    assert admin.unfinished([]) == frozenset()


def test_a_partition_that_ends_beyond_what_readers_of_committed_records_see_has_one_open(
    admin: KafkaAdmin, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    ask = admin._kafka.list_partition_offsets

    def committed_lags(wanted: Any, isolation_level: str) -> Any:
        asked.append(isolation_level)
        found = ask(wanted, isolation_level=isolation_level)
        late = kafka().TopicPartition("orders", 1)
        return (
            {**found, late: found[late]._replace(offset=7)} if isolation_level == "read_committed" else found
        )

    monkeypatch.setattr(admin._kafka, "list_partition_offsets", committed_lags)
    assert admin.unfinished({("orders", 0), ("orders", 1)}) == {("orders", 1)}
    assert asked == ["read_uncommitted", "read_committed"], "what is written meanwhile is no transaction"


class Groups:
    """As much of kafka-python's admin client as tells of groups: its own values, and -1 where nothing is committed."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []

    def list_groups(self) -> list[dict[str, Any]]:
        return [{"group_id": name, "protocol_type": "consumer"} for name in ("nobody", "billing", "audit")]

    def list_group_offsets(self, names: list[str]) -> dict[str, dict[Any, Any]]:
        self.asked.append(names)
        place, offset = kafka().TopicPartition, kafka().structs.OffsetAndMetadata
        known = {"billing": {place("orders", 1): offset(7, "", -1), place("orders", 0): offset(-1, "", -1)}}
        return {name: known.get(name, {}) for name in names}


def test_groups_have_what_they_committed_asked_in_batches_and_one_without_any_is_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(batches, "GROUPS", 2)
    made = object.__new__(KafkaAdmin)
    made._kafka = Groups()
    assert made.group_offsets() == {"billing": {("orders", 1): 7}}
    assert made._kafka.asked == [["audit", "billing"], ["nobody"]]
    assert made.group_offsets(["audit"]) == {}
