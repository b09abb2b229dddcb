"""What is carried to hosts: the same bytes for the same content, and no secret that others may read."""

from __future__ import annotations

import io
import json
import tarfile
from dataclasses import replace
from pathlib import Path

from kdeploy.blueprint import RenderedFile, SecretFile
from kdeploy.infra.hosts import archive
from tests.infra.nodes import node

SECRETS = {"/etc/kafka/secrets/identity.pem": b"-----BEGIN PRIVATE KEY-----\nhunter2\n"}
BROKER = node(
    "broker-1",
    arguments=("/etc/kafka/server.properties",),
    data_directories=("/var/lib/kafka/data/0",),
    files=(
        RenderedFile("/etc/kafka/server.properties", "broker.id=1\n"),
        RenderedFile("/etc/systemd/system/kafka.service", "[Unit]\n"),
        RenderedFile("/etc/systemd/system/var-lib-kafka-data-0.mount", "[Mount]\n", restart=False),
        RenderedFile("/etc/sysctl.d/90-kdeploy.conf", "vm.swappiness = 1\n", restart=False),
        RenderedFile("/var/lib/kafka/data/0/myid", "1\n"),
    ),
    secrets=(SecretFile("/etc/kafka/secrets/identity.pem", "identity"),),
)


def members(file: Path) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(file.read_bytes())) as opened:
        return {member.name: member for member in opened.getmembers()}


def test_secrets_belong_to_the_node_alone_and_travel_in_a_file_of_our_own(tmp_path: Path) -> None:
    file = archive.write(tmp_path / "secrets.tar", archive.secret_entries(SECRETS))
    assert file.stat().st_mode & 0o777 == 0o600
    (member,) = members(file).values()
    assert (member.name, member.mode) == ("etc/kafka/secrets/identity.pem", 0o600)
    assert (member.uname, member.gname) == ("kafka", "kafka")


def test_every_file_is_carried_once_and_no_secret_with_the_rest(tmp_path: Path) -> None:
    host = members(archive.write(tmp_path / "host.tar", archive.host_entries(BROKER)))
    rest = archive.write(tmp_path / "files.tar", archive.service_entries(BROKER, SECRETS, "wanted"))
    carried = members(rest)
    assert sorted([*host, *carried]) == sorted(
        [file.path.lstrip("/") for file in BROKER.files] + ["etc/kdeploy/node.json", "etc/kafka/applied"]
    )
    assert b"hunter2" not in rest.read_bytes()
    assert carried["var/lib/kafka/data/0/myid"].uname == "kafka"
    assert carried["etc/kafka/server.properties"].mode == 0o640


def test_what_says_that_all_is_there_comes_last() -> None:
    entries = archive.service_entries(BROKER, SECRETS, "wanted")
    assert [entry.path for entry in entries[-2:]] == [archive.RECORD, "/etc/kafka/applied"]
    record = json.loads(entries[-2].content)
    assert archive.recorded(record) == tuple(
        sorted([*(file.path for file in BROKER.files), "/etc/kafka/secrets/identity.pem"])
    )


def test_settings_that_were_ever_given_to_a_running_broker_stay_in_the_record() -> None:
    one = replace(
        BROKER,
        files=(RenderedFile("/etc/kafka/server.properties", "num.io.threads=9\n", live=("num.io.threads",)),),
    )
    entries = archive.service_entries(one, SECRETS, "wanted", {"live": ["log.cleaner.threads"]})
    assert json.loads(entries[-2].content)["live"] == ["log.cleaner.threads", "num.io.threads"]


def test_the_same_content_gives_the_same_bytes(tmp_path: Path) -> None:
    one = archive.write(tmp_path / "one.tar", archive.service_entries(BROKER, SECRETS, "wanted"))
    two = archive.write(tmp_path / "two.tar", archive.service_entries(BROKER, SECRETS, "wanted"))
    assert one.read_bytes() == two.read_bytes()


def test_jars_are_one_archive_whose_checksums_come_last(tmp_path: Path) -> None:
    jars = []
    for name in ("kafka-clients-3.9.2.jar", "a.jar"):
        (tmp_path / name).write_bytes(name.encode())
        jars.append(tmp_path / name)
    file = archive.distribution("3.9.2", jars, tmp_path / "cache")
    assert list(members(file)) == [
        "kafka/3.9.2/libs/a.jar",
        "kafka/3.9.2/libs/kafka-clients-3.9.2.jar",
        "kafka/3.9.2/SHA256SUMS",
    ]
    assert archive.distribution("3.9.2", jars, tmp_path / "cache") == file
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [file.name]
