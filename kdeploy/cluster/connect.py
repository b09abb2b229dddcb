"""Kafka Connect's REST interface, over mutual TLS: connectors, their states, and how far they are.

    any worker that answers → 409, a rebalance: asked again, with an end → an answer, or one clear error

A worker that is not the leader hands a request on by itself, so any of them will do. Everything that is sent can
be sent again: configurations, states and offsets are given whole, and a connector that is there already with the
configuration that it was to be made with was made by the request whose answer was lost.

Invariant: every wait ends; no password is in an error or a value (`without_secrets`). As the administrator, by way
of `Access.proxy` where there is one.
"""

from __future__ import annotations

import http.client
import json
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, Protocol
from urllib.parse import quote

from kdeploy.cluster import Access, wire
from kdeploy.cluster.connectors import HIDDEN, SECRET, ConnectorState, Entry, TaskState
from kdeploy.cluster.failure import AuthenticationFailed, ClusterError, TimedOut, Unreachable, reason

CONNECT_WITHIN: Final = 5.0
"""Seconds for a connection to a worker and its TLS."""

ANSWER_WITHIN: Final = 100.0
"""Seconds for one answer: a worker gives its own work 90 (ConnectorsResource.REQUEST_TIMEOUT_MS, Kafka 3.9; RestServer
in 4.x), and says then what it was doing."""

PATIENCE: Final = 120.0
"""Seconds in which a rebalance is to end and some worker is to answer: twice the 60 that a worker which is gone for
good holds one up by default (rebalance.timeout.ms, Kafka 3.9)."""

SETTLES: Final = 5.0
"""Seconds in which a worker hears of a connector that was made at another one: it reads of it from a topic, and says
until then that there is none."""

NO_PAGE: Final = r"(HTTP 404 )?Not Found|it gave no reason"
"""What a worker's server says of every page while it starts (RestServer.initializeServer, before its resources)."""

UNABLE: Final = "Worker was unable to handle this request"
"""How a worker begins that had started, and did not get to say in ten seconds how it is, as while it comes back to its group
(KIP-1017; WorkerStatus.unhealthy, Kafka 4.3)."""

AGAIN_AFTER: Final = 0.5
"""Seconds between two tries."""

AT_ONCE: Final = 20
"""Workers that are asked at the same time how they are."""

LARGEST: Final = 128 * 2**20
"""Bytes of an answer that is believed: offsets of 500,000 partitions."""

_VALUE: Final = re.compile(
    r"""((?:password|secret|passphrase|token)\w*"?\s*[=:]\s*)("[^"]*"|'[^']*'|[^\s;,]+)""", re.I
)


class Declined(ClusterError):
    """A worker answered, and did not do it. `status` is HTTP's: 404 where there is no such connector."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class Workers(Protocol):
    """What kdeploy asks of a Connect cluster and does to it: `Connect` of a real one, `fake_connect` in memory.

    Every method may raise `ClusterError`; `Declined` where Connect answered and refused.
    """

    def why_not(self) -> dict[tuple[str, int], str | None]:
        """For each worker, by host and port, why it does not serve; None where it does."""
        ...

    def connectors(self) -> dict[str, ConnectorState]:
        """All connectors by name."""
        ...

    def create(self, name: str, config: Mapping[str, str], *, stopped: bool = False) -> None:
        """Make a connector, at rest where so asked; one that is there as wanted is no error."""
        ...

    def put(self, name: str, config: Mapping[str, str]) -> None:
        """Give a connector a whole configuration; makes it, running, where it is not there."""
        ...

    def validate(self, config: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
        """What is wrong with a configuration, by key; empty where nothing is."""
        ...

    def stop(self, name: str) -> None:
        """Have a connector end all of its tasks; `ConnectorState.rests` tells when they have."""
        ...

    def pause(self, name: str) -> None:
        """Have a connector's tasks do nothing and stay."""
        ...

    def resume(self, name: str) -> None:
        """Have a connector that was stopped or paused run."""
        ...

    def restart_failed(self, name: str) -> None:
        """Start those of a connector and its tasks anew that failed."""
        ...

    def delete(self, name: str) -> None:
        """Remove a connector; one that is gone already is no error. Its offsets stay, for one of the same name."""
        ...

    def offsets(self, name: str) -> tuple[Entry, ...]:
        """How far a connector is, as it was committed last (`connectors.positions`)."""
        ...

    def set_offsets(self, name: str, entries: Iterable[Entry]) -> None:
        """Make a connector that rests go on from elsewhere; partitions that are not among the entries stay."""
        ...

    def forget_offsets(self, name: str) -> None:
        """Make a connector that rests begin anew, as one that never ran."""
        ...

    def wait(
        self, until: str, holds: Callable[[Mapping[str, ConnectorState]], bool], timeout: float
    ) -> dict[str, ConnectorState]:
        """Look at the connectors until something holds of them, and return them; raises `TimedOut`."""
        ...


class Connect:
    """The workers of one Connect cluster.

    Args:
        access: As whom, trusting whom, through what; the addresses in it are of brokers and not used.
        workers: Host and port of each worker's REST listener.
        patience: Seconds for a rebalance to end and for a worker to answer.
    """

    def __init__(
        self, access: Access, workers: Sequence[tuple[str, int]], patience: float = PATIENCE
    ) -> None:
        if not workers:
            raise ClusterError("there is no worker of Kafka Connect to ask")
        self._access, self._patience = access, patience
        self._workers = list(workers)
        self._tls = wire.context(access.authority, access.certificate)

    def why_not(self) -> dict[tuple[str, int], str | None]:
        """For each worker, why it does not serve; None where it does. Asked once each, without patience."""
        workers = sorted(self._workers)
        with ThreadPoolExecutor(min(AT_ONCE, len(workers)), "kdeploy-connect") as pool:
            return dict(zip(workers, pool.map(self._ill, workers), strict=True))

    def _ill(self, worker: tuple[str, int]) -> str | None:
        try:
            # KIP-1017: 200 once it takes part, 503 while it starts, 404 before that, while it has no page at all.
            status, answer = self._once(worker, "GET", "/health", None)
        except (OSError, http.client.HTTPException) as error:
            return reason(error)
        if status == 200:
            return None
        return f"{_message(answer, None)} (HTTP {status})"

    def connectors(self) -> dict[str, ConnectorState]:
        """All connectors by name, with configuration and state.

        A worker that is starting has not read which there are, and says that there are none: then it is waited for.
        """
        doing, path = "read the connectors", "/connectors?expand=status&expand=info"
        found = self._ask(doing, "GET", path)
        if not found:
            self._ask("see whether a worker has started", "GET", "/health")
            found = self._ask(doing, "GET", path)
        return {name: _connector(name, one) for name, one in sorted(found.items())}

    def create(self, name: str, config: Mapping[str, str], *, stopped: bool = False) -> None:
        """Make a connector, at rest until it is resumed where so asked; one that is there as wanted is no error."""
        state = {"initial_state": "STOPPED"} if stopped else {}
        doing = f"create connector {name}"
        try:
            self._ask(doing, "POST", "/connectors", {"name": name, "config": dict(config), **state}, config)
        except Declined as error:
            found = self._ask(doing, "GET", f"{_path(name)}/config") if error.status == 409 else None
            if found != {**config, "name": name}:
                raise

    def put(self, name: str, config: Mapping[str, str]) -> None:
        """Give a connector a whole configuration; makes it, running, where it is not there."""
        self._ask(f"configure connector {name}", "PUT", f"{_path(name)}/config", dict(config), config)

    def validate(self, config: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
        """What a worker finds wrong with a configuration, by key; empty where nothing is.

        Raises:
            ClusterError: There is no such class of connectors, or no worker answers.
        """
        kind = config["connector.class"]
        path = f"/connector-plugins/{quote(kind, safe='')}/config/validate"
        found = self._ask(f"check a configuration of {kind}", "PUT", path, dict(config), config)
        values = (one["value"] for one in found["configs"])
        return {
            one["name"]: tuple(without_secrets(said, config) for said in one["errors"])
            for one in values
            if one["errors"]
        }

    def stop(self, name: str) -> None:
        """Have a connector end all of its tasks; `ConnectorState.rests` tells when they have."""
        self._ask(f"stop connector {name}", "PUT", f"{_path(name)}/stop")

    def pause(self, name: str) -> None:
        """Have a connector's tasks do nothing and stay."""
        self._ask(f"pause connector {name}", "PUT", f"{_path(name)}/pause")

    def resume(self, name: str) -> None:
        """Have a connector that was stopped or paused run."""
        self._ask(f"resume connector {name}", "PUT", f"{_path(name)}/resume")

    def restart_failed(self, name: str) -> None:
        """Start those of a connector and its tasks anew that failed."""
        path = f"{_path(name)}/restart?includeTasks=true&onlyFailed=true"
        self._ask(f"restart connector {name}", "POST", path)

    def delete(self, name: str) -> None:
        """Remove a connector; one that is gone already is no error. Its offsets stay, for one of the same name."""
        try:
            self._ask(f"delete connector {name}", "DELETE", _path(name))
        except Declined as error:
            if error.status != 404:
                raise

    def offsets(self, name: str) -> tuple[Entry, ...]:
        """How far a connector is, as it was committed last (`connectors.positions`); empty where it has none.

        Raises:
            Declined: There is no such connector (404); the offsets of one that is gone cannot be asked for.
        """
        found = self._ask(f"read the offsets of connector {name}", "GET", f"{_path(name)}/offsets")
        return tuple((one["partition"], one["offset"]) for one in found["offsets"])

    def set_offsets(self, name: str, entries: Iterable[Entry]) -> None:
        """Make a connector that rests go on from elsewhere; partitions that are not among the entries stay.

        Raises:
            Declined: It does not rest (400), or its class does not take them.
        """
        sent = {"offsets": [{"partition": place, "offset": offset} for place, offset in entries]}
        if sent["offsets"]:
            self._ask(f"set the offsets of connector {name}", "PATCH", f"{_path(name)}/offsets", sent)

    def forget_offsets(self, name: str) -> None:
        """Make a connector that rests begin anew, as one that never ran.

        Raises:
            Declined: It does not rest (400).
        """
        self._ask(f"forget the offsets of connector {name}", "DELETE", f"{_path(name)}/offsets")

    def wait(
        self, until: str, holds: Callable[[Mapping[str, ConnectorState]], bool], timeout: float
    ) -> dict[str, ConnectorState]:
        """Look at the connectors until something holds of them.

        Args:
            until: What, to follow "until", for errors: `connector eu-to-us-records rests`.
            holds: Whether it does.
            timeout: Seconds to wait for it.

        Returns:
            The connectors when it held.

        Raises:
            TimedOut: It did not in time; says how the connectors were then.
        """
        deadline = time.monotonic() + timeout
        while True:
            found = self.connectors()
            if holds(found):
                return found
            if time.monotonic() > deadline:
                raise TimedOut(f"waited {timeout:g} s until {until}\n{_told(found)}")
            time.sleep(AGAIN_AFTER)

    def _ask(
        self, doing: str, method: str, path: str, body: object = None, config: Mapping[str, str] | None = None
    ) -> Any:  # noqa: ANN401 - JSON
        """The answer's JSON; asked again of any worker while there is a rebalance or none answers."""
        began = time.monotonic()
        deadline = began + self._patience
        sent = None if body is None else json.dumps(body).encode()
        while True:
            status, answer = self._of_any(doing, method, path, sent, deadline)
            said = _message(answer, config)
            if status < 300:
                return _json(doing, answer)
            unheard = status == 404 and path.startswith(_path("")) and method != "DELETE"
            if not _passes(status, said) and (not unheard or time.monotonic() > began + SETTLES):
                raise Declined(f"Kafka Connect refused to {doing}: {said} (HTTP {status})", status)
            if time.monotonic() > deadline:
                raise TimedOut(
                    f"Kafka Connect could not {doing} within {self._patience:g} s: {said} (HTTP {status})\n"
                    "  its workers find no agreement: see which of them run with `kdeploy status`"
                )
            time.sleep(AGAIN_AFTER)

    def _of_any(
        self, doing: str, method: str, path: str, sent: bytes | None, deadline: float
    ) -> tuple[int, bytes]:
        while True:
            failed: dict[tuple[str, int], BaseException] = {}
            for worker in list(self._workers):
                try:
                    found = self._once(worker, method, path, sent)
                except (OSError, http.client.HTTPException) as error:
                    failed[worker] = error
                    continue
                self._workers.remove(worker)
                self._workers.insert(0, worker)  # the one that answered is asked first from now on
                return found
            if time.monotonic() > deadline:
                raise _nobody(doing, failed)
            time.sleep(AGAIN_AFTER)

    def _once(self, worker: tuple[str, int], method: str, path: str, sent: bytes | None) -> tuple[int, bytes]:
        host, port = worker
        with wire.connected(host, port, self._tls, CONNECT_WITHIN, self._access.proxy) as channel:
            channel.settimeout(ANSWER_WITHIN)
            connection = http.client.HTTPConnection(host, port)
            connection.sock = channel
            headers = {"Accept": "application/json", "Connection": "close"}
            if sent is not None:
                headers["Content-Type"] = "application/json"
            connection.request(method, path, sent, headers)
            with connection.getresponse() as response:
                answer = response.read(LARGEST + 1)
        if len(answer) > LARGEST:
            raise http.client.HTTPException("its answer is too long to be believed")
        return response.status, answer


def without_secrets(text: str, config: Mapping[str, str] | None = None) -> str:
    """A text of Connect's on one line, without passwords.

    Args:
        text: What it said, or a trace, of which the first line counts.
        config: The configuration that it is about: values of its secret keys are taken out, wherever they stand.
    """
    said = " ".join(text.split())
    for key, value in (config or {}).items():
        if SECRET.search(key) and value.strip():
            said = said.replace(" ".join(value.split()), HIDDEN)
    return _VALUE.sub(rf"\g<1>{HIDDEN}", said)


def _path(name: str) -> str:
    return f"/connectors/{quote(name, safe='')}"


def _json(doing: str, answer: bytes) -> Any:  # noqa: ANN401 - JSON
    if not answer.strip():
        return None
    try:
        return json.loads(answer)
    except ValueError:
        raise ClusterError(f"failed to {doing}: what answers is not Kafka Connect") from None


def _message(answer: bytes, config: Mapping[str, str] | None) -> str:
    """What an answer that is an error says, on one line (ErrorMessage: error_code and message)."""
    try:
        found = json.loads(answer)
        said = str(found["message"])
    except (ValueError, TypeError, KeyError):
        said = answer.decode(errors="replace")[:300]
    return without_secrets(said, config) or "it gave no reason"


def _passes(status: int, said: str) -> bool:
    """Whether an error passes by itself: a rebalance, a worker that starts or that waits for either."""
    if status == 409:
        return "already exists" not in said
    if status == 404:
        # Its server listens before it has any page; of a connector that is not there Connect says which one.
        return re.fullmatch(NO_PAGE, said) is not None
    return status == 503 or (status == 500 and ("timed out" in said or said.startswith(UNABLE)))


def _nobody(doing: str, failed: Mapping[tuple[str, int], BaseException]) -> ClusterError:
    said = "\n".join(f"  {host}:{port}: {reason(error)}" for (host, port), error in failed.items())
    words = [reason(error) for error in failed.values()]
    if all(one.startswith("TLS") or "not trusted" in one for one in words):
        return AuthenticationFailed(
            f"no worker of Kafka Connect accepts the administrator's certificate, to {doing}\n{said}"
        )
    return Unreachable(
        f"no worker of Kafka Connect answers, to {doing}\n{said}\n"
        "  see which of them run with `kdeploy status`, and start them with `kdeploy up`"
    )


def _connector(name: str, found: Mapping[str, Any]) -> ConnectorState:
    config = {key: value for key, value in found.get("info", {}).get("config", {}).items() if key != "name"}
    status = found.get("status", {})
    own = status.get("connector", {})
    tasks = (
        TaskState(one["id"], one["state"], one.get("worker_id") or "", _trace(one, config))
        for one in status.get("tasks", ())
    )
    return ConnectorState(
        name,
        config,
        own.get("state", "UNKNOWN"),
        own.get("worker_id") or "",
        tuple(sorted(tasks)),
        _trace(own, config),
    )


def _trace(found: Mapping[str, Any], config: Mapping[str, str]) -> str:
    lines = (found.get("trace") or "").strip().splitlines()
    return without_secrets(lines[0], config) if lines else ""


def _told(found: Mapping[str, ConnectorState]) -> str:
    lines = []
    for name, one in found.items():
        tasks = ", ".join(f"{task.id} {task.state.lower()}" for task in one.tasks)
        lines.append(f"  {name}: {one.state.lower()}" + (f"; tasks {tasks}" if tasks else "; no tasks"))
        lines += [f"    {trace}" for trace in (one.trace, *(task.trace for task in one.tasks)) if trace][:3]
    return "\n".join(lines) or "  there is no connector"
