"""Whether declared topics keep to the policies.

What is judged is what a topic will have: defaults and patterns merged; copies left out are
durability.replication_factor; retention left out is workload.retention, which brokers are given. Partitions are
judged where they are declared, for the topic or as num.partitions among the overrides. Retention is judged of topics
whose old records are deleted (cleanup.policy). Topics that are to be deleted are not judged.

Invariant: pure, as all of `kdeploy.spec.check`. A policy that is broken is one finding: it names a topic, the
policy with its place, and the topics that break it likewise.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from kdeploy.spec.check.finding import Finding
from kdeploy.spec.model import Environment
from kdeploy.spec.plain import Path_
from kdeploy.spec.resources import Topic
from kdeploy.units import format_duration

UNLIMITED: Final = -1
"""What retention.ms is where records are kept for ever."""


def check(environment: Environment) -> Iterator[Finding]:
    """Findings about policies, and about topics that break one."""
    policies = environment.policies
    names = list(_expressions(policies.topic_names))
    wrong = [finding for finding in names if isinstance(finding, Finding)]
    yield from wrong
    if policies.min_retention and policies.max_retention and policies.min_retention > policies.max_retention:
        yield Finding(
            ("policies", "min_retention"),
            f"no retention is {format_duration(policies.min_retention)} at least",
            "write less, or raise max_retention",
            mention=(
                f"and {format_duration(policies.max_retention)} at most, by",
                ("policies", "max_retention"),
            ),
        )
    if policies == type(policies)():
        return
    expressions = [] if wrong else [one for one in names if isinstance(one, re.Pattern)]
    broken: dict[object, list[tuple[str, Finding]]] = {}
    for index, topic in enumerate(environment.topics):
        for one in () if topic.delete else _of_topic(index, topic, environment, expressions):
            broken.setdefault((one.mention, one.right), []).append((topic.name, one))
    for (_, first), *others in broken.values():
        yield replace(first, likewise=tuple(others))


def _of_topic(
    index: int, topic: Topic, environment: Environment, expressions: list[re.Pattern[str]]
) -> Iterator[Finding]:
    yield from _name(("topics", index, "name"), topic, expressions)
    yield from _counts(("topics", index), topic, environment)
    yield from _retention(("topics", index), topic, environment)


def _expressions(written: tuple[str, ...]) -> Iterator[re.Pattern[str] | Finding]:
    for index, text in enumerate(written):
        try:
            yield re.compile(text)
        except (re.error, OverflowError, RecursionError) as error:
            why = getattr(error, "msg", None) or "it is too large"
            wrong = f"{text[:60]!r} is not a regular expression: {why}"
            yield Finding(
                ("policies", "topic_names", index), wrong, "write it as Python's re module takes it"
            )


def _name(path: Path_, topic: Topic, expressions: list[re.Pattern[str]]) -> Iterator[Finding]:
    if expressions and not any(one.fullmatch(topic.name) for one in expressions):
        wrong = f"the name of topic {topic.name} matches none of the patterns that names have to match"
        yield Finding(
            path, wrong, "give the topic a name that does", mention=("see", ("policies", "topic_names"))
        )


def _counts(place: Path_, topic: Topic, environment: Environment) -> Iterator[Finding]:
    policies, durability = environment.policies, environment.durability
    partitions = topic.partitions or _default_partitions(environment)
    most = policies.max_partitions
    if most is not None and partitions is not None and partitions > most:
        yield _broken(
            (*place, "partitions"),
            f"topic {topic.name} has {partitions} partitions",
            f"write {most} or less",
            f"and {most} are the most, by",
            "max_partitions",
        )
    copies = topic.replication_factor or durability.replication_factor
    least = policies.min_replication_factor
    if least is not None and copies < least:
        yield _broken(
            (*place, "replication_factor"),
            f"topic {topic.name} has {copies} {'copy' if copies == 1 else 'copies'}",
            f"write {least} or more",
            f"and {least} are the fewest, by",
            "min_replication_factor",
        )
    if policies.owner_required and topic.owner is None:
        wrong = f"nobody answers for topic {topic.name}"
        right = "write owner: with a team or a person"
        yield _broken((*place, "owner"), wrong, right, "which is required by", "owner_required")


def _retention(place: Path_, topic: Topic, environment: Environment) -> Iterator[Finding]:
    policies = environment.policies
    if policies.min_retention is None and policies.max_retention is None:
        return
    if "delete" not in str(topic.config.get("cleanup.policy", "delete")):
        return
    kept = _kept(topic, environment)
    path = (*place, "retention")
    if kept is None:
        return
    is_unlimited = kept < 0
    shown = "for ever" if is_unlimited else f"for {format_duration(kept)}"
    least, most = policies.min_retention, policies.max_retention
    if least is not None and not is_unlimited and kept < least:
        wrong = f"topic {topic.name} keeps records {shown}"
        right = f"write retention: {_written(least)} or more"
        yield _broken(
            path, wrong, right, f"and {format_duration(least)} is the shortest, by", "min_retention"
        )
    if most is not None and (is_unlimited or kept > most):
        wrong = f"topic {topic.name} keeps records {shown}"
        right = f"write retention: {_written(most)} or less"
        yield _broken(path, wrong, right, f"and {format_duration(most)} is the longest, by", "max_retention")


def _kept(topic: Topic, environment: Environment) -> float | None:
    """Seconds that records are kept, -1 for ever; None where the setting is no number, which is said elsewhere."""
    setting = topic.settings.get("retention.ms")
    if setting is None:
        return float(environment.workload.retention)
    return float(setting) / 1000 if re.fullmatch(r"-?[0-9]{1,18}", setting) else None


def _default_partitions(environment: Environment) -> int | None:
    found = environment.overrides.broker.get("num.partitions")
    return found if isinstance(found, int) and not isinstance(found, bool) else None


def _broken(path: Path_, wrong: str, right: str, words: str, policy: str) -> Finding:
    return Finding(path, wrong, right, ((*path[:2], "name"),), (words, ("policies", policy)))


def _written(seconds: float) -> str:
    return format_duration(seconds).replace(" ", "").replace(",", "")
