"""`kdeploy preview` of hundreds of brokers in AWS, against what the engine takes for as many empty resources.

Both are whole processes with a real engine and the provider of the tests, one after the other: the preview from
environment file, lock and vault to the list, and a program that declares as many resources without inputs, which the
same provider only nods at. Nothing is made. Memory is the sum of the most that each process had: kdeploy, the
engine, the provider. The aim is at most twice the time, and growth with the number of brokers.

Invariant: what the ratio compares has the same number of resources, in one run, on the same engine.

    python -m benchmarks.cloud [BROKERS…]
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from tests.cloud.cloud import Cloud

SIZES: Final = (30, 100, 300)
"""Numbers of brokers."""
ROUNDS: Final = 3
AIM: Final = 2.0
"""The most that the ratio should be."""

ROOT: Final = Path(__file__).resolve().parents[1]
NAME: Final = "many"
LOOK_EVERY: Final = 0.1
"""Seconds between two looks at how much memory processes have had; the kernel keeps the most of each."""

TEXT: Final = """\
kafka: {{version: "3.9.2", coordination: kraft}}
datacenters:
  - name: eu-west-1
    provider: aws
    region: eu-west-1
    racks: [a, b, c]
    machine: {{alarms: true}}
    brokers: {{count: {brokers}}}
workload: {{throughput: {rate}MB/s, retention: 12h, partitions: {partitions}}}
durability: {{replication_factor: 3, min_insync_replicas: 2, survive: zone}}
"""


@dataclass(frozen=True)
class Took:
    """What a process took with all that it started.

    Attributes:
        seconds: Of wall-clock time.
        busy: Seconds of processors, which hardly depend on how busy the machine is.
        memory: Bytes, the most of each process together.
        said: Its standard output.
    """

    seconds: float
    busy: float
    memory: int
    said: str


def took(command: list[str], folder: Path, variables: dict[str, str], expected: int) -> Took:
    """Run a process to its end, and look at the memory of all below it meanwhile."""
    most: dict[int, int] = {}
    over = threading.Event()
    with tempfile.TemporaryFile("w+") as said:
        began, before = time.perf_counter(), _busy()
        process = subprocess.Popen(command, cwd=folder, env=variables, stdout=said, stderr=subprocess.PIPE)
        looking = threading.Thread(target=_watch, args=(process.pid, most, over))
        looking.start()
        _, errors = process.communicate()
        seconds = time.perf_counter() - began
        over.set()
        looking.join()
        said.seek(0)
        if process.returncode != expected:
            raise SystemExit(f"{' '.join(command)} ended with {process.returncode}: {errors.decode()}")
        return Took(seconds, _busy() - before, sum(most.values()), said.read())


def _busy() -> float:
    """Seconds of processors that ended processes of this one, and theirs, have had."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _watch(first: int, most: dict[int, int], over: threading.Event) -> None:
    """Note the most memory that a process and those below it have had, until it is over."""
    while not over.wait(LOOK_EVERY):
        for process in _below(first):
            with suppress(OSError, StopIteration):
                lines = Path(f"/proc/{process}/status").read_text().splitlines()
                line = next(one for one in lines if one.startswith("VmHWM:"))
                most[process] = int(line.split()[1]) * 1024


def _below(first: int) -> set[int]:
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with suppress(OSError):
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    found, before = {first}, set[int]()
    while found != before:
        before = set(found)
        found |= {one for one, parent in parents.items() if parent in before}
    return found


def decided(cloud: Cloud, folder: Path, brokers: int) -> dict[str, str]:
    """Write an environment with its lock and its vault; the variables of whoever previews it."""
    place = folder / "environments" / NAME
    place.mkdir(parents=True)
    text = TEXT.format(brokers=brokers, rate=100 * brokers, partitions=100 * brokers)
    (place / "environment.yaml").write_text(text)
    variables = {
        **{key: value for key, value in cloud.environment.items() if key != "PULUMI_CONFIG_PASSPHRASE"},
        "KDEPLOY_STATE_DIR": str(folder / "state"),
        "KDEPLOY_VAULT_PASSWORD": "a password for benchmarks alone",
        "PYTHONPATH": str(ROOT),
    }
    for words in (("plan", NAME, "--lock"), ("vault", "create", NAME)):
        subprocess.run(
            [sys.executable, "-m", "kdeploy", *words],
            cwd=folder,
            env=variables,
            check=True,
            stdout=subprocess.DEVNULL,
        )
    return variables


def previewed(folder: Path, variables: dict[str, str]) -> tuple[Took, int]:
    """`kdeploy preview`, and how many resources it lists."""
    command = [sys.executable, "-m", "kdeploy", "preview", NAME, "--output", "json"]
    found = took(command, folder, variables, expected=4)
    changes = json.loads(found.said)["changes"]
    return found, sum(one["layer"] == "resources" for one in changes)


def emptied(folder: Path, variables: dict[str, str], resources: int) -> Took:
    """As many resources of nothing, by a process of its own."""
    folder.mkdir()
    own = {**variables, "PULUMI_CONFIG_PASSPHRASE": "nothing", "PULUMI_BACKEND_URL": f"file://{folder}"}
    return took(
        [sys.executable, "-m", "benchmarks.cloud", "--empty", str(resources)], folder, own, expected=0
    )


def empty(resources: int) -> None:
    """Preview a program that declares resources of nothing, with as much at once as kdeploy asks for."""
    import pulumi
    import pulumi_aws as aws
    from pulumi import automation

    from kdeploy.infra.aws.stack import PARALLEL

    def declare() -> None:
        provider = aws.Provider("aws", region="eu-west-1")
        options = pulumi.ResourceOptions(provider=provider)
        for number in range(resources):
            pulumi.CustomResource("aws:benchmark/empty:Empty", f"empty-{number}", {}, options)

    stack = automation.create_stack("empty", "empty", program=declare)
    made = stack.preview(parallel=PARALLEL).change_summary
    # The stack itself and the provider are two more.
    assert sum(made.values()) == resources + 2, made


def measure(sizes: tuple[int, ...] = SIZES, rounds: int = ROUNDS) -> dict[int, dict[str, float]]:
    """By number of brokers: resources, medians of both in seconds, their ratio, and medians of memory in bytes."""
    from tests.cloud.cloud import Cloud

    found = {}
    with tempfile.TemporaryDirectory(prefix="kdeploy-bench-") as made, Cloud(Path(made) / "aws") as cloud:
        for brokers in sizes:
            folder = Path(made) / str(brokers)
            variables = decided(cloud, folder, brokers)
            pairs, resources = [], 0
            for number in range(rounds):
                ours, resources = previewed(folder, variables)
                pairs.append((ours, emptied(folder / f"empty-{number}", variables, resources)))
            whole, least = zip(*pairs, strict=True)
            found[brokers] = {
                "resources": resources,
                "preview": statistics.median(one.seconds for one in whole),
                "empty": statistics.median(one.seconds for one in least),
                "ratio": statistics.median(one.seconds / other.seconds for one, other in pairs),
                "busy": statistics.median(one.busy for one in whole),
                "empty busy": statistics.median(one.busy for one in least),
                "memory": statistics.median(one.memory for one in whole),
                "empty memory": statistics.median(one.memory for one in least),
            }
            print(line(brokers, found[brokers]), flush=True)
    return found


def line(brokers: int, found: dict[str, float]) -> str:
    """One line about one size."""
    return (
        f"preview of {brokers} brokers, {found['resources']:.0f} resources: {found['preview']:.1f} s "
        f"({found['busy']:.1f} s of processors) and {found['memory'] / 2**20:.0f} MiB; as many empty ones "
        f"{found['empty']:.1f} s ({found['empty busy']:.1f} s) and {found['empty memory'] / 2**20:.0f} MiB; "
        f"ratio {found['ratio']:.2f} (aim: at most {AIM:g})"
    )


def main(*arguments: str) -> dict[int, dict[str, float]]:
    """Measure and print a line each; arguments: numbers of brokers."""
    from tests.cloud import engine

    lacking = engine.lacking()
    if lacking:
        print(f"preview of many brokers: not measured, this machine lacks {lacking}")
        return {}
    return measure(tuple(map(int, arguments)) or SIZES)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--empty"]:
        empty(int(sys.argv[2]))
        # What the engine's program left behind waits for nobody.
        sys.stdout.flush()
        os._exit(0)
    main(*sys.argv[1:])
