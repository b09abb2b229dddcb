"""Every connection to a cluster goes through the proxy, and names are for its far side."""

from __future__ import annotations

import errno
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from kdeploy.cluster import Access, client, listing, login, refusals, roundtrip, socks, wire
from kdeploy.cluster.failure import ClusterError
from kdeploy.cluster.kafka_connection import why_not
from kdeploy.errors import KdeployError
from tests.sockets import listening

NAME = "broker-1.inside.test"


@dataclass
class Server:
    """A SOCKS5 server that counts: it knows one name that nobody else does, and answers as it is told.

    Attributes:
        port: Where it listens.
        known: Ports by name or address; whatever else is asked for is refused.
        reply: What it answers (RFC 1928, section 6); None to close the connection in place of that, as OpenSSH does.
        asked: The kind of address, the address and the port of each request.
    """

    port: int = 0
    known: dict[str, int] = field(default_factory=dict)
    reply: int | None = 0
    asked: list[tuple[int, str, int]] = field(default_factory=list)

    def __call__(self) -> tuple[str, int]:
        return "127.0.0.1", self.port

    def serve(self, near: socket.socket) -> None:
        """One connection."""
        with near, suppress(OSError):
            greeting = near.recv(3)
            if not greeting:  # a client may give up before it said anything
                return
            assert greeting == b"\x05\x01\x00"
            near.sendall(b"\x05\x00")
            request = near.recv(4)
            if not request:
                return
            version, command, _, kind = request
            assert (version, command) == (5, 1)
            if kind == socks.NAME:
                address = near.recv(near.recv(1)[0]).decode()
            else:
                family, size = (socket.AF_INET, 4) if kind == socks.IPV4 else (socket.AF_INET6, 16)
                address = socket.inet_ntop(family, near.recv(size))
            (port,) = struct.unpack(">H", near.recv(2))
            self.asked.append((kind, address, port))
            if self.reply is None or (self.reply == 0 and address not in self.known):
                return
            near.sendall(bytes((5, self.reply, 0, 1)) + bytes(6))
            if self.reply == 0:
                self._carry(near, self.known[address])

    def _carry(self, near: socket.socket, port: int) -> None:
        with socket.create_connection(("127.0.0.1", port)) as far:
            thread = threading.Thread(target=pump, args=(far, near))
            thread.start()
            pump(near, far)
            thread.join()


def pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while part := source.recv(65536):
            target.sendall(part)
        target.shutdown(socket.SHUT_WR)


@pytest.fixture
def proxy() -> Iterator[Server]:
    made = Server()
    with listening(made.serve) as made.port:
        yield made


def metadata(channel: socket.socket) -> None:
    """A broker as far as it answers one question."""
    with channel, suppress(OSError):
        (size,) = struct.unpack(">i", channel.recv(4))
        request = channel.recv(size)
        channel.sendall(struct.pack(">i", 24) + request[4:8] + bytes(20))


@pytest.mark.parametrize(
    ("host", "kind", "said"),
    [
        (NAME, socks.NAME, NAME),
        ("10.0.0.7", socks.IPV4, "10.0.0.7"),
        ("fd00::7", socks.IPV6, "fd00::7"),
        ("bücher.test", socks.NAME, "xn--bcher-kva.test"),
    ],
)
def test_names_are_handed_on_as_they_are_and_addresses_as_addresses(
    proxy: Server, host: str, kind: int, said: str
) -> None:
    with listening(metadata) as port:
        proxy.known[said] = port
        wire.ask(host, 9094, None, proxy)
    assert proxy.asked == [(kind, said, 9094)]


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (None, errno.ECONNREFUSED),
        (1, None),
        (2, errno.EACCES),
        (3, errno.ENETUNREACH),
        (4, errno.EHOSTUNREACH),
        (5, errno.ECONNREFUSED),
        (6, errno.ETIMEDOUT),
        (8, None),
    ],
)
def test_a_refusal_of_the_far_side_is_what_it_would_be_from_near(
    proxy: Server, reply: int | None, error: int | None
) -> None:
    proxy.reply = reply
    with pytest.raises(OSError) as caught:  # noqa: PT011 - its number is what is looked at
        wire.ask(NAME, 9094, None, proxy)
    assert caught.value.errno == error


def test_what_is_no_proxy_is_said(proxy: Server) -> None:
    def other(channel: socket.socket) -> None:
        with channel:
            channel.recv(10)
            channel.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with listening(other) as port, pytest.raises(ConnectionError, match="not a SOCKS5 server"):
        wire.ask(NAME, 9094, None, lambda: ("127.0.0.1", port))
    with pytest.raises(OSError, match="too long"):
        wire.ask("x" * 256, 9094, None, proxy)


def test_a_proxy_that_has_gone_proves_nothing_of_who_is_behind_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        gone = probe.getsockname()
    asked = refusals._kafka(NAME, 9092, lambda: ("127.0.0.1", gone[1]))
    for guarded in (False, True):
        found = refusals._try(refusals.Port("p", asked, guarded), None)
        assert found == "p proves nothing: the SOCKS5 server does not answer (Connection refused)"


def no_proxy() -> tuple[str, int]:
    raise KdeployError("no connection to the brokers, which go over SSH")


ACCESS = Access(f"{NAME}:9094", Path("ca.pem"), Path("admin.pem"), f"{NAME}:9092", proxy=no_proxy)
SETTINGS = {"bootstrap.servers": f"{NAME}:9092"}

WAYS: dict[str, Callable[[], object]] = {
    "whether a broker answers": lambda: why_not(NAME, 9094, None, 1, no_proxy),  # type: ignore[arg-type]
    "a login": lambda: login.accepted(NAME, 9092, None, "u", "p", proxy=no_proxy),  # type: ignore[arg-type]
    "a question for a topic": lambda: login.topic_error(
        NAME,
        9092,
        None,  # type: ignore[arg-type]
        "u",
        "p",
        "t",
        proxy=no_proxy,
    ),
    "settings of topics": lambda: listing.topic_settings([(NAME, 9094)], None, no_proxy, ["t"]),  # type: ignore[arg-type]
    "sizes of topics": lambda: listing.stored_bytes((NAME, 9094), None, no_proxy, ["t"]),  # type: ignore[arg-type]
    "a refusal of a broker": lambda: refusals._try(
        refusals.Port("p", refusals._kafka(NAME, 9092, no_proxy)), None
    ),
    "a refusal of a ZooKeeper node": lambda: refusals._try(
        refusals.Port("p", refusals._zookeeper(NAME, 2182, no_proxy)), None
    ),
    "whether something speaks TLS": lambda: wire.speaks_tls(NAME, 9094, 1, no_proxy),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_where_there_is_no_way_nothing_is_tried_without_it(
    way: Callable[[], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    def straight(*_: object, **__: object) -> None:
        pytest.fail("it went straight there")

    monkeypatch.setattr(socket, "create_connection", straight)
    with pytest.raises(KdeployError, match="no connection to the brokers"):
        way()


RECORDS: dict[str, Callable[[Server], object]] = {
    "records written": lambda proxy: roundtrip.produce(SETTINGS, "t", 0, [b"x"], proxy),
    "records read": lambda proxy: roundtrip.consume(SETTINGS, "t", 0, 1, proxy),
}


@pytest.mark.parametrize("use", RECORDS.values(), ids=RECORDS)
def test_records_go_through_it_by_a_client_that_can(
    proxy: Server, use: Callable[[Server], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kdeploy.cluster.proxied.TIMEOUT", 0.5)
    with pytest.raises(ClusterError, match="was refused"):
        use(proxy)
    assert {one[:2] for one in proxy.asked} == {(socks.NAME, NAME)}


def test_a_proxy_that_comes_back_elsewhere_is_asked_anew_by_the_kafka_client() -> None:
    places = iter((("127.0.0.1", 1), ("127.0.0.1", 2)))
    url = client.way(lambda: next(places))
    factory = client.kafka().net.inet.KafkaNetSocket
    assert [factory(url)._proxy_addr[4] for _ in range(2)] == [("127.0.0.1", 1), ("127.0.0.1", 2)]


def test_one_proxy_has_one_way_and_none_goes_straight(proxy: Server) -> None:
    assert client.way(proxy) == client.way(proxy) != client.way(Server())
    assert client.way(None) == client.DIRECT


PACKAGE = Path(client.__file__).parents[1]


def having(*words: str) -> set[str]:
    """Modules that speak to clusters and have one of these words."""
    return {
        str(file.relative_to(PACKAGE))
        for room in ("cluster", "operations")
        for file in (PACKAGE / room).rglob("*.py")
        if any(word in file.read_text() for word in words)
    }


def test_connections_are_opened_where_a_proxy_is_asked_for() -> None:
    assert having("create_connection(", "socket.socket(", "get_server_certificate") == {
        "cluster/socks.py",
        "cluster/wire.py",
    }
    clients = having("KafkaAdminClient", "KafkaProducer", "KafkaConsumer")
    assert clients == having("way(access.proxy)", "way(proxy)"), "each gives kafka-python the way"
    librdkafka = having("from confluent_kafka import")
    assert librdkafka == {f"cluster/{name}.py" for name in ("canary", "compacted", "logs", "roundtrip")}
    assert librdkafka <= having("proxied."), "which knows no proxies"
