"""Risky settings are named, explained, silenced by name, and never stop anything."""

from __future__ import annotations

from typing import Any

import pytest

from kdeploy.spec.load import interpret, load, shipped_folder
from kdeploy.spec.model import Environment
from kdeploy.spec.risks import RISKS, risks
from kdeploy.spec.source import parse

ONE_COPY = "durability: {replication_factor: 1, min_insync_replicas: 1, survive: none}\n"
TWO = "datacenters: [{name: east, base_port: 24000}, {name: west, base_port: 25000}]\n"
BOTH = "mirroring: {mode: active-active, exclude_topics: [own-*]}\n"
TAKEN: list[tuple[str, str, str]] = [
    ("single-copy", "durability.replication_factor", ONE_COPY),
    (
        "single-copy",
        "topics[0].replication_factor",
        "topics: [{name: orders, replication_factor: 1}]\n",
    ),
    (
        "no-spare-copy",
        "durability.min_insync_replicas",
        "durability: {replication_factor: 3, min_insync_replicas: 3, survive: none}\n",
    ),
    (
        "no-spare-copy",
        "topics[0].config.min.insync.replicas",
        "topics: [{name: orders, config: {min.insync.replicas: 3}}]\n",
    ),
    (
        "no-spare-copy",
        "topics[0].config.min.insync.replicas",
        "topics: [{name: orders, replication_factor: 2}]\n",
    ),
    (
        "one-acknowledgement",
        "durability.min_insync_replicas",
        "durability: {min_insync_replicas: 1}\n",
    ),
    (
        "unclean-election",
        "overrides.broker.unclean.leader.election.enable",
        "overrides: {broker: {unclean.leader.election.enable: true}}\n",
    ),
    (
        "unclean-election",
        "topics[0].config.unclean.leader.election.enable",
        'topics: [{name: orders, config: {unclean.leader.election.enable: "TRUE"}}]\n',
    ),
    (
        "automatic-topics",
        "overrides.broker.auto.create.topics.enable",
        "overrides: {broker: {auto.create.topics.enable: true}}\n",
    ),
    (
        "copied-acls",
        "mirroring.sync_topic_acls",
        f"{TWO}mirroring: {{sync_topic_acls: true}}\n",
    ),
    ("plaintext", "security.client_listener", "security: {client_listener: PLAINTEXT}\n"),
    ("no-authorization", "security.authorization", "security: {authorization: false}\n"),
    (
        "open-to-everyone",
        "datacenters[0].network.load_balancer.everyone",
        "datacenters:\n  - provider: aws\n    region: eu-west-1\n    network:\n      load_balancer:\n"
        "        {name: kafka.example.com, scheme: internet-facing, everyone: true}\n",
    ),
    (
        "readable-metrics",
        "datacenters[0].machine.metrics_endpoint",
        "datacenters:\n  - provider: aws\n    region: eu-west-1\n    machine:\n"
        "      {alarms: true, metrics_endpoint: 'http://10.20.0.2'}\n",
    ),
    (
        "writes-everything",
        "users[0].acls[1].name",
        "users: [{name: a, acls: [{name: '*', operations: [read]}, {name: '*', operations: [all]}]}]\n",
    ),
    (
        "writes-everything",
        "acls[0].output_topics[0]",
        "users: [{name: a}]\nacls: [{user: a, role: streams, application: b, topics: ['*'], output_topics: ['*']}]\n",
    ),
    (
        "foreign-password",
        "users[1].credentials",
        "users: [{name: a, credentials: unmanaged}, {name: b, credentials: unmanaged, delete: true}]\n",
    ),
    (
        "unknown-topic",
        "users[0].acls[1].name",
        "topics: [{name: orders}]\nusers:\n  - name: a\n    acls:\n      - {name: orders, operations: [read]}\n"
        "      - {name: odrers, operations: [read]}\n      - {name: own-, pattern: prefixed, operations: [create]}\n",
    ),
    (
        "unknown-topic",
        "acls[0].topics[1]",
        "topics: [{name: orders}]\nusers: [{name: a}]\n"
        "acls: [{user: a, role: producer, topics: ['ord*', 'payments*']}]\n",
    ),
    (
        "unknown-topic",
        "mirroring.topics[1]",
        f"{TWO}mirroring: {{topics: ['ord*', odrers], exclude_topics: [orders]}}\ntopics: [{{name: orders}}]\n",
    ),
    (
        "one-rack",
        "datacenters[0].racks",
        "durability: {survive: broker}\ndatacenters: [{racks: [a], brokers: {count: 3}}]\n",
    ),
    (
        "one-coordination-node",
        "datacenters[0].coordination.count",
        "durability: {survive: none}\ndatacenters: [{coordination: {count: 1}}]\n",
    ),
    (
        "unfenced-writers",
        "security.authorization",
        f"{TWO}mirroring: {{}}\nsecurity: {{authorization: false}}\n",
    ),
    (
        "reads-one-side",
        "users[0].acls[0].name",
        f"{TWO}{BOTH}users: [{{name: a, acls: [{{name: orders, operations: [read]}}, "
        "{name: east.orders, operations: [read]}]}]\n",
    ),
    (
        "reads-one-side",
        "acls[0].topics[0]",
        f"{TWO}{BOTH}users: [{{name: a}}]\nacls: [{{user: a, role: consumer, topics: ['orders*'], groups: [g]}}]\n",
    ),
    (
        "lent-ports",
        "datacenters[1].base_port",
        "datacenters: [{name: east}, {name: west, base_port: 28760}]\nmirroring: {}\n",
    ),
    ("lent-ports", "datacenters[0].base_port", "datacenters: [{base_port: 31000}]\n"),
    ("nothing-survived", "durability.survive", "durability: {survive: none}\n"),
]


def seen(text: str) -> list[tuple[str, str]]:
    from kdeploy.errors import dotted

    environment = interpret(parse(text, "f"), "trial")
    return [(risk.name, dotted(risk.path)) for risk in risks(environment)]


@pytest.mark.parametrize(("name", "path", "text"), TAKEN, ids=[f"{row[0]}-{row[1]}" for row in TAKEN])
def test_a_risk_is_named_where_it_is_taken(name: str, path: str, text: str) -> None:
    assert (name, path) in seen(text)


@pytest.mark.parametrize(("name", "path", "text"), TAKEN, ids=[f"{row[0]}-{row[1]}" for row in TAKEN])
def test_its_name_under_accept_risks_silences_it_and_no_other(name: str, path: str, text: str) -> None:
    others = [one for one in seen(text) if one[0] != name]
    assert seen(f"{text}accept_risks: [{name}]\n") == others


def test_every_risk_has_a_row_here_and_a_reason() -> None:
    assert {name for name, _, _ in TAKEN} | {"idle-pattern"} == set(RISKS), "that one is seen in a file"
    assert all(why and not why.endswith(".") for _, why in RISKS.values())


def test_the_defaults_and_the_shipped_environments_take_none() -> None:
    assert seen("kafka: {}\n") == []
    for file in shipped_folder().glob("*/environment.yaml"):
        assert risks(load(file.parent).environment) == ()


def test_a_risk_says_how_to_silence_it() -> None:
    environment: Any = interpret(parse(ONE_COPY, "f"), "trial")
    assert [risk.silence for risk in risks(environment)] == [
        "if it is meant, add nothing-survived to accept_risks",
        "if it is meant, add single-copy to accept_risks",
    ]


def test_a_topic_that_is_nowhere_is_named_with_the_one_that_was_probably_meant() -> None:
    acls = [
        {"name": "odrers", "operations": ["read"]},
        {"name": "x", "pattern": "prefixed", "operations": ["read"]},
    ]
    wanted = {"name": "a", "topics": [{"name": "orders"}], "users": [{"name": "a", "acls": acls}]}
    found = risks(Environment.model_validate(wanted))
    assert [one.why for one in found if one.name == "unknown-topic"] == [
        "no topic that is declared is called odrers; did you mean orders?",
        "no topic that is declared has a name that begins with x",
    ]


@pytest.mark.parametrize(
    "text",
    [
        f"{TWO}{BOTH}users: [{{name: a, acls: [{{name: '*', operations: [read]}}]}}]\n",
        f"{TWO}{BOTH}users: [{{name: a, acls: [{{name: own-log, operations: [read]}}]}}]\n",
        f"{TWO}{BOTH}users: [{{name: a, acls: [{{name: orders, operations: [write]}}]}}]\n",
        f"{TWO}{BOTH}users: [{{name: a, acls: [{{name: orders, operations: [read], permission: deny}}]}}]\n",
        f"{TWO}{BOTH}users: [{{name: a, delete: true, acls: [{{name: orders, operations: [read]}}]}}]\n",
        f"{TWO}{BOTH}users: [{{name: a, acls: [{{name: east.orders, operations: [read]}}]}}]\n",
        f"{TWO}mirroring: {{}}\nusers: [{{name: a, acls: [{{name: orders, operations: [read]}}]}}]\n",
        f"{TWO}mirroring: {{mode: active-active, sync_topic_acls: true}}\n"
        "users: [{name: a, acls: [{name: orders, operations: [read]}]}]\n",
        f"{TWO}{BOTH}users: [{{name: a}}]\n"
        "acls: [{user: a, role: consumer, topics: [orders, east.orders, 'west.*'], groups: [g]}]\n",
    ],
)
def test_who_may_read_both_sides_or_needs_no_more_than_one_takes_no_such_risk(text: str) -> None:
    assert "reads-one-side" not in {name for name, _ in seen(text)}


def test_what_is_mirrored_under_another_name_is_a_topic_that_there_is() -> None:
    text = (
        f"{TWO}mirroring: {{mode: active-active}}\ntopics: [{{name: orders}}]\n"
        "users: [{name: a, acls: [{name: west.orders, operations: [read]}, {name: west.odrers, operations: [read]}]}]\n"
    )
    assert [path for name, path in seen(text) if name == "unknown-topic"] == ["users[0].acls[1].name"]
