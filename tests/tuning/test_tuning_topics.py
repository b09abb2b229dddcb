"""What a topic inherits when nobody says otherwise."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdeploy.spec.model import Workload
from kdeploy.tuning import topics
from kdeploy.tuning.definitions import definitions
from tests.tuning.builders import environment

DAY = 86400.0


def workload(**fields: object) -> Workload:
    return Workload.model_validate(fields)


@pytest.mark.parametrize(
    ("retention", "roll"), [("60s", 600.0), ("1d", DAY / 10), ("7d", 0.7 * DAY), ("365d", 7 * DAY)]
)
def test_a_segment_closes_within_a_tenth_of_the_retention(retention: str, roll: float) -> None:
    assert topics.roll(workload(retention=retention)) == pytest.approx(roll)


@pytest.mark.parametrize(
    ("fields", "partitions", "size"),
    [
        ({"throughput": "100MB/s", "retention": "7d"}, 100, 2**30),
        ({"throughput": "1MB/s", "retention": "1h"}, 100, 2**27),
        ({"throughput": "100MB/s", "retention": "7d", "retention_bytes": "4GiB"}, 100, 2**28),
    ],
)
def test_a_segment_is_a_tenth_of_what_a_partition_keeps(
    fields: dict[str, object], partitions: int, size: int
) -> None:
    assert topics.segment_bytes(workload(**fields), partitions) == size


@given(st.floats(1, 1e11), st.floats(1, 3e9), st.integers(1, 10**6))
def test_a_segment_is_a_power_of_two_within_its_bounds(
    rate: float, retention: float, partitions: int
) -> None:
    load = workload(throughput=f"{rate}B/s", retention=f"{retention}s")
    size = topics.segment_bytes(load, partitions)
    assert topics.LEAST_SEGMENT_BYTES <= size <= topics.SEGMENT_BYTES
    assert math.log2(size).is_integer()


@pytest.mark.parametrize(("declared", "partitions"), [(None, 6), (4, 4), (1000, 6)])
def test_a_topic_without_a_number_gets_no_more_partitions_than_declared(
    declared: int | None, partitions: int
) -> None:
    assert topics.default_partitions(environment(workload={"partitions": declared})) == partitions


@pytest.mark.parametrize(
    ("size", "largest", "request_"),
    [("1kB", None, 104_857_600), ("1MiB", "2097152", 104_857_600), ("400MiB", "838860800", 839_909_376)],
)
def test_large_records_get_room_at_every_limit_they_meet(
    size: str, largest: str | None, request_: int
) -> None:
    load = workload(message_size=size)
    assert topics._large_messages(load).get("message.max.bytes") == largest
    assert topics.request_bytes(load) == request_


@pytest.mark.parametrize(
    ("name", "inherited"),
    [
        ("num.partitions", True),
        ("log.segment.bytes", True),
        ("min.insync.replicas", True),
        ("compression.type", True),
        ("message.max.bytes", True),
        ("num.io.threads", False),
        ("listeners", False),
    ],
)
def test_what_topics_inherit_is_known(name: str, inherited: bool) -> None:
    assert topics.is_inherited(name, definitions("4.3.1")) == inherited
