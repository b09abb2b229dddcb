"""A question to a broker that is frozen ends; kafka-python by itself would wait for its TLS handshake for ever."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from typing import Any

import pytest

from kdeploy.cluster.failure import kafka
from kdeploy.cluster.kafka_connection import limit


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
    limit(manager, 0.3)
    (node,) = (broker.node_id for broker in manager.cluster.bootstrap_brokers())

    async def ask() -> object:
        return await manager.get_connection(node)

    with pytest.raises(kafka().errors.KafkaTimeoutError):
        manager.run(ask)
    assert manager._conns == {}
    assert manager.connection_delay(node) > 0


def test_an_answer_and_a_refusal_come_through(client: Any) -> None:
    limit(client._manager, 30)

    async def answer(of: int) -> int:
        return of + 1

    async def refuse() -> None:
        raise ValueError("no")

    assert client._manager.run(answer, 41) == 42
    with pytest.raises(ValueError, match="no"):
        client._manager.run(refuse)
