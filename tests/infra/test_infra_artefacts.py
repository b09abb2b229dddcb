"""Kafka is fetched once, whole or not at all, from the first source that truly has it."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from kdeploy.errors import KdeployError
from kdeploy.infra import artefacts
from kdeploy.infra.artefacts import Sources, fetch, maven, store
from kdeploy.infra.artefacts.archive import read_sha512
from kdeploy.infra.artefacts.contents import Refused
from tests.infra.mirror import JARS, VERSION, Mirror, archive, gpg_style

TGZ = f"/{VERSION}/kafka_2.13-{VERSION}.tgz"
NOBODY = "http://127.0.0.1:9"
"""A base URL where nobody answers (the discard port)."""


@pytest.fixture
def sources(mirror: Mirror, java: Path) -> Sources:
    """The mirror as the only source there is."""
    return Sources(mirror=mirror.url, maven_mirror=NOBODY, java=java, patience=1)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def test_a_release_is_fetched_once_and_then_used_without_asking_again(
    mirror: Mirror, sources: Sources, cache: Path
) -> None:
    mirror.release(archive(extra={f"kafka_2.13-{VERSION}/bin/kafka.sh": b"x", "libs-no/a.jar": b"x"}))
    shown: list[tuple[str, float, float]] = []
    first = fetch(VERSION, cache, sources, lambda *seen: shown.append(seen))
    assert [jar.name for jar in first.class_path] == sorted(JARS)
    assert {jar.name: jar.read_bytes() for jar in first.class_path} == JARS
    assert first.class_path_text.split(os.pathsep) == [str(jar) for jar in first.class_path]
    assert shown[-1] == (f"Kafka {VERSION}", len(mirror.files[TGZ]), len(mirror.files[TGZ]))
    asked = len(mirror.asked)
    assert fetch(VERSION, cache, sources) == first
    assert len(mirror.asked) == asked == 2


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("truncated", "transfer broke off|checksum"),
        ("wrong hash", "checksum of kafka_2.13-3.9.2.tgz is not the one"),
        ("no hash", "holds no SHA-512"),
        ("hanging checksum", "no answer in 1 s"),
        ("missing", "404"),
        ("other version", "not Kafka 3.9.2"),
        ("not an archive", "damaged"),
    ],
)
def test_what_is_not_the_release_is_refused_and_leaves_nothing(
    mirror: Mirror, sources: Sources, cache: Path, fault: str, said: str
) -> None:
    good = archive()
    mirror.release(good)
    if fault == "truncated":
        mirror.cut.add(TGZ)
    elif fault == "wrong hash":
        mirror.release(archive({**JARS, "more.jar": b"x"}), gpg_style(good))
    elif fault == "no hash":
        mirror.release(good, b"<html>log in</html>")
    elif fault == "hanging checksum":
        mirror.hang.add(f"{TGZ}.sha512")
    elif fault == "missing":
        mirror.files.clear()
    elif fault == "other version":
        mirror.release(archive({"kafka_2.13-3.9.1.jar": b"x", **JARS}))
    else:
        mirror.release(b"no gzip")
    began = time.monotonic()
    with pytest.raises(KdeployError, match=said) as error:
        fetch(VERSION, cache, sources)
    assert time.monotonic() - began < 5
    assert "KDEPLOY_KAFKA_ARCHIVE" in str(error.value)
    assert "Maven: it cannot be reached" in str(error.value)
    assert not (cache / "kafka" / VERSION).exists()
    mirror.hang.clear()
    mirror.cut.clear()
    mirror.release(good)
    assert len(fetch(VERSION, cache, sources).class_path) == len(JARS)
    assert {path.name for path in (cache / "kafka" / VERSION).iterdir()} == {"libs", "manifest.json"}


def test_a_transfer_that_stalls_is_given_up(mirror: Mirror, sources: Sources, cache: Path) -> None:
    mirror.release(archive())
    mirror.hang.add(TGZ)
    with pytest.raises(KdeployError, match="it stopped answering"):
        fetch(VERSION, cache, replace(sources, patience=0.3))


def test_a_password_in_a_mirrors_url_is_never_shown(sources: Sources, cache: Path) -> None:
    named = "http://someone:hunter2@127.0.0.1:9/kafka"
    with pytest.raises(KdeployError) as error:
        fetch(VERSION, cache, replace(sources, mirror=named))
    assert "hunter2" not in str(error.value)
    assert "http://127.0.0.1:9/kafka" in str(error.value)


@pytest.mark.parametrize(
    ("url", "shown", "said"),
    [
        ("someone:hunter2@host/x", "host/x", "it is not a URL that begins with http"),
        ("https://someone:hun/ter2@host/x", "https://host/x", ""),
        ("host/x", "host/x", "it is not a URL that begins with http"),
        ("http://[::1", "http://[::1", "it is not a URL"),
        (f"http://{'a' * 70}.x", f"http://{'a' * 70}.x", "it is not a URL"),
    ],
)
def test_a_mirror_that_is_no_url_is_told_without_its_password(
    sources: Sources, cache: Path, url: str, shown: str, said: str
) -> None:
    with pytest.raises(KdeployError, match="could not be fetched") as failed:
        fetch(VERSION, cache, replace(sources, mirror=url, maven_mirror=url))
    assert "ter2" not in str(failed.value)
    assert f"  {shown}: {said}" in str(failed.value)


def test_authorities_that_are_named_and_not_there_are_no_matter_of_the_cache(
    sources: Sources, cache: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/no/such/ca.pem")
    nobody = NOBODY.replace("http:", "https:")
    with pytest.raises(KdeployError, match="could not be fetched") as failed:
        fetch(VERSION, cache, replace(sources, mirror=nobody, maven_mirror=nobody))
    assert str(failed.value).count("/no/such/ca.pem") == 2
    assert "Traceback" not in capfd.readouterr().err


def test_a_damaged_distribution_is_noticed_and_made_again(
    mirror: Mirror, sources: Sources, cache: Path
) -> None:
    mirror.release(archive())
    first = fetch(VERSION, cache, sources)
    first.class_path[0].write_bytes(b"cut")
    first.class_path[1].unlink()
    again = fetch(VERSION, cache, sources)
    assert {jar.name: jar.read_bytes() for jar in again.class_path} == JARS
    assert not list((cache / "kafka").glob(".*.damaged"))


def test_several_that_fetch_at_once_download_it_once(mirror: Mirror, sources: Sources, cache: Path) -> None:
    mirror.release(archive())
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: fetch(VERSION, cache, sources), range(4)))
    assert len(set(found)) == 1
    assert mirror.asked.count(TGZ) == 1


def test_a_fetch_that_was_killed_leaves_nothing_half_and_the_next_one_succeeds(
    mirror: Mirror, sources: Sources, cache: Path
) -> None:
    mirror.release(archive())
    mirror.hang.add(TGZ)
    program = (
        "import sys; from pathlib import Path; from kdeploy.infra.artefacts import *\n"
        "fetch(sys.argv[1], Path(sys.argv[2]), Sources(mirror=sys.argv[3], java=Path(sys.argv[4])))"
    )
    words = [sys.executable, "-c", program, VERSION, str(cache), mirror.url, str(sources.java)]
    with subprocess.Popen(words) as process:
        while TGZ not in mirror.asked:
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    assert not (cache / "kafka" / VERSION).exists()
    mirror.hang.clear()
    assert len(fetch(VERSION, cache, sources).class_path) == len(JARS)


def test_a_full_or_forbidden_cache_is_said_in_one_message(sources: Sources, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(KdeployError, match="KDEPLOY_CACHE_DIR"):
        fetch(VERSION, tmp_path / "file", sources)


def test_a_cache_whose_path_java_cannot_read_is_refused(
    mirror: Mirror, sources: Sources, tmp_path: Path
) -> None:
    mirror.release(archive())
    with pytest.raises(KdeployError, match="cannot read in a class path"):
        fetch(VERSION, tmp_path / "a:b", sources)


class TestNamedPath:
    """KDEPLOY_KAFKA_ARCHIVE."""

    @pytest.fixture
    def packed(self, tmp_path: Path) -> Path:
        file = tmp_path / "given" / f"kafka_2.13-{VERSION}.tgz"
        file.parent.mkdir()
        file.write_bytes(archive())
        return file

    @pytest.mark.parametrize("place", ["archive", "folder with archive", "unpacked", "folder with unpacked"])
    def test_gives_the_jars_without_any_network(
        self, sources: Sources, cache: Path, packed: Path, place: str, mirror: Mirror
    ) -> None:
        unpacked = packed.parent / f"kafka_2.13-{VERSION}"
        if "unpacked" in place:
            packed.unlink()
            (unpacked / "libs").mkdir(parents=True)
            for name, content in JARS.items():
                (unpacked / "libs" / name).write_bytes(content)
        path = {"archive": packed, "unpacked": unpacked}.get(place, packed.parent)
        found = fetch(VERSION, cache, replace(sources, path=path))
        assert {jar.name: jar.read_bytes() for jar in found.class_path} == JARS
        assert mirror.asked == []

    def test_is_checked_against_a_checksum_beside_it(
        self, sources: Sources, cache: Path, packed: Path
    ) -> None:
        beside = packed.with_name(f"{packed.name}.sha512")
        beside.write_bytes(gpg_style(b"something else"))
        with pytest.raises(KdeployError, match="its checksum is not the one"):
            fetch(VERSION, cache, replace(sources, path=packed))
        beside.write_text(f"{hashlib.sha512(packed.read_bytes()).hexdigest()}  {packed.name}\n")
        assert fetch(VERSION, cache, replace(sources, path=packed)).class_path

    def test_is_unpacked_anew_when_it_was_replaced(self, sources: Sources, cache: Path, packed: Path) -> None:
        first = fetch(VERSION, cache, replace(sources, path=packed))
        packed.write_bytes(archive({**JARS, "more-1.0.jar": b"more"}))
        assert (
            len(fetch(VERSION, cache, replace(sources, path=packed)).class_path) == len(first.class_path) + 1
        )

    @pytest.mark.parametrize("fault", ["missing", "empty folder", "truncated", "other version"])
    def test_is_never_silently_replaced_by_the_network(
        self, sources: Sources, cache: Path, packed: Path, fault: str, mirror: Mirror
    ) -> None:
        mirror.release(archive())
        if fault == "truncated":
            packed.write_bytes(archive()[:-40])
        elif fault == "other version":
            packed.write_bytes(archive({"kafka_2.13-4.1.2.jar": b"x", "kafka-clients-4.1.2.jar": b"x"}))
        else:
            packed.unlink()
        path = packed.parent if fault == "empty folder" else packed
        with pytest.raises(KdeployError, match="does not give Kafka"):
            fetch(VERSION, cache, replace(sources, path=path))
        assert mirror.asked == []

    def test_cannot_write_outside_its_folder(self, sources: Sources, cache: Path, packed: Path) -> None:
        packed.write_bytes(archive(extra={"../../libs/../evil.jar": b"x", "libs/../../evil.jar": b"x"}))
        fetch(VERSION, cache, replace(sources, path=packed))
        assert not list(cache.parent.rglob("evil.jar"))


class TestMaven:
    """Pinned jars."""

    @pytest.fixture
    def pinned(self, monkeypatch: pytest.MonkeyPatch, mirror: Mirror) -> Mirror:
        jars = []
        for name, content in JARS.items():
            artifact, _, version = name.removesuffix(".jar").rpartition("-")
            jars.append(
                maven.PinnedJar(f"org.example:{artifact}:{version}", hashlib.sha256(content).hexdigest(), 6)
            )
            mirror.files[f"/org/example/{artifact}/{version}/{name}"] = content
        monkeypatch.setattr(maven, "pins", lambda version: tuple(jars))
        return mirror

    @pytest.fixture
    def only_maven(self, sources: Sources, mirror: Mirror) -> Sources:
        return replace(sources, mirror=NOBODY, maven_mirror=mirror.url)

    def test_is_asked_when_the_archive_does_not_answer(
        self, pinned: Mirror, only_maven: Sources, cache: Path
    ) -> None:
        found = fetch(VERSION, cache, only_maven)
        assert {jar.name: jar.read_bytes() for jar in found.class_path} == JARS
        manifest = json.loads((cache / "kafka" / VERSION / "manifest.json").read_text())
        assert manifest["source"] == "Maven"

    def test_a_jar_with_another_hash_is_refused(
        self, pinned: Mirror, only_maven: Sources, cache: Path
    ) -> None:
        path = next(path for path in pinned.files if "clients" in path)
        pinned.files[path] = b"evil"
        with pytest.raises(KdeployError, match="not the jar that kdeploy knows"):
            fetch(VERSION, cache, only_maven)
        assert not (cache / "kafka" / VERSION).exists()

    def test_goes_on_with_the_jars_that_came_before_it_was_interrupted(
        self, pinned: Mirror, only_maven: Sources, cache: Path
    ) -> None:
        path = next(path for path in pinned.files if "reload4j" in path)
        content = pinned.files.pop(path)
        with pytest.raises(KdeployError, match="404"):
            fetch(VERSION, cache, only_maven)
        pinned.files[path] = content
        pinned.asked.clear()
        half = cache / "kafka" / f".{VERSION}.making" / "libs"
        assert {jar.name for jar in half.glob("*.jar")} == {name for name in JARS if "reload4j" not in name}
        (half / f"kafka-clients-{VERSION}.jar").write_bytes(b"damaged")
        found = fetch(VERSION, cache, only_maven)
        assert {jar.name: jar.read_bytes() for jar in found.class_path} == JARS
        assert len(pinned.asked) == 2


@pytest.mark.parametrize(
    "text",
    [
        gpg_style(b"x").decode(),
        f"{hashlib.sha512(b'x').hexdigest()}  kafka_2.13-3.9.2.tgz\n",
        f"{hashlib.sha512(b'x').hexdigest().upper()}\n",
    ],
)
def test_checksum_files_of_every_style_are_read(text: str) -> None:
    assert read_sha512(text) == hashlib.sha512(b"x").hexdigest()


@pytest.mark.parametrize("text", ["", "kafka.tgz: 12AB", "<html>"])
def test_a_checksum_file_without_a_checksum_is_refused(text: str) -> None:
    with pytest.raises(Refused):
        read_sha512(text)


class TestJava:
    """Which Java runs what."""

    def make(self, home: Path, version: str) -> Path:
        (home / "release").write_text(f'IMPLEMENTOR="x"\nJAVA_VERSION="{version}"\n')
        return home

    @pytest.mark.parametrize(
        ("kafka", "version", "fits"),
        [
            ("3.9.2", "1.8.0_392", False),
            ("3.9.2", "11.0.22", True),
            ("3.9.2", "21", True),
            ("4.1.2", "11.0.22", False),
            ("4.1.2", "17.0.9", True),
            ("4.3.1", "25.0.1", True),
        ],
    )
    def test_too_old_a_java_is_refused_for_a_broker(
        self, java: Path, kafka: str, version: str, fits: bool
    ) -> None:
        home = self.make(java, version)
        if fits:
            assert artefacts.java.find(kafka, home) == home / "bin" / "java"
        else:
            with pytest.raises(KdeployError, match=r"need Java \d+ or later\n.*KDEPLOY_JAVA"):
                artefacts.java.find(kafka, home)

    def test_a_java_without_a_release_file_is_asked(self, tmp_path: Path) -> None:
        program = tmp_path / "java"
        program.write_text("#!/bin/sh\necho 'openjdk version \"11.0.2\" 2019-01-15' >&2\n")
        program.chmod(0o755)
        assert artefacts.java.find("3.9.2", program) == program
        with pytest.raises(KdeployError, match="is Java 11"):
            artefacts.java.find("4.1.2", program)

    @pytest.mark.parametrize("kind", ["missing", "not a program", "an empty folder", "silent"])
    def test_what_is_no_java_is_refused(self, tmp_path: Path, kind: str) -> None:
        named = tmp_path / "java"
        if kind == "not a program":
            named.touch()
        elif kind == "an empty folder":
            named.mkdir()
        elif kind == "silent":
            named.write_text("#!/bin/sh\n")
            named.chmod(0o755)
        with pytest.raises(KdeployError, match="KDEPLOY_JAVA"):
            artefacts.java.find("3.9.2", named)

    def test_the_one_that_comes_with_kdeploy_fits_every_version(self) -> None:
        assert artefacts.java.find("4.3.1", None) == artefacts.java.find("3.9.2", None)


def test_sources_come_from_the_environment() -> None:
    named = Sources.from_environment(
        {
            "KDEPLOY_KAFKA_ARCHIVE": "/a",
            "KDEPLOY_KAFKA_MIRROR": "http://m/",
            "KDEPLOY_JAVA": "/j",
            "JAVA_HOME": "/x",
        }
    )
    assert named == Sources(path=Path("/a"), mirror="http://m", java=Path("/j"))
    assert Sources.from_environment({"KDEPLOY_KAFKA_ARCHIVE": ""}) == Sources()


def test_the_cache_can_be_moved(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KDEPLOY_CACHE_DIR", str(tmp_path))
    assert artefacts.default_cache() == tmp_path
    monkeypatch.setenv("KDEPLOY_CACHE_DIR", "")
    assert artefacts.default_cache().name == "kdeploy"


def test_what_an_earlier_kdeploy_kept_without_a_jar_that_is_needed_now_is_made_anew(tmp_path: Path) -> None:
    def fill(*names: str) -> Callable[[Path], str]:
        def put(libs: Path) -> str:
            for name in names:
                (libs / name).write_bytes(b"x")
            return "here"

        return put

    folder = tmp_path / "kafka" / VERSION
    store.obtain(folder, fill("a.jar"), artefacts.quiet)
    found = store.obtain(folder, fill("a.jar", "b.jar"), artefacts.quiet, ["b.jar"])
    assert [jar.name for jar in found] == ["a.jar", "b.jar"]
    assert store.obtain(folder, fill(), artefacts.quiet, ["b.jar"]) == found
