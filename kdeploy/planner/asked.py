"""What a plan is for, in sentences: the workload, the failure it holds with, mirroring, growth.

Invariant: pure; every number is the environment's own, or follows from it alone.
"""

from __future__ import annotations

import math

from kdeploy.planner.demand import YEAR, exchanged
from kdeploy.spec.mirroring import Mirroring
from kdeploy.spec.model import Environment
from kdeploy.units import Range, format_bytes, format_duration, format_range, format_rate, format_share


def asked(environment: Environment) -> str:
    """What the plan is for, in one sentence, and a second one where the workload grows."""
    workload, durability = environment.workload, environment.durability
    kept = format_range(workload.retention, format_duration)
    if workload.retention_bytes is not None:
        kept += f" or {format_bytes(workload.retention_bytes)} per partition"
    failure = {"none": "no failure", "broker": "the loss of a broker", "zone": "the loss of a zone"}
    if workload.topics:
        what = f"{len(workload.topics)} topics with {format_rate(workload.produced)} together on average"
        read = "read and kept as each says"
    else:
        what = f"{format_range(workload.throughput, format_rate)} on average"
        times = f"read {format_range(workload.fan_out, '{:g}'.format)} times"
        read = f"{times if workload.fan_out else 'never read'}, kept {kept}"
    words = (
        f"Planned for {what}, {_peak(environment)} at the peak, {read} in {durability.replication_factor} "
        f"{'copy' if durability.replication_factor == 1 else 'copies'}, "
        f"to hold with {failure[durability.survive]}."
    )
    return words + _mirrored(environment) + _growth(environment)


def _mirrored(environment: Environment) -> str:
    """What mirroring adds, and what topics compress anew."""
    workload = environment.workload
    found = ""
    into, out = (format_range(rate, format_rate) for rate in (workload.mirrored_in, workload.mirrored_out))
    if workload.mirrored_in:
        found += f" {into} more are mirrored in."
    if workload.mirrored_out:
        found += f" {out} are mirrored out."
    if environment.mirroring is not None:
        found += _exchanged(environment, environment.mirroring)
    if workload.topic_compression not in (None, workload.compression):
        new, old = (
            "no compression" if codec == "none" else str(codec)
            for codec in (workload.topic_compression, workload.compression)
        )
        found += f" Brokers compress it anew: {new} in place of {old}."
    return found


def _exchanged(environment: Environment, mirroring: Mirroring) -> str:
    """What follows from `mirroring` where the workload does not state it."""
    workload = environment.workload
    rates, others = exchanged(environment, {}), len(environment.datacenters) - 1
    into, out = (format_rate(float(rate)) for rate in rates)
    if mirroring.mode == "active-passive":
        said = f" {out} of it are mirrored to the datacenter that stands by, and either can be the one that does."
        if others > 1:
            each = format_rate(float(rates[1]) / others)
            said = (
                f" {each} of it are mirrored to each of the {others} datacenters that stand by, and any can be the one that "
                "is written to."
            )
        return "" if workload.mirrored_out else said
    if others > 1:
        return _exchanged_among(environment, mirroring, into, out)
    found = ""
    if not workload.mirrored_out:
        found += f" That is what is written in each datacenter, and {out} of it are mirrored to the other."
    if not workload.mirrored_in:
        found += (
            f" Each has room for {into} of the other's besides: what it is sent, or, alone, "
            f"{mirroring.survivor_share:.0%} of what is written there."
        )
    return found


def _exchanged_among(environment: Environment, mirroring: Mirroring, into: str, out: str) -> str:
    """The same of three datacenters and more."""
    workload, found = environment.workload, ""
    if not workload.mirrored_out:
        found += (
            f" That is what is written in each datacenter and mirrored to every other one; each sends {out}, with all of "
            "them there or with a lost one's clients."
        )
    if not workload.mirrored_in:
        found += (
            f" Each has room for {into} of the others' besides: what it is sent, or, with one of them lost, "
            f"{mirroring.survivor_share:.0%} of what is written there and what the rest send."
        )
    return found


def _peak(environment: Environment) -> str:
    workload = environment.workload
    if isinstance(workload.peak_factor, Range):
        return f"{format_range(workload.peak_factor, '{:g}'.format)} times as much"
    if isinstance(workload.throughput, Range) and not workload.topics:
        ends = workload.throughput.low * workload.peak_factor, workload.throughput.high * workload.peak_factor
        return format_range(Range(*ends), format_rate)
    return format_rate(workload.produced * workload.peak_factor)


def _growth(environment: Environment) -> str:
    workload = environment.workload
    if not workload.growth:
        return ""
    years = workload.horizon / YEAR
    rate = workload.produced * (1 + float(workload.growth)) ** years
    return (
        f" It grows by {format_range(workload.growth, format_share)} a year, and the plan holds to the end "
        f"of month {math.ceil(round(years * 12, 6))}: {format_rate(rate)} on average then, "
        f"{format_rate(rate * workload.peak_factor)} at the peak. Prices are for that load."
    )
