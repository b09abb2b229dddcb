"""How results look: as text for an 80 column terminal, as markdown, and as JSON.

Invariant: pure; the three forms of one result say the same.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kdeploy.cluster import Check, HealthReport
    from kdeploy.operations.difference import Action
    from kdeploy.operations.status import ClusterStatus, Status
    from kdeploy.operations.up import Outcome


WIDTH = 80
"""Columns of a terminal that everything fits."""


def filled(text: str, indent: str = "", first: str = "") -> str:
    """A text in lines that fit, each but the first behind an indent."""
    return textwrap.fill(
        text,
        WIDTH,
        initial_indent=first,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def table(rows: Sequence[Sequence[str]], indent: str = "  ") -> str:
    """Rows as aligned columns, two spaces between them; the last column goes on below itself where it is long."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    before = len(indent) + sum(widths) + 2 * len(widths)
    room = max(WIDTH - before, WIDTH // 3)
    lines = []
    for *cells, last in rows:
        start = indent + "".join(f"{cell:<{width}}  " for cell, width in zip(cells, widths, strict=True))
        parts = textwrap.wrap(last, room, break_long_words=False, break_on_hyphens=False) or [""]
        lines += [(start + parts[0]).rstrip(), *(" " * before + part for part in parts[1:])]
    return "\n".join(lines)


def markdown_table(rows: Sequence[Sequence[str]]) -> str:
    """Rows as a markdown table; the first row is its head."""
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])


def checks_text(checks: Iterable[Check]) -> str:
    """A paragraph of at most 80 columns per check, failed ones marked."""
    return "\n".join(
        textwrap.fill(
            f"{one.name}: {one.detail}",
            width=WIDTH,
            initial_indent=f"  {'ok  ' if one.ok else 'FAIL'}  ",
            subsequent_indent=" " * 10,
            break_long_words=False,
            break_on_hyphens=False,
        )
        for one in checks
    )


def checks_json(report: HealthReport) -> dict[str, Any]:
    """A report's checks."""
    checks = [{"name": one.name, "ok": one.ok, "detail": one.detail} for one in report.checks]
    return {"datacenter": report.datacenter, "ok": report.ok, "checks": checks}


def _action_json(action: Action) -> dict[str, Any]:
    return {"node": action.node.name, "action": action.kind, "reason": action.reason}


def outcome_text(outcome: Outcome) -> str:
    """What `up` did to one cluster, and the address to use."""
    done = [action.node.name for action in outcome.actions if action.kind != "none"]
    if not outcome.changed:
        head = "nothing to do: everything is as the environment says"
    else:
        head = f"{len(done)} nodes and {len(outcome.changes)} settings, topics, users or ACLs changed"
        if outcome.connectors:
            head += f"; {len(outcome.connectors)} changes of connectors"
    shown = outcome.report.checks if outcome.changed else [one for one in outcome.report.checks if not one.ok]
    lines = [f"{outcome.datacenter}: {head}", checks_text(shown), f"bootstrap servers: {outcome.bootstrap}"]
    if outcome.left:
        lines.append(f"left for the next up, after the canary: {', '.join(outcome.left)}")
    if outcome.without:
        lines.append(f"left out, and still to be brought back: {', '.join(outcome.without)}")
    return "\n".join(line for line in lines if line)


def outcomes_json(environment: str, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """The contract `kdeploy.up/v1`."""
    clusters = [
        {
            **checks_json(one.report),
            "changed": one.changed,
            "bootstrap": one.bootstrap,
            "client_properties": str(one.clients) if one.clients else None,
            "nodes": [_action_json(action) for action in one.actions],
            "changes": [*map(str, one.changes), *one.connectors],
            "left": list(one.left),
            "without": list(one.without),
        }
        for one in outcomes
    ]
    return {
        "schema": "kdeploy.up/v1",
        "environment": environment,
        "changed": any(one.changed for one in outcomes),
        "clusters": clusters,
    }


def status_text(status: Status) -> str:
    """Each node on a line, then the checks."""
    return "\n\n".join(_status_text(status.environment, one) for one in status.clusters)


def _status_text(environment: str, one: ClusterStatus) -> str:
    rows = [("node", "rack", "state", "detail")]
    for action in one.actions:
        state = one.states[action.node.key]
        word = "running" if state.running else "stopped" if state.present else "absent"
        word = "unseen" if state.unseen else word
        said = action.kind in ("none", "start", "create", "unseen")
        detail = state.detail if said else f"{state.detail}; {action.reason}"
        rows.append((action.node.name, action.node.rack, word, detail))
    verdict = "healthy" if one.ok else "NOT healthy"
    return (
        f"{environment}: datacenter {one.datacenter} is {verdict}\n{table(rows)}\n{checks_text(one.checks)}"
    )


def status_json(status: Status) -> dict[str, Any]:
    """The contract `kdeploy.status/v1`."""
    clusters = []
    for one in status.clusters:
        nodes = [
            {
                **_action_json(action),
                "rack": action.node.rack,
                "role": action.node.role,
                "running": one.states[action.node.key].running,
                "detail": one.states[action.node.key].detail,
            }
            for action in one.actions
        ]
        checks = [{"name": check.name, "ok": check.ok, "detail": check.detail} for check in one.checks]
        clusters.append({"datacenter": one.datacenter, "ok": one.ok, "nodes": nodes, "checks": checks})
    return {
        "schema": "kdeploy.status/v1",
        "environment": status.environment,
        "ok": status.ok,
        "clusters": clusters,
    }


def verify_json(environment: str, reports: Sequence[HealthReport]) -> dict[str, Any]:
    """The contract `kdeploy.verify/v1`."""
    return {
        "schema": "kdeploy.verify/v1",
        "environment": environment,
        "ok": all(report.ok for report in reports),
        "clusters": [checks_json(report) for report in reports],
    }


def verify_text(report: HealthReport) -> str:
    """The verdict, then each check on a line."""
    verdict = "every check holds" if report.ok else "a check fails"
    return f"{report.datacenter}: {verdict}\n{checks_text(report.checks)}"


def down_text(stopped: Sequence[str], deleted: bool, cloud: str = "") -> str:
    """What was stopped, and what became of the data; `cloud` is the environment's name where machines cost money."""
    first = f"stopped: {', '.join(stopped)}" if stopped else "nothing was running"
    kept = "kept: all data"
    if cloud:
        kept += "; its machines run on in AWS, and cost what they cost"
        kept += f"\nDelete them and all data with: kdeploy down {cloud} --delete-data"
    gone = "deleted: all data" + (", and all that was made in AWS" if cloud else "")
    return f"{first}\n{gone if deleted else kept}"


def down_json(environment: str, stopped: Sequence[str], deleted: bool) -> dict[str, Any]:
    """The contract `kdeploy.down/v1`."""
    return {
        "schema": "kdeploy.down/v1",
        "environment": environment,
        "stopped": list(stopped),
        "data": "deleted" if deleted else "kept",
    }
