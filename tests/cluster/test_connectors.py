"""What differs between connectors that are wanted and those that are there, and positions as offsets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdeploy.cluster.connectors import (
    ConnectorState,
    CreateConnector,
    DeleteConnector,
    TaskState,
    UpdateConnector,
    difference,
    entries,
    ours,
    positions,
)

BOTH = ("eu", "us-east")
RECORDS = {"connector.class": "org.apache.kafka.connect.mirror.MirrorSourceConnector", "topics": "a"}


def there(**configs: dict[str, str]) -> dict[str, ConnectorState]:
    return {name: ConnectorState(name, config) for name, config in configs.items()}


@pytest.mark.parametrize(
    ("name", "is_ours"),
    [
        ("eu-to-us-east-records", True),
        ("us-east-to-eu-groups", True),
        ("us-east-heartbeats", True),
        ("eu-to-us-east-heartbeats", False),
        ("eu-records", False),
        ("ap-to-eu-records", False),
        ("records", False),
        ("heartbeats", False),
        ("billing-sink", False),
        ("eu-to-us-east-records-2", False),
    ],
)
def test_connectors_of_kdeploy_are_known_by_the_datacenters_in_their_names(name: str, is_ours: bool) -> None:
    assert ours(name, BOTH) == is_ours


def test_what_is_as_wanted_needs_nothing_and_a_name_in_a_configuration_does_not_count() -> None:
    found = there(**{"eu-heartbeats": {**RECORDS, "name": "eu-heartbeats"}})
    assert difference({"eu-heartbeats": RECORDS}, found, BOTH) == ()


def test_what_is_missing_is_made_what_differs_changed_and_what_is_ours_and_unwanted_removed() -> None:
    found = there(
        **{
            "eu-to-us-east-records": {**RECORDS, "topics": "b", "extra": "1"},
            "us-east-to-eu-records": RECORDS,
            "billing-sink": {"connector.class": "Sink"},
        }
    )
    wanted = {"eu-to-us-east-records": RECORDS, "us-east-heartbeats": RECORDS}
    changes = difference(wanted, found, BOTH)
    assert changes == (
        DeleteConnector("us-east-to-eu-records"),
        UpdateConnector("eu-to-us-east-records", RECORDS, {"extra": ("1", None), "topics": ("b", "a")}),
        CreateConnector("us-east-heartbeats", RECORDS),
    )
    assert [str(one) for one in changes] == [
        "delete connector us-east-to-eu-records",
        "connector eu-to-us-east-records: extra 1 → unset, topics b → a",
        "create connector us-east-heartbeats (MirrorSourceConnector)",
    ]


def test_no_value_of_a_secret_key_is_in_words() -> None:
    keys = ("source.cluster.sasl.jaas.config", "ssl.key.password", "ssl.keystore.key")
    found = there(**{"eu-heartbeats": dict.fromkeys(keys, "hunter2")})
    (change,) = difference({"eu-heartbeats": dict.fromkeys(keys, "hunter3")}, found, BOTH)
    assert "hunter" not in f"{change} {change!r} {found!r}"
    assert str(change).count("(not shown) → (not shown)") == len(keys)


CONFIGS = st.dictionaries(st.sampled_from(["a", "b", "c"]), st.sampled_from(["1", "2"]))
NAMES = st.sampled_from(["eu-heartbeats", "us-east-heartbeats", "eu-to-us-east-groups", "other"])


@given(st.dictionaries(NAMES, CONFIGS), st.dictionaries(NAMES, CONFIGS))
def test_carried_out_it_leaves_nothing_to_do_and_what_is_others(
    wanted: dict[str, dict[str, str]], found: dict[str, dict[str, str]]
) -> None:
    after = dict(found)
    for change in difference(wanted, there(**found), BOTH):
        match change:
            case DeleteConnector(name):
                del after[name]
            case CreateConnector(name, config) | UpdateConnector(name, config):
                after[name] = dict(config)
    assert difference(wanted, there(**after), BOTH) == ()
    assert {**({"other": found["other"]} if "other" in found else {}), **wanted} == after


POSITIONS = st.dictionaries(
    st.text(min_size=1, max_size=5), st.dictionaries(st.integers(0, 9), st.integers(1, 2**40), min_size=1)
)


@given(POSITIONS)
def test_positions_come_back_from_offsets(wanted: dict[str, dict[int, int]]) -> None:
    assert positions(entries(wanted, "eu"), "eu") == wanted
    assert positions(entries(wanted, "eu"), "us-east") == {}


def test_a_position_of_zero_is_kept_by_no_offset() -> None:
    place = {"cluster": "eu", "partition": 3, "topic": "orders"}
    assert entries({"orders": {3: 0}}, "eu") == ((place, None),)
    assert entries({"orders": {3: 1}}, "eu") == ((place, {"offset": 0}),)
    assert positions([(place, None)], "eu") == {}


@pytest.mark.parametrize(
    ("state", "tasks", "runs", "rests", "failed"),
    [
        ("RUNNING", ("RUNNING", "RUNNING"), True, False, False),
        ("RUNNING", (), False, False, False),
        ("RUNNING", ("RUNNING", "FAILED"), False, False, True),
        ("FAILED", (), False, False, True),
        ("STOPPED", (), False, True, False),
        ("STOPPED", ("RUNNING",), False, False, False),
        ("PAUSED", ("PAUSED",), False, False, False),
        ("UNKNOWN", (), False, False, False),
    ],
)
def test_how_a_connector_is_follows_from_its_tasks(
    state: str, tasks: tuple[str, ...], runs: bool, rests: bool, failed: bool
) -> None:
    made = tuple(TaskState(number, one) for number, one in enumerate(tasks))
    one = ConnectorState("x", {}, state, tasks=made)
    assert (one.runs, one.rests, one.failed) == (runs, rests, failed)
