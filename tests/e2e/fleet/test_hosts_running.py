"""A cluster on hosts: closed to strangers; changed and broken under load, it loses no record.

One cluster for all rows, up from bare hosts; a producer (acks=all, idempotent) and a consumer run during each
change: exactly the predicted nodes restart, one at a time. `make test` takes one change, and all faults in few rolls.
"""

from __future__ import annotations

import ssl
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

import pytest
from _pytest.mark import ParameterSet

from tests.conftest import OVER, UNTIL
from tests.e2e.fleet.conftest import World, world
from tests.e2e.fleet.faults import ZOOKEEPER, drawn, together
from tests.e2e.fleet.life import FILLER, SEED, TOLD, HostsLife
from tests.e2e.fleet.outside import answer_to_tls, open_ports, strangers_certificate
from tests.e2e.local.conftest import describe
from tests.e2e.local.faults import Fault
from tests.e2e.local.life import Outcome, seconds_since
from tests.e2e.local.records import check

T = TypeVar("T")

pytestmark = [pytest.mark.fleet, pytest.mark.timeout(3600)]

BROKERS = frozenset({"broker-1", "broker-2", "broker-3"})
ENSEMBLE = frozenset({"zookeeper-1", "zookeeper-2", "zookeeper-3"})


@dataclass(frozen=True)
class Change:
    """A change of an environment, the nodes that have to restart for it, and whether hosts have to be prepared."""

    name: str
    do: Callable[[World], object]
    restarts: frozenset[str]
    prepares: bool = False


def edit(old: str, new: str) -> Callable[[World], object]:
    return lambda hosts: hosts.change(old, new)


def new_certificate(hosts: World) -> None:
    """Take a broker's certificate out of the vault, as a person would, and have another made."""
    editor = hosts.kdeploy.root / "editor.py"
    editor.write_text(
        "import sys; from pathlib import Path; from ruamel.yaml import YAML\n"
        "file, yaml = Path(sys.argv[1]), YAML()\n"
        "vault = yaml.load(file); del vault['nodes']['dc1/broker-2']; yaml.dump(vault, file)\n"
    )
    hosts.kdeploy("vault edit", EDITOR=f"{sys.executable} {editor}")
    hosts.kdeploy("vault create")


def left_to_make_fleet(rows: Iterable[T], but: T) -> list[ParameterSet]:
    """Rows of a table, of which an ordinary run takes one."""
    return [pytest.param(row, marks=() if row == but else pytest.mark.long) for row in rows]


FOR_OTHERS = ("client", "admin", "secure")
"""Purposes of ports that clients and operators use; the others are open to peers alone."""

CHANGES = (
    Change(
        "a static broker setting",
        edit("overrides:\n", "overrides:\n  broker: {queued.max.requests: 400}\n"),
        BROKERS,
    ),
    Change(
        "a broker setting that Kafka takes while it runs",
        edit("{queued.max.requests: 400}", "{queued.max.requests: 400, num.io.threads: 16}"),
        frozenset(),
    ),
    Change(
        "an option of the brokers' Java",
        edit("    broker: [-Xmx400m]", "    broker: [-Xmx416m]"),
        BROKERS,
    ),
    Change(
        "an option of the ensemble's Java",
        edit("    zookeeper: [-Xmx128m]", "    zookeeper: [-Xmx144m]"),
        ENSEMBLE,
    ),
    Change(
        "a kernel setting",
        edit("overrides:\n", "overrides:\n  kernel: {vm.max_map_count: 300000}\n"),
        frozenset(),
        prepares=True,
    ),
    Change("a certificate", new_certificate, frozenset({"broker-2"})),
    Change(
        "a log level of the brokers",
        edit("overrides:\n", "overrides:\n  logs: {broker: {kafka.coordinator: DEBUG}}\n"),
        BROKERS,
    ),
    Change(
        "a log level of the ensemble",
        edit(
            "{broker: {kafka.coordinator: DEBUG}}",
            "{broker: {kafka.coordinator: DEBUG}, zookeeper: {root: WARN}}",
        ),
        ENSEMBLE,
    ),
)


ROLLS = tuple(change for change in CHANGES if change.restarts == BROKERS)
"""Of these, which do not build on one another, an ordinary run takes one."""


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostsLife]:
    for hosts in world(tmp_path_factory.mktemp("rolls"), "zookeeper"):
        hosts.kdeploy("plan", "--lock")
        hosts.kdeploy("vault create")
        began = time.monotonic()
        hosts.kdeploy("up")
        print(f"up from bare hosts: {seconds_since(began)} s")
        yield HostsLife.of(hosts)


def stopped_and_started(hosts: World, names: frozenset[str]) -> list[tuple[int, int]]:
    """When each node's service last stopped and started, in µs of the clock that all hosts here share."""
    times = []
    for name in sorted(names):
        unit = "kafka" if name.startswith("broker") else "zookeeper"
        asked = f"systemctl show --value -p InactiveEnterTimestampMonotonic -p ActiveEnterTimestampMonotonic {unit}"
        started, stopped = map(int, sorted(hosts.run(name, asked).split(), reverse=True))
        times.append((stopped, started))
    return sorted(times)


def test_up_again_touches_no_node(life: HostsLife) -> None:
    before = life.world.pids()
    began = time.monotonic()
    document = life.kdeploy("up", "--output", "json").document
    print(f"up again: {seconds_since(began)} s")
    assert {action["action"] for cluster in document["clusters"] for action in cluster["nodes"]} == {"none"}
    assert life.world.pids() == before


def test_from_another_machine_just_the_declared_ports_answer(life: HostsLife) -> None:
    nodes = {node.host: node for node in describe(life.kdeploy).blueprint.nodes}
    for host in life.world.hosts.values():
        declared = nodes[host.address].ports
        for_others = {port for purpose, port in declared.items() if purpose in FOR_OTHERS}
        assert open_ports(host.address) == for_others | {22}, host.name


@pytest.mark.long
def test_what_is_for_peers_alone_answers_them(life: HostsLife) -> None:
    nodes = describe(life.kdeploy).blueprint.nodes
    answering = set()
    for node in nodes:
        peer = next(one.name for one in nodes if one.role == node.role and one.name != node.name)
        for purpose, port in node.ports.items():
            asked = f"timeout 3 bash -c '</dev/tcp/{node.host}/{port}' 2>/dev/null && echo open || true"
            if life.world.run(peer, asked) == "open":
                answering.add((node.name, purpose))
    silent = {(node.name, purpose) for node in nodes for purpose in node.ports} - answering
    # Of ZooKeeper's nodes only the leader listens for followers; its peers are no clients of a node.
    allowed = {"quorum", "secure"}
    assert {purpose for _, purpose in silent} <= allowed, silent
    assert {purpose for _, purpose in answering} >= {"internal", "quorum", "election"}


@pytest.mark.long
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_no_listener_speaks_an_old_tls_or_lets_a_stranger_in(life: HostsLife, tmp_path: Path) -> None:
    stranger = strangers_certificate(tmp_path / "stranger.pem")
    for node in describe(life.kdeploy).blueprint.nodes:
        for purpose, port in node.ports.items():
            if not open_ports(node.host, [port]):
                assert purpose not in FOR_OTHERS, "what is for peers alone is behind the firewall"
                continue
            place = f"{node.name} {purpose}"
            for old in (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1):
                said = answer_to_tls(node.host, port, old)
                print(place, old.name, said)
                assert said is not None, place
                assert "protocol version" in said, place
            said = answer_to_tls(node.host, port, ssl.TLSVersion.TLSv1_2, stranger)
            print(place, "a stranger", said)
            # Users are known by their passwords, which are asked for inside TLS.
            assert (said is None) == (purpose == "client"), place


@pytest.mark.parametrize(
    "change", left_to_make_fleet(CHANGES, drawn(ROLLS, SEED, "rolls")), ids=lambda change: change.name
)
def test_exactly_the_predicted_nodes_restart_one_at_a_time_and_nothing_is_lost(
    change: Change, life: HostsLife
) -> None:
    hosts, outcome, before = life.world, Outcome(), life.world.pids()
    with life.producing(outcome):
        change.do(hosts)
        predicted = hosts.kdeploy("preview", "--output", "json", code=4).document
        said = hosts.kdeploy("up").stderr
    assert ("preflight:" in said) == change.prepares, said
    after = hosts.pids()
    restarted = {name for name in before if before[name] != after[name]}
    assert restarted == change.restarts
    listed = {change["name"] for change in predicted["changes"] if change["restart"]}
    assert listed == restarted
    for (_, started), (stopped, _) in pairwise(stopped_and_started(hosts, change.restarts)):
        assert started < stopped, "two were down at once"
    life.expect_nothing_lost(change.name, outcome)


@pytest.mark.takes(10)
def test_all_that_happens_during_rolls_is_survived_and_the_same_command_finishes(life: HostsLife) -> None:
    life.row(together(ZOOKEEPER, SEED))


@pytest.mark.long
@pytest.mark.parametrize("fault", ZOOKEEPER, ids=lambda fault: fault.at[0])
def test_what_happens_during_a_roll_is_survived_and_the_same_command_finishes(
    fault: Fault, life: HostsLife
) -> None:
    life.row(fault)


def test_at_least_300_000_records_were_acknowledged_meanwhile_and_all_are_there(life: HostsLife) -> None:
    if UNTIL and len(TOLD) < 2:  # the row of all faults had no time
        pytest.skip(OVER)
    checked = check(describe(life.kdeploy), life.ledger)
    assert checked.acknowledged >= 300_000
    assert (checked.lost, checked.out_of_order, checked.duplicates) == (0, 0, 0)


@pytest.mark.long
def test_the_living_are_changed_while_a_host_is_dead_once_a_person_says_which(life: HostsLife) -> None:
    hosts = life.world
    hosts.hosts["broker-3"].kill()
    try:
        hosts.change("users:\n", "users:\n  - name: added-at-night\n")
        life.kdeploy("vault create")
        refused = " ".join(life.kdeploy("up", code=1).stderr.split())
        assert "(broker-3): cannot be reached" in refused
        assert "`--without NODE` for each node that is down" in refused
        refused = life.kdeploy("up", "--without", "broker-1", code=1).stderr
        assert "broker-1 runs, and only a node that is down can be left out" in refused
        done = life.kdeploy("up", "--without", "broker-3", "--output", "json", code=5).document
        (cluster,) = done["clusters"]
        assert cluster["changes"] == ["create user added-at-night"]
        assert {node["action"] for node in cluster["nodes"]} == {"none"}
    finally:
        hosts.fleet.start()
    life.kdeploy("up")


def test_after_all_of_it_nothing_is_left_to_do(life: HostsLife) -> None:
    assert life.kdeploy("status", "--output", "json").document["ok"] is True
    life.kdeploy("preview")
    assert set(life.world.everywhere(f"ls {FILLER} 2>/dev/null | wc -l").values()) == {"0"}
