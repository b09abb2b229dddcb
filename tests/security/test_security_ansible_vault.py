"""The format of Ansible Vault, as Ansible reads and writes it."""

from __future__ import annotations

import subprocess
import sys
from binascii import hexlify, unhexlify
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdeploy.security import ansible_vault
from kdeploy.security.ansible_vault import NotAVault, WrongPassword, decrypt, encrypt

ANSIBLE_VAULT = Path(sys.executable).with_name("ansible-vault")
PLAIN = "user: ünïcode\nvalue: |\n  line\n".encode()
PASSWORD = "correct horse battery staple"


@settings(max_examples=40, deadline=None)
@given(
    plain=st.binary(max_size=500),
    password=st.text(min_size=1, max_size=40).filter(lambda text: text.isprintable()),
)
def test_what_is_encrypted_decrypts_to_the_same(plain: bytes, password: str) -> None:
    assert decrypt(encrypt(plain, password), password) == plain


def test_lines_are_80_hex_digits_under_the_header() -> None:
    header, *lines = encrypt(PLAIN * 20, PASSWORD).decode().splitlines()
    assert header == "$ANSIBLE_VAULT;1.1;AES256"
    assert {len(line) for line in lines[:-1]} == {80}
    assert 0 < len(lines[-1]) <= 80


def test_the_same_text_never_encrypts_to_the_same_twice() -> None:
    assert encrypt(PLAIN, PASSWORD) != encrypt(PLAIN, PASSWORD)


def ansible(tmp_path: Path, *arguments: str) -> str:
    (tmp_path / "password").write_text(PASSWORD + "\n")
    command = [str(ANSIBLE_VAULT), *arguments, "--vault-password-file", str(tmp_path / "password")]
    surroundings = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"}
    done = subprocess.run(command, capture_output=True, check=True, env=surroundings)
    return done.stdout.decode()


def test_ansible_vault_opens_what_kdeploy_wrote(tmp_path: Path) -> None:
    (tmp_path / "vault.yaml").write_bytes(encrypt(PLAIN, PASSWORD))
    assert ansible(tmp_path, "view", str(tmp_path / "vault.yaml")).strip() == PLAIN.decode().strip()


@pytest.mark.parametrize("label", [(), ("--encrypt-vault-id", "prod", "--vault-id", "prod@{}/password")])
def test_kdeploy_opens_what_ansible_vault_wrote(tmp_path: Path, label: tuple[str, ...]) -> None:
    file = tmp_path / "vault.yaml"
    file.write_bytes(PLAIN)
    ansible(tmp_path, "encrypt", str(file), *(part.format(tmp_path) for part in label))
    assert file.read_bytes().startswith(
        b"$ANSIBLE_VAULT;1.2;AES256;prod\n" if label else ansible_vault.HEADER
    )
    assert decrypt(file.read_bytes(), PASSWORD) == PLAIN


GOOD = encrypt(PLAIN, PASSWORD)


def reshaped(count: int) -> bytes:
    parts = unhexlify(b"".join(GOOD.split()[1:])).split(b"\n")[:count]
    return ansible_vault.HEADER + b"\n" + hexlify(b"\n".join(parts)) + b"\n"


@pytest.mark.parametrize(
    ("data", "wrong"),
    [
        (b"", "does not begin"),
        (b"schema: kdeploy.vault/v1\n", "does not begin"),
        (b"\x00\xff\xfe" * 99, "does not begin"),
        (GOOD.replace(b"1.1", b"9.9", 1), "header"),
        (GOOD.replace(b"AES256", b"AES", 1), "header"),
        (ansible_vault.HEADER, "not all there"),
        (GOOD[:90], "not all there"),
        (GOOD[:-2], "hex digits"),
        (GOOD[:-3], "hex digits|wrong length"),
        (GOOD[:-5], "wrong length|hex digits"),
        (GOOD[:-20] + b"z" + GOOD[-19:], "hex digits"),
        (reshaped(2), "not all there"),
    ],
    ids=range(12),
)
def test_what_is_no_whole_vault_is_said_to_be_none(data: bytes, wrong: str) -> None:
    with pytest.raises(NotAVault, match=wrong):
        decrypt(data, PASSWORD)


@settings(max_examples=30, deadline=None)
@given(st.integers(min_value=0, max_value=len(GOOD) - 2))
def test_a_vault_cut_anywhere_is_never_opened(length: int) -> None:
    with pytest.raises((NotAVault, WrongPassword)):
        decrypt(GOOD[:length], PASSWORD)


def test_another_password_and_a_flipped_bit_are_refused() -> None:
    with pytest.raises(WrongPassword):
        decrypt(GOOD, PASSWORD + "x")
    body = bytearray(unhexlify(b"".join(GOOD.split()[1:])))
    body[-1] = ord("0") if body[-1] != ord("0") else ord("1")
    with pytest.raises(WrongPassword):
        decrypt(ansible_vault.HEADER + b"\n" + hexlify(bytes(body)), PASSWORD)
