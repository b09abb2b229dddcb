"""MirrorMaker's own records: read as they were written, and whatever else as nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdeploy.cluster.mirror_records import (
    Checkpoint,
    Heartbeat,
    OffsetSync,
    Reached,
    checkpoint,
    heartbeat,
    offset_sync,
    reached,
)
from tests.cluster import mirror_bytes

NAMES = st.text(max_size=40)
OFFSETS = st.integers(0, 2**63 - 1)


def test_a_heartbeat_as_kafka_writes_it() -> None:
    # Heartbeat("eu", "us", 1732694400123).recordKey() and recordValue(), byte by byte from Heartbeat.java.
    key = bytes.fromhex("0002 6575 0002 7573")
    value = bytes.fromhex("0000") + (1732694400123).to_bytes(8, "big")
    assert heartbeat(key, value) == Heartbeat("eu", "us", 1732694400.123)


def test_a_checkpoint_as_kafka_writes_it() -> None:
    key = bytes.fromhex("0001 67 0006") + b"orders" + bytes.fromhex("00000003")
    value = bytes.fromhex("0000 0000000000000064 000000000000005a 0000")
    assert checkpoint(key, value) == Checkpoint("g", "orders", 3, 100, 90)


def test_a_pair_of_offsets_as_kafka_writes_it() -> None:
    key = bytes.fromhex("0006") + b"orders" + bytes.fromhex("00000003")
    value = bytes.fromhex("0000000000000064 000000000000005a")
    assert offset_sync(key, value) == OffsetSync("orders", 3, 100, 90)


def test_how_far_a_connector_is_as_connect_writes_it() -> None:
    key = b'["east-to-west-records",{"cluster":"east","partition":3,"topic":"orders"}]'
    assert reached(key, b'{"offset":99}') == Reached("east-to-west-records", "orders", 3, 99)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (b'["east-to-west-records",{"cluster":"east","partition":3,"topic":"orders"}]', None),
        (b'["east-to-west-records",{"cluster":"east","partition":3,"topic":"orders"}]', b'{"offset":"99"}'),
        (b'["files",{"filename":"x"}]', b'{"position":1}'),
        (b'["one","two","three"]', b'{"offset":99}'),
        (b'[1,{"partition":3,"topic":"orders"}]', b'{"offset":99}'),
        (b"\xff\xfe", b"{}"),
        (None, None),
    ],
)
def test_what_another_connector_notes_is_not_taken_for_it(key: bytes | None, value: bytes | None) -> None:
    assert reached(key, value) is None


@given(NAMES, NAMES, st.integers(0, 2**40))
def test_heartbeats_come_back(source: str, target: str, milliseconds: int) -> None:
    found = heartbeat(*mirror_bytes.heartbeat(source, target, milliseconds / 1000))
    assert found == Heartbeat(source, target, milliseconds / 1000)


@given(NAMES, NAMES, st.integers(0, 2**31 - 1), OFFSETS, OFFSETS)
def test_checkpoints_and_pairs_come_back(group: str, topic: str, partition: int, up: int, down: int) -> None:
    written = mirror_bytes.checkpoint(group, topic, partition, up, down)
    assert checkpoint(*written) == Checkpoint(group, topic, partition, up, down)
    assert offset_sync(*mirror_bytes.sync(topic, partition, up, down)) == OffsetSync(
        topic, partition, up, down
    )


@given(st.none() | st.binary(max_size=30), st.none() | st.binary(max_size=30))
def test_other_bytes_are_none_or_say_what_they_are(key: bytes | None, value: bytes | None) -> None:
    beat = heartbeat(key, value)
    if beat is not None:
        assert key == mirror_bytes.heartbeat(beat.source, beat.target, 0)[0]
    point = checkpoint(key, value)
    if point is not None:
        assert key == mirror_bytes.checkpoint(point.group, point.topic, point.partition, 0, 0)[0]
    pair = offset_sync(key, value)
    if pair is not None:
        assert (key, value) == mirror_bytes.sync(pair.topic, pair.partition, pair.upstream, pair.downstream)


@pytest.mark.parametrize("cut", [1, 8])
def test_what_is_cut_short_is_longer_or_of_another_version_is_none(cut: int) -> None:
    key, value = mirror_bytes.checkpoint("g", "orders", 0, 1, 2)
    assert checkpoint(key, value[:-cut]) is None
    assert checkpoint(key[:-cut], value) is None
    assert checkpoint(key, value + b"\0") is None
    assert checkpoint(key, b"\0\1" + value[2:]) is None
    assert heartbeat(key, None) is None
    assert heartbeat(None, value) is None
