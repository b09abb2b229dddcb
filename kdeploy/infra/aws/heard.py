"""What an engine tells while it runs: its steps, what it found, what failed, and what policies say.

Invariant: it decides nothing; what it heard is kept in the order it came in, until it is told to forget.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from kdeploy.infra.aws import changes, failure
from kdeploy.infra.aws.changes import Step
from kdeploy.infra.aws.packs import PackViolation, plain

if TYPE_CHECKING:
    from pulumi.automation.events import DiagnosticEvent, EngineEvent, PolicyEvent, StepEventMetadata

LINES: Final = 1000
"""Lines of programs that are kept: what a failure is known by is the last of them."""

TOLD_EVERY: Final = 5.0
"""Seconds between two lines about how far the engine is."""


class Heard:
    """Hears what the engine tells, and tells a person how far it is.

    Attributes:
        steps: What it does, or would do.
        found: What it found otherwise than its state says.
        failures: What failed.
        violations: What policies hold against it.
        told: What programs that it started wrote, line by line, the last of it.
    """

    def __init__(self, tell: Callable[[str, str], None], total: int) -> None:
        self._tell, self._total, self._done, self._shown = tell, total, 0, time.monotonic()
        self.steps: list[Step] = []
        self.found: list[Step] = []
        self.failures: list[failure.Said] = []
        self.violations: list[PackViolation] = []
        self.told: deque[str] = deque(maxlen=LINES)

    def forget(self) -> None:
        """Begin anew."""
        self._done = 0
        self.steps.clear()
        self.found.clear()
        self.failures.clear()
        self.violations.clear()
        self.told.clear()

    def __call__(self, event: EngineEvent) -> None:
        """Take an event."""
        if event.resource_pre_event is not None:
            self.steps.append(_step(event.resource_pre_event.metadata))
        elif event.res_outputs_event is not None:
            self._ended(event.res_outputs_event.metadata)
        elif event.policy_event is not None:
            self.violations.append(_violation(event.policy_event))
        elif event.diagnostic_event is not None:
            self._said(event.diagnostic_event)

    def _said(self, said: DiagnosticEvent) -> None:
        if said.severity == "error":
            self.failures.append(failure.Said(said.urn or "", said.message))
        elif said.severity.startswith("info"):
            self.told.extend(said.message.splitlines())

    def _ended(self, metadata: StepEventMetadata) -> None:
        step = _step(metadata)
        self.found.append(step)
        if not self._total or step.op not in changes.OPS or step.type.startswith(("kdeploy:", "pulumi:")):
            return
        self._done += 1
        if time.monotonic() - self._shown > TOLD_EVERY:
            self._shown = time.monotonic()
            self._tell("aws", f"{self._done} of {self._total} done; last {failure.resource_name(step.urn)}")


def _step(metadata: StepEventMetadata) -> Step:
    detailed = tuple(metadata.detailed_diff or ())
    return Step(
        metadata.op.value,
        metadata.urn,
        metadata.type,
        detailed or tuple(metadata.diffs or ()),
        (metadata.old.inputs if metadata.old else None) or {},
        (metadata.new.inputs if metadata.new else None) or {},
        protect=bool(metadata.new and metadata.new.protect),
        retain=bool(metadata.new and metadata.new.retain_on_delete),
    )


def _violation(said: PolicyEvent) -> PackViolation:
    return PackViolation(
        said.policy_pack_name,
        said.policy_name,
        said.resource_urn or "",
        plain(said.message),
        said.enforcement_level,
    )
