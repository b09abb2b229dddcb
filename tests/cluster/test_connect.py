"""Connect's REST interface against a worker of a few lines: what is sent, what comes back, and what goes wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from kdeploy.cluster import Proxy, connect, wire
from kdeploy.cluster.connect import Connect, Declined
from kdeploy.cluster.failure import AuthenticationFailed, ClusterError, TimedOut, Unreachable
from kdeploy.errors import KdeployError
from tests.cluster.connect_server import Certificates, Worker, serving
from tests.sockets import listening

CONFIG = {"connector.class": "org.apache.kafka.connect.mirror.MirrorSourceConnector", "tasks.max": "2"}
NAME = "eu-to-us-records"
PLACE = {"cluster": "eu", "partition": 0, "topic": "orders"}


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates.made(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def worker() -> Worker:
    return Worker()


@pytest.fixture
def port(worker: Worker, certificates: Certificates, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    monkeypatch.setattr(connect, "AGAIN_AFTER", 0.01)
    monkeypatch.setattr(connect, "SETTLES", 0.2)
    with serving(worker, certificates) as port:
        yield port


@pytest.fixture
def client(port: int, certificates: Certificates) -> Connect:
    return Connect(certificates.access, [("localhost", port)], patience=30)


def test_a_connector_is_made_looked_at_and_removed(client: Connect, worker: Worker) -> None:
    client.create(NAME, CONFIG)
    (found,) = client.connectors().values()
    assert (found.name, found.config, found.state, found.worker) == (NAME, CONFIG, "RUNNING", "mirror-1:8083")
    assert [(task.id, task.state, task.worker, task.trace) for task in found.tasks] == [
        (0, "RUNNING", "mirror-1:8083", ""),
        (1, "RUNNING", "mirror-1:8083", ""),
    ]
    assert found.runs
    client.delete(NAME)
    client.delete(NAME)
    assert client.connectors() == {}
    assert worker.asked[0] == ("POST", "/connectors", {"name": NAME, "config": CONFIG})


def test_one_that_is_made_at_rest_has_no_task_until_it_is_resumed(client: Connect, worker: Worker) -> None:
    client.create(NAME, CONFIG, stopped=True)
    assert worker.asked[0][2]["initial_state"] == "STOPPED"
    assert client.connectors()[NAME].rests
    client.resume(NAME)
    assert client.connectors()[NAME].runs
    client.pause(NAME)
    assert client.connectors()[NAME].state == "PAUSED"
    client.stop(NAME)
    assert client.connectors()[NAME].rests


def test_a_configuration_is_put_whole(client: Connect, worker: Worker) -> None:
    client.put(NAME, CONFIG)
    client.put(NAME, {**CONFIG, "tasks.max": "3"})
    assert len(client.connectors()[NAME].tasks) == 3


def test_what_failed_is_started_anew(client: Connect, worker: Worker) -> None:
    client.create(NAME, CONFIG)
    worker.fake.fail(NAME, 1, "org.apache.kafka.common.errors.SaslAuthenticationException: no\n\tat a.b.C\n")
    found = client.connectors()[NAME]
    assert found.failed
    assert not found.runs
    assert found.tasks[1].trace == "org.apache.kafka.common.errors.SaslAuthenticationException: no"
    client.restart_failed(NAME)
    assert client.connectors()[NAME].runs


def test_offsets_are_read_set_and_forgotten_where_the_connector_rests(
    client: Connect, worker: Worker
) -> None:
    client.create(NAME, CONFIG, stopped=True)
    assert client.offsets(NAME) == ()
    client.set_offsets(NAME, [(PLACE, {"offset": 41})])
    assert client.offsets(NAME) == ((PLACE, {"offset": 41}),)
    client.set_offsets(NAME, [(PLACE, None)])
    assert client.offsets(NAME) == ()
    client.set_offsets(NAME, [(PLACE, {"offset": 7})])
    client.forget_offsets(NAME)
    assert client.offsets(NAME) == ()
    asked = len(worker.asked)
    client.set_offsets(NAME, [])
    assert len(worker.asked) == asked, "an empty list is none to send: Connect refuses it"


def test_offsets_of_one_that_runs_are_refused_with_what_connect_says(client: Connect) -> None:
    client.create(NAME, CONFIG)
    with pytest.raises(
        Declined, match=f"refused to set the offsets of connector {NAME}: .*STOPPED"
    ) as caught:
        client.set_offsets(NAME, [(PLACE, {"offset": 1})])
    assert caught.value.status == 400
    assert "\n" not in str(caught.value)


def test_what_is_wrong_with_a_configuration_is_told_by_key(client: Connect, worker: Worker) -> None:
    worker.fake.invalid = {"tasks.max": ("Invalid value x for configuration tasks.max",)}
    assert client.validate(CONFIG) == worker.fake.invalid
    assert worker.asked[0][1].startswith(
        "/connector-plugins/org.apache.kafka.connect.mirror.MirrorSourceConnector/"
    )
    worker.fake.invalid = {}
    assert client.validate(CONFIG) == {}


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (409, "Cannot complete request momentarily due to stale configuration"),
        (503, "Worker is still starting up"),
        (500, "Request timed out. The worker is currently ensuring membership in the cluster"),
        (
            500,
            "Worker was unable to handle this request and may be unable to handle other requests. The worker is",
        ),
    ],
)
def test_what_passes_by_itself_is_waited_for(client: Connect, worker: Worker, status: int, said: str) -> None:
    worker.before = [(status, said)] * 3
    client.create(NAME, CONFIG)
    assert [method for method, _, _ in worker.asked] == ["POST"] * 4


def test_a_worker_that_has_not_heard_of_a_connector_is_asked_again_and_believed_in_the_end(
    client: Connect, worker: Worker
) -> None:
    worker.fake.create(NAME, CONFIG)
    worker.before = [(404, f"Unknown connector {NAME}")] * 2
    client.stop(NAME)
    assert len(worker.asked) == 3
    with pytest.raises(
        Declined, match=r"read the offsets of connector gone: .*Unknown connector gone"
    ) as caught:
        client.offsets("gone")
    assert caught.value.status == 404


def test_a_worker_that_starts_says_that_there_are_none_and_is_waited_for(
    client: Connect, worker: Worker
) -> None:
    worker.fake.create(NAME, CONFIG)
    worker.starting = 3
    assert list(client.connectors()) == [NAME]
    assert [path.partition("?")[0] for _, path, _ in worker.asked] == [
        "/connectors",
        "/health",
        "/health",
        "/health",
        "/connectors",
    ]


def test_a_worker_whose_server_has_no_page_yet_is_waited_for_and_does_not_serve(
    client: Connect, worker: Worker
) -> None:
    worker.fake.create(NAME, CONFIG)
    worker.before = [(404, "HTTP 404 Not Found")]
    (why,) = client.why_not().values()
    assert why == "HTTP 404 Not Found (HTTP 404)"
    worker.before = [(404, "Not Found"), (404, "HTTP 404 Not Found")]
    assert list(client.connectors()) == [NAME]


def test_a_rebalance_without_end_is_an_error_that_says_so(
    port: int, worker: Worker, certificates: Certificates
) -> None:
    worker.before = [(409, "a rebalance is expected")] * 1000
    with pytest.raises(TimedOut, match=r"could not stop connector x within 0.05 s: a rebalance is expected"):
        Connect(certificates.access, [("localhost", port)], patience=0.05).stop("x")


def test_one_that_exists_as_wanted_counts_as_made_and_another_does_not(
    client: Connect, worker: Worker
) -> None:
    worker.silent = 1
    client.create(NAME, CONFIG)  # the answer to the first request is lost, and the second finds it made
    assert [method for method, _, _ in worker.asked] == ["POST", "POST"]
    worker.before = [(409, f"Connector {NAME} already exists")]
    client.create(NAME, CONFIG)
    with pytest.raises(Declined, match="already exists"):
        client.create(NAME, {**CONFIG, "tasks.max": "9"})


def test_any_worker_that_answers_will_do_and_is_asked_first_then(
    port: int, worker: Worker, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker.fake.create(NAME, CONFIG)
    tried = []
    real = wire.connected

    def watched(host: str, to: int, *more: object) -> object:
        tried.append(to)
        return real(host, to, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(wire, "connected", watched)
    client = Connect(certificates.access, [("localhost", 1), ("localhost", port)], patience=30)
    client.stop(NAME)
    client.resume(NAME)
    assert tried == [1, port, port]
    found = client.why_not()
    assert found == {("localhost", 1): "connection refused", ("localhost", port): None}


def test_where_no_worker_answers_each_is_named_with_its_reason(certificates: Certificates) -> None:
    with pytest.raises(Unreachable) as caught:
        Connect(certificates.access, [("localhost", 1), ("localhost", 2)], patience=0).connectors()
    assert str(caught.value).splitlines()[:3] == [
        "no worker of Kafka Connect answers, to read the connectors",
        "  localhost:1: connection refused",
        "  localhost:2: connection refused",
    ]
    with pytest.raises(ClusterError, match="no worker"):
        Connect(certificates.access, [])


def test_a_stranger_is_not_let_in_and_is_told_so(port: int, certificates: Certificates) -> None:
    with pytest.raises(AuthenticationFailed, match="accepts the administrator's certificate"):
        Connect(certificates.stranger, [("localhost", port)], patience=0).connectors()


def test_what_is_not_connect_is_said(port: int, worker: Worker, certificates: Certificates) -> None:
    worker.before = [(502, "<html>Bad Gateway")]
    with pytest.raises(Declined, match=r"<html>Bad Gateway \(HTTP 502\)"):
        Connect(certificates.access, [("localhost", port)], patience=0).connectors()

    def closes(taken: object) -> None:
        taken.close()  # type: ignore[attr-defined]

    with listening(closes) as other, pytest.raises(ClusterError, match=f"localhost:{other}"):
        Connect(certificates.access, [("localhost", other)], patience=0).connectors()


def test_everything_goes_through_the_proxy(port: int, certificates: Certificates) -> None:
    def none() -> tuple[str, int]:
        raise KdeployError("no connection to the workers, which go over SSH")

    proxy: Proxy = none
    ways: list[Callable[[Connect], object]] = [Connect.connectors, Connect.why_not, lambda one: one.stop("x")]
    for way in ways:
        with pytest.raises(KdeployError, match="no connection to the workers"):
            way(Connect(replace(certificates.access, proxy=proxy), [("localhost", port)]))


def test_a_condition_is_waited_for_with_an_end(client: Connect, worker: Worker) -> None:
    client.create(NAME, CONFIG)
    assert client.wait("it runs", lambda found: found[NAME].runs, 30)[NAME].runs
    worker.fake.fail(NAME, 0, "java.lang.Broken: password=hunter2")
    with pytest.raises(TimedOut) as caught:
        client.wait("it rests", lambda found: found[NAME].rests, 0.02)
    assert str(caught.value).splitlines() == [
        "waited 0.02 s until it rests",
        f"  {NAME}: running; tasks 0 failed, 1 running",
        "    java.lang.Broken: password=(not shown)",
    ]


@pytest.mark.parametrize(
    "said",
    [
        "Invalid value hunter2 for configuration sasl.jaas.config",
        "Bad: ScramLoginModule required username='m' password='hunter2';",
        'Bad: ScramLoginModule required username="m" password="hunter2";',
        "ssl.key.password: hunter2",
        "a module\nrequired password=hunter2;\n at x",
    ],
)
def test_no_password_is_in_an_error(client: Connect, worker: Worker, said: str) -> None:
    worker.before = [(400, said)]
    secret = {**CONFIG, "source.cluster.sasl.jaas.config": "hunter2"}
    with pytest.raises(Declined) as caught:
        client.put(NAME, secret)
    assert "hunter2" not in str(caught.value)
    assert "(not shown)" in str(caught.value)


def test_files_that_are_missing_are_named(tmp_path: Path, certificates: Certificates) -> None:
    with pytest.raises(ClusterError, match=r"gone\.pem"):
        Connect(replace(certificates.access, certificate=tmp_path / "gone.pem"), [("localhost", 1)])
