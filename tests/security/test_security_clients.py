"""What a client is handed, in each of its dialects."""

from __future__ import annotations

import json
import re
import stat
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key, pkcs12

from kdeploy.errors import KdeployError
from kdeploy.security import clients
from kdeploy.security.content import Vault

ALL = {"client.properties", "librdkafka.conf", "python.json", "ca.pem", ".gitignore"}
BOOTSTRAP = "a:9092,b:9092"
AWKWARD = "q\"uo\\te$;=#:{}'%!x"


def java(text: str) -> dict[str, str]:
    """Read properties by the rules of java.util.Properties.load that matter here."""
    joined = re.sub(r"(?<!\\)((?:\\\\)*)\\\n\s*", r"\1", text)
    escapes = {"n": "\n"}
    pairs = [line.partition("=") for line in joined.splitlines() if line and line[0] not in "#!"]
    return {key: re.sub(r"\\(.)", lambda m: escapes.get(m[1], m[1]), value) for key, _, value in pairs}


def jaas(text: str) -> dict[str, str]:
    found = re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', text)
    return {key: re.sub(r"\\(.)", r"\1", value) for key, value in found}


def read(folder: Path) -> tuple[dict[str, str], dict[str, str], dict[str, dict[str, object]]]:
    librdkafka = dict(line.split("=", 1) for line in (folder / "librdkafka.conf").read_text().splitlines())
    return (
        java((folder / "client.properties").read_text()),
        librdkafka,
        json.loads((folder / "python.json").read_text()),
    )


@pytest.mark.parametrize("password", ["vqXjvE-VzeE_aSc", AWKWARD])
def test_all_three_dialects_say_the_same(vault: Vault, tmp_path: Path, password: str) -> None:
    vault = replace(vault, passwords={"alice": password})
    made = clients.write_user(tmp_path / "alice", vault, "alice", BOOTSTRAP)
    properties, librdkafka, python = read(tmp_path / "alice")
    assert jaas(properties["sasl.jaas.config"]) == {"username": "alice", "password": password}
    assert properties["ssl.truststore.certificates"] == vault.nodes_authority.certificate.strip()
    assert properties["bootstrap.servers"] == librdkafka["bootstrap.servers"] == BOOTSTRAP
    assert (librdkafka["sasl.username"], librdkafka["sasl.password"]) == ("alice", password)
    assert python["confluent-kafka"] == librdkafka
    assert python["kafka-python"]["sasl_plain_password"] == password
    assert python["kafka-python"]["bootstrap_servers"] == ["a:9092", "b:9092"]
    assert Path(librdkafka["ssl.ca.location"]).read_text() == vault.nodes_authority.certificate
    assert {file.name for file in made} == ALL - {".gitignore"}


def test_a_user_gets_no_key_and_nobody_elses_password(vault: Vault, tmp_path: Path) -> None:
    clients.write_user(tmp_path / "alice", vault, "alice", BOOTSTRAP)
    content = "".join(file.read_text() for file in (tmp_path / "alice").iterdir())
    assert vault.passwords["alice"] in content
    assert vault.passwords["bob"] not in content
    assert "PRIVATE KEY" not in content


def test_the_administrator_connects_by_certificate(vault: Vault, tmp_path: Path) -> None:
    clients.write_administrator(tmp_path / "admin", vault, BOOTSTRAP)
    properties, librdkafka, python = read(tmp_path / "admin")
    assert properties["security.protocol"] == "SSL"
    assert properties["ssl.keystore.certificate.chain"] == vault.administrator.certificate.strip()
    assert load_pem_private_key(properties["ssl.keystore.key"].encode(), None) is not None
    assert Path(librdkafka["ssl.key.location"]).read_bytes() == vault.administrator.pem
    assert python["kafka-python"]["ssl_keyfile"] == librdkafka["ssl.key.location"]
    content = "".join(file.read_text() for file in (tmp_path / "admin").iterdir())
    assert not [password for password in vault.passwords.values() if password in content]


def test_pkcs12_stores_open_with_the_passwords_in_the_properties(vault: Vault, tmp_path: Path) -> None:
    clients.write_administrator(tmp_path / "admin", vault, BOOTSTRAP, "pkcs12")
    properties = read(tmp_path / "admin")[0]
    trusted = pkcs12.load_pkcs12(
        Path(properties["ssl.truststore.location"]).read_bytes(),
        properties["ssl.truststore.password"].encode(),
    )
    assert [one.certificate for one in trusted.additional_certs] == [vault.nodes_authority.parsed]
    own = pkcs12.load_pkcs12(
        Path(properties["ssl.keystore.location"]).read_bytes(), properties["ssl.keystore.password"].encode()
    )
    assert own.cert is not None
    assert own.cert.certificate == vault.administrator.parsed


def test_files_of_the_other_format_do_not_stay(vault: Vault, tmp_path: Path) -> None:
    folder = tmp_path / "admin"
    clients.write_administrator(folder, vault, BOOTSTRAP, "pkcs12")
    assert {file.name for file in folder.iterdir()} == ALL | {"admin.pem", "truststore.p12", "keystore.p12"}
    (folder / "notes").write_text("mine")
    clients.write_administrator(folder, vault, BOOTSTRAP, "pem")
    assert {file.name for file in folder.iterdir()} == ALL | {"admin.pem", "notes"}


def test_everything_is_private_even_in_a_folder_that_was_not(vault: Vault, tmp_path: Path) -> None:
    folder = tmp_path / "alice"
    folder.mkdir(mode=0o755)
    clients.write_user(folder, vault, "alice", BOOTSTRAP, form="pkcs12")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o600}


def test_git_does_not_see_what_was_handed_out(vault: Vault, tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    clients.write_user(tmp_path / "clients" / "alice", vault, "alice", BOOTSTRAP)
    seen = subprocess.run(
        ["git", "-C", str(tmp_path), "status", "--porcelain", "-uall"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert seen.stdout == ""


def test_a_folder_that_is_a_link_is_refused(vault: Vault, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "alice").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(KdeployError, match="is a link"):
        clients.write_user(tmp_path / "alice", vault, "alice", BOOTSTRAP)
    assert not list((tmp_path / "elsewhere").iterdir())


def test_a_folder_that_cannot_be_made_is_one_message(vault: Vault, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(KdeployError, match="cannot be made") as caught:
        clients.write_user(tmp_path / "file" / "alice", vault, "alice", BOOTSTRAP)
    assert "--to" in str(caught.value)


def test_a_user_without_a_password_is_named(vault: Vault, tmp_path: Path) -> None:
    with pytest.raises(KdeployError, match="no password for 'carol'"):
        clients.write_user(tmp_path / "carol", vault, "carol", BOOTSTRAP)


def test_a_plaintext_listener_needs_no_secret(vault: Vault, tmp_path: Path) -> None:
    clients.write_user(tmp_path / "alice", vault, "alice", BOOTSTRAP, "PLAINTEXT")
    assert read(tmp_path / "alice")[0] == {"bootstrap.servers": BOOTSTRAP, "security.protocol": "PLAINTEXT"}
    assert not [
        file for file in (tmp_path / "alice").iterdir() if vault.passwords["alice"] in file.read_text()
    ]
