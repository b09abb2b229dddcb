"""Everything that is wrong with the settings that an environment names, in one go.

Invariant: pure; what each part refuses when it renders is found here first, by the same functions.
"""

from __future__ import annotations

from collections.abc import Iterator

from kdeploy.errors import InvalidSetting
from kdeploy.spec.model import Environment
from kdeploy.tuning import jvm, kernel
from kdeploy.tuning.definitions import Definitions
from kdeploy.tuning.overrides import mistakes_of, mistakes_of_topic


def mistakes(environment: Environment, known: Definitions) -> Iterator[InvalidSetting]:
    """Settings of Kafka, ZooKeeper, Java and the kernel that are unknown, invalid, or kdeploy's own to set.

    Args:
        environment: With its overrides and topics.
        known: The deployed version's definitions.
    """
    overrides = environment.overrides
    yield from mistakes_of("broker", overrides.broker, known)
    yield from mistakes_of("controller", overrides.controller, known)
    yield from mistakes_of("zookeeper", overrides.zookeeper, known)
    for role, options in overrides.jvm.items():
        yield from jvm.mistakes_of(options, role)
    yield from kernel.mistakes_of(overrides.kernel)
    for index, topic in enumerate(environment.topics):
        yield from mistakes_of_topic(("topics", index, "config"), topic.config, known)
