"""Options of the Java machine: a heap that fits, and a person's own in their place."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdeploy.errors import InvalidSetting
from kdeploy.spec.lock import Role
from kdeploy.tuning import jvm

GIB = 2**30
MIB = 2**20


@pytest.mark.parametrize(
    ("role", "memory", "share", "heap"),
    [
        ("broker", GIB, jvm.LOCAL_HEAP_SHARE, 512 * MIB),
        ("zookeeper", GIB / 2, jvm.LOCAL_HEAP_SHARE, 256 * MIB),
        ("broker", 8 * GIB, jvm.HEAP_SHARE, 2 * GIB),
        ("broker", 32 * GIB, jvm.HEAP_SHARE, 6 * GIB),
        ("controller", 64 * GIB, jvm.HEAP_SHARE, 4 * GIB),
    ],
)
def test_the_heap_is_a_share_of_memory_and_bounded(
    role: Role, memory: float, share: float, heap: int
) -> None:
    assert jvm.heap(role, memory, share) == heap


@given(st.sampled_from(["broker", "controller", "zookeeper"]), st.floats(2**27, 2**46), st.floats(1, 4))
def test_more_memory_never_means_less_heap(role: Role, memory: float, more: float) -> None:
    assert jvm.heap(role, memory, 0.25) <= jvm.heap(role, memory * more, 0.25) <= jvm.LARGEST_HEAP[role]


@pytest.mark.parametrize(("size", "regions"), [(512 * MIB, False), (4 * GIB, True)])
def test_large_regions_are_for_large_heaps(size: int, regions: bool) -> None:
    assert ("-XX:G1HeapRegionSize=16M" in jvm.memory_options(size)) == regions


@pytest.mark.parametrize(
    ("wanted", "result"),
    [
        (["-Xmx2g"], ["-Xms2g", "-Xmx2g", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20", "-Dx=1"]),
        (["-Xms1g", "-Xmx2g"], ["-Xms1g", "-Xmx2g", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20", "-Dx=1"]),
        (
            ["-Dx=2", "-Dy=3"],
            ["-Xms1m", "-Xmx1m", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20", "-Dx=2", "-Dy=3"],
        ),
        (
            ["-XX:MaxGCPauseMillis=50"],
            ["-Xms1m", "-Xmx1m", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=50", "-Dx=1"],
        ),
        (["-XX:+UseZGC"], ["-Xms1m", "-Xmx1m", "-XX:MaxGCPauseMillis=20", "-Dx=1", "-XX:+UseZGC"]),
    ],
)
def test_an_option_replaces_the_one_that_says_the_same(wanted: list[str], result: list[str]) -> None:
    decided = ["-Xms1m", "-Xmx1m", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20", "-Dx=1"]
    assert list(jvm.override(decided, wanted, "broker")) == result


@pytest.mark.parametrize("option", ["Xmx2g", "-Xmx2g -Xms2g", "-cp", "-classpath", "--class-path=x", "-jar"])
def test_what_is_not_one_option_or_would_replace_kafka_is_refused(option: str) -> None:
    with pytest.raises(InvalidSetting) as caught:
        jvm.override([], ["-Dx=1", option], "zookeeper")
    assert caught.value.path == ("overrides", "jvm", "zookeeper", 1)


def test_a_first_heap_without_a_largest_is_refused_before_java_does() -> None:
    with pytest.raises(
        InvalidSetting, match=r"overrides\.jvm\.broker: -Xms2g has no largest heap"
    ) as refused:
        jvm.override(["-Xms1m", "-Xmx1m"], ["-Xms2g"], "broker")
    assert refused.value.right == "add -Xmx2g, or more"
