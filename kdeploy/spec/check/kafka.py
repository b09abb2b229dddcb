"""Whether this Kafka version is known and can be coordinated this way; the workload as a whole.

Invariant: pure, as all of `kdeploy.spec.check`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from kdeploy.spec.check.finding import Finding
from kdeploy.spec.model import Environment
from kdeploy.spec.risks import RISKS
from kdeploy.spec.versions import SUPPORTED
from kdeploy.spec.wording import did_you_mean, either, nearest

LOGGER: Final = r"[A-Za-z_][A-Za-z0-9_.$-]*"
"""A logger's name: a package or class of Java, or a name of Kafka's own like state.change.logger."""


def check(environment: Environment) -> Iterator[Finding]:
    """Findings about version, coordination, workload and accepted risks."""
    yield from _version(environment)
    yield from _workload(environment)
    for index, name in enumerate(environment.accept_risks):
        if name not in RISKS:
            wrong = f"there is no risk called {name!r}"
            meant = nearest(name, RISKS)
            right = (
                f"did you mean `{meant}`?"
                if meant
                else "`kdeploy schema` lists their names, under accept_risks"
            )
            yield Finding(("accept_risks", index), wrong, right)
    yield from _overrides(environment)


def _overrides(environment: Environment) -> Iterator[Finding]:
    """Findings about overrides for nodes that there are not, and options that the JVM would not take as such."""
    overrides = environment.overrides
    absent = "controller" if environment.kafka.coordination == "zookeeper" else "zookeeper"
    wrong = f"there is no {absent} in a cluster that is coordinated by {environment.kafka.coordination}"
    if overrides.controller if absent == "controller" else overrides.zookeeper:
        yield Finding(("overrides", absent), wrong, "remove these overrides")
    if absent in overrides.logs:
        yield Finding(("overrides", "logs", absent), wrong, "remove these levels")
    for role, levels in overrides.logs.items():
        for name in levels:
            if not re.fullmatch(LOGGER, name):
                right = "write a package or class of Java, like kafka.server, or root"
                yield Finding(("overrides", "logs", role, name), f"{name!r} is not a logger's name", right)
    for role, options in overrides.jvm.items():
        if role == absent:
            yield Finding(("overrides", "jvm", role), wrong, "remove these options")
        for index, option in enumerate(options):
            if not option.startswith("-"):
                wrong = f"{option!r} is not an option of the JVM"
                yield Finding(
                    ("overrides", "jvm", role, index), wrong, "write it with its hyphen, like -Xmx2g"
                )


def _version(environment: Environment) -> Iterator[Finding]:
    version, coordination = environment.kafka.version, environment.kafka.coordination
    if version not in SUPPORTED:
        wrong = f"Kafka {version!r} is not a version that kdeploy knows"
        yield Finding(("kafka", "version"), wrong, did_you_mean(version, SUPPORTED))
    elif coordination not in SUPPORTED[version]:
        others = [known for known, kinds in SUPPORTED.items() if coordination in kinds]
        right = f"write coordination: {either(SUPPORTED[version])}, or version: {either(map(repr, others))}"
        wrong = f"Kafka {version} cannot be coordinated by {coordination}"
        yield Finding(("kafka", "coordination"), wrong, right, (("kafka", "version"),))


def _workload(environment: Environment) -> Iterator[Finding]:
    workload = environment.workload
    if workload.topics and workload.throughput != type(workload)().throughput:
        right = "leave throughput out, or the topics"
        wrong = "the topics of the workload have rates of their own"
        yield Finding(("workload", "throughput"), wrong, right)
    if workload.throughput <= 0:
        right = "write what producers write on average, for example 10MB/s"
        yield Finding(("workload", "throughput"), "a throughput of nothing leaves nothing to plan", right)
    declared = sum(topic.partitions or 0 for topic in environment.topics)
    if workload.partitions is not None and workload.partitions < declared:
        wrong = f"{workload.partitions} partitions in all, and the topics below have {declared} already"
        right = f"write {declared} or more, or leave it out"
        yield Finding(("workload", "partitions"), wrong, right)
