"""A node's files are in place whole, private, and no others; its storage is formatted once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from kdeploy.blueprint import Node, RenderedFile, SecretFile
from kdeploy.errors import KdeployError
from kdeploy.infra.local import folder
from kdeploy.infra.local.provider import LocalProvider
from tests.infra.nodes import SECRETS, blueprint, node, with_text

FORMAT = ("format", "--cluster-id", "x", "--config", "config/server.properties")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "nodes" / "here" / "broker-1"


def test_a_node_that_was_never_applied_is_absent(provider: LocalProvider, home: Path) -> None:
    state = provider.observe([node()])["here/broker-1"]
    assert (state.present, state.running, state.applied, state.started) == (False, False, None, None)
    assert state.detail == "never started"
    assert not home.parent.exists(), "observing makes nothing"


def test_files_and_folders_are_in_place_and_private(provider: LocalProvider, home: Path) -> None:
    one = node(data_directories=("data/0", "data/1"))
    provider.provision(blueprint(one))
    provider.apply(one, SECRETS)
    assert (home / "config/server.properties").read_text() == "broker.id=1\n"
    assert (home / "secrets/identity.pem").read_bytes() == SECRETS["secrets/identity.pem"]
    for path in [home, *home.rglob("*")]:
        assert path.stat().st_mode & 0o077 == 0, path
    assert {path.name for path in (home / "data").iterdir()} == {"0", "1"}
    state = provider.observe([one])[one.key]
    assert state.present
    assert state.applied == provider.wanted(one, SECRETS)
    assert not list(home.rglob(".*.new"))


def test_what_is_wanted_changes_with_files_that_take_a_restart_and_with_secrets(
    provider: LocalProvider,
) -> None:
    one = node()
    wanted = provider.wanted(one, SECRETS)
    assert wanted == provider.wanted(node(), dict(SECRETS))
    assert wanted != provider.wanted(with_text(one, "broker.id=2\n"), SECRETS)
    assert wanted != provider.wanted(one, {"secrets/identity.pem": b"renewed"})
    softer = replace(one, files=(one.files[0], replace(one.files[1], text="other\n")))
    assert wanted == provider.wanted(softer, SECRETS)
    with pytest.raises(KdeployError, match=r"no content for secrets/identity\.pem"):
        provider.wanted(one, {})


@pytest.mark.parametrize(
    "damage", ["edited", "deleted", "readable by others", "secret edited", "soft outdated"]
)
def test_a_file_that_is_not_as_it_should_be_is_seen_and_put_right(
    provider: LocalProvider, home: Path, damage: str
) -> None:
    one = node()
    provider.provision(blueprint(one))
    provider.apply(one, SECRETS)
    config = home / "config/server.properties"
    if damage == "edited":
        config.write_text("broker.id=7\n")
    elif damage == "deleted":
        config.unlink()
    elif damage == "readable by others":
        config.chmod(0o644)
    elif damage == "secret edited":
        (home / "secrets/identity.pem").write_bytes(b"other")
    else:
        one = replace(one, files=(one.files[0], replace(one.files[1], text="newer\n")))
    assert provider.observe([one])[one.key].applied is None
    provider.apply(one, SECRETS)
    assert provider.observe([one])[one.key].applied == provider.wanted(one, SECRETS)
    assert config.read_text() == "broker.id=1\n"
    assert config.stat().st_mode & 0o077 == 0


def test_files_that_are_right_are_not_written_again(provider: LocalProvider, home: Path) -> None:
    one = node()
    provider.provision(blueprint(one))
    provider.apply(one, SECRETS)
    before = (home / "config/server.properties").stat()
    provider.apply(one, SECRETS)
    after = (home / "config/server.properties").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_files_that_no_longer_belong_are_removed_and_data_is_not(provider: LocalProvider, home: Path) -> None:
    one = node()
    provider.provision(blueprint(one))
    provider.apply(one, SECRETS)
    (home / "data/0/segment.log").write_bytes(b"records")
    later = replace(one, files=(RenderedFile("config/broker.properties", "x\n"),), secrets=())
    provider.apply(later, {})
    assert [path.name for path in (home / "config").iterdir()] == ["broker.properties"]
    assert not list((home / "secrets").iterdir())
    assert (home / "data/0/segment.log").read_bytes() == b"records"


def test_an_interrupted_apply_is_seen_and_leaves_nothing_behind_for_good(
    provider: LocalProvider, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = node()
    provider.provision(blueprint(one))
    provider.apply(one, SECRETS)
    other = replace(one, files=(RenderedFile("config/a", "a"), RenderedFile("config/b", "b")))
    put, count = folder.put, 0

    def dies(file: Path, content: bytes) -> None:
        nonlocal count
        count += 1
        if count == 3:
            raise KeyboardInterrupt
        put(file, content)

    monkeypatch.setattr(folder, "put", dies)
    with pytest.raises(KeyboardInterrupt):
        provider.apply(other, SECRETS)
    monkeypatch.undo()
    assert provider.observe([one])[one.key].applied is None
    assert provider.observe([one])[one.key].present
    third = replace(one, files=(RenderedFile("config/c", "c"),))
    provider.apply(third, SECRETS)
    assert [path.name for path in (home / "config").iterdir()] == ["c"]


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "7", '{"schema": "kdeploy.node/v1"}', '{"schema": "kdeploy.node/v1", "node": "x"}'],
)
def test_a_record_that_was_damaged_is_as_one_that_was_never_written(
    provider: LocalProvider, home: Path, text: str
) -> None:
    one = node()
    provider.provision(blueprint(one))
    provider.apply(one, SECRETS)
    (home / "node.json").write_text(text)
    assert not provider.observe([one])[one.key].present
    provider.apply(one, SECRETS)
    assert provider.observe([one])[one.key].applied == provider.wanted(one, SECRETS)


@pytest.mark.parametrize("path", ["/etc/passwd", "../other/file", "config/../../x", ""])
def test_a_path_outside_the_nodes_folder_is_refused(provider: LocalProvider, path: str) -> None:
    bad = replace(node(), files=(RenderedFile(path, "x"),))
    provider.provision(blueprint(bad))
    with pytest.raises(KdeployError, match="not inside the node's folder"):
        provider.apply(bad, SECRETS)


def test_a_disk_that_cannot_be_written_is_one_message(provider: LocalProvider, home: Path) -> None:
    one = node()
    provider.provision(blueprint(one))
    (home / "config").write_text("a file where a folder should be")
    with pytest.raises(KdeployError, match=r"here/broker-1: .*config"):
        provider.apply(one, SECRETS)


def test_a_secret_survives_in_no_record(provider: LocalProvider, home: Path) -> None:
    one = node()
    provider.provision(blueprint(one))
    provider.apply(one, SECRETS)
    holding = [path for path in home.rglob("*") if path.is_file() and b"hunter2" in path.read_bytes()]
    assert holding == [home / "secrets/identity.pem"]


def test_records_round_trip(provider: LocalProvider, home: Path) -> None:
    one = node(ports={"client": 1}, data_directories=("a", "b"))
    record = folder.Record(one, "3.9.2", "hash", {"config/x": "y"}, ("stale",), ("num.io.threads",))
    assert folder.Record.from_json(json.loads(json.dumps(record.to_json()))) == record


def test_a_record_of_before_settings_were_changed_live_is_read(provider: LocalProvider, home: Path) -> None:
    record = folder.Record(node(), "3.9.2", "hash", {"config/x": "y"})
    document = json.loads(json.dumps(record.to_json()))
    document["schema"] = "kdeploy.node/v1"
    del document["live"]
    for file in document["node"]["files"]:
        del file["live"]
    assert folder.Record.from_json(document) == record


def test_a_setting_that_needs_no_restart_is_an_update_and_is_remembered_when_it_has_gone(
    provider: LocalProvider, home: Path
) -> None:
    def with_threads(number: str) -> Node:
        text = f"broker.id=1\n{number}"
        live = ("num.io.threads",) if number else ()
        return replace(node(), files=(RenderedFile("config/server.properties", text, live=live),))

    eight, nine = with_threads("num.io.threads=8\n"), with_threads("num.io.threads=9\n")
    provider.provision(blueprint(eight))
    provider.apply(eight, SECRETS)
    assert provider.wanted(eight, SECRETS) == provider.wanted(nine, SECRETS)
    assert provider.observe([eight])[eight.key].applied == provider.wanted(eight, SECRETS)
    assert provider.observe([nine])[nine.key].applied is None
    provider.apply(nine, SECRETS)
    assert provider.observe([nine])[nine.key].applied == provider.wanted(nine, SECRETS)
    assert nine.live == {"num.io.threads": "9"}
    provider.apply(with_threads(""), SECRETS)
    assert provider.observe([with_threads("")])[nine.key].live == ("num.io.threads",)


class TestFormatting:
    """KRaft storage."""

    def formatted(self, home: Path) -> list[list[str]]:
        log = home / "formats.log"
        return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []

    def test_happens_once_before_the_first_start(self, provider: LocalProvider, home: Path) -> None:
        one = node(format_arguments=FORMAT, data_directories=("data/0", "data/1"))
        provider.provision(blueprint(one))
        provider.apply(one, SECRETS)
        provider.apply(one, SECRETS)
        assert self.formatted(home) == [[*FORMAT, "--ignore-formatted"]]

    def test_is_done_again_after_it_was_interrupted(self, provider: LocalProvider, home: Path) -> None:
        one = node(format_arguments=FORMAT, data_directories=("data/0", "data/1"))
        provider.provision(blueprint(one))
        provider.apply(one, SECRETS)
        (home / "formatted").unlink()
        (home / "data/1/meta.properties").unlink()
        provider.apply(one, SECRETS)
        assert len(self.formatted(home)) == 2

    def test_waits_for_one_whose_kdeploy_was_killed(
        self, provider: LocalProvider, home: Path, tmp_path: Path
    ) -> None:
        one = node(format_arguments=(*FORMAT, "--interrupt"))
        provider.provision(blueprint(one))
        program = (
            "import sys; sys.path.insert(0, sys.argv[1])\n"
            "from pathlib import Path\n"
            "from kdeploy.infra.artefacts import Distribution\n"
            "from kdeploy.infra.local.provider import LocalProvider\n"
            "from tests.infra.nodes import *\n"
            "java = Distribution('3.9.2', (), Path(sys.argv[3]))\n"
            "provider = LocalProvider(Path(sys.argv[2]), lambda version: java)\n"
            f"one = node(format_arguments={one.format_arguments!r})\n"
            "provider.provision(blueprint(one)); provider.apply(one, SECRETS)\n"
        )
        words = [str(Path(__file__).parents[2]), str(tmp_path / "nodes"), str(tmp_path / "jdk/bin/java")]
        run = subprocess.run([sys.executable, "-c", program, *words], check=False)
        assert run.returncode == -signal.SIGKILL
        provider.apply(one, SECRETS)
        assert len(self.formatted(home)) == 2
        assert (home / "data/0/meta.properties").exists()

    def test_never_happens_to_storage_that_lost_what_it_had(
        self, provider: LocalProvider, home: Path
    ) -> None:
        one = node(format_arguments=FORMAT)
        provider.provision(blueprint(one))
        provider.apply(one, SECRETS)
        (home / "data/0/meta.properties").unlink()
        with pytest.raises(KdeployError, match="is empty now"):
            provider.apply(one, SECRETS)
        assert len(self.formatted(home)) == 1

    def test_extends_to_a_data_directory_that_was_added(self, provider: LocalProvider, home: Path) -> None:
        one = node(format_arguments=FORMAT)
        provider.provision(blueprint(one))
        provider.apply(one, SECRETS)
        provider.apply(replace(one, data_directories=("data/0", "data/1")), SECRETS)
        assert (home / "data/1/meta.properties").exists()

    def test_failing_says_what_kafka_said(self, provider: LocalProvider) -> None:
        one = node(format_arguments=(*FORMAT, "--fail"))
        provider.provision(blueprint(one))
        with pytest.raises(
            KdeployError, match=r"broker-1: Kafka could not format[^\n]*\n\s+Invalid cluster\.id"
        ):
            provider.apply(one, SECRETS)


def test_observing_six_nodes_takes_milliseconds(provider: LocalProvider) -> None:
    pem = {f"secrets/{index}.pem": os.urandom(3000) for index in range(4)}
    nodes = [
        node(
            f"broker-{index}",
            files=tuple(RenderedFile(f"config/{number}", "x" * 5000) for number in range(5)),
            secrets=tuple(SecretFile(path, "identity") for path in pem),
        )
        for index in range(1, 7)
    ]
    provider.provision(blueprint(*nodes))
    for one in nodes:
        provider.apply(one, pem)

    def seconds() -> float:
        began = time.perf_counter()
        provider.observe(nodes)
        return time.perf_counter() - began

    assert min(seconds() for _ in range(20)) < 0.05, (
        "the best of many, so that a busy machine does not decide"
    )
