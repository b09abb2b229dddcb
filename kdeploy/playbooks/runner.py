"""Running the playbook: an inventory as a value in, what happened on each host out.

Ansible runs through ansible-runner's own command, in a process group of its own. That process
holds a lock as long as any task runs: when kdeploy is killed, the next one waits until what was
begun has ended, and two never work on the same hosts at once. When somebody stops kdeploy, the
whole group is ended.

Invariant: everything Ansible says is in the log, and secrets are in none of it: they travel in
archives that tasks name by their path, and those tasks say nothing (`no_log`).
"""

from __future__ import annotations

import fcntl
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, Final

from kdeploy.errors import KdeployError, MissingExtra

VARIABLES: Final[dict[str, str]] = {
    "ANSIBLE_NOCOLOR": "1",
    "ANSIBLE_FORCE_COLOR": "0",
    "ANSIBLE_HOST_KEY_CHECKING": "True",
    "PYTHONUNBUFFERED": "1",
    "LC_ALL": "C.UTF-8",
}
"""What Ansible sees besides kdeploy's own environment, from which everything of Ansible's is left out."""

SUDO_PASSWORD_FILE: Final = "KDEPLOY_SUDO_PASSWORD_FILE"  # noqa: S105 - the name of a variable
"""Environment variable with the file that holds sudo's password on the hosts."""


SILENT_TASK: Final = "a task that says nothing"
"""Stands for a task that changed something and must not say what (`no_log`); only its number is known."""


DOES_SOMETHING: Final = ("runner_on_ok", "runner_item_on_ok", "runner_on_failed", "runner_on_unreachable")
"""Events of ansible-runner by which a task is known not to be skipped on every host."""

ENDS: Final = ("runner_on_ok", "runner_on_skipped", "runner_on_failed", "runner_on_unreachable")
"""Events by which a host has done with a task."""

SKIPS_WITHIN: Final = 3.0
"""Seconds after which a task that goes on is told: a skipped one takes less than one on a calm machine."""


@dataclass(frozen=True)
class Failure:
    """A task that failed on a host.

    Attributes:
        host: Its name in the inventory.
        task: The task's name; empty where the host could not be reached.
        reason: Why, in Ansible's words.
    """

    host: str
    task: str
    reason: str


@dataclass
class Played:
    """What a run did.

    Attributes:
        changed: Tasks that changed something, by host.
        tasks: Tasks that ran, by host.
        failures: What failed.
        output: What commands printed, by host and task.
        finished: Whether it came to its end, with or without failures.
    """

    changed: dict[str, list[str]] = field(default_factory=dict)
    tasks: dict[str, int] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    output: dict[str, dict[str, str]] = field(default_factory=dict)
    finished: bool = False


KILLED: Final = "was ended before it had finished, as where the machine has no memory left"
"""What became of a run that somebody, or the kernel, killed."""


class Runner:
    """Runs parts of the playbook.

    Args:
        folder: Where the log and what Ansible needs in between are kept; mode 0700.
        step: Told what is being done: the role, and the task.
        now: Told what each host is doing, and that it does nothing any more.
    """

    def __init__(
        self,
        folder: Path,
        step: Callable[[str, str], None],
        now: Callable[[str, str], None] = lambda _host, _text: None,
    ) -> None:
        self._folder = folder
        self._step = step
        self._now = now

    @property
    def log(self) -> Path:
        """All that Ansible said, run after run."""
        return self._folder / "ansible.log"

    def play(self, part: str, hosts: Mapping[str, Mapping[str, Any]], *, check: bool = False) -> Played:
        """Run one part of the playbook on hosts.

        Args:
            part: preflight, provision or apply: the playbook.
            hosts: Variables of each host, by its name in the inventory.
            check: Change nothing, and say what would be changed.

        Raises:
            KdeployError: Ansible itself failed; what failed on hosts is in the answer.
            MissingExtra: Ansible is not installed.
        """
        for module in ("ansible_runner", "ansible"):
            if importlib.util.find_spec(module) is None:
                raise MissingExtra("hosts", module)
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        played, telling = Played(), _Telling(self._step)
        with (
            self._alone(hosts) as locks,
            self._private(hosts) as private,
            telling,
            self._watched(part, hosts),
        ):
            command = self._command(private, part, check)
            with self._started(command, locks) as process, self.log.open("a") as log:
                self.log.chmod(0o600)
                log.write(f"--- {part} on {', '.join(sorted(hosts))} at {time.strftime('%FT%T%z')}\n")
                for line in process.stdout or ():
                    self._note(played, line, log.write, telling)
            if not played.finished:
                raise self._unfinished(process.returncode)
        return played

    def _unfinished(self, code: int) -> KdeployError:
        """What to say of a run that told nothing of its end: ansible-runner itself has exit code 0 where Ansible was
        killed.
        """
        how = f"ended with exit code {code} before it had finished" if code > 0 else KILLED
        return KdeployError(
            f"Ansible {how}\n  what it said is in {self.log}; run the same command again to go on"
        )

    @contextmanager
    def _watched(self, part: str, hosts: Mapping[str, object]) -> Iterator[None]:
        """While the block lasts, what hosts do is told as it is; nothing of it is left behind it."""
        self._now("", f"{part} on {len(hosts)} hosts")
        try:
            yield
        finally:
            for name in (*hosts, ""):
                self._now(name, "")

    def _command(self, private: Path, part: str, check: bool) -> list[str]:
        project = str(resources.files("kdeploy.playbooks"))
        return [
            *(sys.executable, "-m", "ansible_runner", "run", str(private), "--json", "--omit-env-files"),
            *(
                "--playbook",
                f"{part}.yml",
                "--project-dir",
                project,
                "--inventory",
                str(private / "inventory"),
            ),
            *(("--cmdline=--check",) if check else ()),
        ]

    @contextmanager
    def _alone(self, hosts: Mapping[str, object]) -> Iterator[tuple[int, ...]]:
        """Locks on these hosts, that the process inherits; waits for one that a killed kdeploy left behind."""
        locks: list[int] = []
        try:
            for name in sorted(hosts):
                flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
                locks.append(os.open(self._folder / f"{name}.lock", flags, 0o600))
                try:
                    fcntl.flock(locks[-1], fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    self._step("hosts", f"{name}: waiting until what an earlier run began there has ended")
                    fcntl.flock(locks[-1], fcntl.LOCK_EX)
            yield tuple(locks)
        finally:
            for lock in locks:
                os.close(lock)

    @contextmanager
    def _private(self, hosts: Mapping[str, Mapping[str, Any]]) -> Iterator[Path]:
        private = Path(tempfile.mkdtemp(prefix="run-", dir=self._folder))
        try:
            inventory = {"all": {"hosts": {name: dict(variables) for name, variables in hosts.items()}}}
            (private / "inventory").mkdir()
            (private / "inventory/hosts.json").write_text(json.dumps(inventory, sort_keys=True))
            yield private
        finally:
            shutil.rmtree(private, ignore_errors=True)

    @contextmanager
    def _started(self, command: Sequence[str], locks: tuple[int, ...]) -> Iterator[subprocess.Popen[str]]:
        process = subprocess.Popen(
            command,
            env=_variables(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
            pass_fds=locks,
        )
        try:
            yield process
            process.wait()
        finally:
            if process.poll() is None:
                _end(process)
            if process.stdout is not None:
                process.stdout.close()

    def _note(self, played: Played, line: str, log: Callable[[str], object], telling: _Telling) -> None:
        try:
            event = json.loads(line)
        except ValueError:
            log(line)
            return
        said = str(event.get("stdout", "")).strip()
        if said:
            log(said + "\n")
        kind, data = str(event.get("event", "")), event.get("event_data", {})
        if kind == "playbook_on_task_start" and not _is_of_ansible(data):
            telling.begins(f"{data.get('role') or 'ansible'}: {data.get('task', '')}")
        elif kind in DOES_SOMETHING:
            telling.works()
        if kind == "runner_on_start" and not _is_of_ansible(data):
            self._now(str(data.get("host", "")), f"{data.get('role') or 'ansible'}: {data.get('task', '')}")
        elif kind in ENDS:
            self._now(str(data.get("host", "")), "")
        _count(played, kind, data)


class _Telling:
    """Tells what is being done, but not of tasks that every host skips: once a task has done something somewhere,
    or goes on for a while. Used as a context, so that nothing is told after the run.
    """

    def __init__(self, step: Callable[[str, str], None]) -> None:
        self._step = step
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None
        self._text: str | None = None

    def __enter__(self) -> None:
        """Nothing is begun yet."""

    def __exit__(self, *_: object) -> None:
        """The run has ended."""
        self._set(None)

    def begins(self, text: str) -> None:
        """A task begins; the one before it has ended."""
        self._set(text)
        timer = threading.Timer(SKIPS_WITHIN, lambda: self.works(text))
        timer.daemon = True
        self._timer = timer
        timer.start()

    def works(self, text: str | None = None) -> None:
        """The task, or none but the one of this text, does something: tell it, if it is not told yet."""
        with self._lock:
            if self._text is not None and text in (None, self._text):
                self._step("hosts", self._text)
                self._text = None

    def _set(self, text: str | None) -> None:
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
            self._text = text


def _count(played: Played, kind: str, data: Mapping[str, Any]) -> None:
    """Note what an event says of hosts."""
    host, task, result = str(data.get("host", "")), str(data.get("task", "")), data.get("res") or {}
    if kind == "runner_on_ok":
        played.tasks[host] = played.tasks.get(host, 0) + 1
        if result.get("changed"):
            played.changed.setdefault(host, []).append(task)
        if "stdout" in result:
            played.output.setdefault(host, {})[task] = str(result["stdout"])
    elif kind == "runner_on_failed" and not data.get("ignore_errors"):
        played.failures.append(Failure(host, task, _reason(result)))
    elif kind == "runner_on_unreachable":
        played.failures.append(Failure(host, "", _reason(result, BROKEN_OFF)))
    elif kind == "playbook_on_stats":
        played.finished = True
        for name, count in data.get("changed", {}).items():
            noted = played.changed.get(name, [])
            if count:
                played.changed[name] = noted + [SILENT_TASK] * (count - len(noted))


def _is_of_ansible(task: Mapping[str, Any]) -> bool:
    """Whether a task is Ansible's own: checking arguments, running handlers."""
    action = str(task.get("task_action", "")).rpartition(".")[2]
    return action in ("meta", "validate_argument_spec")


def _variables() -> dict[str, str]:
    """The environment of kdeploy without what would change Ansible's ways, and with our own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    programs = f"{Path(sys.executable).parent}{os.pathsep}{kept.get('PATH', os.defpath)}"
    settings = str(resources.files("kdeploy.playbooks") / "ansible.cfg")
    mine = {**VARIABLES, "PATH": programs, "ANSIBLE_CONFIG": settings}
    password = kept.get(SUDO_PASSWORD_FILE)
    if password:
        mine["ANSIBLE_BECOME_PASSWORD_FILE"] = str(Path(password).expanduser().absolute())
    return kept | mine


def _end(process: subprocess.Popen[str]) -> None:
    """End a process with all that it started; ansible-runner puts ansible-playbook in a session of its own."""
    everything = [*_descendants(process.pid), process.pid]
    for kind, patience in ((signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0)):
        for pid in everything:
            with suppress(ProcessLookupError):
                os.kill(pid, kind)
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            process.poll()
            everything = [pid for pid in everything if _runs(pid)]
            if not everything:
                return
            time.sleep(0.05)


def _descendants(pid: int) -> list[int]:
    """Every process that a process started, and those that they started (proc(5); none where there is no /proc)."""
    found: list[int] = []
    for listing in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            for child in map(int, listing.read_text().split()):
                found += [child, *_descendants(child)]
    return found


def _runs(pid: int) -> bool:
    """Whether a process is there and has not ended yet."""
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return False
    return state != "Z"


BROKEN_OFF: Final = "the connection could not be made, or broke off"
UNSHOWN: Final = (
    "what it said is not shown, since it carries secrets; see whether a disk of the host is full or read-only"
)
"""What is said of a task that must say nothing (`no_log`), where the host was lost and where it failed."""


def _reason(result: Mapping[str, Any], censored: str = UNSHOWN) -> str:
    """Why a task failed, from its result: the items of a loop that failed, else its message and its output."""
    if "censored" in result:
        return censored
    items = [one for one in result.get("results", ()) if isinstance(one, Mapping) and one.get("failed")]
    if items:
        return "\n".join(dict.fromkeys(map(_reason, items)))
    parts = [str(result.get(key, "")).strip() for key in ("msg", "stderr", "stdout")]
    return "\n".join(dict.fromkeys(part for part in parts if part)) or "it does not say why"
