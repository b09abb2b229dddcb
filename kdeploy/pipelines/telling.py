"""What a pipeline tells people, and where: one comment a pull request and environment, one issue a drift.

Ours are known by a marker that no reader sees, at the very beginning of the text, and by who wrote them.

Invariant: whatever runs how often, there is one text of a kind for an environment; where nothing is to be said
and nothing was said before, nothing is said.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from kdeploy.errors import UsageError
from kdeploy.pipelines.forge import Forge, GitHub, Run, Text

PENDING: Final = 4
"""The exit code with which `preview` says that changes are pending, and `drift` that something drifted."""

SHOWN: Final = 8_000
"""Characters of an error that are shown, from its end; the whole is in the job's log."""


@dataclass(frozen=True)
class Told:
    """What was done.

    Attributes:
        what: created, updated, closed; unchanged where it says so already; none where nothing was to be said.
        url: Where a person reads it; empty where the forge does not say or there is none.
    """

    what: Literal["created", "updated", "closed", "unchanged", "none"]
    url: str = ""


def marker(kind: Literal["preview", "drift"], environment: str) -> str:
    """What a text of ours begins with; an HTML comment, which is not shown."""
    return f"<!-- kdeploy {kind} {environment} -->"


def preview(forge: Forge, environment: str, text: str, code: int, errors: str = "") -> Told:
    """Bring the pull request's comment up to date with a preview.

    Args:
        forge: Where.
        environment: The environment's name.
        text: What `kdeploy preview --output markdown` printed.
        code: What it exited with. 0: a new comment would be noise, one that is there is brought up to date.
        errors: What it wrote to stderr, for every code but 0 and 4.

    Raises:
        UsageError: The text is longer than the forge takes.
        ForgeError: The forge refused it.
    """
    mark = marker("preview", environment)
    shown = text if code in (0, PENDING) else _failed(f"preview {environment}", code, errors)
    body = _signed(mark, shown, forge.run)
    _refuse_long(forge, body)
    before = _ours(forge.comments(), mark)
    if before is None:
        return Told("none") if code == 0 else Told("created", forge.comment(body).url)
    if before.body == body:
        return Told("unchanged", before.url)
    return Told("updated", forge.rewrite_comment(before, body).url)


def drift(forge: GitHub, environment: str, text: str, code: int) -> Told:
    """Bring the issue about an environment's drift up to date: opened with the first, closed with the last.

    Args:
        forge: Where.
        environment: The environment's name.
        text: What `kdeploy drift --output markdown` printed.
        code: What it exited with. Where it failed nothing is known, and the issue stays as it is.
    """
    if code not in (0, PENDING):
        return Told("none")
    mark = marker("drift", environment)
    body = _signed(mark, text, forge.run)
    _refuse_long(forge, body)
    before = _ours(forge.issues(), mark)
    if before is None:
        title = f"{environment} differs from git"
        return Told("none") if code == 0 else Told("created", forge.issue(title, body).url)
    closes = code == 0
    return Told("closed" if closes else "updated", forge.rewrite_issue(before, body, close=closes).url)


def _ours(texts: Iterable[Text], mark: str) -> Text | None:
    return next((one for one in texts if one.ours and one.body.startswith(mark)), None)


def _signed(mark: str, text: str, run: Run) -> str:
    """The text with the marker first, and last for which commit it is and where the log is."""
    whole = text.strip() if text.lstrip().startswith(mark) else f"{mark}\n{text.strip()}"
    log = f"[this run]({run.url})" if run.url else "a run"
    return f"{whole}\n\n<sub>For commit {run.commit[:12]}, from {log}.</sub>" if run.commit else whole


def _failed(command: str, code: int, errors: str) -> str:
    said = errors.strip()
    shown = said if len(said) <= SHOWN else f"… {said[-SHOWN:]}"
    return f"**`kdeploy {command}` failed with exit code {code}.**\n\n~~~text\n{shown or 'It said nothing.'}\n~~~"


def _refuse_long(forge: Forge, body: str) -> None:
    if len(body) > forge.limit:
        raise UsageError(
            f"the text has {len(body):,} characters, and {forge.name} takes {forge.limit:,}\n"
            "  give what kdeploy printed with --output markdown, which is kept below that"
        )
