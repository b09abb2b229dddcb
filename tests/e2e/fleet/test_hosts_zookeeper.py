"""From bare hosts to a cluster that is changed while it runs: one life, in the order of the tests."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from tests.e2e.fleet.conftest import World, world
from tests.e2e.fleet.life import Following
from tests.e2e.local.conftest import describe
from tests.e2e.local.records import Ledger, Producing, check
from tests.fleet.environment import environment

pytestmark = [pytest.mark.fleet, pytest.mark.long, pytest.mark.timeout(3600)]

RECORDS = 60_000

BROKERS = ("broker-1", "broker-2", "broker-3")

ADDED = re.compile(r"      - \{address: [0-9.]+\.17, .*\n.*\n")
"""The lines of the seventh host."""


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The last host is not in the environment at first; every broker has two data disks."""
    for made in world(tmp_path_factory.mktemp("zookeeper"), "zookeeper", count=7, disks=2):
        made.kdeploy.file.write_text(ADDED.sub("", made.kdeploy.file.read_text()))
        yield made


@pytest.fixture(scope="module")
def ledger() -> Ledger:
    """All that the cluster acknowledged in its life."""
    return Ledger()


def test_hosts_that_will_not_do_are_all_named_at_once_and_nothing_is_changed(
    hosts: World, tmp_path: Path
) -> None:
    good = hosts.kdeploy.file.read_text()
    password = tmp_path / "sudo"
    password.write_text("hunter2\n")
    for name, word in (dict.fromkeys(hosts.hosts, "hunter2") | {"zookeeper-1": "another"}).items():
        hosts.run(
            name,
            f"useradd -m -s /bin/bash -G sudo deploy && echo deploy:{word} | chpasswd && "
            "cp -r /root/.ssh /home/deploy/ && chown -R deploy: /home/deploy/.ssh",
        )
    hosts.run("broker-1", f"mkfs.ext4 -q {hosts.hosts['broker-1'].devices[0]}")
    hosts.run("broker-2", "systemd-run -q --unit=squatter python3 -m http.server 9092")
    hosts.run("broker-3", "ip address add 10.77.0.99/24 dev host0")
    hosts.hosts["broker-1"].set_clock("+10m")
    # sudo takes what a preloaded library needs from nobody but its own policy.
    hosts.run("broker-1", "echo 'Defaults env_file=/etc/environment' > /etc/sudoers.d/clock")
    system = hosts.hosts["broker-2"].root / "usr/lib/os-release"
    proven = system.read_text()
    system.write_text('ID=plan9\nVERSION_ID="4"\nPRETTY_NAME="Plan 9"\n')
    zookeeper = hosts.hosts["zookeeper-3"]
    text = good.replace(hosts.hosts["zookeeper-2"].address, "10.77.0.99")
    text = text.replace(zookeeper.address, "10.77.0.98")
    large = rf"(address: {hosts.hosts['broker-3'].address}, .*\n.*)memory: 4GiB"
    text, count = re.subn(large, r"\1memory: 4TiB", text.replace("user: root", "user: deploy"))
    assert count == 1
    hosts.kdeploy.file.write_text(text)
    hosts.kdeploy("plan", "--lock")
    hosts.kdeploy("vault create", code=None)
    refused = hosts.kdeploy("up", code=1, KDEPLOY_SUDO_PASSWORD_FILE=str(password)).stderr
    assert "hunter2" not in refused
    for said in (
        f"(zookeeper-1): sudo does not accept the password in {password} for deploy",
        "(broker-3): it has",
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
    hosts.run("broker-1", "rm /etc/sudoers.d/clock")
    hosts.run(
        "broker-1", "pkill -f 'sshd: (root|deploy)'", check=False
    )  # connections that are kept see the other time
    hosts.everywhere("pkill -u deploy; userdel -r deploy")
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


def test_ansible_that_is_killed_on_the_way_ends_up_with_a_message_and_nothing_is_left_running(
    hosts: World,
) -> None:
    hosts.kdeploy("plan", "--lock")
    hosts.kdeploy("vault create")
    running = Following(hosts.kdeploy.start("up"))
    try:
        running.wait_for(r"((?:host|disks|java|kafka): )")
        killed = [one for one, words in below(running.process.pid).items() if "ansible-playbook" in words]
        for one in killed:
            with suppress(ProcessLookupError):
                os.kill(one, signal.SIGKILL)
    finally:
        said = running.end()
    assert killed
    assert running.process.returncode == 1, said
    assert "Ansible was ended before it had finished" in " ".join(said.split()), said
    assert not [one for one in killed if "ansible" in command_line(one)]


def command_line(process: int) -> str:
    """What a process runs; nothing where it has ended."""
    with suppress(OSError):
        return Path(f"/proc/{process}/cmdline").read_text().replace("\0", " ")
    return ""


def below(process: int) -> dict[int, str]:
    """A process and all that it started, directly or not, with their command lines."""
    found = {process: ""}
    for _ in range(6):
        for entry in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                if parent in found:
                    found[int(entry.name)] = command_line(int(entry.name))
    return found


def test_bare_hosts_become_a_verified_cluster_also_when_kdeploy_is_killed_on_the_way(hosts: World) -> None:
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


def test_records_are_on_both_disks_of_every_broker_each_a_file_system_of_its_own(hosts: World) -> None:
    places = [f"/var/lib/kafka/data/{number}" for number in (0, 1)]
    for name in BROKERS:
        mounted = [hosts.run(name, f"findmnt -no SOURCE,FSTYPE {place}").split() for place in places]
        assert [kind for _, kind in mounted] == ["xfs", "xfs"], name
        assert len({source for source, _ in mounted}) == 2, name
        for place in places:
            assert int(hosts.run(name, f"ls {place} | grep -c '^orders-\\|^__consumer_offsets-'")) > 0, name


def test_a_host_that_is_added_is_brought_in_and_just_who_has_to_know_it_restarts(
    hosts: World, ledger: Ledger
) -> None:
    before = hosts.pids()
    assert before["broker-4"] == ""
    text = hosts.kdeploy.file.read_text()
    added = ADDED.search(environment(hosts.fleet))
    assert added is not None
    workload = text.index("\noverrides:")
    hosts.kdeploy.file.write_text(text[:workload] + added[0] + text[workload:])
    producing = Producing(describe(hosts.kdeploy), ledger)
    try:
        producing.wait_for(RECORDS // 6)
        hosts.kdeploy("plan", "--lock")
        hosts.kdeploy("vault create")
        predicted = hosts.kdeploy("preview", "--output", "json", code=4).document
        # Brokers take each other for super users by name.
        assert {one["name"] for one in predicted["changes"] if one["restart"]} == set(BROKERS)
        document = hosts.kdeploy("up", "--output", "json").document
        producing.wait_for(RECORDS // 6)
        producing.stop()
    finally:
        producing.abandon()
    assert all(one["ok"] for cluster in document["clusters"] for one in cluster["checks"]), document
    after = hosts.pids()
    assert {name for name in after if after[name] != before[name]} == {*BROKERS, "broker-4"}
    checked = check(describe(hosts.kdeploy), ledger)
    assert (checked.lost, checked.out_of_order, checked.duplicates) == (0, 0, 0)
    assert hosts.kdeploy("status", "--output", "json").document["ok"] is True
    hosts.kdeploy("preview")


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
    assert restarted == {*BROKERS, "broker-4"}
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
