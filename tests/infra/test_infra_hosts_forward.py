"""Other protocols go to hosts over SSH alone: a real ssh to a real sshd, for real connections."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import pytest

from kdeploy.blueprint import ClusterBlueprint
from kdeploy.cluster import socks
from kdeploy.errors import KdeployError
from kdeploy.infra import Forwards
from kdeploy.infra.hosts import forward
from kdeploy.infra.hosts.forward import Forward
from kdeploy.infra.hosts.provider import HostsProvider
from kdeploy.infra.hosts.sources import Sources
from kdeploy.infra.hosts.ssh import Jump, Shell, Unreachable
from kdeploy.operations import site
from kdeploy.spec.model import Ssh
from tests import sshd
from tests.infra.nodes import node
from tests.sockets import listening

pytestmark = pytest.mark.skipif(sshd.missing() is not None, reason=str(sshd.missing()))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sshd.Server]:
    with sshd.serving(tmp_path_factory.mktemp("sshd") / "server") as one:
        yield one


def echo() -> AbstractContextManager[int]:
    """A port that says who came, and what it was told."""

    def serve(taken: socket.socket) -> None:
        with taken:
            taken.sendall(b"heard " + taken.recv(100))

    return listening(serve)


def said(proxy: Forward, host: str, port: int, words: bytes = b"hello") -> bytes:
    with socks.connect(proxy(), host, port, timeout=20) as channel:
        channel.sendall(words)
        parts = b""
        while part := channel.recv(100):
            parts += part
        return parts


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def opened(server: sshd.Server) -> Iterator[Forward]:
    made = Forward(server.shell(jump=server.jump), ["nobody.invalid"])
    yield made
    made.close()


def test_connections_are_made_from_where_the_forward_ends(opened: Forward, server: sshd.Server) -> None:
    before = server.log().count("Accepted publickey")
    with echo() as port:
        assert said(opened, "127.0.0.1", port) == b"heard hello"
        assert said(opened, "localhost", port, b"again") == b"heard again", "names are for the far side"
    assert opened() == opened(), "one forward serves a run"
    assert opened()[0] == "127.0.0.1"
    assert server.log().count("Accepted publickey") == before + 1


def test_a_port_that_nobody_listens_on_refuses_as_it_does_from_near(opened: Forward) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        closed = probe.getsockname()[1]
    for name in ("127.0.0.1", "nobody.invalid"):
        with pytest.raises(ConnectionRefusedError):
            said(opened, name, closed)


def test_hosts_behind_a_jump_host_run_programs(server: sshd.Server) -> None:
    """ssh hands its configuration on to the ssh of the jump host, which must not jump again."""
    shell = server.shell(jump=server.jump)
    assert shell.run(sshd.HOST, "print('done')") == "done\n"
    assert shell.run(sshd.JUMP, "print('the jump host itself')") == "the jump host itself\n"


def test_a_chain_of_jump_hosts_is_gone_through(server: sshd.Server) -> None:
    user = server.shell().settings.user
    shell = server.shell(jump=f"{user}@{server.jump},localhost:{server.port}")
    made = Forward(shell, [])
    try:
        with echo() as port:
            assert said(made, "127.0.0.1", port) == b"heard hello"
    finally:
        made.close()
    assert shell.run(sshd.HOST, "print('done')") == "done\n"


def test_a_forward_that_ended_is_opened_again(opened: Forward, server: sshd.Server) -> None:
    with echo() as port:
        assert said(opened, "127.0.0.1", port) == b"heard hello"
        first = opened._running
        assert first is not None
        server.cut()
        until(lambda: first.process.poll() is not None)
        assert said(opened, "127.0.0.1", port, b"still here") == b"heard still here"
        assert opened._running is not first


def test_a_closed_forward_leaves_nothing_behind(opened: Forward, server: sshd.Server) -> None:
    _, port = opened()
    opened.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5)
    until(lambda: not server.sessions())


INSTANCE = "i-0123456789abcdef0"

PROGRAM = """
import sys, time
from pathlib import Path
from kdeploy.infra.hosts.forward import through
from kdeploy.infra.hosts.ssh import Shell
from kdeploy.spec.model import Ssh
shell = Shell(Ssh.model_validate_json(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]))
print(through(shell, [])()[1], flush=True)
{end}
"""


@pytest.mark.parametrize("end", ["time.sleep(600)", "raise RuntimeError('failed')", ""])
def test_a_forward_ends_with_kdeploy_however_that_ends(server: sshd.Server, tmp_path: Path, end: str) -> None:
    settings = server.shell(jump=server.jump)
    run = subprocess.Popen(
        [
            *(sys.executable, "-c", PROGRAM.format(end=end)),
            *(settings.settings.model_dump_json(), str(settings.known), str(tmp_path / "own")),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert run.stdout is not None
    port = int(run.stdout.readline())
    if end.startswith("time"):
        assert forward._answers(port)
        run.send_signal(signal.SIGKILL)
    run.wait()
    run.stdout.close()
    until(lambda: not forward._answers(port))
    until(lambda: not server.sessions())


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"key": "/dev/null"}, "it does not let .* in: no key that is offered is accepted there"),
        ({"jump": "127.0.0.2:9"}, "nothing answers at its SSH port"),
        ({"jump": "nobody.invalid"}, "its name is not known here"),
    ],
)
def test_a_forward_that_cannot_be_opened_is_one_message(
    server: sshd.Server, settings: dict[str, str], why: str
) -> None:
    made = Forward(server.shell(**{"jump": server.jump, **settings}), [])
    with pytest.raises(Unreachable, match=why) as caught:
        made()
    assert len(str(caught.value).splitlines()) == 2, "what was tried, and why it failed"
    assert str(caught.value).startswith("no connection to the brokers, which go over SSH:\n")


def test_a_host_that_carries_nothing_further_is_named_with_the_remedy(tmp_path: Path) -> None:
    with sshd.serving(tmp_path / "closed", {"AllowTcpForwarding": "no"}) as server, echo() as port:
        made = Forward(server.shell(jump=server.jump), [])
        try:
            with pytest.raises(ConnectionRefusedError):
                said(made, "127.0.0.1", port)
            with pytest.raises(Unreachable, match=r"127\.0\.0\.2 lets SSH in.*\n.*AllowTcpForwarding"):
                made()
        finally:
            made.close()


def test_hosts_that_are_reached_straight_need_no_forward(server: sshd.Server) -> None:
    assert forward.through(server.shell(), ["127.0.0.1"]) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("bastion", Jump(None, "bastion", None)),
        ("me@bastion", Jump("me", "bastion", None)),
        ("me@bastion:2222", Jump("me", "bastion", 2222)),
        ("[::1]:2222", Jump(None, "::1", 2222)),
        ("fe80::1", Jump(None, "fe80::1", None)),
    ],
)
def test_a_jump_host_is_taken_apart(text: str, expected: Jump) -> None:
    assert Jump.read(text) == expected


@pytest.fixture
def aws(server: sshd.Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An `aws` that takes sessions with one instance to the sshd here; the file with what it was asked."""
    programs = sshd.fake_aws(tmp_path / "bin", INSTANCE, ("127.0.0.1", server.port))
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    return programs / "asked"


def by_ssm(server: sshd.Server, folder: Path, **instances: str) -> Shell:
    shell = server.shell(through="ssm")
    return Shell(
        shell.settings,
        shell.known,
        folder,
        instances={host.replace("_", "."): one for host, one in instances.items()},
        region="eu-west-1",
    )


def test_systems_manager_carries_programs_and_connections(
    server: sshd.Server, tmp_path: Path, aws: Path
) -> None:
    shell = by_ssm(server, tmp_path / "shell", broker_1=INSTANCE, broker_0="i-0aaaaaaaaaaaaaaaa")
    assert shell.run("broker.1", "print('done')") == "done\n"
    made = Forward(shell, ["broker.0", "broker.1"])
    try:
        with echo() as port:
            assert said(made, "127.0.0.1", port) == b"heard hello", "the first that is reached carries"
    finally:
        made.close()
    asked = (
        "ssm start-session --target {} --document-name AWS-StartSSHSession "
        f"--parameters portNumber={server.port} --region eu-west-1"
    )
    assert set(aws.read_text().splitlines()) == {
        asked.format(INSTANCE),
        asked.format("i-0aaaaaaaaaaaaaaaa"),
    }


@pytest.mark.usefixtures("aws")
def test_an_instance_that_systems_manager_does_not_reach_is_told_in_plain_words(
    server: sshd.Server, tmp_path: Path
) -> None:
    shell = by_ssm(server, tmp_path / "shell", broker_0="i-0aaaaaaaaaaaaaaaa")
    with pytest.raises(Unreachable, match=r"^broker\.0 cannot be reached: Systems Manager does not reach it"):
        shell.run("broker.0", "pass")
    with pytest.raises(Unreachable, match=r"broker\.1 cannot be reached: no instance of it is known"):
        shell.run("broker.1", "pass")
    dead = {f"broker-{number}": f"i-{number:017x}" for number in range(10, 30)}
    with pytest.raises(Unreachable) as caught:
        Forward(replace(shell, instances=dead), ["broker-1", *dead])()
    tried = [one.split(" cannot")[0].strip() for one in str(caught.value).splitlines()[1:]]
    assert tried == [f"broker-{number}" for number in range(10, 15)], "of those with a machine, a few"


@pytest.mark.parametrize(("there", "lacks"), [((), "aws"), (("aws",), "session-manager-plugin")])
def test_a_missing_program_of_systems_manager_is_named_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: tuple[str, ...], lacks: str
) -> None:
    for program in there:
        (tmp_path / program).write_text("#!/bin/sh\n")
        (tmp_path / program).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    shell = Shell(Ssh(through="ssm"), tmp_path / "known", tmp_path / "shell")
    with pytest.raises(KdeployError, match=rf"needs `{lacks}`, which is not on this machine\n  install"):
        shell.run("broker-1", "pass")


def provider_with(shell: Shell) -> HostsProvider:
    return HostsProvider(
        Sources(
            shells={"dc1": shell},
            play=lambda part, given: pytest.fail("nothing is to be played"),
            jars=lambda version: (),
            cache=Path(),
            private=Path(),
            tell=lambda what, words: None,
            disk_sizes={},
        )
    )


NODES = (
    node("zookeeper-1", role="zookeeper", host="10.0.0.1", ports={"secure": 2182}),
    node("broker-1", host="10.0.0.2", ports={"admin": 9094, "client": 9092}),
)
CLUSTER = ClusterBlueprint("dc1", "hosts", "zookeeper", "3.9.2", None, NODES)


def test_a_provider_has_one_way_to_a_cluster_for_the_whole_run(server: sshd.Server) -> None:
    shell = server.shell(jump=server.jump)
    first, second = (provider_with(shell).proxy(CLUSTER) for _ in range(2))
    try:
        assert isinstance(provider_with(shell), Forwards)
        assert first is second is not None
        assert first.hosts == ("10.0.0.2", "10.0.0.1"), "brokers first"
        assert first._running is None, "nothing is opened before it is needed"
    finally:
        forward.close_all()
    assert provider_with(server.shell()).proxy(CLUSTER) is None


def test_machines_that_are_made_later_are_gone_through_too(
    server: sshd.Server, tmp_path: Path, aws: Path
) -> None:
    """As when AWS has none yet when a run begins."""
    before = by_ssm(server, tmp_path / "shell")
    proxy = provider_with(before).proxy(CLUSTER)
    assert proxy is not None
    try:
        with pytest.raises(Unreachable, match="no instance of it is known"):
            proxy()
        provider_with(replace(before, instances={"10.0.0.2": INSTANCE})).proxy(CLUSTER)
        with echo() as port:
            assert said(proxy, "127.0.0.1", port) == b"heard hello"
    finally:
        forward.close_all()
    assert aws.read_text().count("start-session") == 1


def test_addresses_stay_the_brokers_own(tmp_path: Path) -> None:
    access = site.access(CLUSTER, tmp_path, lambda: ("127.0.0.1", 1))
    assert (access.bootstrap, access.client_bootstrap) == ("10.0.0.2:9094", "10.0.0.2:9092")
