"""What differs from the lock is said in words, and what cannot be carried out yet is refused."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdeploy import planner
from kdeploy.errors import UnsupportedChange
from kdeploy.planner import changes
from kdeploy.planner.decide import decide, refuse_unsupported, stale
from kdeploy.planner.result import Plan
from kdeploy.spec.lock import Lock
from kdeploy.spec.model import Environment


def environment(**parts: Any) -> Environment:
    return Environment.model_validate({"name": "trial", **parts})


def cloud(**datacenter: Any) -> Environment:
    place = {"name": "dc1", "provider": "aws", "region": "eu-west-1", **datacenter}
    return environment(datacenters=[place], workload={"throughput": "50MB/s"})


def outside(**fields: Any) -> dict[str, Any]:
    """A network with a load balancer."""
    return {"load_balancer": {"name": "kafka.example.com", "sources": ["198.51.100.0/24"], **fields}}


def there(cidr: str) -> dict[str, Any]:
    subnets = {
        "a": {"id": "subnet-01234567", "cidr": cidr},
        "b": {"id": "subnet-01234568", "cidr": "10.20.16.0/20"},
        "c": {"id": "subnet-01234569", "cidr": "10.20.32.0/20"},
    }
    return {"vpc": "vpc-01234567", "subnets": subnets}


def local(**datacenter: Any) -> Environment:
    return environment(datacenters=[{"name": "dc1", **datacenter}])


def lock_of(wanted: Environment) -> Lock:
    return decide(wanted, planner.plan(wanted), None, lambda: "x" * 22)


def refusal(before: Environment, after: Environment) -> str:
    previous = lock_of(before)
    with pytest.raises(UnsupportedChange) as caught:
        refuse_unsupported(after, planner.plan(after, previous), previous)
    assert caught.value.exit_code == 2
    return str(caught.value)


def mirrored(workers: int | None = 1) -> Environment:
    wanted = None if workers is None else {"workers": {"count": workers}}
    places = [{"name": "dc1"}, {"name": "dc2", "base_port": 25000}]
    return environment(datacenters=places, **({} if wanted is None else {"mirroring": wanted}))


REFUSED: list[tuple[str, Environment, Environment, str]] = [
    (
        "version",
        environment(),
        environment(kafka={"version": "4.3.1"}),
        "kafka.version: the lock says 3.9.2, the environment says 4.3.1",
    ),
    (
        "coordination",
        environment(),
        environment(kafka={"coordination": "kraft"}),
        "kafka.coordination: the lock says zookeeper, the environment says kraft",
    ),
    (
        "name",
        environment(),
        environment(name="other"),
        "name: the lock says trial, the environment says other",
    ),
    ("provider", local(), cloud(), "provider: the lock says local, the environment says aws"),
    (
        "region",
        cloud(),
        cloud(region="eu-central-1"),
        "region: the lock says eu-west-1, the environment says eu-central-1",
    ),
    (
        "network",
        cloud(),
        cloud(network={"cidr": "10.77.0.0/16"}),
        "network: the lock says 10.20.0.0/16, the environment says 10.77.0.0/16",
    ),
    (
        "key-of-volumes",
        cloud(),
        cloud(machine={"kms_key": "arn:aws:kms:eu-west-1:123456789012:key/k"}),
        "machine.kms_key: the lock says none, the environment says arn:aws:kms:eu-west-1:123456789012:key/k",
    ),
    (
        "subnet",
        cloud(network=there("10.20.0.0/20")),
        cloud(network=there("10.20.48.0/20")),
        "subnet of rack a: the lock says 10.20.0.0/20, the environment says 10.20.48.0/20",
    ),
    (
        "port-of-a-load-balancer",
        cloud(network=outside()),
        cloud(network=outside(port=9200)),
        "network.load_balancer.port: the lock says 9092, the environment says 9200",
    ),
    (
        "rack",
        local(),
        local(racks=["a", "b", "d"]),
        "rack c: it is in the lock and no longer in the environment",
    ),
    (
        "datacenter",
        local(),
        local(name="dc2"),
        "datacenter dc1: it is in the lock and no longer in the environment",
    ),
    (
        "no-mirroring",
        mirrored(),
        mirrored(None),
        "mirroring: it is in the lock and no longer in the environment",
    ),
    (
        "fewer-workers",
        mirrored(2),
        mirrored(1),
        "mirroring.workers.count: the lock says 2, the environment says 1",
    ),
    (
        "base-port",
        local(),
        local(base_port=25000),
        "base_port: the lock says 19000, the environment says 25000",
    ),
    (
        "fewer-brokers",
        local(brokers={"count": 6}),
        local(brokers={"count": 3}),
        "brokers: the lock says 6, the environment says 3",
    ),
    (
        "more-coordination",
        local(),
        local(coordination={"count": 5}),
        "ZooKeeper nodes: the lock says 3, the environment says 5",
    ),
    (
        "fewer-coordination",
        local(coordination={"count": 5}),
        local(coordination={"count": 3}),
        "ZooKeeper nodes: the lock says 5, the environment says 3",
    ),
]


@pytest.mark.parametrize(
    ("before", "after", "message"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED]
)
def test_a_change_that_cannot_be_carried_out_is_refused_saying_why(
    before: Environment, after: Environment, message: str
) -> None:
    text = refusal(before, after)
    assert message in text
    assert text.count("\n- ") == 1
    assert "put back what the lock says" in text


def test_all_such_changes_are_named_at_once() -> None:
    after = environment(
        kafka={"version": "4.3.1", "coordination": "kraft"}, datacenters=[{"base_port": 25000}]
    )
    text = refusal(local(), after)
    assert text.count("\n- ") == 3


def _with_volume(plan: Plan, **changes: Any) -> Plan:
    from dataclasses import replace

    datacenter = plan.datacenters[0]
    volumes = tuple(replace(one, **changes) for one in datacenter.brokers.volumes)
    brokers = replace(datacenter.brokers, volumes=volumes)
    return replace(plan, datacenters=(replace(datacenter, brokers=brokers),))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"size": 2.0**30}, "volume: the lock says .* the environment says 1 GiB\n  a volume cannot shrink"),
        ({"type": "io2"}, "volumes: the lock says . × gp3, the environment says . × io2"),
        ({"count": 9}, "volumes: the lock says . × gp3, the environment says 9 × gp3"),
    ],
)
def test_data_stays_on_its_disks(changes: dict[str, Any], message: str) -> None:
    wanted = cloud()
    previous = lock_of(wanted)
    with pytest.raises(UnsupportedChange, match=message):
        refuse_unsupported(wanted, _with_volume(planner.plan(wanted, previous), **changes), previous)


def test_brokers_may_change_their_type_with_their_data_on_disks_of_their_own_but_not_to_fewer_or_smaller_ones() -> (
    None
):
    wanted = cloud(brokers={"instance_type": "i3en.large", "storage": "local"})
    previous = lock_of(wanted)
    (disk,) = {one.type for one in previous.datacenters[0].brokers.volumes}
    assert disk == "local-nvme"
    for other in ("i3en.xlarge", "i4i.2xlarge"):
        larger = cloud(brokers={"instance_type": other, "storage": "local"})
        refuse_unsupported(larger, planner.plan(larger, previous, reshape=True), previous)
    smaller = cloud(brokers={"instance_type": "i4i.xlarge", "storage": "local"})
    with pytest.raises(
        UnsupportedChange, match=r"volume: .*\n  what a broker holds may not fit on a smaller"
    ):
        refuse_unsupported(smaller, planner.plan(smaller, previous, reshape=True), previous)
    more = cloud(brokers={"instance_type": "i4i.8xlarge", "storage": "local"})
    with pytest.raises(UnsupportedChange, match="1 × local-nvme, the environment says 2 × local-nvme"):
        refuse_unsupported(more, planner.plan(more, previous, reshape=True), previous)


def test_machines_of_the_quorum_may_change_their_type_where_their_own_disks_hold_no_data() -> None:
    from dataclasses import replace

    wanted = cloud(brokers={"instance_type": "m7g.2xlarge"})
    previous = lock_of(wanted)
    datacenter = planner.plan(wanted, previous).datacenters[0]
    coordination = replace(datacenter.coordination, instance_type="m7g.large")
    larger = replace(
        planner.plan(wanted, previous), datacenters=(replace(datacenter, coordination=coordination),)
    )
    refuse_unsupported(wanted, larger, previous)
    volumes = tuple(replace(one, type="local-nvme") for one in coordination.volumes)
    own = replace(datacenter, coordination=replace(coordination, volumes=volumes))
    larger = replace(larger, datacenters=(own,))
    with pytest.raises(UnsupportedChange, match=r"coordination: instance type: .* says m7g.large"):
        refuse_unsupported(wanted, larger, previous)


def test_a_host_that_went_away_is_refused() -> None:
    hosts = [
        {"address": f"{role[0]}{rack}", "rack": rack, "role": role}
        for role in ("broker", "zookeeper")
        for rack in "abc"
    ]
    before = local(provider="hosts", hosts=hosts)
    replaced = [{**host, "address": "new"} if host["address"] == "ba" else host for host in hosts]
    assert "host ba of broker-1: it is in the lock" in refusal(
        before, local(provider="hosts", hosts=replaced)
    )


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (environment(), environment()),
        (local(), local(brokers={"count": 6})),
        (cloud(), cloud(network=outside())),
        (cloud(network=outside()), cloud()),
        (cloud(network=outside()), cloud(network=outside(name="data.example.com", scheme="internet-facing"))),
        (local(), local(racks=["a", "b", "c", "d"])),
        (local(), local(brokers={"memory": "2GiB"})),
        (environment(), environment(workload={"retention": "30d"})),
        (environment(), environment(security={"authorization": False})),
        (environment(), environment(overrides={"broker": {"num.io.threads": 16}})),
        (
            cloud(),
            environment(
                datacenters=[{"provider": "aws", "region": "eu-west-1"}], workload={"throughput": "400MB/s"}
            ),
        ),
        (
            cloud(),
            environment(
                datacenters=[{"provider": "aws", "region": "eu-west-1"}], workload={"throughput": "5MB/s"}
            ),
        ),
    ],
)
def test_every_other_change_may_go_on(before: Environment, after: Environment) -> None:
    previous = lock_of(before)
    plan = planner.plan(after, previous)
    refuse_unsupported(after, plan, previous)
    assert plan.feasible, "what goes on has a plan to go on with"


def test_a_lock_is_current_for_the_environment_it_was_written_for() -> None:
    assert stale(environment(), lock_of(environment())) == ()


@pytest.mark.parametrize(
    "change",
    [
        {"topics": [{"name": "orders"}]},
        {"users": [{"name": "app"}]},
        {"accept_risks": ["one-rack"]},
    ],
)
def test_topics_users_and_acls_never_make_it_stale(change: dict[str, Any]) -> None:
    assert stale(environment(**change), lock_of(environment())) == ()


def test_each_difference_is_a_sentence_with_both_values() -> None:
    before = environment(workload={"throughput": "20MB/s"})
    after = environment(
        workload={"throughput": "30MB/s", "fan_out": 4}, overrides={"broker": {"num.io.threads": 16}}
    )
    assert stale(after, lock_of(before)) == (
        "overrides.broker.num.io.threads: the lock was written for the default, the environment says 16",
        "workload.fan_out: the lock was written for the default, the environment says 4.0",
        "workload.throughput: the lock was written for 20 MB/s, the environment says 30 MB/s",
    )


def test_another_default_of_a_newer_kdeploy_is_told_from_a_change_of_the_environment() -> None:
    lock = lock_of(environment()).model_copy(update={"inputs": "0" * 64, "kdeploy": "0.0.9"})
    assert stale(environment(), lock) == (
        "the lock was written by kdeploy 0.0.9, whose defaults were different",
    )


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "workload": st.fixed_dictionaries(
                {}, optional={"fan_out": st.integers(0, 9), "retention": st.sampled_from(("1h", "3d"))}
            ),
            "durability": st.fixed_dictionaries(
                {}, optional={"survive": st.sampled_from(("broker", "zone"))}
            ),
            "datacenters": st.lists(
                st.fixed_dictionaries(
                    {"racks": st.just(["a", "b", "c"])}, optional={"base_port": st.integers(1024, 60000)}
                ),
                min_size=1,
                max_size=1,
            ),
        },
    )
)
@settings(deadline=None)
def test_a_difference_is_found_exactly_when_there_is_one(parts: dict[str, Any]) -> None:
    lock = lock_of(environment())
    changed = environment(**parts)
    assert bool(stale(changed, lock)) == (changed != environment())


def test_what_is_said_of_aws_alone_makes_no_other_lock_stale_and_tags_make_none() -> None:
    before = cloud()
    tagged = before.model_copy(update={"aws": before.aws.model_copy(update={"tags": {"team": "data"}})})
    assert stale(tagged, lock_of(before)) == ()
    (difference,) = stale(cloud(network={"clients": ["10.0.0.0/8"]}), lock_of(before))
    assert "network.clients" in difference
    (name, sources) = stale(cloud(network=outside()), lock_of(before))
    assert "network.load_balancer.name" in name
    assert "network.load_balancer.sources" in sources


def test_a_lock_from_before_there_were_load_balancers_is_current_where_none_is_wanted() -> None:
    before = cloud()
    document = before.model_dump(mode="json", exclude=changes._NOT_PLANNED)
    del document["mirroring"], document["datacenters"][0]["network"]["load_balancer"]
    as_it_was = hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()
    old = lock_of(before).model_copy(update={"inputs": as_it_was})
    assert stale(before, old) == ()


def test_mirroring_and_more_workers_may_come_later() -> None:
    lock = lock_of(mirrored(None))
    for wanted in (mirrored(), mirrored(2)):
        plan = planner.plan(wanted, lock)
        refuse_unsupported(wanted, plan, lock)
        found = decide(wanted, plan, lock, lambda: "y" * 22)
        assert [one.nodes for one in found.datacenters] == [one.nodes for one in lock.datacenters]
        lock = found
    assert [len(one.mirrors) for one in lock.datacenters] == [2, 2]
