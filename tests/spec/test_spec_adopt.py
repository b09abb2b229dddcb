"""What a cluster holds is put into a person's files, and nothing else in them is touched."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdeploy.spec import load
from kdeploy.spec.adopt import Add, CannotWrite, Remove, Set, save, written
from kdeploy.spec.source import parse

ENVIRONMENT = """\
# Ours.
durability:
  replication_factor: 3      # three racks

topics:
  - name: orders             # the shop's
    partitions: 6
    config: {retention.ms: 86400000,
      cleanup.policy: delete}

  - name: "payments"

users:
  - name: alice
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "shop"
    made.mkdir()
    (made / "environment.yaml").write_text(ENVIRONMENT)
    return made


ORDERS = {"name": "orders"}

ROWS: tuple[tuple[str, Set | Add, str, str], ...] = (
    (
        "a value",
        Set("topics", ORDERS, ("partitions",), 12),
        "    partitions: 6\n",
        "    partitions: 12\n",
    ),
    (
        "a value that was not there",
        Set("topics", {"name": "payments"}, ("config", "retention.ms"), 1000),
        '  - name: "payments"\n',
        '  - name: "payments"\n    config:\n      retention.ms: 1000\n',
    ),
    ("a value that goes", Set("topics", ORDERS, ("partitions",), None), "    partitions: 6\n", ""),
    (
        "a setting of the environment",
        Set(None, {}, ("durability", "replication_factor"), 2),
        "replication_factor: 3      # three racks",
        "replication_factor: 2      # three racks",
    ),
    (
        "a setting under what was not there",
        Set(None, {}, ("overrides", "broker", "num.io.threads"), 12),
        "  - name: alice\n",
        "  - name: alice\noverrides:\n  broker:\n    num.io.threads: 12\n",
    ),
)


@pytest.mark.parametrize(("what", "change", "old", "new"), ROWS, ids=[row[0] for row in ROWS])
def test_only_what_was_asked_for_is_another(
    folder: Path, what: str, change: Set | Add, old: str, new: str
) -> None:
    assert ENVIRONMENT.count(old) == 1
    assert written(folder, [change]) == {folder / "environment.yaml": ENVIRONMENT.replace(old, new)}, what


def test_a_value_among_lines_that_a_person_folded_keeps_all_else_that_is_said(folder: Path) -> None:
    (text,) = written(folder, [Set("topics", ORDERS, ("config", "retention.ms"), 7)]).values()
    said = parse(ENVIRONMENT, "").data
    said["topics"][0]["config"]["retention.ms"] = 7
    assert parse(text, "").data == said
    assert "# the shop's" in text


def test_what_is_added_goes_into_the_file_of_its_kind(folder: Path) -> None:
    (folder / "topics.yaml").write_text("topics:\n  - name: more\n")
    changes = [
        Add("topics", {"name": "new"}),
        Add("acls", {"user": "alice", "role": "consumer", "topics": ["new"]}),
        Set("topics", {"name": "more"}, ("partitions",), 2),
    ]
    assert written(folder, changes) == {
        folder / "topics.yaml": "topics:\n  - name: more\n    partitions: 2\n  - name: new\n",
        folder / "acls.yaml": "acls:\n  - user: alice\n    role: consumer\n    topics:\n      - new\n",
    }


def test_an_entry_is_told_from_others_by_all_that_names_it(folder: Path) -> None:
    text = "quotas:\n  - user: alice\n  - user: alice\n    client_id: app\n"
    (folder / "quotas.yaml").write_text(text)
    change = Set("quotas", {"user": "alice"}, ("request_percentage",), 50)
    (new,) = written(folder, [change]).values()
    assert new == text.replace("  - user: alice\n  -", "  - user: alice\n    request_percentage: 50\n  -")


def test_what_no_file_has_cannot_be_changed(folder: Path) -> None:
    with pytest.raises(CannotWrite, match=r"no file in .* has topics name gone\n  change it by hand"):
        written(folder, [Set("topics", {"name": "gone"}, ("partitions",), 2)])


def test_what_is_as_asked_already_is_not_written(folder: Path) -> None:
    assert written(folder, [Set("topics", ORDERS, ("partitions",), 6)]) == {}


def test_files_are_replaced_whole_and_nothing_is_left_beside_them(folder: Path) -> None:
    save(written(folder, [Add("users", {"name": "bob"}), Remove("topics", {"name": "orders"})]))
    assert [user.name for user in load.load(folder).environment.users] == ["alice", "bob"]
    assert [topic.name for topic in load.load(folder).environment.topics] == ["payments"]
    assert sorted(file.name for file in folder.iterdir()) == ["environment.yaml", "users.yaml"]


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["orders", "payments"]), st.sampled_from(["a.b", "c"]), st.integers(0, 99)),
        max_size=6,
    )
)
def test_any_run_of_changes_says_the_last_of_each(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[str, str, int]]
) -> None:
    folder = tmp_path_factory.mktemp("adopted")
    (folder / "environment.yaml").write_text(ENVIRONMENT)
    expected = parse(ENVIRONMENT, "").data
    for name, key, value in changes:
        (topic,) = (one for one in expected["topics"] if one["name"] == name)
        topic.setdefault("config", {})[key] = value
    save(written(folder, [Set("topics", {"name": n}, ("config", k), v) for n, k, v in changes]))
    assert parse((folder / "environment.yaml").read_text(), "").data == expected
