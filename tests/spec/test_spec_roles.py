"""What a role may do is what Kafka's documentation asks of its clients, and nothing else."""

from __future__ import annotations

import pytest

from kdeploy.cluster.acl import declared
from kdeploy.cluster.state import Binding
from kdeploy.spec.load import interpret
from kdeploy.spec.resources import Acl, Grant
from kdeploy.spec.roles import ROLES, acls_of, expand
from kdeploy.spec.source import parse

PRODUCER = Grant(user="shop", role="producer", topics=("orders", "clicks-*"), transactional_ids=("shop-*",))
CONSUMER = Grant(user="shop", role="consumer", topics=("orders", "clicks-*"), groups=("billing", "audit-*"))
STREAMS = Grant(
    user="shop", role="streams", application="totals", topics=("orders",), output_topics=("sums", "days-*")
)
CONNECT = Grant(
    user="shop",
    role="connect",
    groups=("connect", "connect-*"),
    internal_topics=("connect-configs", "connect-offsets", "connect-status"),
    topics=("orders",),
    output_topics=("cdc.*",),
    transactional_ids=("connect-cluster-connect", "connect-*"),
)

NEEDED: list[tuple[Grant, str, str, str, str]] = [
    # Kafka 4.3 documentation, 7.4, "Operations and resources on protocols": request, operation, resource.
    (PRODUCER, "METADATA", "describe", "topic", "orders"),
    (PRODUCER, "PRODUCE", "write", "topic", "orders"),
    (PRODUCER, "PRODUCE", "write", "topic", "clicks-eu"),
    (PRODUCER, "PRODUCE", "write", "transactional-id", "shop-1"),
    (PRODUCER, "FIND_COORDINATOR", "describe", "transactional-id", "shop-1"),
    (PRODUCER, "INIT_PRODUCER_ID", "write", "transactional-id", "shop-1"),
    (PRODUCER, "ADD_PARTITIONS_TO_TXN", "write", "transactional-id", "shop-1"),
    (PRODUCER, "ADD_PARTITIONS_TO_TXN", "write", "topic", "orders"),
    (PRODUCER, "END_TXN", "write", "transactional-id", "shop-1"),
    (CONSUMER, "METADATA", "describe", "topic", "orders"),
    (CONSUMER, "LIST_OFFSETS", "describe", "topic", "orders"),
    (CONSUMER, "OFFSET_FOR_LEADER_EPOCH", "describe", "topic", "orders"),
    (CONSUMER, "FETCH", "read", "topic", "clicks-eu"),
    (CONSUMER, "FIND_COORDINATOR", "describe", "group", "billing"),
    (CONSUMER, "JOIN_GROUP", "read", "group", "billing"),
    (CONSUMER, "SYNC_GROUP", "read", "group", "audit-7"),
    (CONSUMER, "HEARTBEAT", "read", "group", "billing"),
    (CONSUMER, "LEAVE_GROUP", "read", "group", "billing"),
    (CONSUMER, "CONSUMER_GROUP_HEARTBEAT", "read", "group", "billing"),
    (CONSUMER, "CONSUMER_GROUP_HEARTBEAT", "describe", "topic", "orders"),
    (CONSUMER, "OFFSET_COMMIT", "read", "group", "billing"),
    (CONSUMER, "OFFSET_COMMIT", "read", "topic", "orders"),
    (CONSUMER, "OFFSET_FETCH", "describe", "group", "billing"),
    (CONSUMER, "OFFSET_FETCH", "describe", "topic", "orders"),
    # Kafka 4.3 documentation, Streams developer guide, "Required ACL setting for secure Kafka clusters".
    (STREAMS, "FETCH", "read", "topic", "orders"),
    (STREAMS, "PRODUCE", "write", "topic", "sums"),
    (STREAMS, "PRODUCE", "write", "topic", "days-2026"),
    (
        STREAMS,
        "CREATE_TOPICS",
        "create",
        "topic",
        "totals-KSTREAM-AGGREGATE-STATE-STORE-0000000003-changelog",
    ),
    (STREAMS, "PRODUCE", "write", "topic", "totals-by-day-repartition"),
    (STREAMS, "FETCH", "read", "topic", "totals-by-day-repartition"),
    (STREAMS, "DELETE_RECORDS", "delete", "topic", "totals-by-day-repartition"),
    (STREAMS, "STREAMS_GROUP_HEARTBEAT", "read", "group", "totals"),
    (STREAMS, "STREAMS_GROUP_HEARTBEAT", "describe", "topic", "sums"),
    (STREAMS, "STREAMS_GROUP_DESCRIBE", "describe", "group", "totals"),
    # KIP-447: `<application.id>-<process id>-<thread>`.
    (STREAMS, "INIT_PRODUCER_ID", "write", "transactional-id", "totals-0a1b-1"),
    (STREAMS, "FIND_COORDINATOR", "describe", "transactional-id", "totals-0a1b-1"),
    (STREAMS, "TXN_OFFSET_COMMIT", "read", "group", "totals"),
    # Kafka 4.3 documentation, Connect user guide, "ACL requirements".
    (CONNECT, "worker", "read", "group", "connect"),
    (CONNECT, "worker", "read", "topic", "connect-configs"),
    (CONNECT, "worker", "write", "topic", "connect-offsets"),
    (CONNECT, "worker", "create", "topic", "connect-status"),
    (CONNECT, "worker, exactly once", "write", "transactional-id", "connect-cluster-connect"),
    (CONNECT, "worker, exactly once", "describe", "transactional-id", "connect-cluster-connect"),
    (CONNECT, "source, exactly once", "write", "transactional-id", "connect-postgres-0"),
    (CONNECT, "source, exactly once", "describe", "topic", "connect-offsets"),
    (CONNECT, "source", "write", "topic", "cdc.customers"),
    (CONNECT, "sink", "read", "group", "connect-warehouse"),
    (CONNECT, "sink", "read", "topic", "orders"),
]

DENIED: list[tuple[Grant, str, str, str]] = [
    (PRODUCER, "read", "topic", "orders"),
    (PRODUCER, "write", "topic", "orders-2"),
    (PRODUCER, "write", "transactional-id", "web-1"),
    (PRODUCER, "create", "topic", "orders"),
    (PRODUCER, "delete", "topic", "clicks-eu"),
    (PRODUCER, "idempotent-write", "cluster", "kafka-cluster"),
    (CONSUMER, "write", "topic", "orders"),
    (CONSUMER, "read", "group", "billing-2"),
    (CONSUMER, "delete", "group", "billing"),
    (STREAMS, "write", "topic", "orders"),
    (STREAMS, "read", "topic", "totals"),
    (STREAMS, "create", "topic", "totals2-changelog"),
    (STREAMS, "read", "group", "totals-2"),
    (STREAMS, "alter-configs", "topic", "totals-by-day-repartition"),
    (CONNECT, "write", "topic", "orders"),
    (CONNECT, "delete", "topic", "connect-configs"),
    (CONNECT, "create", "topic", "cdc.customers"),
    (CONNECT, "read", "topic", "cdc.customers"),
]


def allows(acls: tuple[Acl, ...], operation: str, resource: str, name: str) -> bool:
    """Whether an entry gives just this; what Kafka derives from another operation does not count."""
    return any(
        acl.resource == resource
        and acl.permission == "allow"
        and operation in acl.operations
        and (name.startswith(acl.name) if acl.pattern == "prefixed" else acl.name in ("*", name))
        for acl in acls
    )


@pytest.mark.parametrize(
    ("grant", "request_", "operation", "resource", "name"),
    NEEDED,
    ids=[f"{r[0].role}-{i}" for i, r in enumerate(NEEDED)],
)
def test_a_role_may_do_what_its_client_s_requests_need(
    grant: Grant, request_: str, operation: str, resource: str, name: str
) -> None:
    assert allows(expand(grant), operation, resource, name), request_


@pytest.mark.parametrize(
    ("grant", "operation", "resource", "name"), DENIED, ids=[f"{r[0].role}-{i}" for i, r in enumerate(DENIED)]
)
def test_a_role_may_do_nothing_else(grant: Grant, operation: str, resource: str, name: str) -> None:
    assert not allows(expand(grant), operation, resource, name)


def test_every_operation_that_a_role_gives_is_needed_by_a_row() -> None:
    for grant in (PRODUCER, CONSUMER, STREAMS, CONNECT):
        given = {(acl.resource, operation) for acl in expand(grant) for operation in acl.operations}
        needed = {(row[3], row[2]) for row in NEEDED if row[0] is grant}
        # The worker looks whether its topics are compacted; documented nowhere, done by TopicAdmin.
        beyond = {("topic", "describe-configs"), ("group", "describe")} if grant is CONNECT else set()
        assert given - needed == beyond, grant.role


def test_a_trailing_asterisk_is_a_prefix_and_one_alone_is_everything() -> None:
    (every, some, one) = expand(Grant(user="a", role="producer", topics=("*", "orders-*", "orders")))
    assert [(acl.name, acl.pattern) for acl in (every, some, one)] == [
        ("*", "literal"),
        ("orders-", "prefixed"),
        ("orders", "literal"),
    ]


def test_an_entry_of_a_role_is_one_that_could_be_written_out() -> None:
    for grant in (PRODUCER, CONSUMER, STREAMS, CONNECT):
        for acl in expand(grant):
            assert Acl.model_validate(acl.model_dump()) == acl


def test_a_role_needs_only_what_it_takes() -> None:
    for name, role in ROLES.items():
        assert set(role.needs) <= role.takes, name


TEXT = """\
users:
  - name: shop
    acls:
      - {name: orders, operations: [write]}
  - name: gone
    delete: true
    acls:
      - {name: orders, operations: [read]}
acls:
  - {user: shop, role: producer, topics: [orders, bills]}
  - user: shop
    acls:
      - {resource: group, name: shop, operations: [read], permission: deny, host: 10.1.2.3}
"""


def test_a_user_has_the_union_of_its_own_entries_and_its_grants_and_one_that_goes_has_none() -> None:
    environment = interpret(parse(TEXT, "f"), "trial")
    assert [user for user, _ in acls_of(environment)] == ["shop"] * 4
    assert declared(environment) == {
        Binding("shop", "topic", "orders", "literal", "write", "allow", "*"),
        Binding("shop", "topic", "orders", "literal", "describe", "allow", "*"),
        Binding("shop", "topic", "bills", "literal", "write", "allow", "*"),
        Binding("shop", "topic", "bills", "literal", "describe", "allow", "*"),
        Binding("shop", "group", "shop", "literal", "read", "deny", "10.1.2.3"),
    }
