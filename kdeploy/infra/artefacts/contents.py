"""What a Kafka distribution is made of, and when it is refused. Pure.

Invariant: a distribution has the broker, the clients and MirrorMaker, and every Kafka jar in it has
the version asked for; a mixture fails at run time with NoSuchMethodError, long after
anyone would think of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from kdeploy.errors import KdeployError

KAFKA_JAR: Final = re.compile(r"(?:kafka|connect|trogdor)[-_a-z0-9.]*?-(\d+\.\d+\.\d+[^/]*)\.jar")
"""Jars that are released with Kafka and carry its version: kafka_2.13-3.9.2.jar, connect-api-3.9.2.jar."""

NO_RUNTIME_JAR: Final = re.compile(r".*-(?:test|test-sources|src|sources|scaladoc|javadoc)\.jar")
"""Jars that Kafka's own start script leaves out (bin/kafka-run-class.sh, should_include_file, 3.9.2)."""

CORE_JAR: Final = "kafka_2.13-{version}.jar"
"""The broker. 2.13 is the one Scala version that all of 3.9 and 4.x are released for."""


def needed(version: str) -> tuple[str, ...]:
    """Names of jars without which a distribution is none: the broker, its clients, MirrorMaker."""
    return (
        CORE_JAR.format(version=version),
        f"kafka-clients-{version}.jar",
        f"connect-mirror-{version}.jar",
    )


class Refused(KdeployError):
    """One source of a distribution cannot give it; the message is one short line."""


def is_runtime_jar(name: str) -> bool:
    """Whether a file of a release's libs/ belongs on the class path."""
    return name.endswith(".jar") and not NO_RUNTIME_JAR.fullmatch(name)


def check_kafka_jars(names: Iterable[str], version: str) -> None:
    """Refuse jars that are not Kafka of this version.

    Args:
        names: File names of all jars.
        version: The version asked for.

    Raises:
        Refused: A Kafka jar has another version, or the broker is missing.
    """
    jars = sorted(names)
    strange = [name for name in jars if (found := KAFKA_JAR.fullmatch(name)) and found.group(1) != version]
    if strange:
        raise Refused(f"it holds {', '.join(strange[:3])}, not Kafka {version}")
    for one in needed(version):
        if one not in jars:
            raise Refused(f"it lacks {one}")
