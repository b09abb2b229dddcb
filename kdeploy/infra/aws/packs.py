"""A user's own policy packs for Pulumi (CrossGuard): what they hold against a plan, in kdeploy's words.

Invariant: pure. The engine runs a pack in that pack's own language and tells of each violation; a mandatory one
fails the run, an advisory one is only said. Nothing here judges anything.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from kdeploy.infra.aws.failure import NotLetThrough, resource_name

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
    """A policy's words on one line, without the engine's marks for colours."""
    return " ".join(re.sub(r"<\{%[^%]*%\}>", "", message).split())


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
