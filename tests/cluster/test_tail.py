"""The unmirrored tail: counted exactly, exported whole, and taken up again wherever it ended."""

from __future__ import annotations

import json
import tempfile
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdeploy.cluster import tail
from kdeploy.cluster.failure import ClusterError
from kdeploy.cluster.fake import FakeAdmin
from kdeploy.cluster.state import LogRecord, NewTopic, Spans


def cluster(
    logs: dict[tuple[str, int], list[int]], ends: dict[tuple[str, int], int] | None = None
) -> FakeAdmin:
    """Partitions with records at some offsets."""
    admin = FakeAdmin()
    for topic in sorted({topic for topic, _ in logs}):
        partitions = 1 + max(index for name, index in logs if name == topic)
        admin.create_topics([NewTopic(topic, partitions, 3)])
    for (topic, index), offsets in logs.items():
        admin.logs[topic, index] = [
            LogRecord(
                topic,
                index,
                at,
                1_764_230_400.123 + at,
                False,
                b"k",
                b"v%d" % at,
                (("h", b"\xff"), ("n", None)),
            )
            for at in offsets
        ]
    admin.ends = dict(ends or {})
    return admin


ADMIN = {("orders", 0): [0, 1, 2, 5, 6, 9], ("orders", 1): [4], ("users", 0): []}
ENDS = {("orders", 0): 12}
MIRRORED = {"orders": {0: 2, 1: 0}, "users": {0: 0}}


def read(folder: Path) -> dict[str, list[int]]:
    return {
        file.name: [json.loads(line)["offset"] for line in file.read_text().splitlines()]
        for file in sorted(folder.glob("*.jsonl"))
    }


def test_records_count_and_marks_and_holes_do_not() -> None:
    found = tail.count(cluster(ADMIN, ENDS), MIRRORED)
    assert found.records == 5
    assert [(one.topic, one.partition, one.start, one.end, one.records) for one in found.partitions] == [
        ("orders", 0, 2, 12, 4),
        ("orders", 1, 0, 5, 1),
    ]


def test_what_is_mirrored_or_not_asked_for_is_no_tail() -> None:
    admin = cluster(ADMIN, ENDS)
    assert tail.count(admin, {"orders": {0: 12, 1: 99}, "gone": {0: 0}}).partitions == ()
    assert tail.count(admin, {}).records == 0


def test_what_the_cluster_deleted_itself_is_told() -> None:
    admin = cluster({("orders", 0): [7, 8]})
    assert tail.count(admin, {"orders": {0: 5}}).expired == 2
    assert tail.count(admin, {"orders": {0: 0}}).expired == 0, "nobody knows what was there before"


def test_it_is_exported_a_line_for_each_record_with_all_that_is_in_it(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    found = tail.export(cluster(ADMIN, ENDS), MIRRORED, folder)
    assert found.records == 5
    assert read(folder) == {"orders-0.jsonl": [2, 5, 6, 9], "orders-1.jsonl": [4]}
    one = json.loads((folder / "orders-1.jsonl").read_text())
    assert (one["timestamp"], b64decode(one["key"]), b64decode(one["value"])) == (
        1_764_230_404_123,
        b"k",
        b"v4",
    )
    assert [(name, held and b64decode(held)) for name, held in one["headers"]] == [
        ("h", b"\xff"),
        ("n", None),
    ]
    assert json.loads((folder / "tail.json").read_text()) == json.loads(json.dumps(found.to_json()))
    assert {file.stat().st_mode & 0o777 for file in folder.iterdir()} == {0o600}
    assert not list(folder.glob("*.part"))


def test_again_it_reads_nothing_that_is_there(tmp_path: Path) -> None:
    class Watched(FakeAdmin):
        def records(self, spans: Spans) -> Iterator[LogRecord]:
            seen.update(spans)
            return super().records(spans)

    seen: dict[tuple[str, int], tuple[int, int]] = {}
    admin = cluster(ADMIN, ENDS)
    before = tail.export(admin, MIRRORED, tmp_path)
    admin.__class__ = Watched
    assert tail.export(admin, MIRRORED, tmp_path) == before
    assert seen == {("orders", 0): (10, 12), ("orders", 1): (5, 5)}
    assert read(tmp_path) == {"orders-0.jsonl": [2, 5, 6, 9], "orders-1.jsonl": [4]}


def test_what_grew_since_is_added(tmp_path: Path) -> None:
    admin = cluster(ADMIN, ENDS)
    tail.export(admin, MIRRORED, tmp_path)
    more = cluster({**ADMIN, ("orders", 0): [*ADMIN["orders", 0], 13], ("users", 0): [0]})
    assert tail.export(more, MIRRORED, tmp_path).records == 7
    assert read(tmp_path) == {
        "orders-0.jsonl": [2, 5, 6, 9, 13],
        "orders-1.jsonl": [4],
        "users-0.jsonl": [0],
    }


def test_what_was_exported_before_the_cluster_deleted_it_stays_and_is_not_expired(tmp_path: Path) -> None:
    tail.export(cluster(ADMIN, ENDS), MIRRORED, tmp_path)
    later = cluster({**ADMIN, ("orders", 0): [13, 14]})
    found = tail.export(later, MIRRORED, tmp_path)
    assert read(tmp_path)["orders-0.jsonl"] == [2, 5, 6, 9, 13, 14]
    assert found.partitions[0].records == 6
    assert found.expired == 3, "10 to 12 may have been records, and nobody read them"


class Killed(Exception):
    pass


class Dying(FakeAdmin):
    """Dies before so many records."""

    lives = 0

    def records(self, spans: Spans) -> Iterator[LogRecord]:
        for number, one in enumerate(super().records(spans)):
            if number == self.lives:
                raise Killed
            yield one


LOGS = st.dictionaries(
    st.tuples(st.sampled_from(["a", "a-0", "b"]), st.integers(0, 2)),
    st.sets(st.integers(0, 30), max_size=10).map(sorted),
    min_size=1,
)


@given(LOGS, st.lists(st.integers(0, 20), max_size=3), st.integers(0, 40), st.integers(0, 31))
def test_killed_and_run_again_it_has_each_record_once(
    logs: dict[tuple[str, int], list[int]], deaths: list[int], cut: int, start: int
) -> None:
    mirrored = {topic: dict.fromkeys(range(3), start) for topic in ("a", "a-0", "b")}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for lives in deaths:
            admin: Any = cluster(logs)
            admin.__class__ = Dying
            admin.lives = lives
            try:
                tail.export(admin, mirrored, folder)
            except Killed:
                for part in folder.glob("*.jsonl.part"):  # not all of the last line reached the disk
                    held = part.read_bytes()
                    part.write_bytes(held[: max(0, len(held) - cut)])
        found = tail.export(cluster(logs), mirrored, folder)
        wanted = {
            f"{topic}-{index}.jsonl": [at for at in offsets if at >= start]
            for (topic, index), offsets in logs.items()
            if any(at >= start for at in offsets)
        }
        assert read(folder) == wanted
        assert found.records == sum(map(len, wanted.values()))
        assert not list(folder.glob("*.part"))


def test_a_folder_with_another_export_or_with_something_else_is_left_as_it_is(tmp_path: Path) -> None:
    admin = cluster(ADMIN, ENDS)
    tail.export(admin, MIRRORED, tmp_path)
    with pytest.raises(ClusterError, match=r"from other offsets on\n  they may be all that there is of them"):
        tail.export(admin, {**MIRRORED, "orders": {0: 5, 1: 0}}, tmp_path)
    (tmp_path / "tail.json").unlink()
    with pytest.raises(ClusterError, match=r"holds orders-0\.jsonl and no tail\.json"):
        tail.export(admin, MIRRORED, tmp_path)
    (tmp_path / "tail.json").write_text("{}")
    with pytest.raises(ClusterError, match="another cluster"):
        tail.export(admin, MIRRORED, tmp_path)
    assert read(tmp_path)["orders-0.jsonl"] == [2, 5, 6, 9]


def test_a_folder_that_cannot_be_is_said_plainly(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(
        ClusterError, match=r"cannot write unmirrored records to .*file.*: (not a dir|file exists)"
    ):
        tail.export(cluster(ADMIN), MIRRORED, file)


def test_how_far_it_is_is_told_over_all_partitions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail, "TOLD_EACH", 1)
    monkeypatch.setattr(tail, "AT_ONCE", 1)
    told: list[int] = []
    tail.export(cluster(ADMIN, ENDS), MIRRORED, tmp_path, told.append)
    assert told == [1, 2, 3, 4, 5]
    told.clear()
    tail.count(cluster(ADMIN, ENDS), MIRRORED, told.append)
    assert told == [1, 2, 3, 4, 5]
