"""Kafka as kdeploy tunes it, against Kafka's and Linux's own defaults, on the same host in one run.

One broker with a ZooKeeper node beside it, TLS and SASL as always, is brought up in turn with what
kdeploy decides and with overrides that put every tuned setting back to its default. Kafka's own tools load
it: a producer as fast as it goes, one at a steady rate for its latency, and a consumer that reads all of it.

Invariant: both are measured in turn, on the same hosts with the same client; only the settings of `DEFAULTS`
differ, and medians of the rounds are compared. Needs root, as every fleet does; no part of `make bench`.

    python -m benchmarks.tuning [ROUNDS]
"""

from __future__ import annotations

import re
import statistics
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from benchmarks.fleet import hosts, load, seconds
from tests.fleet import base
from tests.fleet.fleet import Fleet

RECORDS: Final = 400_000
RECORD_BYTES: Final = 1000
STEADY_RATE: Final = 5_000
"""Records per second of the producer whose latency is measured: far below what the broker can take."""

STEADY_RECORDS: Final = 100_000

ENVIRONMENT: Final = """
kafka: {{version: "3.9.2", coordination: zookeeper}}
datacenters:
  - name: dc1
    provider: hosts
    racks: [a]
    ssh: {{user: root, key: {key}}}
    hosts:
{hosts}
workload: {{throughput: 1MB/s, retention: 1h, partitions: 12}}
durability: {{replication_factor: 1, min_insync_replicas: 1, survive: none}}
accept_risks: [single-copy, nothing-survived, one-coordination-node, one-rack, one-acknowledgement]
topics:
  - {{name: load, partitions: 12}}
users:
  - name: loader
    acls:
      - {{resource: topic, name: load, operations: [all]}}
      - {{resource: group, name: load, pattern: prefixed, operations: [all]}}
"""

DEFAULTS: Final = """
overrides:
  broker:
    num.network.threads: 3
    num.io.threads: 8
    num.replica.fetchers: 1
    num.recovery.threads.per.data.dir: 1
    log.segment.bytes: 1073741824
    log.roll.ms: 604800000
    socket.send.buffer.bytes: 102400
    socket.receive.buffer.bytes: 102400
    replica.socket.receive.buffer.bytes: 65536
  jvm:
    broker: [-Xmx1g, -Xms1g]
    zookeeper: [-Xmx512m, -Xms512m]
  kernel:
    vm.swappiness: 60
    vm.dirty_background_ratio: 10
    vm.dirty_ratio: 20
    vm.max_map_count: 65530
    net.ipv4.tcp_rmem: 4096 131072 6291456
    net.ipv4.tcp_wmem: 4096 16384 4194304
"""
"""Kafka's defaults (Kafka 3.9 documentation, 3.1 Broker Configs), its start scripts' heaps
(kafka-server-start.sh and zookeeper-server-start.sh, 3.9), Linux's own (sysctl/vm.rst, tcp(7))."""


class Load:
    """Kafka's own performance tools as a client of the cluster.

    Args:
        folder: Folder with the client's properties.
        bootstrap: `host:port` of the broker.
    """

    def __init__(self, folder: Path, bootstrap: str) -> None:
        from kdeploy.infra import artefacts

        self._kafka = artefacts.fetch(
            "3.9.2", artefacts.default_cache(), artefacts.Sources.from_environment()
        )
        self._properties = folder / "client.properties"
        self._bootstrap = bootstrap

    def produced(self, records: int, rate: int = -1) -> tuple[float, float]:
        """Megabytes per second and the 99th percentile of latency in milliseconds."""
        said = self._run(
            "org.apache.kafka.tools.ProducerPerformance",
            *("--topic", "load", "--num-records", str(records), "--record-size", str(RECORD_BYTES)),
            *("--throughput", str(rate), "--producer.config", str(self._properties)),
            *("--producer-props", f"bootstrap.servers={self._bootstrap}", "acks=all"),
        )
        found = re.search(r"\(([\d.]+) MB/sec\).* ([\d.]+) ms 99th", said.splitlines()[-1])
        if found is None:
            raise SystemExit(f"the producer said something else:\n{said}")
        return float(found[1]) * 2**20 / 1e6, float(found[2])

    def consumed(self, records: int, group: str) -> float:
        """Megabytes per second."""
        said = self._run(
            "org.apache.kafka.tools.ConsumerPerformance",
            *("--topic", "load", "--messages", str(records), "--group", group, "--hide-header"),
            *("--bootstrap-server", self._bootstrap, "--consumer.config", str(self._properties)),
            *("--timeout", "60000"),
        )
        row = next(line for line in said.splitlines() if line.count(",") >= 9)
        # fetch.MB.sec: without the seconds in which the group forms, which are nobody's setting.
        return float(row.split(",")[8]) * 2**20 / 1e6

    def _run(self, main_class: str, *arguments: str) -> str:
        command = [
            str(self._kafka.java),
            "-Xmx512m",
            "-cp",
            self._kafka.class_path_text,
            main_class,
            *arguments,
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise SystemExit(f"{main_class} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done.stdout


def measure(rounds: int) -> dict[str, tuple[float, float]]:
    """Medians of what was measured with kdeploy's settings and with the defaults, by name."""
    seen: dict[str, list[dict[str, float]]] = {"tuned": [], "defaults": []}
    with hosts(2, environment) as (fleet, folder, variables):
        file = folder / "environments" / "fleet" / "environment.yaml"
        text = file.read_text()
        for turn in range(rounds):
            for kind, overrides in (("tuned", ""), ("defaults", DEFAULTS)):
                file.write_text(text + overrides)
                seen[kind].append(once(folder, variables, fleet, f"load-{turn}-{kind}"))
                print(f"round {turn + 1}, {kind}: {seen[kind][-1]} ({load()})", file=sys.stderr)
    return {
        figure: (
            statistics.median(one[figure] for one in seen["tuned"]),
            statistics.median(one[figure] for one in seen["defaults"]),
        )
        for figure in seen["tuned"][0]
    }


def once(folder: Path, variables: Mapping[str, str], fleet: Fleet, group: str) -> dict[str, float]:
    """Bring the cluster up with the settings that its environment says, and load it."""
    seconds(folder, variables, "plan", "fleet", "--lock")
    seconds(folder, variables, "vault", "create", "fleet")
    seconds(folder, variables, "up", "fleet")
    seconds(folder, variables, "clients", "fleet", "--user", "loader", "--to", str(folder / "clients"))
    broker = next(one for one in fleet.hosts() if one.role == "broker")
    (properties,) = (folder / "clients").rglob("client.properties")
    loader = Load(properties.parent, f"{broker.address}:9092")
    loader.produced(RECORDS // 4)  # what the first records compile and open is nobody's setting
    fast, _ = loader.produced(RECORDS)
    _, late = loader.produced(STEADY_RECORDS, STEADY_RATE)
    read = loader.consumed(RECORDS, group)
    # Each turn begins with empty disks, whose file systems stay.
    seconds(folder, variables, "down", "fleet", "--delete-data", "--yes")
    return {"produced": fast, "late": late, "consumed": read}


def environment(fleet: Fleet) -> str:
    """The text of an environment with one broker and one ZooKeeper node."""
    lines = [
        f"      - {{address: {one.address}, rack: a, role: {one.role}, "
        f"hardware: {{cores: 2, memory: 4GiB, disks: [{', '.join(one.devices)}]}}}}"
        for one in fleet.hosts()
    ]
    return ENVIRONMENT.format(key=fleet.key, hosts="\n".join(lines))


def main(rounds: int = 3) -> None:
    """Measure and print a line for each figure."""
    problem = base.lacking()
    if problem:
        raise SystemExit(problem)
    words = {
        "produced": "produced as fast as it goes, MB/s",
        "late": f"99th percentile of latency at {STEADY_RATE} records/s, ms",
        "consumed": "consumed, MB/s",
    }
    for figure, (tuned, default) in measure(rounds).items():
        print(f"{words[figure]}: tuned {tuned:.1f}, defaults {default:.1f}, ratio {tuned / default:.2f}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
