"""A user's own policy packs for Pulumi (CrossGuard): what they hold against a plan, in kdeploy's words.

Invariant: pure. The engine runs a pack in that pack's own language and tells of each violation; a mandatory one
fails the run, an advisory one is only said. Nothing here judges anything.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from kdeploy.infra.aws.failure import NotLetThrough, Said, explained, resource_name

MANDATORY: Final = "mandatory"
"""The level that fails a run (`pulumi.automation.events.PolicyEvent`, SDK 3.272); the other one is advisory."""

SHOWN: Final = 20
"""Violations that a message lists: one policy may be violated by every node."""


@dataclass(frozen=True)
class PackViolation:
    """What one policy holds against one resource.

    Attributes:
        pack: The pack's name.
        policy: The policy's name.
        urn: Of the resource; the stack's own where the policy judges all of it together.
        message: The policy's words, on one line.
        level: mandatory or advisory.
    """

    pack: str
    policy: str
    urn: str
    message: str
    level: str

    def __str__(self) -> str:
        is_stack = "pulumi:pulumi:Stack" in self.urn or not self.urn
        where = "all of it together" if is_stack else resource_name(self.urn)
        return f"{where}: policy {self.policy} of pack {self.pack}: {self.message}"


def plain(message: str) -> str:
    """A policy's words on one line, without the engine's marks for colours, and a terminal's."""
    return " ".join(re.sub(r"<\{%[^%]*%\}>|\x1b\[[0-9;]*m", "", message).split())


def mandatory(violations: Iterable[PackViolation]) -> tuple[PackViolation, ...]:
    """Those that fail a run, each once: the engine tells of one for every look at its resource."""
    return _sorted(one for one in violations if one.level == MANDATORY)


def advisory(violations: Iterable[PackViolation]) -> tuple[PackViolation, ...]:
    """Those that are only said, each once."""
    return _sorted(one for one in violations if one.level != MANDATORY)


def _sorted(violations: Iterable[PackViolation]) -> tuple[PackViolation, ...]:
    """By policy and resource: the engine tells of them in any order."""
    return tuple(sorted(set(violations), key=lambda one: (one.pack, one.policy, one.urn)))


def violated(violations: Sequence[PackViolation], verb: str) -> NotLetThrough:
    """One error of every mandatory violation.

    Args:
        violations: At least one.
        verb: What the engine was to do: a preview has changed nothing.
    """
    listed = [f"  - {one}" for one in violations[:SHOWN]]
    more = len(violations) - SHOWN
    listed += [f"  - and {more} more"] if more > 0 else []
    changed = "nothing was changed" if verb == "preview" else "what was made before it stays"
    return NotLetThrough(
        f"a policy pack does not let through what is planned in AWS, and {changed}:\n"
        + "\n".join(listed)
        + "\n  correct the environment, or the policy (aws.policy_packs names the packs)"
    )


FAILS: Final = (
    r"policy pack not (started|found)|policy pack's dependencies|policy pack \S+ failed to start|failed to run policy"
    r"|failed to load Pulumi policy project|no (analyzer|language) plugin|^Program failed with an unhandled exception"
)
"""What the engine says of a pack that it cannot run (pulumi sdk/go/common/resource/plugin/analyzer_plugin.go and
sdk/policy_proxy.go, 3.259.0; seen 2026-11-28)."""

NOT_STARTED: Final = "policy pack not started"
ENDS: Final = rf"{NOT_STARTED}|^Program failed"
"""What is said of a pack that ended, by the engine and by the pack itself; not why."""

ENDED: Final = r"([A-Za-z_][\w.]*)?(Error|Exception)\b.*"
"""The last line of what Python and Node say when a program fails."""


def failed(said: Sequence[Said], told: Iterable[str], environment: str, verb: str) -> NotLetThrough | None:
    """One error of packs that cannot be run: what they would forbid nobody knows. None where no pack is the reason.

    Args:
        said: What the engine says went wrong.
        told: Lines that programs of the engine wrote, in their order: of a pack that ended it says only that it did.
        environment: Name of the environment.
        verb: The command to run again.
    """
    own = [one for one in said if re.search(FAILS, one.message)]
    if not own:
        return None
    why = [line for line in map(plain, told) if re.fullmatch(ENDED, line)]
    if why:
        own = [Said("", f"{NOT_STARTED}: {why[-1]}") if re.search(ENDS, one.message) else one for one in own]
    head = "a policy pack could not be run, so nothing is let through:"
    return NotLetThrough(str(explained(own, environment, verb, head)))
