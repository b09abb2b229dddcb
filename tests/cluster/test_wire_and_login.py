"""Questions byte by byte and SCRAM by hand, against small servers in threads."""

from __future__ import annotations

import base64
import hashlib
import hmac
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kdeploy.cluster import login, refusals, wire
from kdeploy.cluster.failure import ClusterError, Unreachable

SALT, ROUNDS = b"0123456789abcdef", 4096


def frames(channel: socket.socket) -> Iterator[tuple[int, int, bytes]]:
    """Each request that arrives: API key, correlation id and body."""
    while size := channel.recv(4, socket.MSG_WAITALL):
        request = channel.recv(struct.unpack(">i", size)[0], socket.MSG_WAITALL)
        api, _, correlation, _ = struct.unpack_from(">hhih", request)
        yield api, correlation, request[10:]


def answer(channel: socket.socket, correlation: int, body: bytes) -> None:
    channel.sendall(struct.pack(">ii", len(body) + 4, correlation) + body)


def scram_broker(password: str, knows: bool = True, code: int = 58) -> Callable[[socket.socket], None]:
    """A broker that accepts one password; without `knows` it cannot prove that it has it."""
    salted = hashlib.pbkdf2_hmac("sha512", password.encode(), SALT, ROUNDS)

    def digest(key: bytes, text: str) -> bytes:
        return hmac.digest(key, text.encode(), "sha512")

    def serve(channel: socket.socket) -> None:
        bare = first = ""
        for api, correlation, body in frames(channel):
            if api == login.SASL_HANDSHAKE:
                answer(channel, correlation, struct.pack(">h", 0))
                continue
            said = body[4:].decode()
            if not bare:
                bare = said.removeprefix("n,,")
                nonce = bare.partition("r=")[2]
                first = f"r={nonce}server,s={base64.b64encode(SALT).decode()},i={ROUNDS}"
                token, error = first, 0
            else:
                without, _, proof = said.partition(",p=")
                proved = f"{bare},{first},{without}"
                key = digest(salted, "Client Key")
                mask = digest(hashlib.sha512(key).digest(), proved)
                right = bytes(a ^ b for a, b in zip(key, mask, strict=True))
                error = 0 if base64.b64decode(proof) == right else code
                verifier = digest(digest(salted, "Server Key" if knows else "No Key"), proved)
                token = "" if error else f"v={base64.b64encode(verifier).decode()}"
            data = token.encode()
            answer(
                channel, correlation, struct.pack(">hhi", error, -1, len(data)) + data + struct.pack(">q", 0)
            )

    return serve


@contextmanager
def served(serve: Callable[[socket.socket], None]) -> Iterator[socket.socket]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        thread = threading.Thread(target=serve, args=(theirs,))
        thread.start()
        try:
            yield ours
        finally:
            ours.shutdown(socket.SHUT_RDWR)
            thread.join(10)


@contextmanager
def listening(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    """A port on this machine, serving one connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def once() -> None:
            channel, _ = server.accept()
            with channel:
                serve(channel)

        thread = threading.Thread(target=once)
        thread.start()
        yield server.getsockname()[1]
        thread.join(10)


def test_the_right_password_is_accepted_and_a_wrong_one_is_not() -> None:
    for password, expected in (("right", True), ("wrong", False)):
        with served(scram_broker("right")) as channel:
            assert login._scram(channel, "alice", password) is expected


def test_a_broker_that_cannot_prove_the_password_is_not_believed() -> None:
    with (
        served(scram_broker("right", knows=False)) as channel,
        pytest.raises(ClusterError, match="did not prove"),
    ):
        login._scram(channel, "alice", "right")


def test_another_error_than_a_wrong_password_is_not_taken_for_one() -> None:
    with served(scram_broker("right", code=33)) as channel, pytest.raises(ClusterError, match="error 33"):
        login._scram(channel, "alice", "wrong")


@pytest.mark.parametrize("body", [b"", b"\0\0", b"\0\0\0\0\0\0\0\1\xff"])
def test_an_answer_that_is_none_of_kafkas_is_an_error_of_ours(body: bytes) -> None:
    def serve(channel: socket.socket) -> None:
        for _, correlation, _ in frames(channel):
            answer(channel, correlation, body)

    with listening(serve) as port, pytest.raises(ClusterError, match="the answer is not Kafka's"):
        login.accepted("127.0.0.1", port, None, "alice", "right", proxy=None)  # type: ignore[arg-type]


def metadata(channel: socket.socket) -> None:
    for _, correlation, _ in frames(channel):
        answer(channel, correlation, b"\0" * 20)


def nonsense(channel: socket.socket) -> None:
    channel.recv(1024)
    channel.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


def closes(channel: socket.socket) -> None:
    channel.recv(1024)


def kafka_port(name: str, port: int, *, guarded: bool = False) -> refusals.Port:
    return refusals.Port(name, refusals._kafka("127.0.0.1", port, None), guarded)


def test_a_port_that_answers_let_the_client_in() -> None:
    with listening(metadata) as port:
        found = refusals._try(kafka_port("broker-1 client", port), None)
    assert found == "broker-1 client let it in"


@pytest.mark.parametrize("serve", [nonsense, closes])
def test_a_port_that_closes_or_speaks_otherwise_refused_the_client(
    serve: Callable[[socket.socket], None],
) -> None:
    with listening(serve) as port:
        assert refusals._try(kafka_port("p", port), None) is None


def test_a_port_that_nobody_listens_on_proves_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    found = refusals._try(kafka_port("p", port), None)
    assert found == "p proves nothing: connection refused"
    guarded = kafka_port("p", port, guarded=True)
    assert refusals._try(guarded, None) is None, "unless a firewall keeps it for peers"


def test_a_port_that_a_firewall_should_have_kept_for_peers_is_found_out_when_it_answers() -> None:
    with listening(metadata) as port:
        guarded = kafka_port("broker-1 internal", port, guarded=True)
        assert refusals._try(guarded, None) == "broker-1 internal let it in"


def test_an_open_zookeeper_is_found_out() -> None:
    def serve(channel: socket.socket) -> None:
        assert channel.recv(1024).startswith(b"srvr")
        channel.sendall(b"Zookeeper version: 3.8.4\nMode: leader\n")

    with listening(serve) as port:
        found = refusals._try(
            refusals.Port("zookeeper-1", refusals._zookeeper("127.0.0.1", port, None)), None
        )
    assert found == "zookeeper-1 let it in"


@pytest.mark.parametrize(
    ("bootstrap", "expected"),
    [
        ("localhost:9092", (("localhost", 9092),)),
        ("a:1, b:2", (("a", 1), ("b", 2))),
        ("[::1]:9092", (("::1", 9092),)),
        ("", ()),
    ],
)
def test_bootstrap_servers_are_taken_apart(bootstrap: str, expected: tuple[tuple[str, int], ...]) -> None:
    assert wire.addresses(bootstrap) == expected


def test_missing_or_damaged_certificates_are_named_with_the_remedy(tmp_path: Path) -> None:
    damaged = tmp_path / "authority.pem"
    damaged.write_text("nothing")
    for file in (tmp_path / "absent.pem", damaged):
        with pytest.raises(ClusterError, match=r"(absent|authority)\.pem.*\n.*kdeploy up"):
            wire.context(file)


def test_nobody_to_log_in_at_is_unreachable_and_no_users_ask_nobody(tmp_path: Path) -> None:
    from kdeploy.cluster import Access

    access = Access("localhost:1", tmp_path / "no.pem", tmp_path / "no.pem", "localhost:1")
    assert login.logins(access, {}) == {}
    assert issubclass(Unreachable, ClusterError)


def test_the_error_of_a_topic_is_found_behind_the_brokers() -> None:
    text = struct.pack(">h", 5) + b"hello"
    brokers = struct.pack(">ii", 2, 1) + text + struct.pack(">i", 9092) + struct.pack(">h", -1)
    brokers += struct.pack(">i", 2) + text + struct.pack(">i", 9093) + text
    body = b"\0" * 4 + brokers + text + struct.pack(">i", 1) + struct.pack(">i", 1) + struct.pack(">h", 29)
    assert login._first_topic_error(body + b"rest") == 29


def test_the_listener_for_clients_outside_is_tried_as_those_for_clients_inside_are() -> None:
    from tests.tuning.places import KINDS, decided

    (cluster,) = decided(KINDS["outside"], 3)[0].clusters
    tried = refusals.ports(cluster, refusals.GUARDED, None)
    found = {one.name: one.guarded for one in tried if one.name.endswith("external")}
    assert found == {f"broker-{number} external": False for number in (1, 2, 3)}, (
        "no firewall keeps it from us"
    )
    (without,) = decided(KINDS["one"], 3)[0].clusters
    assert not any("external" in one.name for one in refusals.ports(without, refusals.GUARDED, None))
