"""`kdeploy up local` from cached artefacts to verified, against starting the same processes by hand.

By hand is the least that gives the same cluster: the files are already rendered and the
certificates made, the ensemble's three JVMs are started, then the brokers', each as soon as
what it needs listens, until a client sees three brokers. Neither planning, rendering,
certificates, users, ACLs nor verification is in it.

Invariant: both run in turn in one run, from empty data folders, with the same command lines.

    python -m benchmarks.up
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

ROUNDS: Final = 3
AIM: Final = 2.0
"""The most that the ratio should be."""

ROOT: Final = Path(__file__).resolve().parents[1]
KDEPLOY: Final = Path(sys.executable).with_name("kdeploy")


def run(state: Path, *words: str) -> None:
    """Run kdeploy from the repository, with a state folder of its own."""
    subprocess.run(
        [str(KDEPLOY), *words],
        cwd=ROOT,
        env={**os.environ, "KDEPLOY_STATE_DIR": str(state)},
        check=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def up(state: Path) -> float:
    """Seconds of `kdeploy up local` from nothing to verified."""
    began = time.perf_counter()
    run(state, "up", "local")
    return time.perf_counter() - began


def by_hand(state: Path) -> float:
    """Seconds until a client sees three brokers of the same nodes, started by hand with empty data."""
    homes = sorted((state / "local" / "nodes").glob("*/*"))
    nodes = [(home, json.loads((home / "node.json").read_text())) for home in homes]
    for home, _ in nodes:
        for entry in (home / "data").glob("*"):
            kept = {path.name: path.read_bytes() for path in entry.glob("myid")}
            shutil.rmtree(entry)
            entry.mkdir()
            for name, content in kept.items():
                (entry / name).write_bytes(content)
    processes: list[subprocess.Popen[bytes]] = []
    began = time.perf_counter()
    try:
        for role, port in (("zookeeper", "secure"), ("broker", "client")):
            chosen = [(home, record["node"]) for home, record in nodes if record["node"]["role"] == role]
            processes += [start(home, node) for home, node in chosen]
            for _, node in chosen:
                wait_for(node["ports"][port])
        wait_for_brokers(state, [record["node"] for _, record in nodes if record["node"]["role"] == "broker"])
        return time.perf_counter() - began
    finally:
        for process in reversed(processes):
            process.send_signal(signal.SIGKILL)
        for process in processes:
            process.wait()


def start(home: Path, node: dict[str, Any]) -> subprocess.Popen[bytes]:
    """One node's JVM with the command line that kdeploy gives it."""
    from kdeploy.infra import artefacts
    from kdeploy.spec import load

    version = load.load(ROOT / "environments" / "local").environment.kafka.version
    kafka = artefacts.fetch(version, artefacts.default_cache(), artefacts.Sources.from_environment())
    command = [str(kafka.java), "-cp", kafka.class_path_text, *node["java_options"], node["main_class"]]
    return subprocess.Popen(
        [*command, *node["arguments"]], cwd=home, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def wait_for(port: int) -> None:
    """Wait until something listens."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise TimeoutError(f"nothing listens on {port}")


def wait_for_brokers(state: Path, brokers: list[dict[str, Any]]) -> None:
    """Wait until a client sees every broker."""
    from kdeploy.cluster import Access
    from kdeploy.cluster.admin import connect

    folder = state / "local" / "admin"
    bootstrap = ",".join(f"localhost:{node['ports']['admin']}" for node in brokers)
    access = Access(bootstrap, folder / "nodes-authority.pem", folder / "admin.pem", "")
    with connect(access, timeout=60) as admin:
        while len(admin.metadata().brokers) < len(brokers):
            time.sleep(0.1)


def measure(rounds: int = ROUNDS) -> dict[str, float]:
    """Medians of both in seconds, and their ratio."""
    pairs = []
    with tempfile.TemporaryDirectory(prefix="kdeploy-bench-") as folder:
        state = Path(folder)
        try:
            for _ in range(rounds):
                whole = up(state)
                run(state, "down", "local")
                pairs.append((whole, by_hand(state)))
                run(state, "down", "local", "--delete-data", "--yes")
        finally:
            run(state, "down", "local", "--delete-data", "--yes")
    ours, hand = (statistics.median(column) for column in zip(*pairs, strict=True))
    return {"up": ours, "by_hand": hand, "ratio": ours / hand}


def main() -> dict[str, float]:
    """Measure and print one line."""
    result = measure()
    print(
        f"kdeploy up local, to verified: {result['up']:.1f} s, by hand {result['by_hand']:.1f} s, "
        f"ratio {result['ratio']:.2f} (aim: at most {AIM:g})"
    )
    return result


if __name__ == "__main__":
    main()
