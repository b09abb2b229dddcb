"""An environment.yaml that points to a fleet.

Invariant: it says what a person would say about such hosts, and nothing else.
"""

from __future__ import annotations

from tests.fleet.datacenters import NETWORKS
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


def two_datacenters(
    fleet: Fleet,
    *,
    mode: str = "active-passive",
    bandwidth: str = "50MB/s",
    round_trip: str = "1ms",
    tasks: int = 2,
) -> str:
    """The text of an environment with every host of a fleet in two datacenters (`tests.fleet.datacenters`)."""
    hosts = fleet.hosts()
    lines = ["kafka:", '  version: "4.3.1"', "  coordination: kraft", "", "datacenters:"]
    for name in NETWORKS:
        lines += [f"  - name: {name}", "    provider: hosts", "    racks: [a]"]
        lines += [f"    ssh: {{user: root, key: {fleet.key}}}", "    hosts:"]
        for one in (host for host in hosts if host.name.startswith(name)):
            memory = "2GiB" if one.role == "mirror" else "4GiB"
            disks = f", disks: [{', '.join(one.devices)}]" if one.devices else ""
            lines.append(f"      - {{address: {one.address}, rack: a, role: {one.role},")
            lines.append(f"         hardware: {{cores: 2, memory: {memory}{disks}}}}}")
    rest = MIRRORED.replace("BANDWIDTH", bandwidth).replace("ROUND_TRIP", round_trip)
    if mode == "active-active":
        rest = rest.replace(PASSIVE, "  mode: active-active\n").replace(READS, READS + READS_BOTH)
    return "\n".join(lines) + "\n" + rest.replace("TASKS", str(tasks))


USERS = """\
users:
  - name: orders-producer
    acls:
      - {resource: topic, name: orders, operations: [write, describe]}
  - name: orders-consumer
    acls:
      - {resource: topic, name: orders, operations: [read, describe]}
      - {resource: group, name: orders-, pattern: prefixed, operations: [read]}
"""

REST = (
    """
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

"""
    + USERS
)

MIRRORED = (
    """
mirroring:
  mode: active-passive
  primary: east
  rpo: 30s
  rto: 300s
  links:
    - {source: east, target: west, bandwidth: BANDWIDTH, round_trip: ROUND_TRIP}
    - {source: west, target: east, bandwidth: BANDWIDTH, round_trip: ROUND_TRIP}
  workers: {tasks: TASKS}

overrides:
  jvm:
    broker: [-Xmx400m]
    controller: [-Xmx128m]

workload:
  throughput: 1MB/s
  retention: 1h
  partitions: 6

durability:
  replication_factor: 1
  min_insync_replicas: 1
  survive: none

topics:
  - name: orders
    partitions: 6

"""
    + USERS
    + """
accept_risks: [nothing-survived, one-acknowledgement, one-coordination-node, one-rack, single-copy]
"""
)

PASSIVE = "  mode: active-passive\n  primary: east\n"
READS = "      - {resource: topic, name: orders, operations: [read, describe]}\n"
READS_BOTH = "".join(READS.replace("orders", f"{name}.orders") for name in NETWORKS)
"""What becomes of it where both are written to: no primary, and who reads one reads both."""
