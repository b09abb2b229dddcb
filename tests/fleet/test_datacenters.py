"""A long line between two datacenters: what goes from the one to the other takes it, and nothing else does."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator

import pytest

from tests.fleet import datacenters, wan
from tests.fleet.wan import Shape

NETWORKS = {"east": ("kd-east", "10.98.0"), "west": ("kd-west", "10.98.1")}
ROUTER = f"kd-r{os.getpid()}"


def run(*words: str) -> str:
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


def host(datacenter: str) -> str:
    return f"kd-{datacenter}{os.getpid()}"


@pytest.fixture
def hosts() -> Iterator[dict[str, str]]:
    """A host of each datacenter, and between them a router with their bridges; a namespace each."""
    problem = wan.lacking()
    if problem:
        pytest.skip(problem)
    made = [ROUTER, *map(host, NETWORKS)]
    try:
        for name in made:
            run("ip", "netns", "add", name)
            run("ip", "-n", name, "link", "set", "lo", "up")
        run("ip", "netns", "exec", ROUTER, "sysctl", "-qw", "net.ipv4.ip_forward=1")
        for datacenter, (bridge, network) in NETWORKS.items():
            inside = ("ip", "-n", ROUTER)
            run(*inside, "link", "add", bridge, "type", "bridge")
            run(*inside, "address", "add", f"{network}.1/24", "dev", bridge)
            run(*inside, "link", "set", bridge, "up")
            run(
                *inside,
                "link",
                "add",
                f"to-{datacenter}",
                "type",
                "veth",
                "peer",
                "host0",
                "netns",
                host(datacenter),
            )
            run(*inside, "link", "set", f"to-{datacenter}", "master", bridge, "up")
            there = ("ip", "-n", host(datacenter))
            run(*there, "address", "add", f"{network}.11/24", "dev", "host0")
            run(*there, "link", "set", "host0", "up")
            run(*there, "route", "add", "default", "via", f"{network}.1")
        yield {name: f"{network}.11" for name, (_, network) in NETWORKS.items()}
    finally:
        for name in made:
            subprocess.run(["ip", "netns", "delete", name], check=False, stderr=subprocess.DEVNULL)


def asked(source: str, target: str, address: str) -> float:
    """Seconds of the quickest of five connections from one namespace to an address in another."""
    with wan.inside(target), socket.create_server((address, 0)) as server:
        found = []
        for _ in range(5):
            with wan.inside(source):
                client = socket.socket()
            client.settimeout(30)
            began = time.monotonic()
            client.connect(server.getsockname())
            found.append(time.monotonic() - began)
            client.close()
    return min(found)


def calm(line: wan.Wan) -> list[dict[str, int]]:
    """What went over a line when nothing does any more."""
    before: list[dict[str, int]] = []
    while (now := line.counted()) != before:
        before = now
        time.sleep(0.5)
    return now


def test_what_goes_from_one_to_the_other_takes_the_line_both_ways_and_nothing_else_does(
    hosts: dict[str, str],
) -> None:
    with datacenters.line(Shape(round_trip=0.1), NETWORKS, ROUTER) as made:
        assert asked(host("east"), host("west"), hosts["west"]) >= 0.1
        assert asked(host("west"), host("east"), hosts["east"]) >= 0.1
        between = calm(made)
        assert min(one["passed"] for one in between) > 0
        asked(ROUTER, host("east"), hosts["east"])
        asked(host("west"), ROUTER, "10.98.1.1")
        assert calm(made) == between


def test_without_the_line_they_reach_each_other_as_before(hosts: dict[str, str]) -> None:
    with datacenters.line(Shape(round_trip=0.1), NETWORKS, ROUTER):
        pass
    asked(host("east"), host("west"), hosts["west"])
    assert datacenters.DETOUR not in run("ip", "-n", ROUTER, "rule")
