"""What running brokers are given without a restart, and what of it is taken away again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdeploy.cluster import live, reconcile
from kdeploy.cluster.change import AlterBrokerConfig, Given
from kdeploy.cluster.failure import ClusterError
from kdeploy.cluster.fake import FakeAdmin
from kdeploy.cluster.live import Wanted
from kdeploy.cluster.state import EVERY_BROKER, BrokerSetting

STARTED_WITH_8 = BrokerSetting("8", None, "8")
GIVEN_16 = BrokerSetting("16", "16", "8")
FILE_SAYS_SO_TOO = BrokerSetting("16", "16", "16")
EVERYWHERE_4 = BrokerSetting("4", None, "16", everywhere="4")


@pytest.mark.parametrize(
    ("wanted", "restarts", "found", "change"),
    [
        ("8", False, STARTED_WITH_8, None),
        ("16", False, STARTED_WITH_8, Given("8", "16", stored=True)),
        ("16", False, GIVEN_16, None),
        ("8", False, GIVEN_16, Given("16", "8", stored=False)),
        ("32", False, GIVEN_16, Given("16", "32", stored=True)),
        ("16", False, FILE_SAYS_SO_TOO, Given("16", "16", stored=False)),
        ("16", False, EVERYWHERE_4, None),
        ("16", True, STARTED_WITH_8, None),
        ("32", True, GIVEN_16, Given("32", "32", stored=False)),
        (None, False, BrokerSetting("900000", "900000", None), Given("900000", None, stored=False)),
        (None, False, BrokerSetting(None), None),
        ("0.5", False, BrokerSetting("0.50", None, "0.50"), None),
        ("delete, compact", False, BrokerSetting("delete,compact", None, "delete,compact"), None),
    ],
    ids=[
        "as it was started",
        "another value than it was started with is given to it",
        "a value that was given already stays",
        "back to what it was started with: the dynamic value goes",
        "yet another value replaces the one given before",
        "what its file says too needs no dynamic value any more",
        "a value for all brokers is taken away from all of them, and from none alone",
        "a restart brings the new value by itself",
        "a restart brings the new value, and the dynamic one would outrank it",
        "what is no longer said, and has no default, is taken away",
        "what was never said is left alone",
        "the same number written otherwise is no change",
        "the same list written otherwise is no change",
    ],
)
def test_a_setting_is_given_only_where_nothing_else_says_it(
    wanted: str | None, restarts: bool, found: BrokerSetting, change: Given | None
) -> None:
    planned = live.difference(1, Wanted("broker-1", {"a": wanted}, restarts), {"a": found})
    assert planned == (change and AlterBrokerConfig(1, "broker-1", {"a": change}))


def test_a_setting_that_the_version_does_not_know_is_passed_over() -> None:
    assert live.difference(1, Wanted("broker-1", {"gone": "1"}), {}) is None


def test_a_broker_that_is_not_registered_is_passed_over() -> None:
    assert live.changes({9: Wanted("broker-9", {"num.io.threads": "16"})}, FakeAdmin()) == ()


@pytest.mark.parametrize(
    ("before", "after", "stored", "sent"),
    [
        ("8", "16", True, ["16"]),
        ("8", "100", True, ["16", "32", "64", "100"]),
        ("100", "8", True, ["50", "25", "13", "8"]),
        ("64", "8", False, ["32", "16", None]),
        ("1", "3", True, ["2", "3"]),
    ],
)
def test_a_pool_of_threads_grows_and_shrinks_in_the_steps_that_kafka_takes(
    before: str, after: str, stored: bool, sent: list[str | None]
) -> None:
    change = AlterBrokerConfig(1, "broker-1", {"num.io.threads": Given(before, after, stored)})
    assert [step["num.io.threads"] for step in live.steps(change)] == sent


@given(st.integers(1, 5000), st.integers(1, 5000), st.booleans())
def test_no_step_is_one_that_kafka_refuses(before: int, after: int, stored: bool) -> None:
    admin = FakeAdmin()
    admin.started_with[1] = {"num.io.threads": str(before if stored else after)}
    if not stored:
        admin.dynamic[1] = {"num.io.threads": str(before)}
    change = AlterBrokerConfig(1, "broker-1", {"num.io.threads": Given(str(before), str(after), stored)})
    live.apply(admin, change)
    assert admin.broker_settings(1, ["num.io.threads"])["num.io.threads"].value == str(after)


def test_settings_that_are_no_pools_go_with_the_first_step() -> None:
    settings = {
        "num.io.threads": Given("8", "32", stored=True),
        "message.max.bytes": Given("1", "9", stored=True),
    }
    assert list(live.steps(AlterBrokerConfig(1, "broker-1", settings))) == [
        {"num.io.threads": "16", "message.max.bytes": "9"},
        {"num.io.threads": "32"},
    ]


def test_what_was_set_by_hand_is_taken_away_and_a_second_look_finds_nothing() -> None:
    admin = FakeAdmin()
    admin.started_with[1] = {"num.io.threads": "16"}
    admin.set_broker_settings(EVERY_BROKER, {"num.network.threads": "6"})
    admin.set_broker_settings(1, {"message.max.bytes": "2000000"})
    others = frozenset(("message.max.bytes", "num.network.threads"))
    wanted = {1: Wanted("broker-1", {"num.io.threads": "16"}, others=others)}
    planned = live.changes(wanted, admin)
    assert [str(change) for change in planned] == [
        "every broker, while they run: num.network.threads 6 → 3",
        "broker-1, while it runs: message.max.bytes 2000000 → 1048588",
    ]
    reconcile.apply(admin, planned, {})
    assert live.changes(wanted, admin) == ()
    assert admin.dynamic == {EVERY_BROKER: {}, 1: {}}


def test_what_kdeploy_could_not_carry_in_a_file_is_left_alone() -> None:
    throttle = {"leader.replication.throttled.rate": BrokerSetting("1000", "1000")}
    assert live.difference(1, Wanted("broker-1", {}, others=frozenset(("num.io.threads",))), throttle) is None


def test_what_was_set_by_hand_is_named_and_not_what_is_ours() -> None:
    found = {
        "num.io.threads": GIVEN_16,
        "message.max.bytes": BrokerSetting("9", "9", "1"),
        "log.cleaner.threads": BrokerSetting("2", None, "2", everywhere="2"),
        "background.threads": BrokerSetting("10", None, "10"),
    }
    assert live.by_hand(found, {"num.io.threads": "16"}) == {
        "log.cleaner.threads": "2 (on every broker)",
        "message.max.bytes": "9",
    }


def test_it_is_carried_out_and_a_second_look_finds_nothing_to_do() -> None:
    admin = FakeAdmin()
    wanted = {1: Wanted("broker-1", {"num.io.threads": "40", "message.max.bytes": "2000000"})}
    planned = live.changes(wanted, admin)
    reconcile.apply(admin, planned, {})
    assert admin.dynamic == {1: {"num.io.threads": "40", "message.max.bytes": "2000000"}}
    assert live.changes(wanted, admin) == ()
    admin.started_with[1] = admin.dynamic[1]  # restarted with its new file
    reconcile.apply(admin, live.changes(wanted, admin), {})
    assert admin.dynamic == {1: {}}


def test_a_broker_judges_values_before_it_is_given_them() -> None:
    admin = FakeAdmin()
    live.refuse_invalid(
        admin, AlterBrokerConfig(1, "broker-1", {"num.io.threads": Given("8", "40", stored=True)})
    )
    assert (admin.dynamic, admin.calls) == ({}, [])
    wrong = AlterBrokerConfig(1, "broker-1", {"num.io.threads": Given(None, "99", stored=True)})
    with pytest.raises(ClusterError, match="broker 1 refuses new settings"):
        live.refuse_invalid(admin, wrong)


def test_a_refusal_names_the_broker() -> None:
    change = AlterBrokerConfig(1, "broker-1", {"num.io.threads": Given(None, "99", stored=True)})
    with pytest.raises(ClusterError, match="broker 1 refuses new settings"):
        reconcile.apply(FakeAdmin(), [change], {})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (Given("8", "16", stored=True), "broker-1, while it runs: a 8 → 16"),
        (
            Given("16", "16", stored=False),
            "broker-1, while it runs: a 16, which its file says too: dynamic value removed",
        ),
        (Given("16", None, stored=False), "broker-1, while it runs: a 16 → unset"),
        (
            Given("16", "16", stored=True),
            "broker-1, while it runs: a 16, from now on by a dynamic value of its own",
        ),
    ],
)
def test_a_change_reads_as_a_sentence(change: Given, said: str) -> None:
    assert str(AlterBrokerConfig(1, "broker-1", {"a": change})) == said
