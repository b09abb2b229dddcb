"""The line between two datacenters is what it says: first its parts, then real sockets over it, where this machine can."""

from __future__ import annotations

import os
import random
import socket
import subprocess
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fleet import over_line, wan
from tests.fleet.over_line import EAST, connected, echo, line, received
from tests.fleet.wan import Shape, Way

PORT = 7000
"""A port that nobody listens on."""


def test_a_packet_takes_half_the_round_trip() -> None:
    way = Way(Shape(round_trip=0.08), random.Random(1))
    way.take(b"one", 10.0)
    way.take(b"two", 10.01)
    assert way.due() == pytest.approx(10.04)
    assert list(way.give(10.039)) == []
    assert list(way.give(10.045)) == [b"one"]
    assert list(way.give(11)) == [b"two"]
    assert (way.passed, way.dropped, way.due()) == (2, 0, None)


def test_packets_wait_for_their_turn_and_are_lost_where_there_is_no_room() -> None:
    way = Way(Shape(rate=1000, queue=300), random.Random(1))
    for _ in range(5):
        way.take(b"x" * 100, 0.0)
    assert way.dropped == 2
    arrived = [at for at in range(60) if list(way.give(at / 100 + 0.005))]
    assert arrived == [10, 20, 30]


def test_a_cut_loses_what_is_on_its_way_and_lets_nothing_through() -> None:
    way = Way(Shape(round_trip=1.0), random.Random(1))
    way.take(b"before", 0.0)
    way.cut()
    way.take(b"meanwhile", 0.1)
    way.mend()
    way.take(b"after", 0.2)
    assert list(way.give(9)) == [b"after"]
    assert way.dropped == 2


@given(
    st.lists(st.tuples(st.floats(0, 1), st.integers(1, 1500)), max_size=60),
    st.floats(0, 0.5),
    st.none() | st.floats(1000, 1e6),
    st.lists(st.floats(0, 0.5), max_size=3),
)
def test_each_packet_arrives_once_in_order_not_before_its_time_or_is_counted_as_lost(
    sent: list[tuple[float, int]], loss: float, rate: float | None, trips: list[float]
) -> None:
    way = Way(Shape(0.2, loss, rate), random.Random(3))
    now, given_away = 0.0, []
    for number, (pause, size) in enumerate(sent):
        now += pause
        if trips and number == len(sent) // 2:
            way.shape = Shape(trips[0], loss, rate)
        way.take(number.to_bytes(2, "big") * size, now)
        given_away += [int.from_bytes(one[:2], "big") for one in way.give(now)]
    given_away += [int.from_bytes(one[:2], "big") for one in way.give(1e9)]
    assert given_away == sorted(set(given_away))
    assert len(given_away) == way.passed
    assert way.passed + way.dropped == len(sent)


@pytest.fixture
def names() -> Iterator[tuple[str, str]]:
    problem = wan.lacking()
    if problem:
        pytest.skip(problem)
    with over_line.namespaces(f"kd-w{os.getpid()}", f"kd-e{os.getpid()}") as made:
        yield made


def test_a_question_over_it_takes_the_round_trip(names: tuple[str, str]) -> None:
    with line(names, Shape(round_trip=0.08)) as made:
        assert min(echo(names)) >= 0.08
        made.become(Shape(round_trip=0.2))
        assert min(echo(names)) >= 0.2


def test_a_connection_with_a_small_buffer_gets_no_more_than_it_holds_each_round_trip(
    names: tuple[str, str],
) -> None:
    with line(names, Shape(round_trip=0.08)):
        small = received(names, 2**21, 65536)
        # The kernel doubles what is asked for, and tells the other side of no more than that.
        assert small <= 2 * 65536 / 0.08
        assert received(names, 2**23) > small


def test_nothing_gets_faster_through_than_its_rate(names: tuple[str, str]) -> None:
    with line(names, Shape(round_trip=0.01, rate=1e6)):
        assert received(names, 2**21) <= 1e6


def test_what_it_loses_is_sent_again_by_tcp_and_arrives_as_it_was(names: tuple[str, str]) -> None:
    with line(names, Shape(round_trip=0.02, loss=0.02)) as made:
        received(names, 2**20)
        there, back = made.counted()
        assert min(there["dropped"], back["dropped"]) > 0


def test_so_many_packets_are_lost_as_it_says(names: tuple[str, str]) -> None:
    west, _ = names
    with line(names, Shape(loss=0.1)) as made, over_line.opened(west, socket.SOCK_DGRAM) as client:
        for _ in range(40):
            for _ in range(50):
                client.sendto(b"x", (EAST, PORT))
            time.sleep(0.002)
        deadline = time.monotonic() + 30
        while sum(made.counted()[0].values()) < 2000 and time.monotonic() < deadline:
            time.sleep(0.05)
        there, _ = made.counted()
    assert there["passed"] + there["dropped"] == 2000
    assert 120 <= there["dropped"] <= 280  # 200 are expected, and 6 deviations are 80


def test_a_cut_stops_everything_and_a_mended_line_goes_on(names: tuple[str, str]) -> None:
    with line(names, Shape(round_trip=0.01)) as made:
        client, other = connected(names)
        with client, other:
            made.cut()
            before = made.counted()
            client.sendall(b"held up")
            other.settimeout(0.5)
            with pytest.raises(TimeoutError):
                other.recv(10)
            after = made.counted()
            assert [one["passed"] for one in after] == [one["passed"] for one in before]
            made.mend()
            other.settimeout(60)
            assert other.recv(10) == b"held up"


def test_nothing_is_left_of_it(names: tuple[str, str]) -> None:
    west, _ = names
    line(names, Shape()).close()
    shown = subprocess.run(
        ["ip", "-n", west, "-o", "link"], capture_output=True, text=True, check=True
    ).stdout
    assert west not in shown
