"""A vault reads back as it was written, and damage is named without showing a secret."""

from __future__ import annotations

import stat
import string
import traceback
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kdeploy.security import ansible_vault, issue
from kdeploy.security import vault as vault_file
from kdeploy.security.content import PASSWORD_LENGTHS, Damaged, Vault, from_yaml, to_yaml
from kdeploy.security.vault import UnreadableVault

KEY = "a password for tests"
VISIBLE = string.ascii_letters + string.digits + string.punctuation
NAMES = st.text(string.ascii_letters + string.digits + "._-", min_size=1, max_size=64)
PASSWORDS = st.text(VISIBLE, min_size=PASSWORD_LENGTHS[0], max_size=PASSWORD_LENGTHS[1])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(passwords=st.dictionaries(NAMES, PASSWORDS, max_size=8))
def test_a_vault_reads_back_as_it_was_written(
    vault: Vault, tmp_path: Path, passwords: dict[str, str]
) -> None:
    full = replace(vault, passwords=passwords)
    assert from_yaml(to_yaml(full)) == full
    vault_file.write(tmp_path / "vault.yaml", full, KEY)
    assert vault_file.read(tmp_path / "vault.yaml", KEY) == full


def test_the_file_is_private_and_nothing_is_left_beside_it(vault: Vault, tmp_path: Path) -> None:
    file = tmp_path / "vault.yaml"
    file.write_text("old")
    file.chmod(0o644)
    vault_file.write(file, vault, KEY)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [file]


def test_no_secret_is_in_the_file_in_the_clear(vault: Vault, tmp_path: Path, planted: set[str]) -> None:
    vault_file.write(tmp_path / "vault.yaml", vault, KEY)
    content = (tmp_path / "vault.yaml").read_text()
    assert not [secret for secret in planted if secret in content]


def without(block: str) -> Callable[[str], str]:
    """Take a name and all that is below it out of the document."""

    def damage(text: str) -> str:
        lines, kept, depth = text.splitlines(keepends=True), [], -1
        for line in lines:
            indent = len(line) - len(line.lstrip())
            if depth >= 0 and indent > depth:
                continue
            depth = indent if line.strip() == block else -1
            if depth < 0:
                kept.append(line)
        assert len(kept) < len(lines)
        return "".join(kept)

    return damage


def swap(old: str, new: str) -> Callable[[str], str]:
    def damage(text: str) -> str:
        assert old in text
        return text.replace(old, new, 1)

    return damage


def in_key_of(place: str, change: Callable[[list[str]], list[str]]) -> Callable[[str], str]:
    """Change the lines of the first private key after a place in the document."""

    def damage(text: str) -> str:
        head, found, tail = text.partition(place)
        assert found
        before, begin, rest = tail.partition("-----BEGIN PRIVATE KEY-----\n")
        body, end, after = rest.partition("-----END PRIVATE KEY-----")
        *lines, indent = body.splitlines(keepends=True)
        return head + found + before + begin + "".join(change(lines)) + indent + end + after

    return damage


DAMAGES: list[tuple[Callable[[str], str], str]] = [
    (lambda text: "", "document: is missing"),
    (lambda text: "- a\n- b\n", "document: is not a map"),
    (lambda text: text + "\n  : : {", r"line \d+: this is not YAML"),
    (lambda text: text + "passwords: {}\n", r"line \d+: this is not YAML, or a name stands there twice"),
    (lambda text: text + "\x00", "YAML"),
    (swap("kdeploy.vault/v1", "kdeploy.vault/v2"), "schema: the vault is of a newer kdeploy"),
    (swap("schema: kdeploy.vault/v1\n", ""), "schema: is missing"),
    (swap("environment: prod\n", "environment: 7\n"), "environment: is not text"),
    (
        swap("environment: prod\n", "environment: staging\n"),
        r"administrator\.certificate: is made out to CN=admin",
    ),
    (swap("passwords:\n", "extra: 1\npasswords:\n"), "document: holds an unknown name"),
    (without("authorities:"), "authorities: is missing"),
    (without("administrator:"), "administrator: is missing"),
    (without("nodes:"), r"nodes: is missing"),
    (swap("  nodes:\n", "  nodez:\n"), "authorities: holds an unknown name"),
    (swap("dc1/broker-1:", "broker-1:"), r"nodes\['broker-1'\]: the name is not DATACENTER/NODE"),
    (
        swap("dc1/broker-1:", "dc1/broker-9:"),
        r"nodes\['dc1/broker-9'\]\.certificate: is made out to CN=broker-1\.dc1",
    ),
    (swap("\nbrokers:\n  dc1:", "\nbrokers:\n  dc2:"), r"brokers\.dc2\.certificate: is made out to"),
    (
        in_key_of("dc1/broker-1:", lambda lines: lines[:-1]),
        r"nodes\['dc1/broker-1'\]\.key: is not one elliptic-curve",
    ),
    (in_key_of("dc1/broker-1:", lambda lines: lines[::-1]), r"nodes\['dc1/broker-1'\]\.key: is not"),
    (in_key_of("administrator:", lambda lines: []), r"administrator\.key: is not one elliptic-curve"),
    (
        swap("-----BEGIN CERTIFICATE-----\n", "-----BEGIN CERTIFICATE-----\n      AAAA"),
        r"authorities\.nodes\.certificate: is not",
    ),
    (swap("  alice: ", "  alice: 1234567890 #"), r"passwords\.alice: is not text; write it in quotes"),
    (swap("  alice: ", "  alice: [x, "), r"line \d+: this is not YAML|passwords"),
    (swap("  alice: ", "  alice: short #"), r"passwords\.alice: is not 8 to 256"),
    (swap("  alice: ", "  alice: has a space "), r"passwords\.alice: is not 8 to 256"),
    (swap("  alice: ", "  alice: wïth-ümläuts #"), r"passwords\.alice: is not 8 to 256"),
    (swap("  alice: ", "  5: "), "passwords: is not a map of names"),
]


@pytest.mark.parametrize(("damage", "place"), DAMAGES)
def test_damage_by_hand_is_named_by_its_place_and_shows_no_secret(
    vault: Vault, tmp_path: Path, planted: set[str], damage: Callable[[str], str], place: str
) -> None:
    file = tmp_path / "vault.yaml"
    file.write_bytes(ansible_vault.encrypt(damage(to_yaml(vault)).encode(), KEY))
    with pytest.raises(UnreadableVault, match=place) as caught:
        vault_file.read(file, KEY)
    shown = "".join(traceback.format_exception(caught.value))
    chained: BaseException | None = caught.value
    while chained is not None:
        shown += repr(chained) + str(chained)
        chained = chained.__cause__ or chained.__context__
    assert str(file) in shown
    assert not [secret for secret in planted if secret in shown]
    assert "1234567890" not in shown
    assert len(str(caught.value).splitlines()) == 2


def test_an_authority_that_is_none_is_refused(vault: Vault) -> None:
    text = to_yaml(replace(vault, clients_authority=vault.administrator))
    with pytest.raises(Damaged, match=r"authorities\.clients\.certificate: is not an authority's own"):
        from_yaml(text)


def test_a_certificate_of_a_foreign_authority_is_refused(
    vault: Vault, needed: issue.Requirements, now: datetime
) -> None:
    other = issue.complete(None, needed, now)
    text = to_yaml(replace(vault, nodes={**vault.nodes, "dc1/broker-1": other.nodes["dc1/broker-1"]}))
    with pytest.raises(Damaged, match=r"nodes\['dc1/broker-1'\]\.certificate: was not signed by"):
        from_yaml(text)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "there is no vault"),
        (b"", "it is not a vault: it does not begin"),
        (b"schema: kdeploy.vault/v1\n", "it is not a vault: it does not begin"),
        (ansible_vault.encrypt(b"x", "another password"), "the password is wrong, or the file was damaged"),
        (ansible_vault.encrypt(b"\xff\xfe", KEY), "its content is not text"),
    ],
)
def test_an_unusable_file_is_one_clear_message(tmp_path: Path, content: bytes | None, message: str) -> None:
    file = tmp_path / "vault.yaml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(UnreadableVault, match=message) as caught:
        vault_file.read(file, KEY)
    assert str(caught.value).startswith(f"{file}: ")
    assert KEY not in "".join(traceback.format_exception(caught.value))


def test_text_that_is_nested_without_end_is_damaged_and_no_defect() -> None:
    with pytest.raises(Damaged, match="not YAML"):
        from_yaml("[" * 5000)
