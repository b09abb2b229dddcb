"""Which datacenter is written to: a decision with a number, kept in every cluster that it concerns.

    epoch 0: as declared → each failover and failback: epoch + 1, kept where it can be → the highest one counts

It is one record of the topic that `record` describes, under the key `mirroring`, and never in a file alone: a
person who has an old copy of the files cannot take it back. A cluster that was away when it was decided has an
older one, or none, and is overruled as soon as any cluster that knows better can be asked.

Invariant: an epoch, once kept, is never overwritten by a lower one, nor by one of the same number that says another
datacenter; what was written is read back. Two datacenters that were both taken over with the same number, each
without the other, are told to the person and not chosen between.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any, Final, TypeAlias

from kdeploy.cluster.admin import Admin
from kdeploy.cluster.connectors import Positions
from kdeploy.cluster.failure import ClusterError, NotStored
from kdeploy.cluster.record import LARGEST, MIRRORING, TOPIC

SCHEMA: Final = "kdeploy.direction/v1"
"""What the record says of its own form."""

Offsets: TypeAlias = Mapping[str, Mapping[int, int]]
"""By topic and partition."""


@dataclass(frozen=True)
class Direction:
    """Which datacenter is written to, since when, and where each side was when that began.

    Attributes:
        epoch: 0 as declared, and one more for each time that it was changed.
        active: The datacenter that is written to; the other one's writers are fenced.
        since: When it was decided; None for what was only ever declared.
        planned: Whether the one that was written to before was there, so that nothing was lost.
        mirrored: For each topic of the one before and each partition, its next offset that was not mirrored.
        ends: For each topic of the active one and each partition, its end before anybody could write there: what
            comes after was written there first, what is before came from the other side.
        moved: By datacenter whose clients were sent elsewhere, where to (active-active of three and more, of which all are
            written to); none of these is itself among them.
        before: The datacenter that was written to before, of three and more; of two it is the other one.
        apart: Of three and more, by datacenter that nothing is mirrored to until it is given back: for each topic of it and
            each partition, the first offset that others may not have; empty where that is not known. None of two, where
            the other one is apart if this was not `planned`.
        begins: By datacenter, for each topic of the active one and each partition, where the mirror to it begins, as far as
            that is not `ends`.
        gathers: By datacenter that stood by and has what the active one lacks, for each topic of it and each partition where
            that begins, or its end. Nobody is let in until all of it is mirrored.
    """

    epoch: int
    active: str
    since: datetime | None = None
    planned: bool = True
    mirrored: Offsets = field(default_factory=dict)
    ends: Offsets = field(default_factory=dict)
    moved: Mapping[str, str] = field(default_factory=dict)
    before: str = ""
    apart: Mapping[str, Offsets] | None = None
    begins: Mapping[str, Offsets] = field(default_factory=dict)
    gathers: Mapping[str, Offsets] = field(default_factory=dict)

    @property
    def written(self) -> str:
        """The datacenter that is open: the active one, and none as long as that gathers what others have."""
        return "" if self.gathers else self.active

    def lets(self, source: str, target: str) -> bool:
        """Whether records are mirrored from one datacenter to another (active-passive)."""
        if self.gathers:
            return target == self.active and source in self.gathers
        is_part = self.planned if self.apart is None else target not in self.apart
        return source == self.active and is_part

    def begin(self, source: str, target: str) -> Offsets:
        """Where the mirror from one datacenter to another begins, what is before being there already; empty where it goes on."""
        if self.gathers:
            return self.gathers.get(source, {}) if target == self.active else {}
        if source != self.active:
            return {}
        own = self.begins.get(target, {})
        return {topic: {**found, **own.get(topic, {})} for topic, found in self.ends.items()}

    def among(self, datacenters: Sequence[str]) -> Direction:
        """The same where there are more or fewer datacenters now than when it was decided (active-passive).

        Of two, whichever is not the active one is apart where it was not planned; of more that is said of each.
        """
        others = [one for one in datacenters if one != self.active]
        if not self.epoch or not self.active:
            return self
        if (len(others) > 1) == (self.apart is not None):
            return self if self.apart is None else self._without(others)
        if self.apart is None:
            return replace(self, mirrored={}, apart={} if self.planned else {one: {} for one in others})
        left = [one for one in others if one in self.apart]
        known = self.apart[left[0]] if left else {}
        return replace(self, planned=not left, mirrored=known, apart=None, begins={}, gathers={})

    def _without(self, others: Sequence[str]) -> Direction:
        """The same where some of those that it names are declared no more."""

        def left(found: Mapping[str, Offsets]) -> dict[str, Offsets]:
            return {one: some for one, some in found.items() if one in others}

        before = self.before if self.before in others else ""
        return replace(
            self,
            before=before,
            apart=left(self.apart or {}),
            begins=left(self.begins),
            gathers=left(self.gathers),
        )

    @property
    def says(self) -> tuple[str, tuple[tuple[str, str], ...]]:
        """What two of the same number have to agree on."""
        return self.active, tuple(sorted(self.moved.items()))

    @property
    def said(self) -> str:
        """The same in words."""
        sent = ", ".join(f"clients of {one} to {other}" for one, other in sorted(self.moved.items()))
        return sent or self.active or "every datacenter"


class Disagreement(ClusterError):
    """Two clusters keep different datacenters under the same number, `kept`; one that is decided now takes `epoch` + 1."""

    def __init__(self, kept: Iterable[Direction], message: str) -> None:
        super().__init__(message)
        self.kept = tuple(kept)
        self.epoch = self.kept[0].epoch

    def settled(self, active: str) -> Direction:
        """The decision that settles it, of the next number: one goes on, the other one counts as lost.

        What the other one has from the one that goes on lies before its own end when it took over, and what that one
        lacks of the other's after what had been mirrored then; so each side's decision tells of both. Where clients of some
        were sent elsewhere and nobody was closed, nothing is lost: all of them are, the later decision's way.
        """
        if len({one.active for one in self.kept}) == 1:
            moved: dict[str, str] = {}
            for one in sorted(self.kept, key=lambda one: (str(one.since), one.says)):
                moved |= one.moved
            return Direction(self.epoch + 1, self.kept[0].active, datetime.now(UTC), moved=moved)
        mine = max(
            (one for one in self.kept if one.active == active), key=_known, default=Direction(0, active)
        )
        others = max((one for one in self.kept if one.active != active), key=_known)
        if mine.apart is not None or others.apart is not None:
            apart: dict[str, Offsets] = {one.active: {} for one in self.kept if one.active != active}
            apart |= mine.apart or {}
            since = datetime.now(UTC)
            return replace(mine, epoch=self.epoch + 1, since=since, planned=False, apart=apart)
        return Direction(
            self.epoch + 1,
            active,
            datetime.now(UTC),
            planned=False,
            mirrored=furthest(mine.mirrored, others.ends),
            ends=furthest(mine.ends, others.mirrored),
        )


def furthest(*known: Offsets) -> Positions:
    """By topic and partition, the last of some offsets."""
    found: Positions = {}
    for some in known:
        for topic, offsets in some.items():
            mine = found.setdefault(topic, {})
            mine |= {partition: max(offset, mine.get(partition, 0)) for partition, offset in offsets.items()}
    return found


def latest(found: Iterable[Direction | None], declared: str) -> Direction:
    """The direction that counts.

    Args:
        found: What each cluster that could be asked has kept; None where it keeps none.
        declared: The datacenter that is written to where nothing was ever decided.

    Raises:
        Disagreement: Two clusters keep different datacenters under the same number.
    """
    kept = [one for one in found if one is not None]
    highest = max((one.epoch for one in kept), default=0)
    best = [one for one in kept if one.epoch == highest] or [Direction(0, declared)]
    if len({one.active for one in best}) == 1 and len({one.says for one in best}) > 1:
        raise Disagreement(
            best,
            "the clusters disagree on whose clients are sent where: "
            f"{' and '.join(sorted({one.said for one in best}))} were each decided, as number {highest}, while others could "
            "not be asked\n"
            "  nothing is lost, as everything is mirrored: `kdeploy failover ENV --from LOST --to DATACENTER` decides on all "
            "of it anew",
        )
    active = sorted({one.active for one in best})
    if len(active) > 1:
        raise Disagreement(
            best,
            f"the clusters disagree on who is written to: "
            f"{' and '.join(one or 'every datacenter' for one in active)} were each made the active one, as number "
            f"{highest}, while the other could not be asked\n"
            "  both may have records that the other lacks: with both up, `kdeploy failover ENV --to DATACENTER` has "
            "one go on and closes the other, and `kdeploy failback ENV` then exports what the other alone has; "
            "`--dry-run` says how much that is",
        )
    return max(best, key=_known)


def _known(one: Direction) -> tuple[bool, int, int, int]:
    """A side that was away while offsets were added later, or another one took part again, knows less under the same number."""
    return not one.gathers, len(one.ends), -len(one.apart or ()), len(one.mirrored)


def encode(direction: Direction) -> str:
    """The record that says it: JSON on one line, always the same for the same.

    Offsets stand as runs of neighbouring partitions, the first one's number before them, so that 5,000 partitions in
    500 topics with ten-digit offsets on both sides take 135 kB (measured 2026-11-27).
    """
    value: dict[str, Any] = {
        "schema": SCHEMA,
        "epoch": direction.epoch,
        "active": direction.active,
        "since": direction.since and direction.since.astimezone(UTC).isoformat(),
        "planned": direction.planned,
        "mirrored": _written(direction.mirrored),
        "ends": _written(direction.ends),
    }
    # Of three datacenters and more.
    if direction.moved:
        value["moved"] = dict(direction.moved)
    if direction.before:
        value["before"] = direction.before
    for name in ("apart", "begins", "gathers"):
        if some := getattr(direction, name):
            value[name] = {one: _written(found) for one, found in some.items()}
        elif some is not None and name == "apart":
            value[name] = {}
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def decode(text: str) -> Direction:
    """What a record says.

    Raises:
        ClusterError: It has a form that this version does not know.
    """
    try:
        value = json.loads(text)
        if value["schema"] != SCHEMA:
            raise ClusterError(
                f"topic {TOPIC} of the cluster says of {MIRRORING} that it is {value['schema']}, "
                f"and this version of kdeploy knows {SCHEMA}\n"
                "  a newer kdeploy has looked after this cluster: use that version, or a later one"
            )
        since = None if value["since"] is None else datetime.fromisoformat(value["since"])
        epoch, active, planned = int(value["epoch"]), str(value["active"]), value["planned"] is True
        moved = {str(one): str(other) for one, other in value.get("moved", {}).items()}
        return Direction(
            epoch,
            active,
            since,
            planned,
            _positions(value["mirrored"]),
            _positions(value["ends"]),
            moved,
            str(value.get("before", "")),
            _each(value["apart"]) if "apart" in value else None,
            _each(value.get("begins", {})),
            _each(value.get("gathers", {})),
        )
    except (ValueError, TypeError, KeyError, AttributeError):
        raise ClusterError(
            f"topic {TOPIC} of the cluster holds a record {MIRRORING!r} that no kdeploy wrote\n"
            "  only the administrator may write to this topic; `kdeploy mirror status` of the other datacenter says "
            "which one is written to"
        ) from None


def read(admin: Admin) -> Direction | None:
    """The direction that a cluster keeps; None where it keeps none.

    Raises:
        ClusterError: The cluster does not answer, or a newer kdeploy has written it.
    """
    text = admin.read_compacted(TOPIC).get(MIRRORING)
    return None if text is None else decode(text)


def keep(admin: Admin, direction: Direction) -> None:
    """Keep a direction in a cluster, acknowledged by all in-sync replicas and read back; again, it changes nothing.

    Raises:
        ClusterError: The cluster keeps a later one, or another datacenter under the same number; or nobody has
            looked after this cluster yet, so that it has no topic to keep it in.
        NotStored: It cannot be read back.
    """
    text = encode(direction)
    if len(text) > LARGEST // 2:  # half of what the topic takes, as the batch and its header come on top
        raise ClusterError(
            f"the direction of mirroring takes {len(text)} bytes, and a record {LARGEST // 2} at most"
        )
    found = read(admin)
    if found is not None:
        if _overrules(found, direction):
            raise ClusterError(
                f"the cluster has {found.said} as the active datacenter by now, as number {found.epoch}, "
                f"and was not told that it is {direction.said}, as number {direction.epoch}\n"
                if not (found.moved or direction.moved)
                else f"the cluster keeps another decision on whose clients go where, as number {found.epoch}: {found.said}\n"
                "  somebody else changed it meanwhile: look at it with `kdeploy mirror status`"
            )
        if encode(found) == text:
            return
    if not any(one.topic == TOPIC for one in admin.metadata().partitions):
        raise ClusterError(
            f"the cluster has no topic {TOPIC} to keep the direction of mirroring in\n"
            "  kdeploy has not looked after it yet: run `kdeploy up` first"
        )
    admin.write_compacted(TOPIC, {MIRRORING: text})
    if read(admin) != decode(text):
        raise NotStored(f"the direction of mirroring was written to topic {TOPIC} and cannot be read back")


def _overrules(found: Direction, wanted: Direction) -> bool:
    return found.epoch > wanted.epoch or (found.epoch == wanted.epoch and found.says != wanted.says)


def _written(offsets: Offsets) -> dict[str, list[list[int]]]:
    return {topic: _runs(found) for topic, found in offsets.items() if found}


def _each(value: Mapping[str, Any]) -> dict[str, Positions]:
    return {str(one): _positions(found) for one, found in value.items()}


def _runs(offsets: Mapping[int, int]) -> list[list[int]]:
    """Offsets by partition as lists, each the number of its first partition and the offsets from there on."""
    ordered = sorted(offsets.items())
    runs = [[ordered[0][0], ordered[0][1]]]
    for (before, _), (partition, offset) in pairwise(ordered):
        if partition == before + 1:
            runs[-1].append(offset)
        else:
            runs.append([partition, offset])
    return runs


def _positions(value: Mapping[str, Any]) -> Positions:
    found: Positions = {}
    for topic, runs in value.items():
        for first, *offsets in runs:
            found.setdefault(topic, {}).update({first + step: int(one) for step, one in enumerate(offsets)})
    return found
