"""A question to a broker that is frozen ends; kafka-python by itself would wait for its TLS handshake for ever.

While brokers come and go it is asked again; a change is sent again only where it was never sent.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from kdeploy.cluster import kafka_connection
from kdeploy.cluster.failure import Unreachable, kafka
from kdeploy.cluster.kafka_connection import KafkaConnection, limit


@pytest.fixture
def client() -> Iterator[Any]:
    """A client of one broker, which takes connections, by its kernel, and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as frozen:
        made = kafka().net.compat.KafkaNetClient(
            bootstrap_servers=f"127.0.0.1:{frozen.getsockname()[1]}",
            security_protocol="SSL",
            ssl_context=ssl.create_default_context(),
            api_version=(3, 9),
        )
        yield made
        made.close()


@pytest.mark.timeout(30)
@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # kafka-python leaves the socket
def test_a_question_to_a_frozen_broker_ends_and_its_connection_is_given_up(client: Any) -> None:
    manager = client._manager
    limit(manager, 20, 0.3)
    (node,) = (broker.node_id for broker in manager.cluster.bootstrap_brokers())

    async def ask() -> object:
        return await manager.get_connection(node)

    with pytest.raises(kafka().errors.NodeNotReadyError, match=r"127\.0\.0\.1:\d+ does not answer"):
        manager.run(ask)
    assert manager._conns == {}
    assert manager.connection_delay(node) > 0


def test_a_question_ends_whatever_it_waits_for(client: Any) -> None:
    manager = client._manager
    limit(manager, 0.3)

    async def wait() -> object:
        return await kafka().future.Future()

    with pytest.raises(kafka().errors.KafkaTimeoutError, match="Timed out after 300 ms"):
        manager.run(wait)


def test_an_answer_and_a_refusal_come_through(client: Any) -> None:
    limit(client._manager, 30)

    async def answer(of: int) -> int:
        return of + 1

    async def refuse() -> None:
        raise ValueError("no")

    assert client._manager.run(answer, 41) == 42
    with pytest.raises(ValueError, match="no"):
        client._manager.run(refuse)


class Connection(KafkaConnection):
    """A connection that was made: how it asks and tells is looked at, not what."""

    def __init__(self) -> None:
        self._kafka = SimpleNamespace(_controller_id=7)


def failing(times: int, error: str) -> tuple[Callable[[], str], list[int]]:
    """Something to do that fails so often before it succeeds, and each try of it."""
    tries: list[int] = []

    def do() -> str:
        tries.append(len(tries))
        if len(tries) <= times:
            raise getattr(kafka().errors, error)(1)
        return "done"

    return do, tries


def test_a_question_is_asked_again_for_as_long_as_kafkas_own_administrator_asks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock()
    monkeypatch.setattr(kafka_connection, "time", clock)
    do, tries = failing(590, "NodeNotReadyError")
    assert Connection()._ask("read settings of broker 1", do) == "done"
    assert len(tries) == 591
    do, tries = failing(10_000, "NodeNotReadyError")
    with pytest.raises(
        Unreachable, match="lost the cluster while trying to read settings of broker 1: broker 1"
    ):
        Connection()._ask("read settings of broker 1", do)
    assert 590 < len(tries) < 610


def test_a_change_that_could_not_be_sent_is_sent_later_and_one_whose_answer_was_lost_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(kafka_connection, "time", Clock())
    connection = Connection()
    do, tries = failing(3, "NodeNotReadyError")
    assert connection._change("create topics", do) == "done"
    assert len(tries) == 4
    assert connection._kafka._controller_id is None
    do, tries = failing(1, "KafkaConnectionError")
    with pytest.raises(Unreachable):
        connection._change("create topics", do)
    assert len(tries) == 1


class Clock:
    """Time that passes where somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
