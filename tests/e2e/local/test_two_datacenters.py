"""Active-passive with real Kafka: planned failover, a datacenter that dies, failback, and kdeploy killed meanwhile.

One life of two datacenters, told in order; each test goes on from where the one before it left them.
"""

from __future__ import annotations

import os
import random
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kdeploy.tuning.mirror import HEARTBEAT, TRANSACTION
from tests.e2e import ports
from tests.e2e.local.two_sides import RATE, Following, Sides, Transaction, Writing, exported, once, two_sides

pytestmark = pytest.mark.kafka

SOAK = os.environ.get("KDEPLOY_SOAK") == "1"
SEED = int(os.environ.get("KDEPLOY_SEED", "0")) or random.SystemRandom().randrange(1_000_000)
MORE = 15_000
"""Records that are acknowledged before something is done."""

LEAST = 2000
"""Records a second under which a failover has to be proven. It is no promise of kdeploy's but what the proof stands on:
always printed, and held in a soak alone, as an ordinary run has two rows of tests at once on what may be two processors."""

UNDERWAY = round(RATE * TRANSACTION)
"""Records that may be lost beyond the most that `failover` tells. That holds where the mirror was no later than at any moment
of the two minutes before (docs/mirroring.md); how late the fetch was that was under way as all died, nothing tells, and a task
that keeps up fetches in each transaction."""

ESTIMATED = round(RATE * (HEARTBEAT + TRANSACTION))
"""Records by which the estimate may miss. It takes the moment of the death from the last sign of life that was mirrored: a
heartbeat, made each second, or a record, which waits for its transaction, half a second. On a machine that is slower than
the mirror's settings, how late records came is told with the most that may be lost, and is then the measure."""

POINTS = (
    "failover-fenced",
    "failover-drained",
    "failover-translated",
    "failover-mirror-stopped",
    "failover-decided",
    "record-begun",
    "first-change-applied",
    "failover-opened",
    "mirror-set-out",
    "connector-changed",
)
"""Moments at which a planned failover is killed."""

WORKER = "the target's worker"
"""In place of kdeploy, the one worker that carries records to the target is killed, once the primary is fenced."""

ROWS = (*POINTS, WORKER)
"""What is killed in a planned failover, all in a soak and one otherwise."""


PAYMENTS = "      - {resource: topic, name: payments, operations: [write, describe]}\n"
TRANSACTIONS = (
    "      - {resource: transactional-id, name: orders-, pattern: prefixed, operations: [write, describe]}\n"
)
"""What the producer may do in the shipped environment, and what it needs for transactions besides."""

UNFINISHED = 500
"""Records of a transaction that is open while its datacenter is fenced."""

COMMITTED_AFTER = 5.0
"""Seconds from the fence to the commit: a failover that does not wait has mirrored the rest long before."""

LEFT_OPEN = 40.0
"""Seconds for which a broker lets a transaction be open that nobody ends (transaction.timeout.ms). It looks each 10 s
(transaction.abort.timed.out.transaction.cleanup.interval.ms, Kafka's default), so it has ended 50 s after it began:
after the fence, and before the 60 s of the environment's rto have gone since."""


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sides]:
    print(f"KDEPLOY_SEED={SEED}")
    for found in two_sides(tmp_path_factory.mktemp("two"), "local-two-dc-passive", ports.PASSIVE):
        found.kdeploy.edit(PAYMENTS, PAYMENTS + TRANSACTIONS)
        yield found


@pytest.fixture(autouse=True)
def _rest(sides: Sides) -> Iterator[None]:
    yield
    sides.rest()


def goes_on(sides: Sides, datacenter: str, unread: set[int], report: dict[str, Any]) -> None:
    """Let the group go on: it gets all that it had not read, and no more again than the report said."""
    before = set(sides.followed["orders-app"])
    there = Following(sides, datacenter, "orders-app")
    there.wait_for(unread)
    there.stop()
    (bound,) = (one["re_read"] for one in report["groups"] if one["group"] == "orders-app")
    again = len(before & there.got.keys())
    print(f"{again:,} records read again, {bound:,} at most by the report")
    assert again <= bound


def under_load(writing: Writing) -> None:
    """Tell at which rate records were acknowledged while they could be, which in a soak is what a proof needs."""
    print(f"{writing.rate():,.0f} records a second were acknowledged before anything happened")
    assert not SOAK or writing.rate() >= LEAST


def other_of(datacenter: str) -> str:
    return "west" if datacenter == "east" else "east"


def test_both_clusters_and_their_mirror_come_up_and_a_second_run_changes_nothing(sides: Sides) -> None:
    sides.kdeploy("up")
    again = sides.kdeploy("up", "--output", "json").document
    assert [one["changed"] for one in again["clusters"]] == [False, False]
    assert sides.kdeploy("preview", "--output", "json").document["changes"] == []


def test_nobody_may_write_where_nobody_is_to(sides: Sides) -> None:
    writing = Writing(sides, "west")
    writing.stop()
    assert sides.acknowledged["west"] == set()


def test_what_one_side_acknowledges_is_on_the_other_exactly_once(sides: Sides) -> None:
    writing = Writing(sides, "east")
    writing.wait_for(MORE)
    under_load(writing)
    assert sides.written_to() == "east"
    writing.stop()
    sides.kdeploy("mirror status")
    found = sides.read("east")
    assert found.keys() >= sides.everything()
    assert once(found)


def test_a_planned_failover_under_load_loses_nothing_and_skips_nothing(sides: Sides) -> None:
    group = Following(sides, "east", "orders-app")
    writing = Writing(sides, "east")
    writing.wait_for(MORE)
    report = sides.kdeploy("failover", "--to", "west", "--yes", "--output", "json").document
    writing.stop()
    group.stop()
    assert writing.refused > 0, "it was fenced while somebody wrote"
    under_load(writing)
    assert (report["planned"], report["records_lost"]) == (True, 0)
    found = sides.read("west")
    assert found.keys() >= sides.everything()
    assert once(found)
    goes_on(sides, "west", sides.everything() - sides.followed["orders-app"], report)


def test_the_side_that_was_left_follows_the_other_and_is_closed(sides: Sides) -> None:
    writing = Writing(sides, "west")
    writing.wait_for(MORE)
    writing.stop()
    before = len(sides.acknowledged["east"])
    Writing(sides, "east").stop()
    assert len(sides.acknowledged["east"]) == before
    assert sides.kdeploy("preview", "--output", "json").document["changes"] == []


def test_a_transaction_that_is_committed_after_the_fence_is_mirrored_and_read_by_its_group(
    sides: Sides,
) -> None:
    active = sides.written_to()
    to = other_of(active)
    committed = sides.committed(active, "orders-app")
    transaction = Transaction(sides, active, UNFINISHED, timeout=60)
    going = sides.underway("failover", "--to", to, "--yes", "--output", "json")
    going.wait_for(f"{active} is fenced")
    time.sleep(COMMITTED_AFTER)
    assert f"all that {active} has is mirrored" not in going.said, "a transaction that is open is waited for"
    transaction.commit()
    report = going.ended().document
    assert (report["planned"], report["records_lost"]) == (True, 0)
    found = sides.read(to)
    assert sides.everything() >= transaction.numbers
    assert found.keys() >= sides.everything()
    assert once(found)
    before = set(sides.followed["orders-app"])
    there = Following(sides, to, "orders-app")
    there.wait_for(sides.everything() - before)
    there.stop()
    known = next((one for one in report["groups"] if one["group"] == "orders-app"), None)
    print(f"{len(before & there.got.keys()):,} records read again; {known}, {report['notes']}")
    # One that had nothing left to read may have left before it had joined: it has no place that could be told of.
    assert (known is None) == (not committed)
    # It came to the other side a moment ago: where no checkpoint of it is there yet, the report says so in place of a bound.
    if known and known["checkpoint"]:
        assert len(before & there.got.keys()) <= known["re_read"]
    elif known:
        assert [one for one in report["notes"] if "checkpoint of group orders-app" in one]


def test_a_transaction_that_nobody_ends_is_said_to_be_waited_for_until_its_broker_aborts_it(
    sides: Sides,
) -> None:
    from confluent_kafka import KafkaException

    active = sides.written_to()
    to = other_of(active)
    transaction = Transaction(sides, active, UNFINISHED, timeout=LEFT_OPEN)
    ended = sides.kdeploy("failover", "--to", to, "--yes", "--output", "json")
    said = " ".join(ended.stderr.split())
    assert re.search(
        rf"a transaction is open on orders-\d( and \d+ more partitions)? of {active}: it is", said
    ), said
    assert (ended.document["planned"], ended.document["records_lost"]) == (True, 0)
    with pytest.raises(KafkaException):
        transaction.commit()
    for datacenter in (active, to):
        found = sides.read(datacenter)
        assert found.keys() >= sides.everything()
        assert not found.keys() & transaction.numbers, "what was aborted is nowhere"
        assert once(found)


def lose_the_worker(sides: Sides, active: str, to: str) -> None:
    """A failover under load whose target loses its worker: it ends, says which, and lets everybody write again."""
    writing = Writing(sides, active)
    writing.wait_for(MORE)
    going = sides.underway("failover", "--to", to, "--yes")
    going.wait_for(f"{active} is fenced")
    sides.kill(to, "mirror-")
    failed = going.ended(code=1)
    writing.stop()
    under_load(writing)
    assert "no worker of Kafka Connect answers" in failed.stderr
    assert re.search(r"\S+:\d+: ", failed.stderr), "the worker is named by where it listened"
    assert f"nothing was decided, and {active} is written to as before" in failed.stderr
    assert sides.written_to() == active
    again = Writing(sides, active)
    again.wait_for(1000)
    again.stop()
    sides.kdeploy("up")


@pytest.mark.parametrize("row", ROWS if SOAK else random.Random(SEED).sample(ROWS, 1))
def test_a_failover_in_which_something_is_killed_is_finished_by_the_same_command(
    sides: Sides, row: str
) -> None:
    active = sides.written_to()
    to = other_of(active)
    if row == WORKER:
        lose_the_worker(sides, active, to)
    else:
        sides.killed_at("failover", "--to", to, "--yes", point=row)
    report = sides.kdeploy("failover", "--to", to, "--yes", "--output", "json").document
    assert (report["target"], report["records_lost"]) == (to, 0)
    writing = Writing(sides, to)
    writing.wait_for(2000)
    writing.stop()
    found = sides.read(to)
    assert found.keys() >= sides.everything()
    assert once(found)


def test_a_datacenter_that_dies_takes_what_was_not_mirrored_and_no_more(sides: Sides) -> None:
    active = sides.written_to()
    other = other_of(active)
    group = Following(sides, active, "orders-app")
    writing = Writing(sides, active)
    writing.wait_for(MORE)
    under_load(writing)
    sides.kill(active)
    writing.stop()
    group.stop(lost=True)
    refused = sides.kdeploy("failover", "--to", other, "--yes", code=1)
    assert "--accept-loss" in refused.stderr
    report = sides.kdeploy("failover", "--to", other, "--yes", "--accept-loss", "--output", "json").document
    assert (report["planned"], report["target"]) == (False, other)
    found = sides.read(other)
    lost = sides.everything() - found.keys()
    assert once(found)
    estimated, at_most = report["records_lost"], report["records_lost_at_most"]
    said = f"{estimated:,} estimated, {at_most:,} at most"
    print(f"{len(lost):,} records lost, {said}, rpo {report['rpo_seconds']} s")
    assert estimated <= at_most <= report["records_lost_if_still_written"]
    assert len(lost) <= at_most + UNDERWAY
    assert abs(len(lost) - estimated) <= max(ESTIMATED, at_most)
    assert len(lost) <= report["records_lost_if_still_written"]
    writing = Writing(sides, other)
    writing.wait_for(MORE)
    writing.stop()
    goes_on(sides, other, sides.everything() - lost - sides.followed["orders-app"], report)


def test_the_old_primary_comes_back_closed_and_gives_up_what_it_alone_has(
    sides: Sides, tmp_path: Path
) -> None:
    active = sides.written_to()
    other = other_of(active)
    there = sides.read(active).keys()
    sides.kdeploy("up")
    before = len(sides.acknowledged[other])
    Writing(sides, other).stop()
    assert len(sides.acknowledged[other]) == before, "it came back closed"
    alone = sides.read(other).keys() - there
    assert alone >= sides.everything() - there
    folder = tmp_path / "unmirrored"
    report = sides.kdeploy("failback", "--yes", "--export", str(folder), "--output", "json").document
    assert report["exported"]["records"] == len(alone)
    assert sorted(exported(folder)) == sorted(alone)
    assert (report["planned"], report["records_lost"]) == (True, 0)
    found = sides.read(other)
    assert found.keys() >= sides.everything()
    assert once(found)
    assert sides.kdeploy("preview", "--output", "json").document["changes"] == []
