"""What is mirrored into a datacenter, as a person reads it: a section for each direction.

Invariant: pure; it says what the plan says, and what of it is more than there is.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from kdeploy.planner.layout import Section
from kdeploy.planner.mirror_figures import CEILING, HEAP_SHARE, MOST_HEAP
from kdeploy.units import format_bytes, format_duration, format_rate, format_usd

if TYPE_CHECKING:
    from kdeploy.planner.result import LinkPlan, MirrorPlan
    from kdeploy.spec.mirroring import Mirroring
    from kdeploy.spec.model import Environment

LEAST: Final = {
    "link": "the link carries",
    "workers": "the workers carry",
    "partitions": "fetches of so few partitions carry over that round trip",
    "brokers": "the brokers of both sides take",
}
"""What sets how much gets through."""

SAID: Final = {
    "mirror_link": "the load on the link that is mirrored over is {times} what of it may be used",
    "mirror_partitions": "what is fetched of each partition over that round trip is {times} what a fetch takes",
    "mirror_workers": "the load on the workers that mirror is {times} what of them may be used",
    "mirror_lag": "the mirror is behind {times} what the objective allows",
}
"""What is said of limits of mirroring that do not hold."""


def mirrored(name: str, mirror: MirrorPlan, environment: Environment) -> Iterator[Section]:
    """A section for each datacenter that this one's workers read in.

    Args:
        name: The datacenter that they write to.
        mirror: Its workers.
        environment: With `mirroring`.
    """
    wanted = environment.mirroring
    if wanted is None:
        return
    for link in mirror.links:
        idle = () if link.runs else (f"It stands still until a failover to {link.source}.",)
        rows = [("what", "how much"), *_rows(mirror, link, wanted)]
        yield Section(f"Mirroring from {link.source} to {name}", idle, tuple(rows), hanging=True)


def _rows(mirror: MirrorPlan, link: LinkPlan, wanted: Mirroring) -> Iterator[tuple[str, str]]:
    many = len(mirror.links) > 1 and wanted.mode == "active-active"
    with_clients = " with a lost datacenter's clients there" if many else ""
    yield (
        "records",
        f"{format_rate(link.live)} on average, {format_rate(link.peak)} at the peak{with_clients}",
    )
    yield "link", _line(link)
    if link.monthly_usd is not None:
        while_it_runs = "" if link.runs else " while it runs"
        yield "price of it", f"{format_usd(link.monthly_usd)} a month{while_it_runs}"
    lost = " with one of them lost" if mirror.count > 1 else ""
    yield (
        "workers",
        f"{mirror.count} with {mirror.tasks} task{'s' * (mirror.tasks > 1)} {'for this direction' if many else 'in all'}, {mirror.utilisation:.0%} of what they carry at the peak"
        f"{lost} (at most {CEILING.value:.0%} is planned with); {_heap(mirror)}",
    )
    yield "behind", _behind(link, wanted)
    caught_up = "never; no more gets through than is written"
    if link.drain is not None:
        most = f"{format_rate(link.carried)}, what {LEAST[link.least]}"
        caught_up = f"in {format_duration(max(1.0, round(link.drain)))}, at {most}"
    yield "caught up after a cut of 1 h", caught_up


def _heap(mirror: MirrorPlan) -> str:
    """What tasks hold in memory, which is not planned where a process is all there is."""
    needed = f"each needs {format_bytes(mirror.heap)} of heap"
    if mirror.heap > mirror.memory * HEAP_SHARE.value:
        return f"{needed}, more than half of its memory"
    return f"{needed}, and has {MOST_HEAP.shown} at most" if mirror.heap > MOST_HEAP.value else needed


def _line(link: LinkPlan) -> str:
    used = f"{format_rate(link.needed)} at the peak"
    trip = f"round trip {format_duration(link.round_trip)}"
    if link.bandwidth is None or link.utilisation is None:
        return f"{used}; no bandwidth is stated, so it is taken as enough; {trip}"
    return f"{used}, {link.utilisation:.0%} of {format_rate(link.bandwidth)}; {trip}"


def _behind(link: LinkPlan, wanted: Mirroring) -> str:
    if link.carried < link.peak:
        return f"ever further while the peak lasts; the objective is {format_duration(wanted.rpo)}"
    within = (
        f"{format_duration(_short(link.lag))} at the peak; the objective is {format_duration(wanted.rpo)}"
    )
    if link.lag_after_loss is None:
        return f"{within}; while the only worker is lost, nothing is mirrored"
    if link.lag_after_loss <= wanted.rpo:
        return within
    after = format_duration(_short(link.lag_after_loss))
    return f"{within}, which a lost worker breaks once: {after} for the records of its tasks"


def _short(seconds: float) -> float:
    """Two digits: it is an estimate."""
    return float(f"{seconds:.2g}")
