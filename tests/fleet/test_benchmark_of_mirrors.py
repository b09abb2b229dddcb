"""What the benchmark of the mirror compares: kdeploy's settings, and the same connector without any of them."""

from __future__ import annotations

from pathlib import Path

from benchmarks.mirror import sets
from kdeploy.spec.load import load
from kdeploy.tuning import mirror
from kdeploy.tuning.mirror import Side, connectors

SHIPPED = Path(__file__).parents[2] / "environments"


def test_what_is_taken_away_for_the_defaults_is_what_makes_it_fast_and_nothing_else() -> None:
    environment = load(SHIPPED / "local-two-dc-passive").environment
    found = connectors(environment, Side("west", "w:1"), [Side("east", "e:1")], 4, "/s")
    config = next(one.config for one in found if one.name == mirror.records("east", "west"))
    defaults, with_tasks, ours = sets(config).values()
    assert ours == config
    assert {key for key in config if config[key] != defaults.get(key)} == {
        "offset.lag.max",
        "producer.override.batch.size",
        "producer.override.linger.ms",
        "producer.override.send.buffer.bytes",
        "source.consumer.fetch.max.bytes",
        "source.consumer.max.partition.fetch.bytes",
        "source.consumer.max.poll.records",
        "source.consumer.receive.buffer.bytes",
        "source.consumer.request.timeout.ms",
        "tasks.max",
        "transaction.boundary",
        "transaction.boundary.interval.ms",
    } | {key for key in config if key == "producer.override.compression.type"}
    assert (defaults["tasks.max"], with_tasks["tasks.max"]) == ("1", "4")
    assert {**with_tasks, "tasks.max": "1"} == defaults
