"""The vault's file: `vault.yaml`, encrypted, whole or not there at all.

It is Ansible Vault 1.1 around the YAML of `security.content`, so `ansible-vault
view` opens it. Invariant: the file is replaced in one step, with mode 0600, and what
was written can be read back.
"""

from __future__ import annotations

from pathlib import Path

from kdeploy.errors import KdeployError
from kdeploy.security import ansible_vault
from kdeploy.security.content import Damaged, Vault, from_yaml, to_yaml
from kdeploy.security.files import write_secret

__all__ = ["UnreadableVault", "Vault", "read", "read_text", "write"]


class UnreadableVault(KdeployError):
    """The vault's file cannot be used: gone, of another format, of another password, or damaged."""


def read(path: Path, password: str) -> Vault:
    """Decrypt and check a vault.

    Raises:
        UnreadableVault: It cannot be used; says why and what to do, never a secret.
    """
    text = read_text(path, password)
    try:
        return from_yaml(text)
    except Damaged as error:
        fault = str(error)
    raise UnreadableVault(
        f"{path}: its content is damaged at {fault}\n"
        "  correct it with `kdeploy vault edit`, or bring back an earlier version from git"
    )


def read_text(path: Path, password: str) -> str:
    """Decrypt a vault without judging its content (for an editor).

    Raises:
        UnreadableVault: It is gone, of another format, or of another password.
    """
    try:
        return ansible_vault.decrypt(path.read_bytes(), password).decode()
    except FileNotFoundError:
        fault, remedy = "there is no vault", "make it with `kdeploy vault create`"
    except OSError as error:
        fault, remedy = f"it cannot be read: {error.strerror}", "make it readable, and run this again"
    except ansible_vault.NotAVault as error:
        fault = f"it is not a vault: {error}"
        remedy = "bring back an earlier version from git, or a backup"
    except ansible_vault.WrongPassword as error:
        fault = str(error)
        remedy = (
            "check --vault-password-file, KDEPLOY_VAULT_PASSWORD_FILE and KDEPLOY_VAULT_PASSWORD "
            "(provider local: the file vault.key beside it)"
        )
    except UnicodeDecodeError:
        fault, remedy = "its content is not text", "bring back an earlier version from git, or a backup"
    raise UnreadableVault(f"{path}: {fault}\n  {remedy}")


def write(path: Path, vault: Vault, password: str) -> None:
    """Encrypt a vault and put it in place of the file, which is never half-written.

    Raises:
        KdeployError: The file cannot be written.
    """
    write_secret(path, ansible_vault.encrypt(to_yaml(vault).encode(), password))
