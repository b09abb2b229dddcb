"""Records between two offsets, read from librdkafka's own stand-in for a broker: straight, and through a proxy."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from kdeploy.cluster import Access, logs, proxied
from kdeploy.cluster.failure import ClusterError
from kdeploy.cluster.state import LogRecord
from tests.cluster.test_through_a_proxy import Server
from tests.sockets import listening

AT = 1_764_230_400.5
COUNTS = {0: 200, 1: 3, 2: 0}


@pytest.fixture(scope="module")
def held() -> list[Producer]:
    return []


@pytest.fixture(scope="module")
def bootstrap(held: list[Producer]) -> str:
    """A broker in this process, with a topic of three partitions that hold as many records as `COUNTS` says."""
    producer = Producer({"test.mock.num.brokers": 1, "bootstrap.servers": "", "acks": "all", "log_level": 0})
    metadata = producer.list_topics(timeout=10)
    (broker,) = metadata.brokers.values()
    for partition, count in COUNTS.items():
        for number in range(count):
            producer.produce(
                "orders",
                str(number).encode() if number else None,
                b"k",
                partition,
                timestamp=round(AT * 1000) + number,
                headers=[("trace", b"1")] if number == 1 else None,
            )
    producer.flush(10)
    held.append(producer)  # the broker ends with it
    return f"{broker.host}:{broker.port}"


@pytest.fixture(params=["straight", "through a proxy"])
def access(
    request: pytest.FixtureRequest, bootstrap: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Access]:
    monkeypatch.setattr(logs, "administrator", lambda _: {"bootstrap.servers": bootstrap})
    pem = Path("none.pem")
    if request.param == "straight":
        yield Access(bootstrap, pem, pem, bootstrap)
        return
    # The stand-in answers a question for versions that it does not know in a form of its own.
    known = {"bootstrap_servers": [bootstrap], "api_version": (2, 1)}
    monkeypatch.setattr(proxied, "_settings", lambda _: known)
    host, _, port = bootstrap.partition(":")
    proxy = Server(known={host: int(port)})
    with listening(proxy.serve) as proxy.port:
        yield Access(bootstrap, pem, pem, bootstrap, proxy=proxy)
    assert proxy.asked, "it went through it"


def spans(**ends: tuple[int, int]) -> dict[tuple[str, int], tuple[int, int]]:
    return {("orders", int(name[1:])): span for name, span in ends.items()}


def offsets(found: Any) -> list[tuple[int, int]]:
    return sorted((one.partition, one.offset) for one in found)


def test_all_records_between_two_offsets_are_read_and_none_besides(access: Access) -> None:
    found = list(logs.each(access, spans(p0=(150, 190), p1=(0, 3), p2=(0, 0))))
    assert offsets(found) == [(0, number) for number in range(150, 190)] + [(1, 0), (1, 1), (1, 2)]
    one = next(one for one in found if one.place == ("orders", 1) and one.offset == 1)
    assert one == LogRecord("orders", 1, 1, AT + 0.001, False, b"k", b"1", (("trace", b"1"),))
    assert next(one for one in found if one.partition == 1).value is None


def test_the_first_record_of_each_span_is_found_and_an_empty_one_has_none(access: Access) -> None:
    found = logs.first(access, spans(p0=(20, 200), p1=(2, 3), p2=(0, 0)))
    assert {place: one.offset for place, one in found.items()} == {("orders", 0): 20, ("orders", 1): 2}


def test_the_last_record_of_each_span_is_found(access: Access) -> None:
    found = logs.last(access, spans(p0=(0, 200), p1=(0, 2), p2=(0, 0)))
    assert {place: one.offset for place, one in found.items()} == {("orders", 0): 199, ("orders", 1): 1}


def test_nothing_to_look_at_asks_nobody() -> None:
    nowhere = Access("localhost:1", Path("none.pem"), Path("none.pem"), "localhost:1")
    assert list(logs.each(nowhere, spans(p2=(5, 5)))) == []
    assert logs.first(nowhere, {}) == {}
    assert logs.last(nowhere, spans(p2=(5, 5))) == {}


def test_an_end_that_does_not_come_is_an_error_in_the_end() -> None:
    class Stuck:
        def look(self) -> list[LogRecord]:
            return []

        def reached(self, ends: object) -> set[tuple[str, int]]:
            return set()

        def enough(self, places: object) -> None:
            pass

    with pytest.raises(ClusterError, match=r"1 of 1 partitions were not read to their end .* orders-0"):
        list(logs._each(Stuck(), {("orders", 0): 5}, 0.01))


def test_where_nobody_answers_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "administrator", lambda _: {"bootstrap.servers": "localhost:1"})
    nowhere = Access("localhost:1", Path("none.pem"), Path("none.pem"), "localhost:1")
    with pytest.raises(ClusterError, match="not read to their end"):
        list(logs.each(nowhere, spans(p0=(0, 5)), patience=0.5))


def test_past_many_marks_the_last_record_is_looked_for_further_back(monkeypatch: pytest.MonkeyPatch) -> None:
    looked = []

    def each(_: object, near: Any, patience: float) -> Iterator[LogRecord]:
        looked.append(dict(near))
        for (topic, index), (start, end) in near.items():
            if start <= 1000 < end:
                yield LogRecord(topic, index, 1000, AT)

    monkeypatch.setattr(logs, "each", each)
    nowhere = Access("", Path("none.pem"), Path("none.pem"), "")
    found = logs.last(nowhere, spans(p0=(0, 1002), p1=(0, 3000), p2=(2990, 3000)))
    assert {place: one.offset for place, one in found.items()} == {("orders", 0): 1000, ("orders", 1): 1000}
    assert looked[1:] == [{("orders", 1): (0, 3000)}, {}]
