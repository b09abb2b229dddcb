"""Names of what verify makes, and which of them a later verify may remove."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import replace

import pytest

from kdeploy.cluster import temporary
from kdeploy.cluster.fake import FakeAdmin
from kdeploy.cluster.state import Binding, Metadata, NewTopic
from kdeploy.cluster.temporary import (
    CLIENT,
    PREFIX,
    STRANGER,
    Names,
    abandoned,
    new_names,
    removed_after,
    sweep,
)

NOW = 1_800_000_000.0


def name(age: float = 0, machine: str = "aaaaaa", process: int = 77) -> str:
    return f"{PREFIX}{int(NOW - age):x}-{machine}-{process:x}-0f0f0f-records"


ROWS = (
    ("of a process that still runs here", name(process=1), False),
    ("of a process that has ended here", name(process=77), True),
    ("of another machine, young", name(machine="bbbbbb", process=77), False),
    ("of another machine, old", name(age=601, machine="bbbbbb", process=77), True),
    ("of a process that runs here, but old: the number was given out again", name(age=601, process=1), True),
    ("of somebody else", "orders", False),
    ("of somebody else, alike", "kdeploy-verify-orders", False),
    ("under the prefix, in another form", f"{PREFIX}mine", False),
    ("under the prefix, with nothing after it", PREFIX, False),
)


@pytest.mark.parametrize(("whose", "found", "expected"), ROWS, ids=[row[0] for row in ROWS])
def test_only_what_a_verify_left_that_no_longer_runs_is_abandoned(
    whose: str, found: str, expected: bool
) -> None:
    assert abandoned(found, NOW, "aaaaaa", lambda process: process == 1) is expected, whose


def test_names_are_allowed_as_topics_and_as_users_and_differ_between_runs() -> None:
    one, other = new_names(), new_names()
    for names in (one, other):
        for text in (names.records, names.defaults, CLIENT, STRANGER):
            assert re.fullmatch(r"[A-Za-z0-9._-]{1,64}", text)
    assert one.run != other.run


def fill(admin: FakeAdmin, names: Names) -> None:
    admin.create_topics([NewTopic(names.records), NewTopic(names.defaults)])
    admin.set_passwords({CLIENT: "x", STRANGER: "y"})
    admin.create_bindings([Binding(CLIENT, "topic", names.records, "literal", "all", "allow", "*")])
    admin.create_bindings([Binding("ANONYMOUS", "topic", names.records, "literal", "all", "allow", "*")])


def emptied(admin: FakeAdmin) -> bool:
    return not (admin.topics or admin.acls)


def test_a_run_removes_all_it_made_also_when_it_fails() -> None:
    admin, names = FakeAdmin(), new_names()

    def fail_halfway() -> None:
        with removed_after(admin, names):
            fill(admin, names)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_halfway()
    assert emptied(admin)


def test_no_user_is_ever_removed_since_a_broker_that_replays_that_may_forget_the_others() -> None:
    admin, names = FakeAdmin(), new_names()
    with removed_after(admin, names):
        fill(admin, names)
    sweep(admin)
    assert set(admin.passwords) == {CLIENT, STRANGER}
    assert "delete_users" not in admin.calls


def test_a_run_leaves_another_run_alone() -> None:
    admin, mine, theirs = FakeAdmin(), new_names(), new_names()
    fill(admin, theirs)
    with removed_after(admin, mine):
        fill(admin, mine)
        sweep(admin)
    assert set(admin.topics) == {theirs.records, theirs.defaults}
    assert len(admin.acls) == 2


def test_what_an_ended_process_left_is_swept_and_nothing_else() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True
    )
    dead, alive = int(ended.stdout), os.getpid()
    admin, mine = FakeAdmin(), new_names()
    assert f"-{alive:x}-" in mine.run
    fill(admin, Names(mine.run.replace(f"-{alive:x}-", f"-{dead:x}-")))
    admin.create_topics([NewTopic("orders")])
    sweep(admin)
    assert set(admin.topics) == {"orders"}
    assert not admin.acls


class Late(FakeAdmin):
    """A cluster whose first answers come from a broker that has not heard of new topics yet."""

    def __init__(self, answers: int) -> None:
        super().__init__()
        self.unaware = answers

    def metadata(self) -> Metadata:
        self.unaware -= 1
        return replace(super().metadata(), partitions=()) if self.unaware >= 0 else super().metadata()


def test_topics_that_the_asked_broker_has_not_heard_of_yet_are_removed_all_the_same() -> None:
    admin, names = Late(answers=9), new_names()
    with removed_after(admin, names):
        admin.create_topics([NewTopic(names.records), NewTopic(names.defaults)])
    assert emptied(admin)


def test_what_is_seen_after_its_removal_is_removed_again() -> None:
    admin, names = FakeAdmin(), new_names()
    fill(admin, names)
    assert temporary.remains(admin, names) == ()
    assert emptied(admin)


def test_what_cannot_be_removed_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(temporary, "GONE_IN", 0.0)
    admin, names = FakeAdmin(lost=["delete_topics"]), new_names()
    with removed_after(admin, names):
        fill(admin, names)
    assert temporary.remains(admin, names) == (names.defaults, names.records)
