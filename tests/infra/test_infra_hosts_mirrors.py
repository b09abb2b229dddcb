"""Workers of MirrorMaker on hosts: what they are given, whom they know, and what makes no difference to them."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest

from kdeploy.blueprint import DERIVED, Blueprint, Node
from kdeploy.infra.hosts import archive, preflight, variables
from kdeploy.infra.hosts.provider import HostsProvider
from tests.tuning.test_tuning_goldens import rendered

EVERY = pytest.mark.parametrize("name", ["datacenter-two-dc", "dr-active-passive"])


@cache
def drawn(name: str) -> Blueprint:
    return rendered(name)


def nodes(name: str, role: str) -> list[Node]:
    return [one for one in drawn(name).nodes if one.role == role]


def known(name: str, node: Node) -> set[tuple[str, str]]:
    """What a node's host knows by name: datacenter and role."""
    return {(one.datacenter, one.role) for one in variables.known_by(node, drawn(name))}


@EVERY
def test_a_worker_knows_its_own_cluster_and_the_brokers_that_it_fetches_from(name: str) -> None:
    for worker in nodes(name, "mirror"):
        (other,) = {one.datacenter for one in drawn(name).clusters} - {worker.datacenter}
        own = {(one.datacenter, one.role) for one in drawn(name).nodes if one.datacenter == worker.datacenter}
        assert len(own) == 3
        assert known(name, worker) == {*own, (other, "broker")}


@EVERY
def test_a_broker_knows_the_workers_that_fetch_from_it_and_a_controller_nobody_elsewhere(name: str) -> None:
    for broker in nodes(name, "broker"):
        far = {one for one in known(name, broker) if one[0] != broker.datacenter}
        assert {role for _, role in far} == {"mirror"}
    ensemble = nodes(name, "controller") + nodes(name, "zookeeper")
    assert ensemble
    for one in ensemble:
        assert {datacenter for datacenter, _ in known(name, one)} == {one.datacenter}


def test_short_names_are_those_of_a_hosts_own_datacenter_alone() -> None:
    worker = next(one for one in nodes("datacenter-two-dc", "mirror") if one.datacenter == "paris")
    lines = variables.host_variables(worker, drawn("datacenter-two-dc"), Path("carried"))["host_names"]
    assert "10.31.1.21 broker-1.paris broker-1" in lines
    assert "10.30.1.21 broker-1.frankfurt" in lines
    names = [name for line in lines for name in line.split()]
    assert len(names) == len(set(names)), "no name leads to two addresses"


@EVERY
def test_a_worker_keeps_nothing_on_its_host_but_its_files_and_logs(name: str) -> None:
    for worker in nodes(name, "mirror"):
        assert (worker.disks, worker.data_directories, worker.format_arguments) == ((), (), ())
        assert variables.unit(worker) == "kafka.service"
        unit = next(file.text for file in worker.files if file.path.endswith("/kafka.service"))
        assert "ConnectDistributed /etc/kafka/connect-distributed.properties" in unit
        assert "ReadWritePaths=/var/log/kafka\n" in unit
        assert "RequiresMountsFor" not in unit


def test_stores_that_are_made_anew_change_nothing_of_what_a_worker_is_to_be() -> None:
    anything: Any = None
    provider = HostsProvider(anything)
    worker = nodes("datacenter-two-dc", "mirror")[0]
    first = {one.path: f"first {one.kind}".encode() for one in worker.secrets}
    anew = {one.path: b"other bytes" if one.kind in DERIVED else first[one.path] for one in worker.secrets}
    login = next(one.path for one in worker.secrets if one.kind == "mirror-login")
    assert first != anew
    assert provider.wanted(worker, first) == provider.wanted(worker, anew)
    assert provider.wanted(worker, first) != provider.wanted(worker, {**first, login: b"another password"})


def test_what_a_host_notes_of_stores_is_what_was_put_there() -> None:
    worker = nodes("datacenter-two-dc", "mirror")[0]
    secrets = {one.path: one.kind.encode() for one in worker.secrets}
    noted = archive.service_entries(worker, secrets, "applied")[-2].content.decode()
    for path, digest in archive.hashes(archive.secret_entries(secrets)).items():
        assert f'"{path}": "{digest}"' in noted


def test_what_cannot_be_seen_is_left_out_by_the_name_of_its_datacenter_where_nothing_of_it_is() -> None:
    everything = drawn("datacenter-two-dc").nodes
    paris = [one for one in everything if one.datacenter == "paris"]
    said = preflight.or_without(everything, paris)
    assert said == ("\n  or change the others alone, with `--without paris`, as long as all of paris is down")
    assert "`--without NODE` for each node that is down" in preflight.or_without(everything, paris[1:])
    assert preflight.or_without(everything, everything) == ""
    assert preflight.or_without(everything, []) == ""
