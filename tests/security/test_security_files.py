"""Secret files are private from the moment they exist, and replaced whole."""

from __future__ import annotations

import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import pkcs12

from kdeploy.blueprint import SecretKind
from kdeploy.errors import KdeployError
from kdeploy.security import files
from kdeploy.security.content import Vault
from kdeploy.spec.identity import MIRROR


def test_this_room_and_the_blueprint_name_the_same_kinds() -> None:
    assert files.Kind == SecretKind


def test_each_kind_of_file_holds_what_it_says(vault: Vault) -> None:
    made = files.node_secrets(
        vault,
        "dc1/broker-1",
        {"i": "identity", "z": "broker-zookeeper-identity", "n": "nodes-authority", "c": "clients-authority"},
    )
    subjects = {
        path: x509.load_pem_x509_certificate(content).subject.rfc4514_string()
        for path, content in made.items()
    }
    assert subjects == {
        "i": "CN=broker-1.dc1,OU=nodes,O=prod",
        "z": "CN=brokers.dc1,OU=nodes,O=prod",
        "n": "CN=nodes,OU=authorities,O=prod",
        "c": "CN=clients,OU=authorities,O=prod",
    }
    assert {path for path, content in made.items() if b"PRIVATE KEY" in content} == {"i", "z"}


@pytest.mark.parametrize(
    ("key", "kind"), [("dc1/broker-9", "identity"), ("dc9/broker-1", "broker-zookeeper-identity")]
)
def test_what_the_vault_lacks_is_named_with_the_command_that_adds_it(
    vault: Vault, key: str, kind: files.Kind
) -> None:
    with pytest.raises(KdeployError, match=rf"no certificate \({kind}\) for {key}") as caught:
        files.node_secrets(vault, key, {"x": kind})
    assert "kdeploy vault create prod" in str(caught.value)


def test_the_administrator_has_a_certificate_an_authority_and_a_way_to_zookeeper(vault: Vault) -> None:
    made = files.administrator_files(vault)
    assert set(made) == {"nodes-authority.pem", "admin.pem", "dc1-node.pem"}
    assert b"PRIVATE KEY" not in made["nodes-authority.pem"]


def test_no_private_key_of_an_authority_leaves_the_vault(vault: Vault) -> None:
    kinds: dict[str, files.Kind] = {
        kind: kind
        for kind in ("identity", "broker-zookeeper-identity", "nodes-authority", "clients-authority")
    }
    made = {**files.administrator_files(vault), **files.node_secrets(vault, "dc1/broker-1", kinds)}
    for authority in (vault.nodes_authority, vault.clients_authority):
        secret = authority.key.splitlines()[2].encode()
        assert not [name for name, content in made.items() if secret in content]


def test_a_secret_file_is_private_from_the_moment_it_exists(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    real = os.fsync

    def watch(handle: int) -> None:
        seen.extend(stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "in").iterdir())
        real(handle)

    monkeypatch.setattr(os, "fsync", watch)
    old = os.umask(0)
    try:
        files.write_secret(tmp_path / "in" / "a.pem", b"secret")
    finally:
        os.umask(old)
    assert seen
    assert set(seen) == {0o600}
    assert stat.S_IMODE((tmp_path / "in").stat().st_mode) == 0o700


def test_what_is_there_already_is_not_written_again(tmp_path: Path) -> None:
    file = tmp_path / "a"
    files.write_secret(file, b"one")
    before = file.stat().st_ino
    files.write_secret(file, b"one")
    assert file.stat().st_ino == before
    file.chmod(0o644)
    files.write_secret(file, b"one")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    files.write_secret(file, b"two")
    assert file.read_bytes() == b"two"


def test_a_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_bytes(b"one")
    target.chmod(0o600)
    (tmp_path / "link").symlink_to(target)
    files.write_secret(tmp_path / "link", b"two")
    assert target.read_bytes() == b"one"
    assert not (tmp_path / "link").is_symlink()


def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "a"
    files.write_secret(file, b"old")

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(KdeployError, match="No space left on device") as caught:
        files.write_secret(file, b"hush")
    assert "hush" not in str(caught.value)
    assert file.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [file]


def of_a_mirror(vault: Vault, kind: files.Kind) -> bytes:
    return files.node_secrets(vault, "dc1/broker-1", {"x": kind})["x"]


def with_password(vault: Vault, password: str = "hush") -> Vault:
    return replace(vault, passwords={**vault.passwords, MIRROR: password})


def test_a_mirrors_login_is_its_user_and_what_opens_its_stores(vault: Vault) -> None:
    lines = of_a_mirror(with_password(vault), "mirror-login").decode().splitlines()
    found = dict(line.split("=", 1) for line in lines)
    assert found["login"].endswith('ScramLoginModule required username="__kdeploy-mirror" password="hush";')
    assert len(bytes.fromhex(found["store"])) == 32
    assert set(found) == {"login", "store"}


def test_a_mirror_without_a_password_is_told_where_to_get_one(vault: Vault) -> None:
    bare = replace(vault, passwords={name: one for name, one in vault.passwords.items() if name != MIRROR})
    with pytest.raises(KdeployError, match="no password for __kdeploy-mirror") as caught:
        of_a_mirror(bare, "mirror-login")
    assert "kdeploy vault create prod" in str(caught.value)


@pytest.mark.parametrize("kind", ["mirror-login", "rest-identity", "rest-authorities"])
def test_a_worker_that_the_vault_does_not_know_is_named(vault: Vault, kind: files.Kind) -> None:
    with pytest.raises(KdeployError, match=rf"no certificate \({kind}\) for dc1/mirror-9"):
        files.node_secrets(with_password(vault), "dc1/mirror-9", {"x": kind})


def test_a_mirrors_stores_open_with_what_its_login_says_and_hold_its_certificate_and_both_authorities(
    vault: Vault,
) -> None:
    login = of_a_mirror(with_password(vault), "mirror-login").decode()
    password = login.partition("store=")[2].strip().encode()
    own = pkcs12.load_pkcs12(of_a_mirror(vault, "rest-identity"), password)
    assert own.cert is not None
    assert own.cert.certificate.subject.rfc4514_string() == "CN=broker-1.dc1,OU=nodes,O=prod"
    assert own.key is not None
    believed = pkcs12.load_pkcs12(of_a_mirror(vault, "rest-authorities"), password)
    assert believed.key is None
    assert {one.certificate.subject.rfc4514_string() for one in believed.additional_certs} == {
        "CN=nodes,OU=authorities,O=prod",
        "CN=clients,OU=authorities,O=prod",
    }
    with pytest.raises(ValueError, match="password"):
        pkcs12.load_pkcs12(of_a_mirror(vault, "rest-identity"), b"another")
