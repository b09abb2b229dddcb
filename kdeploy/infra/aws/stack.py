"""A stack of Pulumi: what is in AWS for one environment, changed by the real engine through its Automation API.

    state → preview → up (all, or some) → state          destroy

Invariant: only the engine writes the state; no secret of the vault is in it, and its passphrase is in no argument.
A lock that a dead engine of this machine left is cleared; anybody else's is never touched.
"""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from kdeploy.infra.aws import changes, failure, pack_python, packs, remains
from kdeploy.infra.aws.changes import ResourceChange, State
from kdeploy.infra.aws.heard import Heard
from kdeploy.infra.aws.packs import PackViolation
from kdeploy.infra.aws.policy import Planned

if TYPE_CHECKING:
    from pulumi.automation import LocalWorkspace, PulumiCommand
    from pulumi.automation import Stack as Engine

PROJECT: Final = "kdeploy"
"""Name of every environment's project; the stack is called as the environment."""

PARALLEL: Final = 32
"""Resources worked on at once: EC2 refills its buckets of requests by 2 to 20 a second (EC2 API Reference,
"Request throttling", read 2026-11), and most of the time is waiting for AWS."""

PAUSE: Final = 0.5
"""Seconds between two looks at an engine that is about to end."""

PATIENCE: Final = 900.0
"""Seconds for an engine whose kdeploy was killed to end: it finishes what it has begun with AWS."""

SIGNS_UP: Final = (
    *(
        "AI_AGENT",
        "CURSOR_TRACE_ID",
        "CURSOR_AGENT",
        "GEMINI_CLI",
        "CODEX_SANDBOX",
        "CODEX_CI",
        "CODEX_THREAD_ID",
    ),
    *(
        "ANTIGRAVITY_AGENT",
        "AUGMENT_AGENT",
        "OPENCODE",
        "OPENCODE_CALLER",
        "OPENCODE_CLIENT",
        "CLAUDE_CODE_IS_COWORK",
    ),
    *(
        "CLAUDECODE",
        "CLAUDE_CODE",
        "REPL_ID",
        "COPILOT_MODEL",
        "COPILOT_ALLOW_ALL",
        "COPILOT_GITHUB_TOKEN",
        "GOOSE_PROVIDER",
    ),
)
"""Variables by which the CLI takes itself to be run by a program: without a token it then opens an account of its own, for some
days, and keeps the state there (pulumi sdk/go/common/util/agentdetect, 3.259.0). Nobody's cluster is to be kept so."""

Program = Callable[[], None]
"""Declares every resource; run by the engine."""

Result = TypeVar("Result")


@dataclass(frozen=True)
class Home:
    """Where a stack's state is, and how it is kept.

    Attributes:
        environment: The environment's name, which is the stack's.
        backend: URL of the place of its state: `file://…`, `s3://…`, `https://…`.
        secrets_provider: `passphrase`, or a key such as `awskms://…`.
        folder: The engine's working folder (made where it is not there).
        passphrase: Of the state's secrets.
        policy_packs: Folders of packs that judge what is planned, and what is made.
        organization: Whose it is, where the backend has organizations; None is whoever asks.
    """

    environment: str
    backend: str
    secrets_provider: str
    folder: Path
    passphrase: str = field(repr=False)
    policy_packs: tuple[Path, ...] = ()
    organization: str | None = None

    @property
    def stack(self) -> str:
        """The stack as the engine knows it."""
        return f"{self.organization}/{PROJECT}/{self.environment}" if self.organization else self.environment

    @property
    def is_in_cloud(self) -> bool:
        """Whether Pulumi's own service keeps it, or one that answers like it."""
        return self.backend.startswith("https://")


@dataclass(frozen=True)
class Preview:
    """What an engine would do.

    Attributes:
        changes: Resources that would change.
        planned: Every resource as it would be.
        advised: What advisory policies hold against it.
    """

    changes: tuple[ResourceChange, ...]
    planned: tuple[Planned, ...] = ()
    advised: tuple[PackViolation, ...] = ()


class Stack:
    """One environment's resources in AWS.

    Args:
        home: Where its state is.
        program: Declares them.
        command: The Pulumi CLI.
        tell: Told what is being done, as `operations.progress.Progress.step`.
    """

    def __init__(
        self, home: Home, program: Program, command: PulumiCommand, tell: Callable[[str, str], None]
    ) -> None:
        self._home, self._program, self._command, self._tell = home, program, command, tell

    def state(self) -> State | None:
        """What its state holds; None where nothing was ever made; read-only.

        Raises:
            CloudError: The state cannot be read.
        """
        from pulumi.automation import StackNotFoundError

        if self._is_nowhere():
            return None
        try:
            deployment = self._run(lambda engine: engine.export_stack(), "preview").deployment
        except StackNotFoundError:
            return None
        return changes.state(deployment or {})

    def preview(self, *, refresh: bool = False, targets: Sequence[str] = ()) -> Preview:
        """What `up` would do; read-only: a stack that is not there yet is played in a place of its own.

        Args:
            refresh: Whether AWS is asked first what became of all that is looked at.
            targets: URNs that alone are looked at; all of them where there are none.

        Raises:
            NotLetThrough: A mandatory policy of a pack does.
            CloudError: AWS or the engine refuses.
        """
        heard = Heard(self._tell, total=0)

        def run(engine: Engine) -> None:
            engine.preview(
                on_event=heard,
                parallel=PARALLEL,
                refresh=refresh or None,
                target=list(targets) or None,
                policy_packs=self._packs(),
                color="never",
            )

        self._carry(run, heard, "preview", make=True)
        advised = packs.advisory(heard.violations)
        return Preview(changes.collected(heard.steps), changes.planned(heard.steps), advised)

    def up(
        self,
        *,
        targets: Sequence[str] = (),
        without: Sequence[str] = (),
        refresh: bool = False,
        total: int = 0,
    ) -> tuple[ResourceChange, ...]:
        """Make resources what the program says.

        Args:
            targets: URNs that alone are changed; all of them where there are none.
            without: URNs that are left as they are.
            refresh: Whether AWS is asked first what became of everything.
            total: How many changes are expected, for the progress.

        Returns:
            What was changed.

        Raises:
            NotLetThrough: A mandatory policy of a pack does; as `CloudError`.
            CloudError: AWS or the engine refuses; what was made stays, and the next run goes on.
        """
        heard = Heard(self._tell, total)

        def run(engine: Engine) -> None:
            engine.up(
                on_event=heard,
                parallel=PARALLEL,
                refresh=refresh or None,
                target=list(targets) or None,
                exclude=list(without) or None,
                policy_packs=self._packs(),
                color="never",
            )

        self._carry(run, heard, "up", make=True)
        return changes.collected(heard.steps)

    def ask(self, targets: Sequence[str]) -> None:
        """Ask AWS what became of some resources, by URN, and note it in the state; nothing in AWS is changed.

        Raises:
            CloudError: AWS or the engine refuses.
        """
        heard, only = Heard(self._tell, total=0), list(targets)

        def run(engine: Engine) -> None:
            engine.refresh(on_event=heard, parallel=PARALLEL, target=only, color="never", run_program=False)

        self._carry(run, heard, "up", make=False)

    def drift(self) -> tuple[ResourceChange, ...]:
        """What is not in AWS as it was made; read-only. An update names what differs, a delete is gone.

        Raises:
            CloudError: AWS or the engine refuses.
        """
        heard = Heard(self._tell, total=0)

        def run(engine: Engine) -> None:
            engine.preview_refresh(on_event=heard, parallel=PARALLEL, color="never", run_program=False)

        self._carry(run, heard, "drift", make=False)
        return changes.strayed(heard.found)

    def settle(self) -> None:
        """Wait for what a killed kdeploy left running on this machine: an engine, or a provider of one.

        Until that has ended nobody can tell what is in AWS, for it goes on to make what it had begun; whoever changes
        the stack has the environment's lease, so nobody else's can be meant.

        Raises:
            StackLocked: It does not end.
        """
        deadline = time.monotonic() + PATIENCE
        left = remains.left_running(self._home.folder)
        if left:
            self._tell("aws", "waiting for what a killed run had begun in AWS")
        while left:
            if time.monotonic() > deadline:
                who = ", ".join(map(str, left))
                raise failure.StackLocked(
                    f"what a killed run began for {self._home.environment} does not end: process {who}\n"
                    f"  end it (`kill {left[0]}`), and run the same command again"
                )
            time.sleep(PAUSE)
            left = remains.left_running(self._home.folder)

    def destroy(self) -> None:
        """Delete every resource, data volumes too, and forget the stack.

        Raises:
            CloudError: AWS or the engine refuses; running it again goes on.
        """
        heard = Heard(self._tell, total=0)
        self._run(_unprotect, "down")
        self._carry(
            lambda engine: engine.destroy(
                on_event=heard, parallel=PARALLEL, color="never", run_program=False
            ),
            heard,
            "down",
            make=False,
        )
        self._run(lambda engine: engine.workspace.remove_stack(self._home.stack), "down")

    def unlock(self) -> None:
        """Clear its lock, whoever has it."""
        from pulumi.automation import CommandError

        try:
            self._engine().cancel()
        except CommandError as error:
            if not _never_locked(str(error)):
                raise self._explained(error, None, "unlock") from None

    def _packs(self) -> list[str] | None:
        """Packs as the CLI is told of them, once they can run; relative paths would be its own folder's."""
        pack_python.refuse_lacking(self._home.policy_packs)
        return [str(one.absolute()) for one in self._home.policy_packs] or None

    def _is_nowhere(self) -> bool:
        """Whether its place, a folder, is not there: then the engine need not be asked."""
        folder = self._home.backend.removeprefix("file://")
        return folder != self._home.backend and not Path(folder).exists()

    def _carry(self, run: Callable[[Engine], Any], heard: Heard, verb: str, *, make: bool) -> None:
        """Run the engine; a stack that is not there is made first for `up`, and played elsewhere for `preview`."""
        from pulumi.automation import StackNotFoundError

        try:
            if not (make and self._is_nowhere()):
                self._run(run, verb, heard)
                return
        except StackNotFoundError:
            if not make:
                return
        heard.forget()
        if verb == "preview":
            self._elsewhere(run, heard)
            return
        self._run(lambda engine: engine.workspace.create_stack(self._home.stack), verb)
        self._run(run, verb, heard)

    def _elsewhere(self, run: Callable[[Engine], Any], heard: Heard) -> None:
        """Run on a stack of its own that nothing is left of."""
        import secrets
        import tempfile

        with tempfile.TemporaryDirectory(prefix="kdeploy-preview-") as folder:
            (Path(folder) / "state").mkdir()
            home = Home(
                self._home.environment,
                f"file://{folder}/state",
                "passphrase",
                Path(folder) / "work",
                secrets.token_urlsafe(24),
                self._home.policy_packs,
            )
            played = Stack(home, self._program, self._command, self._tell)
            played._run(lambda engine: engine.workspace.create_stack(home.stack), "preview")
            played._run(run, "preview", heard)

    def _run(self, run: Callable[[Engine], Result], verb: str, heard: Heard | None = None) -> Result:
        """Ask the engine; a lock of a dead one is cleared, one that is about to end is waited for."""
        from pulumi.automation import CommandError, ConcurrentUpdateError, StackNotFoundError

        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                return run(self._engine())
            except StackNotFoundError:
                raise
            except ConcurrentUpdateError as error:
                self._make_way(remains.holders(str(error)), deadline)
                if heard is not None:
                    heard.forget()
            except CommandError as error:
                if not (remains.TORN.search(str(error)) and self._mended(deadline)):
                    raise self._explained(error, heard, verb) from None
                if heard is not None:
                    heard.forget()

    def _mended(self, deadline: float) -> bool:
        if remains.left_running(self._home.folder) and time.monotonic() < deadline:
            time.sleep(PAUSE)  # what is half written now, it writes to its end
            return True
        mended, put_back = remains.mended(self._home.backend, PROJECT, self._home.environment)
        if put_back:
            self._tell("aws", "a kill cut the state short: going on from the one before it")
        return mended

    def _make_way(self, found: Sequence[remains.Holder], deadline: float) -> None:
        """Clear a lock that nobody living has, or wait for one that ends by itself.

        This machine's living engines are those of a kdeploy that was killed: whoever is here has the lease.

        Raises:
            StackLocked: It is somebody else's.
        """
        name, here = self._home.environment, socket.gethostname()
        others = [one for one in found if one.host != here]
        living = [one for one in found if one.host == here and remains.lives(one.process)]
        if others or not found or (living and time.monotonic() > deadline):
            who = ", ".join(map(str, [*others, *living])) or "somebody"
            after = (
                " (Pulumi Cloud ends a killed one by itself after five minutes)"
                if self._home.is_in_cloud
                else ""
            )
            raise failure.StackLocked(
                f"another engine works on what {name} has in AWS: {who}\n"
                f"  wait until it has finished; only if it was killed, `kdeploy unlock {name}`{after}"
            )
        if living:
            self._tell("aws", f"waiting for an engine that finishes what it had begun ({living[0]})")
            while remains.lives(living[0].process) and time.monotonic() < deadline:
                time.sleep(PAUSE)
            return
        self._tell("aws", f"clearing the lock that a killed engine left ({found[0]})")
        self._engine().cancel()

    def _engine(self) -> Engine:
        # An engine that ends early, because a policy does not let it go on, leaves the program talking to nobody.
        logging.getLogger("grpc").addHandler(logging.NullHandler())
        from pulumi.automation import Stack as Engine
        from pulumi.automation._stack import StackInitMode

        return Engine(self._home.stack, self._workspace(), StackInitMode.SELECT)

    def _workspace(self) -> LocalWorkspace:
        from pulumi.automation import LocalWorkspace, ProjectSettings

        from kdeploy.infra.aws.haste import hastened

        class Quiet(LocalWorkspace):
            """Every command names its stack, so none has to be selected first, which takes a second."""

            def select_stack(self, stack_name: str) -> None:
                """Nothing."""

        home = self._home
        home.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if home.backend.startswith("file://"):
            Path(home.backend.removeprefix("file://")).mkdir(mode=0o700, parents=True, exist_ok=True)
        return Quiet(
            work_dir=str(home.folder),
            program=hastened(self._program),
            env_vars={
                "PULUMI_BACKEND_URL": home.backend,
                "PULUMI_CONFIG_PASSPHRASE": home.passphrase,
                "PULUMI_SKIP_UPDATE_CHECK": "true",
                # On a machine that did not make the stack the CLI takes the backend's own provider otherwise.
                "PULUMI_FALLBACK_TO_STATE_SECRETS_MANAGER": "true",
                **(dict.fromkeys(SIGNS_UP, "") if home.is_in_cloud else {}),
            },
            secrets_provider=home.secrets_provider,
            pulumi_command=self._command,
            project_settings=ProjectSettings(PROJECT, "python"),
        )

    def _explained(self, error: Exception, heard: Heard | None, verb: str) -> failure.CloudError:
        said = list(heard.failures) if heard else []
        violations = packs.mandatory(heard.violations) if heard else ()
        if violations:
            others = [one for one in said if not failure.is_echo(one.message)]
            refused = packs.violated(violations, verb)
            more = f"\n{failure.explained(others, self._home.environment, verb)}" if others else ""
            return failure.NotLetThrough(f"{refused}{more}")
        said = said or [failure.Said("", one) for one in _stderr(str(error))]
        broken = packs.failed(said, heard.told if heard else (), self._home.environment, verb)
        return broken or failure.explained(said, self._home.environment, verb)


def _never_locked(message: str) -> bool:
    return any(words in message for words in UNLOCKED)


UNLOCKED: Final = (
    "not currently locked",
    "no update",
    "no stack named",
    "has never been updated",
    "The Update has already completed",
)
"""What is said where there is no lock to clear; the last two by Pulumi Cloud (pulumi pkg/backend/httpstate/backend.go, 3.259.0, and
issue 5364 of pulumi/pulumi)."""


def _stderr(message: str) -> list[str]:
    """What an engine says went wrong, from the SDK's account of its run."""
    lines = [line.strip().removeprefix("stderr:").strip() for line in message.splitlines()]
    errors = [line.removeprefix("error:").strip() for line in lines if line.startswith("error:")]
    return (
        [line for line in errors if line] or [line for line in lines if line][-1:] or ["it does not say why"]
    )


def _unprotect(engine: Engine) -> None:
    """Let the engine delete what holds data: its state says not to."""
    from pulumi.automation import Deployment

    exported = engine.export_stack()
    deployment = exported.deployment or {}
    kept = [
        one for one in deployment.get("resources") or () if one.get("protect") or one.get("retainOnDelete")
    ]
    for one in kept:
        one["protect"] = one["retainOnDelete"] = False
    if kept:
        engine.import_stack(Deployment(version=exported.version, deployment=deployment))
