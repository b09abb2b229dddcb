"""What tests of infra share: a small mirror, and a Java that is none."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kdeploy.infra.artefacts import Distribution
from kdeploy.infra.local.provider import LocalProvider
from tests.infra.mirror import Mirror, serving


@pytest.fixture(autouse=True)
def _no_sources_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("KAFKA_ARCHIVE", "KAFKA_MIRROR", "MAVEN_MIRROR", "JAVA", "CACHE_DIR"):
        monkeypatch.delenv(f"KDEPLOY_{name}", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def mirror() -> Iterator[Mirror]:
    """An Apache mirror that serves nothing yet."""
    with serving() as served:
        yield served


@pytest.fixture
def java(tmp_path: Path) -> Path:
    """The home of something that says it is Java 21 and runs a Python program instead."""
    home = tmp_path / "jdk"
    (home / "bin").mkdir(parents=True)
    (home / "release").write_text('JAVA_VERSION="21.0.8"\n')
    program = home / "bin" / "java"
    program.write_text(f"#!{sys.executable} -IS\n" + (Path(__file__).parent / "fake_java.py").read_text())
    program.chmod(0o755)
    return home


@pytest.fixture
def distribution(tmp_path: Path, java: Path) -> Distribution:
    """A Kafka of the fake Java and no jars."""
    return Distribution(
        "3.9.2", (tmp_path / "libs" / "b.jar", tmp_path / "libs" / "a.jar"), java / "bin" / "java"
    )


@pytest.fixture
def provider(tmp_path: Path, distribution: Distribution) -> Iterator[LocalProvider]:
    """A provider whose nodes all are gone after the test."""
    made = LocalProvider(tmp_path / "nodes", lambda version: distribution, stop_patience=10)
    yield made
    for node in made.known():
        made.stop(node, "now")
