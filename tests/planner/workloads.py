"""Environments to plan for, and a lock as it is after a plan was decided."""

from __future__ import annotations

import base64
import itertools
import math
import random
from typing import Any

from hypothesis import strategies as st

from kdeploy import planner
from kdeploy.planner.decide import decide
from kdeploy.planner.result import Plan
from kdeploy.spec.lock import Lock
from kdeploy.spec.model import Environment


def aws(region: str = "us-east-1", zones: int = 3, **parts: Any) -> Environment:
    """A cluster in EC2; `brokers` and `coordination` go to its datacenter, the rest to the environment."""
    racks = [chr(ord("a") + zone) for zone in range(zones)]
    place: dict[str, Any] = {"provider": "aws", "region": region, "racks": racks}
    place |= {name: parts.pop(name) for name in ("brokers", "coordination") if name in parts}
    return Environment.model_validate({"name": "trial", "datacenters": [place], **parts})


def changed(environment: Environment, part: str, **values: Any) -> Environment:
    document = environment.to_json()
    document[part] |= values
    return Environment.model_validate(document)


def locked(environment: Environment, plan: Plan | None = None) -> Lock:
    numbers = itertools.count(1)

    def new_id() -> str:
        return base64.urlsafe_b64encode(next(numbers).to_bytes(16, "big")).decode().rstrip("=")

    return decide(environment, plan or planner.plan(environment), None, new_id)


def _log_uniform(low: float, high: float) -> st.SearchStrategy[float]:
    return st.floats(0, 1).map(lambda x: float(f"{low * (high / low) ** x:.6g}"))


@st.composite
def environments(draw: st.DrawFn) -> Environment:
    """Workloads from a trickle to a GB/s, whatever the durability; all of them can be carried.

    Stated partitions are at least as many as the peak needs: fewer can be too few for any broker.
    """
    copies = draw(st.integers(1, 5))
    survive = draw(st.sampled_from(["none", "broker", "zone"]))
    zones = 3 if survive == "zone" else draw(st.integers(1, 4))
    rate, peak_factor = draw(_log_uniform(1, 1e9)), draw(st.floats(1, 5))
    enough = max(1, math.ceil(rate * peak_factor * 4 / 10e6))
    workload = {
        "throughput": f"{rate!r}B/s",
        "peak_factor": peak_factor,
        "fan_out": draw(st.one_of(st.just(0.0), _log_uniform(0.1, 30))),
        "retention": f"{draw(_log_uniform(60, 1e7))!r}s",
        "message_size": f"{draw(_log_uniform(10, 1e7))!r}B",
        "compression": draw(st.sampled_from(["none", "gzip", "snappy", "lz4", "zstd"])),
        "partitions": draw(st.one_of(st.none(), st.integers(enough, 20_000))),
    }
    return aws(
        zones=zones,
        region=draw(st.sampled_from(["us-east-1", "eu-west-1"])),
        workload=workload,
        durability={
            "replication_factor": copies,
            "min_insync_replicas": max(1, copies - 1),
            "survive": survive,
        },
        kafka={"version": "3.9.2", "coordination": draw(st.sampled_from(["zookeeper", "kraft"]))},
    )


def drawn(lots: random.Random) -> Environment:
    """A workload from a trickle to some GB/s; some of them cannot be carried."""

    def log_uniform(low: float, high: float) -> float:
        return low * (high / low) ** lots.random()

    copies = lots.randint(1, 4)
    survive = lots.choice(["none", "broker", "zone"])
    zones = 3 if survive == "zone" else lots.randint(1, 4)
    workload: dict[str, Any] = {
        "throughput": f"{log_uniform(1, 3e9)!r}B/s",
        "peak_factor": lots.uniform(1, 5),
        "fan_out": lots.choice([0.0, log_uniform(0.1, 20)]),
        "retention": f"{log_uniform(600, 5e6)!r}s",
        "message_size": f"{log_uniform(10, 1e6)!r}B",
        "batch_size": f"{log_uniform(1e3, 1e6)!r}B",
        "compression": lots.choice(["none", "gzip", "snappy", "lz4", "zstd"]),
        "clients": lots.randint(0, 3000),
        "growth": f"{lots.choice([0, 10, 40])}%",
        "lagging_consumers": lots.choice([None, "10%", "100%"]),
        "retention_bytes": lots.choice([None, "5GB"]),
        "partitions": lots.choice([None, lots.randint(1, 5000)]),
        **_far(lots),
    }
    local = lots.random() < 0.2
    return aws(
        zones=zones,
        workload=workload,
        durability={
            "replication_factor": copies,
            "min_insync_replicas": max(1, copies - 1),
            "survive": survive,
        },
        security={"client_listener": lots.choice(["SASL_SSL", "PLAINTEXT"])},
        planner={
            "round_trip": lots.choice(["1ms", f"{log_uniform(1e-3, 0.3)!r}s"]),
            "socket_buffer": lots.choice(["16MiB", "64KiB"]),
        },
        brokers={"instance_type": "i3en.2xlarge"} if local else {},
    )


def _far(lots: random.Random) -> dict[str, Any]:
    """Mirroring and another codec of the topics, each for some."""
    mirrored = {
        name: f"{lots.choice([0, lots.uniform(0, 4e7)])!r}B/s" for name in ("mirrored_in", "mirrored_out")
    }
    return mirrored | {
        "mirror_consumers": lots.choice([None, lots.randint(1, 12)]),
        "mirror_round_trip": f"{lots.uniform(0.001, 0.2)!r}s",
        "topic_compression": lots.choice([None, None, "none", "gzip", "snappy", "lz4", "zstd"]),
    }
