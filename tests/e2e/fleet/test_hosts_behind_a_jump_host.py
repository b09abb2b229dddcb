"""Hosts of which the operator reaches nothing but the SSH port of one: everything kdeploy does goes through it.

This machine is the operator. Its firewall lets it send nothing to the hosts' network but to port 22 of the jump host, and counts
what was tried besides; and the names of hosts are known to hosts alone.
"""

from __future__ import annotations

import re
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.e2e.fleet.conftest import World, world
from tests.fleet.fleet import BRIDGE

pytestmark = [pytest.mark.fleet, pytest.mark.timeout(3600)]

JUMP = "broker-1"
TABLE = "kdeploy_jump"
RULES = f"""
table inet {TABLE} {{
  chain out {{
    type filter hook output priority 0; policy accept;
    oifname "{BRIDGE}" ip daddr JUMP tcp dport 22 accept
    oifname "{BRIDGE}" meta l4proto {{ tcp, udp, icmp }} counter reject
  }}
}}
"""


def name_of(host: str) -> str:
    return f"{host}.inside.test"


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    for made in world(tmp_path_factory.mktemp("jump"), "zookeeper"):
        names = "".join(f"{one.address} {name_of(one.name)}\n" for one in made.hosts.values())
        text = made.kdeploy.file.read_text()
        for one in made.hosts.values():
            known = one.root / "etc/hosts"
            known.write_text(names + known.read_text())  # first, so that addresses lead back to them
            text = text.replace(f"address: {one.address},", f"address: {name_of(one.name)},")
        address = made.hosts[JUMP].address
        made.kdeploy.file.write_text(text.replace("ssh: {", f"ssh: {{jump: root@{address}, "))
        made.kdeploy("plan", "--lock")
        made.kdeploy("vault create")
        with only_ssh_to(address):
            yield made


@contextmanager
def only_ssh_to(address: str) -> Iterator[None]:
    """Nothing else gets from this machine to the hosts' network."""
    forget()
    subprocess.run(["nft", "-f", "-"], input=RULES.replace("JUMP", address), text=True, check=True)
    try:
        yield
    finally:
        forget()


def forget() -> None:
    subprocess.run(["nft", "delete", "table", "inet", TABLE], capture_output=True, check=False)


def went_around() -> int:
    """Packets that were to go elsewhere, since the rules are there."""
    rules = subprocess.run(
        ["nft", "list", "table", "inet", TABLE], capture_output=True, text=True, check=True
    )
    (packets,) = re.findall(r"counter packets (\d+)", rules.stdout)
    return int(packets)


def answers(address: str, port: int) -> bool:
    try:
        with socket.create_connection((address, port), timeout=5):
            return True
    except OSError:
        return False


def forwards(root: Path) -> list[str]:
    """What still forwards for kdeploy with this state."""
    shown = subprocess.run(["ps", "-eo", "args="], capture_output=True, text=True, check=True).stdout
    return [line for line in shown.splitlines() if " -D 127.0.0.1:" in line and str(root) in line]


def test_a_cluster_comes_up_changes_and_is_proved_by_way_of_one_ssh_port(hosts: World) -> None:
    tried = went_around()
    for host, port in ((JUMP, 9094), ("broker-2", 22), ("zookeeper-1", 2182)):
        assert not answers(hosts.hosts[host].address, port), host
    blocked = went_around()
    assert blocked > tried, "the rules that prove it hold, and count"
    with suppress(socket.gaierror):
        pytest.fail(f"this machine knows {name_of(JUMP)}: {socket.gethostbyname(name_of(JUMP))}")

    document = hosts.kdeploy("up", "--output", "json").document
    assert document["clusters"][0]["ok"] is True
    assert name_of(JUMP) in document["clusters"][0]["bootstrap"], "clients get the brokers' own names"
    assert hosts.kdeploy("up", "--output", "json").document["changed"] is False
    assert hosts.kdeploy("verify", "--output", "json").document["ok"] is True
    assert hosts.kdeploy("status", "--output", "json").document["ok"] is True

    hosts.change("    broker: [-Xmx400m]", "    broker: [-Xmx416m]")
    said = hosts.kdeploy("up").stderr
    rolled = set(re.findall(r"roll +(broker-\d)", said))
    assert rolled == {"broker-1", "broker-2", "broker-3"}, (
        "the jump host's broker is restarted like any other"
    )
    hosts.kdeploy("drift")
    assert went_around() == blocked, "nothing was tried past the jump host"
    assert forwards(hosts.kdeploy.root) == []


def test_without_the_jump_host_it_is_one_message_and_nothing_is_changed(hosts: World) -> None:
    good = hosts.kdeploy.file.read_text()
    address = hosts.hosts[JUMP].address
    hosts.kdeploy.file.write_text(good.replace(f"jump: root@{address}", f"jump: root@{address}:2222"))
    try:
        refused = hosts.kdeploy("verify", code=1).stderr
    finally:
        hosts.kdeploy.file.write_text(good)
    assert "nothing answers at its SSH port" in " ".join(refused.split()), refused
