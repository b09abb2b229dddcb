"""What one cluster has and its mirror has not, exactly: counted, and exported to files.

    FOLDER/tail.json       which offsets, of which cluster, and how many records each partition came to
    FOLDER/orders-3.jsonl  records of partition 3 of orders, a line each, in order (`.part` until it is whole)

Records of transactions that were aborted, marks of transactions and offsets that compaction took count as nothing.
Ends are taken once, when an export begins. Run again it goes on: a file that is whole stays, one that is not is
taken up after its last whole line, and one whose partition has grown since is added to.

Invariant: a file without `.part` holds every record between its partition's offsets in `tail.json`, and is on the
disk. Nobody but its owner may read it (mode 0600). An export of another cluster or of other offsets in the same
folder is refused, never mixed with it.
"""

from __future__ import annotations

import json
import os
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Final

from kdeploy.cluster.admin import Admin
from kdeploy.cluster.batches import of
from kdeploy.cluster.failure import ClusterError
from kdeploy.cluster.state import LogRecord, Place, Spans

SCHEMA: Final = "kdeploy.tail/v1"
"""What `tail.json` says of its own form."""

MANIFEST: Final = "tail.json"

AT_ONCE: Final = 200
"""Partitions that are exported together: each has a file open."""

TOLD_EACH: Final = 10_000
"""Records from one word about the progress to the next."""


@dataclass(frozen=True, order=True)
class PartitionTail:
    """Of one partition.

    Attributes:
        topic: Its topic.
        partition: Its number.
        start: The first offset that was not mirrored.
        end: The end of it, as readers of committed records see it.
        records: Records between them; None where they were not counted yet.
        expired: Offsets after `start` that the cluster itself has deleted.
    """

    topic: str
    partition: int
    start: int
    end: int
    records: int | None
    expired: int = 0

    @property
    def place(self) -> Place:
        """The partition."""
        return self.topic, self.partition


@dataclass(frozen=True)
class Tail:
    """All of it.

    Attributes:
        cluster_id: Kafka's own id of the cluster.
        partitions: Those with anything after `start`, by topic and number.
    """

    cluster_id: str | None
    partitions: tuple[PartitionTail, ...]

    @property
    def records(self) -> int:
        """Records that the mirror has not."""
        return sum(one.records or 0 for one in self.partitions)

    @property
    def expired(self) -> int:
        """Offsets that nobody can read any more."""
        return sum(one.expired for one in self.partitions)

    def to_json(self) -> dict[str, Any]:
        """What `tail.json` holds."""
        return {"schema": SCHEMA, **asdict(self)}


Told = Callable[[int], None]
"""Hears how many records were read by now."""


def count(admin: Admin, mirrored: Mapping[str, Mapping[int, int]], told: Told = lambda _: None) -> Tail:
    """Count the tail, reading all of it.

    Args:
        admin: The cluster that was written to.
        mirrored: By topic and partition, the next offset that was not mirrored; 0 for all there is. Partitions
            that are not among them count as mirrored, and so do those that are gone.
        told: Hears how far it is.

    Raises:
        ClusterError: The cluster does not answer.
    """
    found, spans = _begin(admin, mirrored)
    counts = dict.fromkeys(spans, 0)
    for number, record in enumerate(admin.records(spans), start=1):
        counts[record.place] += 1
        if number % TOLD_EACH == 0:
            told(number)
    return Tail(found.cluster_id, tuple(replace(one, records=counts[one.place]) for one in found.partitions))


def export(
    admin: Admin, mirrored: Mapping[str, Mapping[int, int]], folder: Path, told: Told = lambda _: None
) -> Tail:
    """Write the tail to files; goes on where an export to the same folder ended.

    Args:
        admin: As for `count`.
        mirrored: As for `count`.
        folder: Where to; made where it is not there.
        told: As for `count`.

    Raises:
        ClusterError: The cluster does not answer, the folder holds another export, or a file cannot be written.
    """
    found, spans = _begin(admin, mirrored)
    with _writing(folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        before = _earlier(folder, found)
        _keep(folder, found)
        whole: list[PartitionTail] = []
        for some in of(found.partitions, AT_ONCE):
            done = sum(one.records or 0 for one in whole)
            whole += _export(admin, folder, some, spans, before, partial(_more, told, done))
        _keep(folder, Tail(found.cluster_id, tuple(whole)))
    return Tail(found.cluster_id, tuple(whole))


def file_name(place: Place) -> str:
    """Name of a partition's file, as Kafka names its folder: `orders-3.jsonl`."""
    return f"{place[0]}-{place[1]}.jsonl"


def line(record: LogRecord) -> bytes:
    """A record as a line of JSON: bytes in base64, the timestamp in milliseconds since 1970."""
    value = {
        "offset": record.offset,
        "timestamp": round(record.timestamp * 1000),
        "key": _text(record.key),
        "value": _text(record.value),
        "headers": [[name, _text(held)] for name, held in record.headers],
    }
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"


def _text(held: bytes | None) -> str | None:
    return None if held is None else b64encode(held).decode()


def _begin(
    admin: Admin, mirrored: Mapping[str, Mapping[int, int]]
) -> tuple[Tail, dict[Place, tuple[int, int]]]:
    """The tail that is to be counted, with the ends of now, and what is there of it."""
    wanted = {(topic, index): at for topic, offsets in mirrored.items() for index, at in offsets.items()}
    there = {place: span for place, span in sorted(admin.spans(wanted).items()) if span[1] > wanted[place]}
    partitions = tuple(
        # What was never mirrored begins with what is there: nobody knows how much was deleted before.
        PartitionTail(*place, wanted[place], end, None, max(0, first - wanted[place]) if wanted[place] else 0)
        for place, (first, end) in there.items()
    )
    spans = {place: (max(wanted[place], first), end) for place, (first, end) in there.items()}
    return Tail(admin.metadata().cluster_id, partitions), spans


def _earlier(folder: Path, found: Tail) -> dict[Place, PartitionTail]:
    """What an export to the same folder says of its partitions."""
    file = folder / MANIFEST
    if not file.exists():
        strange = sorted(one.name for one in folder.iterdir() if one.name != f"{MANIFEST}.part")
        if strange:
            raise ClusterError(
                f"{folder} holds {strange[0]} and no {MANIFEST}: it is no export of unmirrored records\n"
                "  name a folder that is empty, or is not there"
            )
        return {}
    try:
        value = json.loads(file.read_text())
        partitions = {one.place: one for one in (PartitionTail(**held) for held in value["partitions"])}
        right = (value["schema"], value["cluster_id"]) == (SCHEMA, found.cluster_id)
    except (ValueError, TypeError, KeyError):
        right, partitions = False, {}
    starts = {one.place: one.start for one in found.partitions}
    if not right or any(starts.get(place) != one.start for place, one in partitions.items()):
        raise ClusterError(
            f"{folder} holds the unmirrored records of another cluster, or from other offsets on\n"
            "  they may be all that there is of them: keep them, and name another folder"
        )
    return partitions


def _export(
    admin: Admin,
    folder: Path,
    some: list[PartitionTail],
    spans: Spans,
    before: Mapping[Place, PartitionTail],
    told: Told,
) -> list[PartitionTail]:
    """Write some partitions, and say how many records each has."""
    held = {one.place: _held(folder, one.place, before) for one in some}
    left = {place: (max(spans[place][0], last + 1), spans[place][1]) for place, (_, last) in held.items()}
    counts = {place: number for place, (number, _) in held.items()}
    with ExitStack() as opened:
        files: dict[Place, BinaryIO] = {}
        for number, record in enumerate(admin.records(left), start=1):
            if record.place not in files:
                files[record.place] = opened.enter_context(_opened(folder, record.place))
            files[record.place].write(line(record))
            counts[record.place] += 1
            if number % TOLD_EACH == 0:
                told(number)
        for file in files.values():
            file.flush()
            os.fsync(file.fileno())
    for place in held:
        if (part := _part(folder, place)).exists():
            part.rename(folder / file_name(place))
    return [
        replace(one, records=counts[one.place], expired=_expired(one, held[one.place], spans, before))
        for one in some
    ]


def _more(told: Told, done: int, number: int) -> None:
    told(done + number)


def _expired(
    one: PartitionTail, held: tuple[int, int], spans: Spans, before: Mapping[Place, PartitionTail]
) -> int:
    """Offsets that were deleted before they were read; what was read before it was deleted is in the file."""
    number, last = held
    if not number:
        return one.expired
    return (before[one.place].expired if one.place in before else 0) + max(0, spans[one.place][0] - last - 1)


def _held(folder: Path, place: Place, before: Mapping[Place, PartitionTail]) -> tuple[int, int]:
    """How many records a partition's file has, and the last one's offset, -1 without any.

    A line that was cut is taken away. A file that was whole becomes one that is not, as its partition may have grown.
    """
    part, whole = _part(folder, place), folder / file_name(place)
    if whole.exists():
        whole.rename(part)
    if place not in before:
        part.unlink(missing_ok=True)
    number, last, good = 0, -1, 0
    if part.exists():
        with part.open("r+b") as file:
            for text in file:
                if (at := _offset(text)) is None:
                    break
                number, last, good = number + 1, at, good + len(text)
            file.truncate(good)
    return number, last


def _offset(text: bytes) -> int | None:
    """The offset in a line; None where the line is not whole."""
    try:
        return int(json.loads(text)["offset"]) if text.endswith(b"\n") else None
    except (ValueError, TypeError, KeyError):
        return None


def _part(folder: Path, place: Place) -> Path:
    return folder / f"{file_name(place)}.part"


@contextmanager
def _opened(folder: Path, place: Place) -> Iterator[BinaryIO]:
    with os.fdopen(
        os.open(_part(folder, place), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab"
    ) as file:
        yield file


def _keep(folder: Path, tail: Tail) -> None:
    part = folder / f"{MANIFEST}.part"
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(tail.to_json(), file, indent=1, sort_keys=True)
        file.flush()
        os.fsync(file.fileno())
    part.rename(folder / MANIFEST)
    held = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(held)
    finally:
        os.close(held)


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Say plainly what a disk refuses."""
    try:
        yield
    except OSError as error:
        raise ClusterError(
            f"cannot write unmirrored records to {folder}: {(error.strerror or str(error)).lower()}\n"
            "  what was written stays; once there is room and a right to write, run this again and it goes on"
        ) from None
