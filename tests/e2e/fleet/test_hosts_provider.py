"""What the provider does to real hosts, over real SSH, Ansible and systemd: one life, in the order of the tests.

Java is a script that waits here, so that this says nothing of Kafka and is quick; with Kafka is in
`test_hosts_zookeeper` and `test_hosts_kraft`.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kdeploy.errors import KdeployError, LeaseHeld
from kdeploy.infra import NodeState
from tests.e2e.fleet.conftest import PASSWORD, World
from tests.e2e.local.kdeploy_command import Kdeploy
from tests.fleet import base
from tests.fleet.environment import environment
from tests.fleet.fleet import Fleet

pytestmark = [pytest.mark.fleet, pytest.mark.long, pytest.mark.timeout(1800)]

JAVA = """#!/bin/sh
case "$*" in *-version*) echo 'openjdk version "17.0.1"' >&2; exit;; esac
exec sleep infinity
"""
SMALL = """
durability: {replication_factor: 1, min_insync_replicas: 1, survive: none}
accept_risks: [nothing-survived, single-copy]
"""


class Hosts(World):
    """Two hosts, and the provider that works on them."""

    def site(self) -> Any:
        """The cluster, read anew as each command of kdeploy would."""
        from kdeploy.operations import prepare, site, vaults
        from kdeploy.operations.progress import Silent
        from kdeploy.spec import load

        loaded = load.load(self.kdeploy.file.parent)
        design = prepare.design(loaded, freeze=False)
        return site.sites(design, vaults.open_existing(loaded), Silent())[0]

    def prepare(self) -> dict[str, list[str]]:
        """Everything but starting; the tasks that changed something, by host."""
        here, changed = self.site(), dict[str, list[str]]()
        sources = here.provider._sources

        def noting(part: str, given: Any) -> Any:
            played = sources.play(part, given)
            for host, tasks in played.changed.items():
                changed.setdefault(host, []).extend(tasks)
            return played

        here.provider._sources = replace(sources, play=noting)
        here.provider.provision(here.design.blueprint)
        here.provider.apply_together([(node, here.secrets(node)) for node in here.cluster.nodes])
        return changed

    def states(self) -> dict[str, NodeState]:
        here = self.site()
        seen = here.provider.observe(here.cluster.nodes)
        return {node.name: seen[node.key] for node in here.cluster.nodes}

    def actions(self) -> dict[str, str]:
        return {action.node.name: action.kind for action in self.site().compare()}

    def wait_for(self, name: str, kind: str) -> None:
        """Wait until a node needs this, or nothing."""
        deadline = time.monotonic() + 120
        while self.actions()[name] != kind:
            assert time.monotonic() < deadline, self.states()[name]
            time.sleep(0.5)


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    problem = base.lacking()
    if problem:
        pytest.skip(problem)
    root = tmp_path_factory.mktemp("hosts")
    fleet = Fleet(root / "fleet")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KDEPLOY_VAULT_PASSWORD", PASSWORD)
        patch.setenv("KDEPLOY_STATE_DIR", str(root / "state"))
        try:
            for one in fleet.up(2):
                (one.root / "usr/bin/java").unlink()
                (one.root / "usr/bin/java").write_text(JAVA)
                (one.root / "usr/bin/java").chmod(0o755)
            kdeploy = Kdeploy(root, "fleet", 900)
            kdeploy.file.parent.mkdir(parents=True)
            kdeploy.file.write_text(environment(fleet) + SMALL)
            kdeploy("plan", "--lock")
            kdeploy("vault create")
            yield Hosts(fleet, kdeploy)
        finally:
            fleet.remove()


def test_bare_hosts_are_prepared_and_a_second_run_changes_no_task(hosts: Hosts) -> None:
    assert hosts.actions() == {"zookeeper-1": "create", "broker-1": "create"}
    first = hosts.prepare()
    assert set(first) == {"dc1.zookeeper-1", "dc1.broker-1"}
    assert hosts.actions() == {"zookeeper-1": "start", "broker-1": "start"}
    assert hosts.prepare() == {}


def test_what_was_started_is_known_by_what_its_own_unit_noted(hosts: Hosts) -> None:
    here = hosts.site()
    for node in here.cluster.nodes:
        here.provider.start(node)
        here.provider.start(node)
    assert hosts.actions() == {"zookeeper-1": "none", "broker-1": "none"}
    pid = hosts.run("broker-1", "systemctl show --property=MainPID --value kafka")
    hosts.run("broker-1", f"kill -9 {pid}")
    hosts.wait_for("broker-1", "none")
    assert hosts.run("broker-1", "systemctl show --property=MainPID --value kafka") != pid


def test_key_material_belongs_to_the_node_alone(hosts: Hosts) -> None:
    for name, listed in hosts.everywhere(
        "grep -rlI --exclude-dir=ssh 'PRIVATE KEY' /etc /opt /var /root /home /tmp /run | xargs stat -c '%a %U %n'"
    ).items():
        assert listed, name
        assert all(line.startswith("600 kafka /etc/") and "/secrets/" in line for line in listed.splitlines())
    assert "PRIVATE KEY" not in (hosts.kdeploy.state / "hosts/ansible.log").read_text()
    assert [
        path for path in (hosts.kdeploy.state / "hosts").iterdir() if path.name.startswith(("carry", "run"))
    ] == []


@pytest.mark.parametrize(
    "harm",
    [
        "echo changed >> /etc/kafka/server.properties",
        "rm /etc/systemd/system/kafka.service",
        "chmod 644 /etc/kafka/secrets/identity.pem",
        "sysctl -qw vm.swappiness=33",
        "echo always > /sys/kernel/mm/transparent_hugepage/enabled",
    ],
)
def test_what_somebody_changed_is_seen_and_put_back_without_a_restart(hosts: Hosts, harm: str) -> None:
    pid = hosts.run("broker-1", "systemctl show --property=MainPID --value kafka")
    hosts.run("broker-1", harm)
    assert hosts.actions()["broker-1"] == "update"
    changed = hosts.prepare()
    # The kernel is all hosts' together here: whichever is first puts it back.
    assert "dc1.broker-1" in changed or ("/etc/" not in harm and changed), changed
    assert hosts.actions()["broker-1"] == "none"
    assert hosts.run("broker-1", "systemctl show --property=MainPID --value kafka") == pid


def test_drift_of_a_kernel_setting_is_named(hosts: Hosts) -> None:
    hosts.run("broker-1", "sysctl -qw vm.swappiness=33")
    assert "vm.swappiness is 33, wanted 1" in hosts.states()["broker-1"].detail
    hosts.run("broker-1", "sysctl -qw vm.swappiness=1")


def test_a_host_that_boots_again_starts_its_node_with_its_data_mounted(hosts: Hosts) -> None:
    hosts.run("broker-1", "touch /var/lib/kafka/data/0/kept")
    hosts.reboot("broker-1")
    hosts.wait_for("broker-1", "none")
    assert hosts.run(
        "broker-1", "findmnt -n -o FSTYPE /var/lib/kafka/data/0; ls /var/lib/kafka/data/0"
    ).split() == [
        "xfs",
        "kept",
    ]
    assert "noatime" in hosts.run("broker-1", "findmnt -n -o OPTIONS /var/lib/kafka/data/0")


def test_another_operator_is_kept_out_until_the_lease_is_given_back(
    hosts: Hosts, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from kdeploy.operations import hosts as operating

    here = hosts.site()
    with operating.held(here.design, "up"):
        with monkeypatch.context() as patch:
            patch.setenv("KDEPLOY_STATE_DIR", str(tmp_path))
            with pytest.raises(LeaseHeld, match="another kdeploy is at work on these hosts: up by"):
                operating.held(here.design, "restart").__enter__()
        with operating.held(here.design, "again, after a run that was killed"):
            pass
    with monkeypatch.context() as patch:
        patch.setenv("KDEPLOY_STATE_DIR", str(tmp_path))
        with operating.held(here.design, "up"):
            pass
    assert operating.unlock(here.design.loaded) == operating.Unlocked()


def test_a_host_whose_key_is_another_one_is_not_talked_to(hosts: Hosts) -> None:
    known = hosts.kdeploy.file.parent / "known_hosts"
    text = known.read_text()
    lines = text.splitlines()
    one, other = lines[0].split(), lines[1].split()
    known.write_text(f"{one[0]} {other[1]} {other[2]}\n{lines[1]}\n")
    # Connections that are kept open were checked when they were opened.
    for socket in Path(tempfile.gettempdir()).glob(f"kdeploy-ssh-{os.getuid()}/*"):
        socket.unlink()
    details = [state.detail for state in hosts.states().values()]
    assert any("its host key is not the known one" in detail for detail in details), details
    known.write_text(text)


def test_somebody_who_needs_a_password_for_sudo_is_let_in_with_the_right_one_only(
    hosts: Hosts, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    make = (
        "useradd -m -s /bin/bash -G sudo deploy && echo deploy:hunter2 | chpasswd && "
        "cp -r /root/.ssh /home/deploy/ && chown -R deploy: /home/deploy/.ssh"
    )
    hosts.everywhere(make)
    hosts.kdeploy.edit("user: root", "user: deploy")
    password = tmp_path / "sudo"
    assert "sudo asks for a password" in hosts.states()["broker-1"].detail
    monkeypatch.setenv("KDEPLOY_SUDO_PASSWORD_FILE", str(password))
    password.write_text("wrong\n")
    with pytest.raises(KdeployError, match="sudo does not accept the password") as refused:
        hosts.prepare()
    assert str(refused.value).count("sudo does not accept") == 2
    password.write_text("hunter2\n")
    assert hosts.prepare() == {}
    hosts.kdeploy.edit("user: deploy", "user: root")


def test_an_emptied_disk_is_refused_and_left_alone(hosts: Hosts) -> None:
    here = hosts.site()
    broker = here.cluster.brokers[0]
    here.provider.stop(broker)
    device = hosts.hosts["broker-1"].devices[0]
    hosts.run("broker-1", f"umount /var/lib/kafka/data/0 && wipefs -qa {device}")
    assert "/var/lib/kafka/data/0 is not mounted" in hosts.states()["broker-1"].detail
    with pytest.raises(KdeployError, match="is empty, and this node had its data on it"):
        hosts.prepare()
    assert hosts.run("broker-1", f"blkid -p {device}", check=False) == ""
    with pytest.raises(KdeployError, match="could not be started"):
        here.provider.start(broker)


def test_down_stops_and_deletes_what_up_made(hosts: Hosts) -> None:
    hosts.kdeploy("down", "--delete-data", "--yes")
    assert hosts.actions() == {"zookeeper-1": "create", "broker-1": "create"}
    left = "ls -A /var/lib/zookeeper/data/0 /etc/zookeeper /etc/kdeploy | grep -v : | xargs"
    assert hosts.run("zookeeper-1", left, check=False) == ""
