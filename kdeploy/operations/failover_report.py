"""What a failover or failback came to, or would: a value, and its JSON contract.

Invariant: pure; what is not known is None, and never 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from kdeploy.cluster.loss import Loss
    from kdeploy.cluster.mirror import LinkStatus

FAILOVER_SCHEMA: Final = "kdeploy.failover/v1"

NAMED: Final = 10
"""Groups that a sentence is said of each; there may be thousands, and `groups` has all."""


@dataclass(frozen=True)
class Step:
    """A part of it: what, and how many seconds it took; None where it was not done."""

    what: str
    seconds: float | None = None


@dataclass(frozen=True)
class GroupGoesOn:
    """A consumer group that goes on at the target.

    Attributes:
        group: Its name.
        re_read: Records, at most, that it reads again.
        skipped: Records, at most, that it does not read on either side.
        untranslated: Partitions with no offset at the target, where its own auto.offset.reset counts.
        checkpoint: Whether a checkpoint of it is there, of any partition.
    """

    group: str
    re_read: int
    skipped: int
    untranslated: int
    checkpoint: bool = True


@dataclass(frozen=True)
class Behind:
    """How far the mirror is behind: records, and seconds since the oldest of them was made; None where not known."""

    records: int | None
    seconds: float | None


@dataclass(frozen=True)
class Doubt:
    """What is known of records that are lost, beside about how many they are (`cluster.loss`).

    Attributes:
        at_most: Records, if the datacenter died when it was last seen.
        if_written: Records, if it was written to until the decision, as when only the line to it was cut.
        seen: When it was last seen, in ISO 8601: when the newest thing was made there that was mirrored.
    """

    at_most: int
    if_written: int
    seen: str


@dataclass(frozen=True)
class Report:
    """What a failover came to.

    Attributes:
        environment: The environment.
        source: The datacenter that was written to before; empty where all were.
        target: The one that is written to now; empty where all are again.
        planned: Whether the one before was there, so that nothing was lost.
        epoch: Number of the decision.
        rto: Seconds from the beginning until the target could be written to; None where it was not done.
        rpo: Seconds between the last record that was mirrored and the decision; 0 where all were; None where nobody
            knows, because nothing was ever mirrored.
        lost: Records that were acknowledged and not mirrored: 0 where it was planned, else an estimate; None
            where there is nothing to estimate from.
        doubt: What else is known of that, where it is an estimate.
        warnings: Groups that nobody may go on with at the target, a sentence each with its remedy; looked at with `groups`.
        notes: Where consumers of groups begin that nothing, or not all, was translated of, and whether more of these may
            be unknown, a sentence each; looked at with `groups`.
        counted: Whether what is lost was counted in the one before, which answers, and is no estimate.
        handed: By datacenter whose clients are sent elsewhere, where to, of three and more; None of two.
        returned: The datacenter that takes part again and is not written to, where that was all there was to do.
        taken_back: Datacenters that take part again with a failback, of three and more of which one is written to.
        steps: What was done.
        exported: Folder with the records that the old primary alone had, and how many these are (failback).
        already: Whether it had been decided before.
        dry_run: Whether nothing was done, and all of this is what would be.
        behind: How far the mirror is behind, where it was only looked.
        groups: Groups that go on at the target, as it was before anybody was let in there; none where that was not
            looked at, as where it had been decided before.
        refused: Why it would be refused, a message each with its remedy; empty where it would not.
    """

    environment: str
    source: str
    target: str
    planned: bool
    epoch: int
    rto: float | None
    rpo: float | None
    lost: int | None
    steps: tuple[Step, ...] = ()
    exported: tuple[str, int] | None = None
    already: bool = False
    dry_run: bool = False
    behind: Behind | None = None
    groups: tuple[GroupGoesOn, ...] = ()
    notes: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    doubt: Doubt | None = None
    counted: bool = False
    returned: str | None = None
    warnings: tuple[str, ...] = ()
    handed: Mapping[str, str] | None = None
    taken_back: tuple[str, ...] = ()

    @property
    def alone(self) -> str:
        """Whose records were exported that nobody else had."""
        return " and ".join(self.taken_back) or self.returned or self.target

    def to_json(self) -> dict[str, Any]:
        """The contract `kdeploy.failover/v1`."""
        return {
            "schema": FAILOVER_SCHEMA,
            "environment": self.environment,
            "source": self.source,
            "target": self.target,
            "planned": self.planned,
            "epoch": self.epoch,
            "rto_seconds": _rounded(self.rto),
            "rpo_seconds": _rounded(self.rpo),
            "records_lost": self.lost,
            "records_lost_is_estimated": not self.planned and not self.counted,
            "records_lost_at_most": self.doubt.at_most if self.doubt else self.lost,
            "records_lost_if_still_written": self.doubt and self.doubt.if_written,
            "last_seen": self.doubt and self.doubt.seen,
            "steps": [{"what": one.what, "seconds": _rounded(one.seconds)} for one in self.steps],
            "exported": self.exported and {"folder": self.exported[0], "records": self.exported[1]},
            "already": self.already,
            "dry_run": self.dry_run,
            "behind": self.behind
            and {"records": self.behind.records, "seconds": _rounded(self.behind.seconds)},
            "groups": [asdict(one) for one in self.groups],
            "notes": list(self.notes),
            "refused": list(self.refused),
            "returned": self.returned,
            "warnings": list(self.warnings),
            "handed": None if self.handed is None else dict(self.handed),
            "taken_back": list(self.taken_back),
        }


def with_groups(report: Report, found: LinkStatus | None) -> Report:
    """A report with how groups go on at the target; None where that could not be looked at."""
    if found is None:
        return report
    groups = (
        GroupGoesOn(one.group, one.re_read, one.skipped, one.untranslated, one.has_checkpoint)
        for one in found.groups
    )
    return replace(report, groups=tuple(groups), warnings=found.warnings, notes=_begin(found))


def _begin(found: LinkStatus) -> tuple[str, ...]:
    """Where groups begin that no checkpoint says of where they go on."""
    there, reset = found.target, "its consumers begin by their own auto.offset.reset"
    said: list[str] = []
    for one in found.groups:
        none = "" if one.has_checkpoint else f"no checkpoint of group {one.group} has come to {there} yet"
        if one.untranslated:
            count = f"{one.untranslated:,} of {len(one.offsets):,} partitions"
            said.append(
                f"{none}, and no offset for {count}: there {reset}"
                if none
                else f"group {one.group} has no offset in {there} for {count}: there {reset}"
            )
        elif none:
            said.append(
                f"{none}: it goes on where it was in {there} before, and how much it reads again is judged by both sides' ends"
            )
    more = [f"the same is so of {len(said) - NAMED:,} more groups"] if len(said) > NAMED else []
    if not found.source_answers:
        more.append(
            f"{found.source} does not answer, so groups that no checkpoint has come of are not known: their consumers begin "
            f"in {there} where they were before, or by their own auto.offset.reset"
        )
    return (*said[:NAMED], *more)


def with_loss(report: Report, found: Loss) -> Report:
    """A report of what was not planned, with what is known of what is lost."""
    report = replace(report, rpo=found.since, lost=found.records)
    if found.at_most is None or found.most is None or found.seen is None:
        return report
    seen = datetime.fromtimestamp(found.seen, UTC).isoformat(timespec="seconds")
    return replace(report, doubt=Doubt(found.at_most, max(found.most, found.at_most), seen))


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 1)
