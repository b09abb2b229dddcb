"""Answers of thousands of topics, read byte by byte; and requests that are not too large."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdeploy.cluster import batches, listing
from kdeploy.cluster.failure import ClusterError
from kdeploy.cluster.state import Binding, NewTopic


def text(value: str | None) -> bytes:
    if value is None:
        return struct.pack(">h", -1)
    return struct.pack(">h", len(value.encode())) + value.encode()


def entry(name: str, value: str | None, source: int) -> bytes:
    return text(name) + text(value) + struct.pack(">bbbi", 0, source, 0, 0)


def answer(*topics: tuple[str, int, tuple[bytes, ...]]) -> bytes:
    said = [
        struct.pack(">h", error) + text("why" if error else None) + b"\2" + text(name)
        + struct.pack(">i", len(entries)) + b"".join(entries)
        for name, error, entries in topics
    ]  # fmt: skip
    return struct.pack(">ii", 0, len(topics)) + b"".join(said)


def test_what_was_set_for_a_topic_itself_is_told_from_what_it_inherits() -> None:
    entries = (entry("retention.ms", "5", 1), entry("größe", None, 5), entry("cleanup.policy", "", 4))
    assert listing._read_settings(answer(("a", 0, entries), ("gone", 3, ()), ("b", 0, ()))) == {
        "a": {"retention.ms": ("5", True), "größe": (None, False), "cleanup.policy": ("", False)},
        "b": {},
    }


def test_settings_that_are_refused_are_an_error_with_the_clusters_words() -> None:
    with pytest.raises(ClusterError, match="settings of topic a: why"):
        listing._read_settings(answer(("a", 29, ())))


def test_sizes_of_the_topics_asked_for_are_added_up_over_all_folders() -> None:
    def folder(*topics: tuple[str, int]) -> bytes:
        held = b"".join(text(name) + struct.pack(">iiqqb", 1, 0, size, 0, 0) for name, size in topics)
        return struct.pack(">h", 0) + text("/data") + struct.pack(">i", len(topics)) + held

    body = struct.pack(">ii", 0, 2) + folder(("a", 5), ("b", 7)) + folder(("a", 2**40))
    assert listing._read_sizes(body, frozenset({"a"})) == 5 + 2**40


@given(st.lists(st.tuples(st.one_of(st.none(), st.integers(1, 5000)), st.integers(0, 9)), max_size=60))
def test_no_request_makes_more_records_than_a_controller_takes(sizes: list[tuple[int | None, int]]) -> None:
    topics = [
        NewTopic(str(number), count, 1, {str(one): "" for one in range(settings)})
        for number, (count, settings) in enumerate(sizes)
    ]
    made = list(batches.of_topics(topics))
    assert [one for batch in made for one in batch] == topics
    for batch in made:
        held = sum(1 + (one.partitions or batches.UNKNOWN_PARTITIONS) + len(one.config) for one in batch)
        assert held <= batches.RECORDS or len(batch) == 1


def test_denials_are_sent_before_what_allows() -> None:
    allow = Binding("a", "topic", "a", "literal", "read", "allow", "*")
    deny = Binding("z", "topic", "z", "literal", "read", "deny", "*")
    assert list(batches.of_bindings({allow, deny})) == [[deny, allow]]
    assert list(batches.of_bindings({allow, deny}, removing=True)) == [[allow, deny]]
    many = {Binding("a", "topic", str(one), "literal", "read", "allow", "*") for one in range(1200)}
    assert [len(one) for one in batches.of_bindings(many)] == [500, 500, 200]
