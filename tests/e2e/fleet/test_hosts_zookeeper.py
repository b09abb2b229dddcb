"""From bare hosts to a cluster that is changed while it runs: one life, in the order of the tests."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.e2e.fleet.conftest import World, world
from tests.e2e.local.conftest import describe
from tests.e2e.local.records import Ledger, Producing, check

pytestmark = [pytest.mark.fleet, pytest.mark.long, pytest.mark.timeout(3600)]

RECORDS = 60_000


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    yield from world(tmp_path_factory.mktemp("zookeeper"), "zookeeper")


@pytest.fixture(scope="module")
def ledger() -> Ledger:
    """All that the cluster acknowledged in its life."""
    return Ledger()


def test_hosts_that_will_not_do_are_all_named_at_once_and_nothing_is_changed(hosts: World) -> None:
    good = hosts.kdeploy.file.read_text()
    hosts.run("broker-1", f"mkfs.ext4 -q {hosts.hosts['broker-1'].devices[0]}")
    hosts.run("broker-2", "systemd-run -q --unit=squatter python3 -m http.server 9092")
    hosts.run("broker-3", "ip address add 10.77.0.99/24 dev host0")
    hosts.hosts["broker-1"].set_clock("+10m")
    system = hosts.hosts["broker-2"].root / "usr/lib/os-release"
    proven = system.read_text()
    system.write_text('ID=plan9\nVERSION_ID="4"\nPRETTY_NAME="Plan 9"\n')
    zookeeper = hosts.hosts["zookeeper-3"]
    text = good.replace(hosts.hosts["zookeeper-2"].address, "10.77.0.99")
    text = text.replace(zookeeper.address, "10.77.0.98")
    text = text.replace("memory: 4GiB", "memory: 4TiB", 1)
    hosts.kdeploy.file.write_text(text)
    hosts.kdeploy("plan", "--lock")
    hosts.kdeploy("vault create", code=None)
    refused = hosts.kdeploy("up", code=1).stderr
    for said in (
        "10.77.0.11 (zookeeper-1): it has",
        "4 TiB are declared",
        "10.77.0.98 (zookeeper-3): cannot be reached",
        "is not empty: it holds ext4",
        "port 9092 is taken by another program",
        "is the same machine as",
        "s ahead of this machine's; synchronise it",
        "it runs Plan 9, which kdeploy does not know",
    ):
        assert said in " ".join(refused.split()), refused
    assert set(hosts.everywhere("id -u kafka || echo none; ls /etc/kdeploy").values()) == {"none"}
    assert hosts.run("broker-1", f"blkid -p -o value -s TYPE {hosts.hosts['broker-1'].devices[0]}") == "ext4"
    hosts.run("broker-1", f"wipefs -qa {hosts.hosts['broker-1'].devices[0]}")
    hosts.run("broker-2", "systemctl stop squatter")
    hosts.run("broker-3", "ip address delete 10.77.0.99/24 dev host0")
    hosts.hosts["broker-1"].set_clock("")
    system.write_text(proven)
    hosts.kdeploy.file.write_text(good)
    for name in ("lock.yaml", "vault.yaml"):
        (hosts.kdeploy.file.parent / name).unlink()


def test_names_that_do_not_lead_there_and_back_are_all_said_and_nothing_is_changed(hosts: World) -> None:
    good, broker = hosts.kdeploy.file.read_text(), hosts.hosts["broker-2"]
    name = "broker-two.kafka.test"
    names = hosts.kdeploy.root / "names"
    names.write_text(f"127.0.0.1 localhost\n{broker.address} {name}\n")
    before = hosts.everywhere("cat /etc/hosts")
    hosts.kdeploy.file.write_text(good.replace(f"address: {broker.address},", f"address: {name},"))
    knowing = replace(hosts.kdeploy, names=names)
    for one, lines in (
        ("zookeeper-1", [f"{broker.address} {name}"]),
        ("zookeeper-2", ["10.77.0.97 elsewhere", f"10.77.0.97 {name}"]),
    ):
        with (hosts.hosts[one].root / "etc/hosts").open("a") as file:
            file.writelines(f"{line}\n" for line in lines)
    try:
        knowing("plan", "--lock")
        knowing("vault create")
        refused = " ".join(knowing("up", code=1).stderr.split())
    finally:
        for one, text in before.items():
            (hosts.hosts[one].root / "etc/hosts").write_text(text + "\n")
        hosts.kdeploy.file.write_text(good)
        for file in ("lock.yaml", "vault.yaml"):
            (hosts.kdeploy.file.parent / file).unlink(missing_ok=True)
    assert f"(zookeeper-3): it does not know the name {name}; add it to DNS" in refused, refused
    assert f"(zookeeper-2): {name} leads to 10.77.0.97, and that does not lead back to {name}" in refused, (
        refused
    )
    assert "(zookeeper-1):" not in refused, refused
    assert set(hosts.everywhere("id -u kafka || echo none; ls /etc/kdeploy").values()) == {"none"}


def test_bare_hosts_become_a_verified_cluster_also_when_kdeploy_is_killed_on_the_way(hosts: World) -> None:
    hosts.kdeploy("plan", "--lock")
    hosts.kdeploy("vault create")
    killed = hosts.kdeploy("up", code=None, KDEPLOY_KILL_AT="nodes-applied")
    assert killed.code == -signal.SIGKILL
    document = hosts.kdeploy("up", "--output", "json").document
    assert all(one["ok"] for cluster in document["clusters"] for one in cluster["checks"]), document
    assert hosts.kdeploy("status", "--output", "json").document["ok"] is True


def test_a_second_run_changes_nothing(hosts: World) -> None:
    before = hosts.pids()
    document = hosts.kdeploy("up", "--output", "json").document
    assert {action["action"] for cluster in document["clusters"] for action in cluster["nodes"]} == {"none"}
    assert hosts.pids() == before
    assert changed_tasks(hosts) == {}


def changed_tasks(hosts: World) -> dict[str, list[str]]:
    """Tasks that change something when the whole playbook runs again."""
    from kdeploy.infra.hosts.provider import HostsProvider
    from kdeploy.infra.hosts.sources import Played
    from kdeploy.operations import prepare, site, vaults
    from kdeploy.operations.progress import Silent
    from kdeploy.spec import load

    loaded = load.load(hosts.kdeploy.file.parent)
    design = prepare.design(loaded, freeze=False)
    here = site.sites(design, vaults.open_existing(loaded), Silent())[0]
    provider = here.provider
    assert isinstance(provider, HostsProvider)
    play, changed = provider._sources.play, {}

    def noting(part: str, variables: dict[str, dict[str, object]]) -> Played:
        played = play(part, variables)
        changed.update(played.changed)
        return played

    object.__setattr__(provider._sources, "play", noting)
    provider.provision(design.blueprint)
    provider.apply_together([(node, here.secrets(node)) for node in here.cluster.nodes])
    return changed


def test_no_secret_is_on_a_host_but_in_files_of_its_own(hosts: World) -> None:
    places = "/etc /opt /var /root /home /tmp /run /usr/local"
    found = hosts.everywhere(
        f"grep -rlI --exclude-dir=ssh 'PRIVATE KEY' {places} 2>/dev/null | xargs -r stat -c '%a %U %n'"
    )
    for name, listed in found.items():
        assert listed, name
        for line in listed.splitlines():
            mode, owner, path = line.split()
            assert (mode, owner) == ("600", "kafka"), line
            assert "/secrets/" in path, line
    passwords = describe(hosts.kdeploy).passwords.values()
    for shown in hosts.everywhere(
        "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null | tr '\\0' ' '"
    ).values():
        assert not any(password in shown for password in passwords)
        assert "PRIVATE KEY" not in shown
    logs = hosts.kdeploy.state / "hosts/ansible.log"
    said = logs.read_text()
    assert not any(password in said for password in passwords)
    assert "PRIVATE KEY" not in said


def test_only_declared_ports_are_open(hosts: World) -> None:
    declared = {"broker": {9092, 9094, 9095}, "zookeeper": {2182, 2888, 3888}}
    for name, listed in hosts.everywhere("ss -Hltn | awk '{print $4}' | sed 's/.*://' | sort -nu").items():
        found = set(map(int, listed.split())) - {22}
        # Of ZooKeeper's nodes only the leader listens for followers.
        assert found <= declared[name.partition("-")[0]], (name, found)


def test_a_static_setting_rolls_exactly_the_brokers_and_loses_nothing(hosts: World, ledger: Ledger) -> None:
    before = hosts.pids()
    producing = Producing(describe(hosts.kdeploy), ledger)
    try:
        producing.wait_for(RECORDS // 3)
        hosts.change("overrides:\n", "overrides:\n  broker: {queued.max.requests: 400}\n")
        predicted = hosts.kdeploy("preview", "--output", "json", code=4).document
        killed = hosts.kdeploy("up", code=None, KDEPLOY_KILL_AT="broker-stopped-in-roll")
        assert killed.code == -signal.SIGKILL
        hosts.kdeploy("up")
        producing.wait_for(RECORDS // 3)
        while ledger.count < RECORDS:
            producing.wait_for(100)
        producing.stop()
    finally:
        producing.abandon()
    after = hosts.pids()
    restarted = {name for name in before if before[name] != after[name]}
    assert restarted == {"broker-1", "broker-2", "broker-3"}
    listed = {change["name"] for change in predicted["changes"] if change["restart"]}
    assert {name.rpartition("/")[2] for name in listed} == restarted
    checked = check(describe(hosts.kdeploy), ledger)
    assert (checked.lost, checked.out_of_order, checked.duplicates) == (0, 0, 0)
    assert checked.acknowledged >= RECORDS


def test_a_kernel_setting_is_changed_without_a_restart_and_drift_is_named_and_mended(hosts: World) -> None:
    before = hosts.pids()
    hosts.change("overrides:\n", "overrides:\n  kernel: {vm.max_map_count: 300000}\n")
    hosts.kdeploy("up")
    assert set(hosts.everywhere("sysctl -n vm.max_map_count").values()) == {"300000"}
    hosts.run("broker-1", "sysctl -qw vm.max_map_count=262144")
    shown = hosts.kdeploy("status").stdout
    assert "vm.max_map_count is 262144, wanted 300000" in " ".join(shown.split())
    hosts.kdeploy("up")
    assert hosts.run("broker-1", "sysctl -n vm.max_map_count") == "300000"
    assert hosts.pids() == before


def test_a_host_that_boots_again_comes_back_by_itself_with_its_data_mounted(
    hosts: World, ledger: Ledger
) -> None:
    broker = hosts.hosts["broker-2"]
    hosts.reboot("broker-2")
    hosts.kdeploy("up")
    assert hosts.run("broker-2", "findmnt -n -o FSTYPE,OPTIONS /var/lib/kafka/data/0").split()[0] == "xfs"
    assert broker.systemd() is not None
    assert check(describe(hosts.kdeploy), ledger).lost == 0


def test_a_node_whose_disk_is_empty_is_refused_and_the_disk_is_left_alone(hosts: World) -> None:
    device = hosts.hosts["broker-3"].devices[0]
    hosts.run(
        "broker-3",
        f"systemctl stop kafka; umount /var/lib/kafka/data/0; dd if={device} of=/head bs=1M count=8 status=none; wipefs -qa {device}",
    )
    refused = hosts.kdeploy("up", code=1).stderr
    assert "is empty, and this node had its data on it" in " ".join(refused.split())
    assert hosts.run("broker-3", f"blkid -p {device}", check=False) == ""
    hosts.run("broker-3", f"dd if=/head of={device} bs=1M conv=notrunc status=none; rm /head")
    hosts.kdeploy("up")


def test_down_stops_everything_and_deletes_only_when_asked(hosts: World) -> None:
    hosts.kdeploy("down")
    assert set(hosts.everywhere("systemctl is-active kafka zookeeper | grep -cx active").values()) == {"0"}
    assert int(hosts.run("broker-1", "ls /var/lib/kafka/data/0 | wc -l")) > 0
    hosts.kdeploy("down", "--delete-data", "--yes")
    assert (
        hosts.run(
            "broker-1", "ls -A /var/lib/kafka/data/0 /etc/kafka/secrets 2>/dev/null | grep -v :", check=False
        )
        == ""
    )


def test_the_fleet_itself_is_described_by_its_hosts(hosts: World) -> None:
    folder = Path(hosts.hosts["broker-1"].folder)
    assert json.loads((folder / "host.json").read_text())["name"] == "broker-1"
