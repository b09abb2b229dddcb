"""Completing a vault adds what is missing and changes nothing that is there."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from kdeploy.errors import KdeployError
from kdeploy.security import issue
from kdeploy.security.content import Vault
from kdeploy.spec.lock import Lock, LockedDatacenter, LockedNode, LockedShape
from kdeploy.spec.model import Coordination, Environment, Provider
from kdeploy.spec.resources import User

SHAPE = LockedShape(instance_type=None, cores=2, memory=1e9)


def lock(provider: Provider, coordination: Coordination, host: str | None = None) -> Lock:
    nodes = (
        LockedNode(id=1, name="broker-1", role="broker", rack="a", ordinal=1, ports={}, host=host),
        LockedNode(id=1, name="zookeeper-1", role="zookeeper", rack="a", ordinal=1, ports={}),
    )
    datacenter = LockedDatacenter(
        name="dc1", provider=provider, brokers=SHAPE, coordination=SHAPE, partitions=10, nodes=nodes
    )
    return Lock(
        kdeploy="0", environment="prod", kafka_version="3.9.2", kafka_coordination=coordination, inputs="",
        datacenters=(datacenter,),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("provider", "host", "names", "addresses"),
    [
        ("local", None, ("localhost", "broker-1", "broker-1.dc1"), ("127.0.0.1",)),
        ("aws", None, ("broker-1", "broker-1.dc1", "broker-1.dc1.prod.kdeploy.internal"), ()),
        ("hosts", "kafka1.example.org", ("broker-1", "broker-1.dc1", "kafka1.example.org"), ()),
        ("hosts", "10.0.0.7", ("broker-1", "broker-1.dc1"), ("10.0.0.7",)),
        ("hosts", "fd00::7", ("broker-1", "broker-1.dc1"), ("fd00::7",)),
    ],
)
def test_a_node_is_certified_for_every_name_it_is_reached_by(
    provider: Provider, host: str | None, names: tuple[str, ...], addresses: tuple[str, ...], now: datetime
) -> None:
    needed = issue.requirements(Environment(name="prod"), lock(provider, "zookeeper", host))
    broker = needed.nodes[0]
    assert (broker.key, broker.subject) == ("dc1/broker-1", "CN=broker-1.dc1,OU=nodes,O=prod")
    assert (broker.names, broker.addresses) == (names, addresses)
    assert issue.complete(None, needed, now).nodes["dc1/broker-1"].subject == broker.subject


def test_brokers_share_an_identity_only_where_there_is_zookeeper() -> None:
    environment = Environment(name="prod", users=(User(name="alice"),))
    assert issue.requirements(environment, lock("local", "zookeeper")).brokers == ("dc1",)
    assert issue.requirements(environment, lock("local", "kraft")).brokers == ()
    assert issue.requirements(environment, lock("local", "kraft")).users == ("alice",)


def test_completing_makes_what_is_required_and_then_nothing_is_lacking(
    needed: issue.Requirements, vault: Vault, now: datetime
) -> None:
    assert len(issue.lacking(None, needed)) == 2 + 2 + 1 + 2
    assert issue.lacking(vault, needed) == ()
    assert issue.complete(vault, needed, now) == vault


def test_completing_adds_what_is_missing_and_changes_nothing_else(
    needed: issue.Requirements, vault: Vault, now: datetime
) -> None:
    new = issue.NodeRequirement("dc2/broker-1", "CN=broker-1.dc2,OU=nodes,O=prod", ("broker-1",))
    more = replace(needed, nodes=(*needed.nodes, new), brokers=("dc1", "dc2"), users=("carol", "alice"))
    assert issue.lacking(vault, more) == (
        "the certificate of dc2/broker-1",
        "the certificate that brokers of dc2 share",
        "the password of carol",
    )
    later = issue.complete(vault, more, now + timedelta(days=400))
    assert later.nodes.keys() - vault.nodes.keys() == {"dc2/broker-1"}
    for name, identity in vault.identities().items():
        assert later.identities()[name] == identity
    assert {**later.passwords, **vault.passwords} == later.passwords
    assert later.passwords.keys() == {"alice", "bob", "carol"}


def test_what_is_no_longer_required_stays(needed: issue.Requirements, vault: Vault, now: datetime) -> None:
    fewer = replace(needed, nodes=needed.nodes[:1], users=())
    assert issue.complete(vault, fewer, now) == vault


def test_a_vault_of_another_environment_is_refused(
    needed: issue.Requirements, vault: Vault, now: datetime
) -> None:
    other = replace(needed, environment="staging")
    for attempt in (lambda: issue.lacking(vault, other), lambda: issue.complete(vault, other, now)):
        with pytest.raises(KdeployError, match="belongs to the environment prod, not to staging"):
            attempt()


def test_passwords_are_long_url_safe_and_never_the_same() -> None:
    made = {issue.new_password() for _ in range(200)}
    assert len(made) == 200
    for password in made:
        assert password.replace("-", "").replace("_", "").isalnum()
        assert len(password) * 6 >= 160


def test_expiring_names_certificates_in_the_order_they_end(
    needed: issue.Requirements, vault: Vault, now: datetime
) -> None:
    assert issue.expiring(vault, now, timedelta(days=364)) == ()
    leaves = ["administrator", "node/dc1/broker-1", "node/dc1/zookeeper-1", "brokers/dc1"]
    ending = issue.expiring(vault, now, timedelta(days=366))
    assert sorted(one.name for one in ending) == sorted(leaves)
    new = issue.NodeRequirement("dc1/broker-2", "CN=broker-2.dc1,OU=nodes,O=prod", ())
    short = replace(needed, nodes=(new,), certificate_days=5)
    first = issue.expiring(issue.complete(vault, short, now), now, timedelta(days=366))[0]
    assert (first.name, first.not_after) == ("node/dc1/broker-2", now + timedelta(days=5))


def test_a_certificate_is_made_anew_exactly_when_the_node_is_reached_by_something_else(
    vault: Vault, needed: issue.Requirements, now: datetime
) -> None:
    assert issue.made_out_anew(vault, needed, "dc1/broker-1", now) is vault
    moved = replace(needed.nodes[0], addresses=("10.0.0.9",))
    elsewhere = replace(needed, nodes=(moved, *needed.nodes[1:]))
    renewed = issue.made_out_anew(vault, elsewhere, "dc1/broker-1", now)
    assert renewed.nodes["dc1/broker-1"].reached_by == {*moved.names, "10.0.0.9"}
    assert renewed.nodes["dc1/broker-1"].key != vault.nodes["dc1/broker-1"].key, (
        "the old machine has that one"
    )
    assert renewed.nodes["dc1/zookeeper-1"] is vault.nodes["dc1/zookeeper-1"]
    assert (renewed.passwords, renewed.brokers) == (vault.passwords, vault.brokers)
    assert issue.made_out_anew(renewed, elsewhere, "dc1/broker-1", now) is renewed


def test_a_node_in_aws_is_certified_for_its_address_since_it_leads_back_to_no_name() -> None:
    found = lock("aws", "zookeeper")
    nodes = tuple(one.model_copy(update={"address": "10.20.0.17"}) for one in found.datacenters[0].nodes[:1])
    placed = found.model_copy(
        update={"datacenters": (found.datacenters[0].model_copy(update={"nodes": nodes}),)}
    )
    (needed,) = issue.requirements(Environment(name="prod"), placed).nodes
    assert needed.addresses == ("10.20.0.17",)
    assert "broker-1.dc1.prod.kdeploy.internal" in needed.names


def balanced(name: str | None) -> Environment:
    """An environment in AWS whose clients outside call its brokers by a name."""
    wanted = {"load_balancer": {"name": name, "sources": ["198.51.100.0/24"]}} if name else {}
    place = {"name": "dc1", "provider": "aws", "region": "eu-west-1", "network": wanted}
    return Environment.model_validate({"name": "prod", "datacenters": [place]})


def test_a_broker_that_clients_outside_call_otherwise_lacks_a_certificate_made_out_to_that(
    now: datetime,
) -> None:
    there = lock("aws", "zookeeper")
    before = issue.complete(None, issue.requirements(balanced(None), there), now)
    needed = issue.requirements(balanced("kafka.example.com"), there)
    assert issue.lacking(before, needed) == ("the certificate of dc1/broker-1 made out to kafka.example.com",)
    after = issue.complete(before, needed, now)
    (old, new) = (vault.nodes["dc1/broker-1"] for vault in (before, after))
    assert new.reached_by == old.reached_by | {"kafka.example.com"}
    assert new.subject == old.subject, "it is authorised by that"
    assert after.nodes["dc1/zookeeper-1"] == before.nodes["dc1/zookeeper-1"]
    assert (after.brokers, after.passwords, after.stack) == (before.brokers, before.passwords, before.stack)
    assert issue.lacking(after, needed) == ()
    assert issue.complete(after, needed, now) == after
    assert issue.lacking(after, issue.requirements(balanced(None), there)) == (), "one name more harms nobody"
