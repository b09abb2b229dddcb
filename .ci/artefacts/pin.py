"""Pin the jars of a Kafka version: their coordinates, sizes and SHA-256, as package data.

    python .ci/artefacts/pin.py 3.9.2 4.1.2

Resolves what a broker, a controller, ZooKeeper and Kafka's tools need, downloads each jar
once and writes `kdeploy/infra/pins/VERSION.json`. Review the difference before committing
it: whoever runs kdeploy trusts these hashes. Invariant: every Kafka jar has the version
asked for; otherwise nothing is written.
"""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

import jgo
from jgo.maven import MavenContext

from kdeploy.infra.artefacts.contents import check_kafka_jars

PINS: Final = Path(__file__).parents[2] / "kdeploy" / "infra" / "pins"

ROOTS: Final = (
    "org.apache.kafka:kafka_2.13:{version}",
    "org.apache.kafka:kafka-tools:{version}",
    "org.apache.kafka:connect-runtime:{version}",
    "org.apache.kafka:connect-mirror:{version}",
)
"""kafka_2.13 is the broker (with ZooKeeper up to 3.9); kafka-tools has ProducerPerformance and its like; connect-mirror
is MirrorMaker, and connect-runtime what runs it."""

RELOAD4J_BINDING: Final = "org.slf4j:slf4j-reload4j:1.7.36"
"""Kafka 3.9 logs through slf4j 1.7.36 to reload4j (its release archive's libs/)."""

LOG4J2_BINDING: Final = "org.apache.logging.log4j:log4j-slf4j-impl:{log4j}"
"""Kafka 4.x logs through slf4j 1.7.36 to log4j 2 (KIP-653); the binding for slf4j 1 has log4j-core's version."""


def coordinates(version: str) -> list[str]:
    """`group:artifact:version` of every jar, sorted."""
    roots = [root.format(version=version) for root in ROOTS]
    if version.startswith("3."):
        roots.append(RELOAD4J_BINDING)
    found = {f"{one.groupId}:{one.artifactId}:{one.version}" for one in jgo.resolve("+".join(roots))}
    if not version.startswith("3."):
        # Added by name: resolved together with Kafka, its POM drew in Kafka jars of other versions.
        core = next(one for one in found if one.startswith("org.apache.logging.log4j:log4j-core:"))
        found.add(LOG4J2_BINDING.format(log4j=core.rpartition(":")[2]))
    return sorted(found)


def pin(coordinate: str, context: MavenContext) -> dict[str, Any]:
    """Download one jar and say what it is."""
    group, artifact, version = coordinate.split(":")
    content = context.project(group, artifact).at_version(version).artifact().resolve().read_bytes()
    return {"coordinate": coordinate, "sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}


def document(version: str, jars: list[dict[str, Any]]) -> str:
    """The pins as JSON with a line per jar, so that a review sees which jar changed."""
    lines = ",\n".join(f"  {json.dumps(jar, sort_keys=True)}" for jar in jars)
    return f'{{\n "jars": [\n{lines}\n ],\n "version": "{version}"\n}}\n'


def main(versions: list[str]) -> None:
    """Write the pins of each version."""
    for version in versions:
        with tempfile.TemporaryDirectory() as folder:
            context = MavenContext(repo_cache=Path(folder))
            jars = [pin(coordinate, context) for coordinate in coordinates(version)]
        check_kafka_jars(["-".join(jar["coordinate"].split(":")[1:]) + ".jar" for jar in jars], version)
        (PINS / f"{version}.json").write_text(document(version, jars))
        print(f"{version}: {len(jars)} jars, {sum(jar['size'] for jar in jars) / 1e6:.0f} MB")


if __name__ == "__main__":
    main(sys.argv[1:])
