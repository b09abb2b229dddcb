"""Write kdeploy/tuning/definitions/VERSION.json from the jars of that Kafka version.

Run it when a version is added to `kdeploy.spec.versions.SUPPORTED`:

    python .ci/definitions/generate.py 3.9.2 4.1.2 4.3.1
    python .ci/definitions/generate.py 4.3.1='libs/*'

A version alone is resolved from Maven coordinates by jgo; with `=`, what follows is the
class path to read. It needs a `java` that compiles (a JDK of version 17 or later), because
`Dump.java` is started from its source. The result is committed: nobody needs Java to plan.

Invariant: what is written depends on the jars alone, sorted, one setting a line.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
TARGET = HERE.parents[1] / "kdeploy" / "tuning" / "definitions"


def class_path(version: str) -> str:
    """The class path of a Kafka version, resolved into a temporary folder."""
    import jgo

    folder = Path(tempfile.mkdtemp(prefix="kafka-definitions-"))
    parts = [f"org.apache.kafka:kafka_2.13:{version}", f"org.apache.kafka:kafka-tools:{version}"]
    environment = Path(jgo.build(endpoint="+".join(parts), cache_dir=folder).path)
    return f"{environment / 'jars' / '*'}:{environment / 'modules' / '*'}"


def dump(path: str) -> dict[str, dict[str, dict[str, object]]]:
    """What Dump.java says about the Kafka on a class path."""
    command = ["java", "-cp", path, str(HERE / "Dump.java")]
    run = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    document: dict[str, dict[str, dict[str, object]]] = json.loads(run.stdout)
    return document


def write(version: str, document: dict[str, dict[str, dict[str, object]]]) -> None:
    """Write one version's file, one setting a line, so that a new version reads as a difference."""
    sections = []
    for section, settings in sorted(document.items()):
        lines = [
            f"    {json.dumps(name)}: {json.dumps(one, sort_keys=True)}"
            for name, one in sorted(settings.items())
        ]
        sections.append(f"  {json.dumps(section)}: {{\n" + ",\n".join(lines) + "\n  }")
    (TARGET / f"{version}.json").write_text("{\n" + ",\n".join(sections) + "\n}\n")


def main() -> None:
    """Generate each version named on the command line."""
    for argument in sys.argv[1:]:
        version, _, path = argument.partition("=")
        document = dump(path or class_path(version))
        document["zookeeper"] = {
            name: one for name, one in document["zookeeper"].items() if not name.startswith("testingonly")
        }
        write(version, document)
        print(version, {section: len(settings) for section, settings in document.items()})


if __name__ == "__main__":
    main()
