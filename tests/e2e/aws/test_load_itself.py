"""What is said of records and machines after a change under load: pure, no machine and no Kafka."""

from __future__ import annotations

import pytest

from tests.e2e.aws.load import hold, in_sync_before_each, turns
from tests.e2e.local.records import Ledger, compare


@pytest.mark.parametrize(
    ("looks", "went"),
    [
        ([""], ""),
        (["", "a", "", "b", ""], "ab"),
        (["", "a", "", "a", "", "b"], "ab"),
        (["a", "b"], "ab"),
        (["", "a", "ab", "b", ""], "ab"),
        (["", "ab", ""], "ab"),
        (["", "a", "", "b", "", "a"], "aba"),
    ],
)
def test_nodes_are_told_in_the_order_in_which_they_went_away(looks: list[str], went: str) -> None:
    assert turns([frozenset(one) for one in looks]) == list(went)


@pytest.mark.parametrize(
    ("seen", "holds"),
    [
        ([("", 3), ("a", 2), ("", 2), ("", 3), ("b", 2)], True),
        ([("", 3), ("", 2), ("a", 2), ("", 2), ("", 3), ("", 2), ("b", 2)], True),
        ([("", 3), ("a", 2), ("", 2), ("a", 2), ("", 2), ("", 3)], True),
        ([("", 3), ("a", 2), ("", None), ("", 2), ("b", 2)], False),
        ([("", 3), ("a", 2), ("ab", 1)], False),
        ([("", 3), ("a", 3), ("b", 3)], False),
        ([("a", 2)], False),
    ],
)
def test_each_node_goes_when_all_copies_are_in_sync_again_and_nobody_is_away(
    seen: list[tuple[str, int | None]], holds: bool
) -> None:
    assert in_sync_before_each([(frozenset(away), copies) for away, copies in seen], 3) is holds


@pytest.mark.parametrize(
    ("read", "consumed", "refused", "passes"),
    [
        ([0, 1, 2], [0, 1, 2], 0, True),
        ([0, 1, 2, 3], [0, 1, 2], 0, True),  # one that nobody heard of again
        ([0, 1, 2], [0, 1, 0, 1, 2], 0, True),  # given again, as consumers of a group may be
        ([0, 2], [0, 1, 2], 0, False),
        ([0, 2, 1], [0, 1, 2], 0, False),
        ([0, 1, 1, 2], [0, 1, 2], 0, False),
        ([0, 1, 2], [0, 2], 0, False),
        ([0, 1, 2], [0, 2, 1], 0, False),
        ([0, 1, 2], [0, 1, 2], 1, False),
    ],
)
def test_what_was_acknowledged_has_to_be_there_once_and_in_its_order(
    read: list[int], consumed: list[int], refused: int, passes: bool
) -> None:
    ledger = Ledger(refused=refused)
    ledger.acknowledged[0] = {0, 1, 2}
    whole = {index: list[int]() for index in ledger.acknowledged}
    checked, seen = compare(ledger, {**whole, 0: read}), compare(ledger, {**whole, 0: consumed})
    if passes:
        hold(ledger, checked, seen)
        return
    with pytest.raises(AssertionError, match="read back"):
        hold(ledger, checked, seen)
