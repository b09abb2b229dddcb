"""`mirror`: how what is mirrored between datacenters is doing.

Invariant: as every command: parse, call one function, print.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from kdeploy.cli.options import (
    environment_argument,
    output_option,
    print_json,
    print_text,
    vault_password_option,
)
from kdeploy.cli.report import table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kdeploy.cluster.mirror import LinkStatus, MirrorStatus, Sign


@click.group()
def mirror() -> None:
    """Look at what is mirrored between datacenters.

    \b
    Example: kdeploy mirror status dr-active-passive
    """


@mirror.command()
@environment_argument
@vault_password_option
@output_option
def status(environment: str, vault_password_file: Path | None, output: str) -> None:
    """Say how far each direction is behind: by topic in records and seconds, by group in records read again.

    Exit code 5: a direction does not run, is further behind than the environment's rpo, or cannot be asked.

    \b
    Example: kdeploy mirror status dr-active-passive --output json
    """
    from kdeploy.operations.mirror_status import status as look
    from kdeploy.spec import load

    loaded = load.load(load.find(environment))
    found = look(loaded, vault_password_file)
    wrong = [*wrongs(found, loaded.environment.mirroring.rpo if loaded.environment.mirroring else 0.0)]
    if output == "json":
        print_json(found.to_json())
    else:
        print_text(text(found, wrong), output)
    if wrong:
        raise SystemExit(5)


def wrongs(found: MirrorStatus, rpo: float) -> Iterator[str]:
    """What is not as it should be, a line each."""
    from kdeploy.units import format_duration

    yield from found.problems
    yield from (f"{one.datacenter} does not answer: {one.why}" for one in found.silent)
    if not found.links:
        yield "no direction could be looked at: how far a mirror is, is kept where it writes"
    for link in found.links:
        name = f"{link.source} to {link.target}"
        for one in link.connectors:
            failed = [task for task in one.tasks if task.state == "FAILED"]
            if one.state != "RUNNING" or failed:
                trace = one.trace or next((task.trace for task in failed), "")
                yield f"{name}: connector {one.name} is {one.state.lower()}" + (f": {trace}" if trace else "")
        if link.records and link.seconds is not None and link.seconds > rpo:
            behind = format_duration(link.seconds)
            yield f"{name}: {behind} behind, and the environment's rpo is {format_duration(rpo)}"
        yield from (f"{name}: {said}" for said in link.problems)


def text(found: MirrorStatus, wrong: list[str]) -> str:
    """A status as a person reads it."""
    where = f"{found.active} is written to" if found.active else "every datacenter is written to"
    if found.handed and not found.active:
        where += "".join(f"; clients of {one} are handed out {to}" for one, to in found.handed.items())
    if found.problems and not found.active:
        where = "nobody knows who is written to"
    lines = [f"{found.environment}: {found.mode}; {where} (decision {found.epoch})"]
    for link in found.links:
        lines += ["", *_link(link)]
    warned = [
        f"warning: {link.source} to {link.target}: {one}" for link in found.links for one in link.warnings
    ]
    if warned:
        lines += ["", *warned]
    if wrong:
        lines += ["", *(f"FAIL  {one}" for one in wrong)]
    return "\n".join(lines)


def _link(link: LinkStatus) -> Iterator[str]:
    from kdeploy.units import format_duration

    def ago(seconds: float | None) -> str:
        return "never" if seconds is None else f"{format_duration(max(seconds, 0.1))} ago"

    yield f"{link.source} to {link.target}"
    tasks = sum(len(one.tasks) for one in link.connectors)
    running = sum(task.state == "RUNNING" for one in link.connectors for task in one.tasks)
    heartbeat, checkpoint = link.heartbeat, link.checkpoint
    yield table(
        [
            (
                "connectors",
                ", ".join(f"{one.name} {one.state.lower()}" for one in link.connectors) or "unknown",
            ),
            ("tasks", f"{running} of {tasks} running"),
            ("last heartbeat", ago(heartbeat.age if heartbeat else None)),
            *((("heartbeat latency", _latency(link.source, heartbeat)),) if heartbeat else ()),
            ("last checkpoint", ago(checkpoint.age if checkpoint else None)),
        ]
    )
    if link.topics:
        rows = [("topic", "partitions", "records behind", "seconds behind")]
        rows += [
            (one.topic, str(one.partitions), _number(one.records), _seconds(one.seconds))
            for one in link.topics
        ]
        yield table(rows)
    if link.groups:
        rows = [("group", "read again", "skipped", "without an offset")]
        rows += [
            (one.group, f"{one.re_read:,}", f"{one.skipped:,}", f"{one.untranslated:,}")
            for one in link.groups
        ]
        yield table(rows)


def _latency(source: str, heartbeat: Sign) -> str:
    """How late the last heartbeat came, by the clock of the target's brokers, which most topics do not tell."""
    if heartbeat.latency is None:
        return f"unknown; told where {source}.heartbeats there has LogAppendTime, and clocks agree"
    return f"{heartbeat.latency:,.2f} s"


def _number(count: int | None) -> str:
    return "unknown" if count is None else f"{count:,}"


def _seconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds:,.1f}"
