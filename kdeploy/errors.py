"""The one tree of errors, and the exit code that each of them means.

Everything kdeploy knows how to fail at is a `KdeployError`; the command line
turns it into its message and its `exit_code`, once, in `kdeploy.cli`. An error
that is not in this tree is a defect of kdeploy.

    KdeployError                  1  failed
    ├── UsageError                2  the command line asks for something impossible
    ├── InvalidEnvironment        2  one or more `Problem`s, each with file, line, path, remedy
    ├── InvalidSetting            2  a problem known by its path alone, before its line is looked up
    ├── UnsupportedChange         2  the environment differs from its lock in what cannot be carried out yet
    ├── MissingExtra              1  an optional dependency is not installed
    ├── Unhealthy                 5  deployed, but a named check fails
    ├── StaleLock                 6  the lock does not say what the environment says
    ├── LeaseHeld                 6  another operator is at work
    ├── GateClosed                7  a gate did not open in time; everything still serves
    ├── Moved                     6  `operations.expected`: the world is not what a saved preview saw
    ├── WrongCluster              1  `operations.reach`: another cluster answers than the one of the lock
    ├── Behind                    1  `operations.switching`: a failover would lose records, or nobody can know
    ├── NoPlan                    3  `operations.prepare`: there is nothing to carry out, since nothing fits
    ├── ClusterError              1  `cluster.failure`: the cluster, or the way to it, refused something
    ├── UnreadableVault           1  `security.vault`: gone, of another format, of another password, or damaged
    ├── NoPrivilege               1  `infra.hosts.ssh`: a host is reached, but there is no way to root on it
    ├── Unreachable               1  `infra.hosts.ssh`: a host cannot be reached
    ├── CloudError                1  `infra.aws.failure`: AWS, or the engine that speaks to it, refused something
    ├── StackLocked               6  `infra.aws.failure`: another engine works on the same stack
    ├── NotLetThrough             1  `infra.aws.failure`: a policy forbids what is planned, or it is another environment's
    ├── NoEngine                  1  `infra.aws.command`: the Pulumi command line is missing or cannot be used
    ├── CannotWrite               1  `spec.adopt`: a file of the environment would not say what it should
    ├── ForgeError                1  `pipelines.forge`: GitHub or GitLab refused something, or cannot be reached
    └── Refused                   1  `infra.artefacts`: one source of Kafka does not give it; never leaves that room

Invariant: no message in this tree ever holds a secret. That no plan fits is a result where only a plan is
asked for, and an error where one is to be carried out. `Stopped` is in no tree of errors: somebody
ended kdeploy by a signal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class KdeployError(Exception):
    """Something failed. The message says what, where, and what to do about it."""

    exit_code = 1


class Stopped(BaseException):
    """A signal ended what was being done: Ctrl-C, SIGTERM, a closed window, a reader that has gone.

    Not an `Exception`, so that nothing that handles failures takes it for one.

    Args:
        signal: The signal's number; the exit code is 128 more, as a shell has it.
    """

    def __init__(self, signal: int) -> None:
        self.signal = signal
        super().__init__(f"stopped by signal {signal}")


class UsageError(KdeployError):
    """The command line, not a file, is wrong."""

    exit_code = 2


@dataclass(frozen=True, order=True)
class Problem:
    """One thing wrong in one file.

    Attributes:
        file: The file as the person named it.
        line: Line counted from 1; 0 when the problem belongs to the whole file.
        path: Where in the document, for example `durability.replication_factor`
            or `topics[2].name`; empty for the whole document.
        wrong: What is wrong, as a sentence without a full stop.
        right: What would be right, as a sentence without a full stop.
    """

    file: str
    line: int
    path: str
    wrong: str
    right: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        path = f"{self.path}: " if self.path else ""
        return f"{place}: {path}{self.wrong}\n  {self.right}"


class InvalidEnvironment(KdeployError):
    """An environment's files do not say something kdeploy can do.

    Args:
        problems: At least one; shown in the order of file and line.
    """

    exit_code = 2

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(sorted(problems))
        super().__init__("\n".join(map(str, self.problems)))


class InvalidSetting(KdeployError):
    """A value that only a later, pure stage could judge (an override's name, say).

    It knows the path in the environment but not the line: `spec.Source.locate`
    turns it into an `InvalidEnvironment`.

    Args:
        path: As `Problem.path`, as a tuple of keys and list positions.
        wrong: As `Problem.wrong`.
        right: As `Problem.right`.
        others: More of the same kind, that were found with it.
    """

    exit_code = 2

    def __init__(
        self,
        path: tuple[str | int, ...],
        wrong: str,
        right: str,
        others: Sequence[InvalidSetting] = (),
    ) -> None:
        self.path, self.wrong, self.right, self.others = path, wrong, right, tuple(others)
        super().__init__("\n".join([f"{dotted(path)}: {wrong}\n  {right}", *map(str, others)]))


class UnsupportedChange(KdeployError):
    """The environment asks for a change of a deployed cluster that kdeploy cannot carry out safely yet."""

    exit_code = 2


class MissingExtra(KdeployError):
    """A command needs an optional part of kdeploy that is not installed.

    Args:
        extra: The extra's name in pyproject.toml.
        module: The Python module that could not be imported.
    """

    def __init__(self, extra: str, module: str) -> None:
        super().__init__(
            f"this command needs {module}, which is not installed\n"
            f"  install it with: pip install 'kdeploy[{extra}]'"
        )


class Unhealthy(KdeployError):
    """The cluster is deployed, but a check of it fails."""

    exit_code = 5


class StaleLock(KdeployError):
    """The lock was written for another environment than the one asked for."""

    exit_code = 6


class LeaseHeld(KdeployError):
    """Another kdeploy works on this environment right now."""

    exit_code = 6


class GateClosed(KdeployError):
    """It was not safe to go on within the time allowed; nothing was stopped."""

    exit_code = 7


def dotted(path: Sequence[str | int]) -> str:
    """A document path as a person writes it: `("topics", 2, "name")` is `topics[2].name`."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text
