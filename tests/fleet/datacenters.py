"""Two datacenters on one machine: a fleet of hosts on two bridges, and this machine the line between them.

The line is as good as this machine is, until `line` makes it a long one: with a round trip, a loss and a rate, which
packets from the one to the other take and nothing else, not even kdeploy's way to its hosts.

Invariant: hosts of one reach those of the other through this machine alone, so that a cut of the line is one command;
what is changed of this machine is undone by `remove`.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.fleet.base import base
from tests.fleet.fleet import FIRST, RACKS, Fleet
from tests.fleet.host import Host
from tests.fleet.wan import End, Shape, Wan

NETWORKS: Final = {"east": ("kdeploy0", "10.77.0"), "west": ("kdeploy1", "10.77.1")}
"""By datacenter its bridge and its network; the first one is a fleet's own."""

LINE: Final = ("kdeploy-line0", "kdeploy-line1")
"""Devices of the long line, by the datacenter from which packets enter it."""

TABLES: Final = ("7700", "7701")
"""Tables of routes of packets that have to take it."""

CUT: Final = "100"
DETOUR: Final = "110"
"""Priorities of the rules that let no packet through, and that send packets to the long line, which come after."""

FORWARD: Final = Path("/proc/sys/net/ipv4/ip_forward")


def up(fleet: Fleet, roles: tuple[str, ...]) -> dict[str, list[Host]]:
    """Boot a host of each role in both datacenters, and let them reach each other."""
    root = base()
    fleet.folder.mkdir(parents=True, exist_ok=True)
    fleet.note_shared()
    fleet.make_key()
    made = {name: _hosts(fleet, name, roles) for name in NETWORKS}
    for name, (bridge, network) in NETWORKS.items():
        _ip("link", "add", bridge, "type", "bridge")
        _ip("address", "add", f"{network}.1/24", "dev", bridge)
        _ip("link", "set", bridge, "up")
        for one in made[name]:
            one.make(root)
    FORWARD.write_text("1")
    fleet.start()
    return made


def remove(fleet: Fleet) -> None:
    """End every host, and undo all that was changed; also after a failed run."""
    mend()
    _straighten(NETWORKS, None)
    fleet.remove()


@contextmanager
def line(
    shape: Shape, networks: Mapping[str, tuple[str, str]] = NETWORKS, namespace: str | None = None
) -> Iterator[Wan]:
    """A long line between the two for the block, in place of this machine.

    Args:
        shape: What it is like.
        networks: By datacenter its bridge and its network.
        namespace: Network namespace in which the bridges are; None for this machine's own.
    """
    ends = End(LINE[0], namespace), End(LINE[1], namespace)
    with Wan(ends, shape) as made:
        try:
            for name in LINE:
                # Packets come out of it that this machine would send back another way.
                _in(namespace, "sysctl", "-qw", f"net.ipv4.conf.{name}.rp_filter=2")
            for name, table, kind in zip(LINE, TABLES, _detours(networks), strict=True):
                _in(namespace, "ip", "route", "add", "default", "dev", name, "table", table)
                _in(namespace, "ip", "rule", "add", *kind)
            yield made
        finally:
            _straighten(networks, namespace)


def _straighten(networks: Mapping[str, tuple[str, str]], namespace: str | None) -> None:
    """Have packets take this machine again."""
    for kind in _detours(networks):
        _in(namespace, "ip", "rule", "delete", *kind, check=False)


def _detours(networks: Mapping[str, tuple[str, str]]) -> list[tuple[str, ...]]:
    bridges = [bridge for bridge, _ in networks.values()]
    others = [f"{network}.0/24" for _, network in networks.values()][::-1]
    return [
        ("priority", DETOUR, "iif", bridge, "to", other, "lookup", table)
        for bridge, other, table in zip(bridges, others, TABLES, strict=True)
    ]


def cut() -> None:
    """Cut the line between the two; this machine still reaches both."""
    for kind in _lines():
        _ip("rule", "add", *kind)


def mend() -> None:
    """Put the line back."""
    for kind in _lines():
        _ip("rule", "delete", *kind, check=False)


def _lines() -> list[tuple[str, ...]]:
    networks = [f"{network}.0/24" for _, network in NETWORKS.values()]
    pairs = (networks, networks[::-1])
    return [("priority", CUT, "from", one, "to", other, "blackhole") for one, other in pairs]


def _hosts(fleet: Fleet, datacenter: str, roles: tuple[str, ...]) -> list[Host]:
    bridge, network = NETWORKS[datacenter]
    return [
        Host(
            # systemd-nspawn names this machine's end of the cable after it, in 15 letters.
            folder=str(fleet.folder / "hosts" / f"{datacenter}-{role[:6]}"),
            name=f"{datacenter}-{role[:6]}",
            address=f"{network}.{FIRST + number}",
            rack=RACKS[0],
            role=role,
            disks=0 if role == "mirror" else 1,
            bridge=bridge,
            authorized=fleet.key.with_suffix(".pub").read_text(),
            gateway=f"{network}.1",
        )
        for number, role in enumerate(roles)
    ]


def _ip(*words: str, check: bool = True) -> None:
    _in(None, "ip", *words, check=check)


def _in(namespace: str | None, *words: str, check: bool = True) -> None:
    before = ("ip", "netns", "exec", namespace) if namespace else ()
    done = subprocess.run([*before, *words], capture_output=True, text=True, check=False)
    if check and done.returncode != 0:
        raise SystemExit(f"{' '.join(words)} failed: {done.stderr.strip()}")
