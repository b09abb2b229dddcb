"""An environment.yaml that points to a fleet.

Invariant: it says what a person would say about such hosts, and nothing else.
"""

from __future__ import annotations

from tests.fleet.fleet import RACKS, Fleet


def environment(fleet: Fleet, *, memory: str = "4GiB", user: str = "root") -> str:
    """The text of an environment with every host of a fleet."""
    hosts = fleet.hosts()
    kraft = any(one.role == "controller" for one in hosts)
    lines = [
        "kafka:",
        f'  version: "{"4.3.1" if kraft else "3.9.2"}"',
        f"  coordination: {'kraft' if kraft else 'zookeeper'}",
        "",
        "datacenters:",
        "  - name: dc1",
        "    provider: hosts",
        f"    racks: [{', '.join(RACKS)}]",
        f"    ssh: {{user: {user}, key: {fleet.key}}}",
        "    hosts:",
    ]
    for one in hosts:
        disks = ", ".join(one.devices)
        lines.append(f"      - {{address: {one.address}, rack: {one.rack}, role: {one.role},")
        lines.append(f"         hardware: {{cores: 2, memory: {memory}, disks: [{disks}]}}}}")
    rest = REST.replace("COORDINATOR", "controller" if kraft else "zookeeper")
    return "\n".join(lines) + "\n" + rest


REST = """
overrides:
  jvm:
    broker: [-Xmx400m]
    COORDINATOR: [-Xmx128m]

workload:
  throughput: 1MB/s
  retention: 1h
  partitions: 12

topics:
  - name: orders
    partitions: 6
    config:
      cleanup.policy: delete
      retention.ms: 86400000

users:
  - name: orders-producer
    acls:
      - {resource: topic, name: orders, operations: [write, describe]}
  - name: orders-consumer
    acls:
      - {resource: topic, name: orders, operations: [read, describe]}
      - {resource: group, name: orders-, pattern: prefixed, operations: [read]}
"""
