"""Parts made without a schema are what pydantic makes of the same values, or are left to it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from kdeploy.cli.workload import environment_of
from kdeploy.spec.frozen import Frozen
from kdeploy.spec.model import Brokers, Datacenter, Durability, Environment, Host, Workload
from kdeploy.spec.planning import Planner
from kdeploy.spec.values import plain

VALUES: dict[str, tuple[type[Frozen], str, list[Any]]] = {
    "a rate": (Workload, "throughput", ["200MB/s", "1e6B/s", "200MB", "1MB/s..2MB/s", "-1MB/s", 7, None]),
    "a number": (Workload, "peak_factor", [1, 2.5, "2", "2.5", "1e2", "2..3", 0.5, 101, True, "x", None]),
    "a duration": (Workload, "horizon", ["2y", "0s", "1e10s", "2", "1h..2h"]),
    "a size or none": (Workload, "retention_bytes", [None, "5GB", "0B", "5"]),
    "a share": (Planner, "price_discount", ["0%", "20%", "100%", "20", 0.2]),
    "a share or none": (Planner, "utilisation", [None, "100%", "0%", "101%"]),
    "a whole number": (Workload, "clients", [0, 500, -1, 10_000_001, 2.0, "7", False]),
    "a whole number or none": (Workload, "partitions", [None, 1, 0, 10_000_000, 10_000_001]),
    "a choice": (Workload, "compression", ["lz4", "LZ4", "", None, 1]),
    "a choice or none": (Workload, "topic_compression", [None, "zstd", "brotli"]),
    "a switch or none": (Planner, "tls", [None, True, False, "on", 1]),
    "a text or none": (Brokers, "instance_type", [None, "m7g.large", 7]),
    "names": (Datacenter, "racks", [["a"], ["a", "b-1"], [], ["A"], ["a\n"], ["-"], "a", [1], ["a"] * 65]),
    "a part": (Environment, "durability", [{}, {"survive": "zone"}, {"survive": "x"}, {"other": 1}, 3]),
    "a map": (Planner, "ceilings", [{}, {"cpu": "50%"}, {"other": "50%"}]),
    "a part that is made": (Environment, "durability", [Durability.default()]),
}

UNDERSTOOD = ("a rate", "a number", "a share or none", "a whole number", "a choice", "names", "a part")
"""Kinds of which a value at least is made without a schema."""


def same_or_left(kind: type[Frozen], values: dict[str, Any]) -> bool:
    """Whether a part was made; then pydantic makes an equal one, with the same values stated."""
    made = plain(kind, values)
    if made is None:
        return False
    checked = kind.model_validate(values)
    assert made == checked
    assert made.model_fields_set == checked.model_fields_set
    assert made.model_dump_json() == checked.model_dump_json()
    return True


@pytest.mark.parametrize("what", VALUES)
def test_what_is_made_is_what_pydantic_makes_and_the_rest_is_left_to_it(what: str) -> None:
    kind, field, values = VALUES[what]
    usual = {"name": "trial"} if kind is Environment else {}
    made = [same_or_left(kind, {**usual, field: value}) for value in values]
    assert any(made) or what not in UNDERSTOOD


def test_an_unknown_or_a_missing_field_is_left_to_pydantic() -> None:
    assert plain(Workload, {"throughputs": "1MB/s"}) is None
    assert plain(Host, {"address": "a"}) is None
    assert plain(Host, {"address": "a", "rack": "b", "role": "broker"}) is not None


NUMBERS = st.one_of(st.integers(-5, 2000), st.floats(), st.decimals(0, 2000, places=3).map(str))


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "throughput": st.one_of(NUMBERS.map(lambda x: f"{x}MB/s"), NUMBERS),
            "fan_out": NUMBERS,
            "peak_factor": NUMBERS,
            "partitions": NUMBERS,
            "retention": NUMBERS.map(lambda x: f"{x}h"),
            "growth": NUMBERS.map(lambda x: f"{x}%"),
        },
    )
)
def test_any_workload_is_made_as_pydantic_makes_it_or_left(values: dict[str, Any]) -> None:
    try:
        Workload.model_validate(values)
    except ValidationError:
        assert plain(Workload, values) is None
    else:
        same_or_left(Workload, values)


def test_flags_alone_are_read_without_a_schema() -> None:
    environment = environment_of({"throughput": "200MB/s", "fan_out": "2", "retention": "8h", "zones": 2})
    document = json.loads(json.dumps(environment.to_json()))
    assert Environment.model_validate(document) == environment
    values = {"name": "plan", "workload": {"throughput": "200MB/s", "fan_out": "2", "retention": "8h"}}
    assert plain(Environment, values) is not None
