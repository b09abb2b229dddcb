"""Where the vault's password comes from.

In this order: a file named on the command line, a file named in
KDEPLOY_VAULT_PASSWORD_FILE, KDEPLOY_VAULT_PASSWORD itself, a prompt where there is
a terminal. Invariant: a password is never an argument, and appears in no message.
"""

from __future__ import annotations

import os
import secrets
import sys
from pathlib import Path
from typing import Final

from kdeploy.errors import KdeployError
from kdeploy.security.files import write_secret

FILE_VARIABLE: Final = "KDEPLOY_VAULT_PASSWORD_FILE"
"""Environment variable that names a file with the password."""

VARIABLE: Final = "KDEPLOY_VAULT_PASSWORD"
"""Environment variable that holds the password."""

LEAST_LENGTH: Final = 16
"""Fewest characters of a new vault's password. The vault is committed, so it is guessed at offline, and
its format fixes 10,000 rounds of PBKDF2; NIST SP 800-63B-4 (section 3.1.1.2) asks for 15 where a
password stands alone."""

KEY_BYTES: Final = 32
"""Random bytes of a generated password (provider local): the strength of the AES-256 it protects."""


def ask(file: Path | None = None, *, new: bool = False) -> str:
    """The vault's password.

    Args:
        file: The file named on the command line, if any.
        new: Whether a new vault is to get it: it is then asked for twice, and not taken when short.

    Raises:
        KdeployError: There is none to be had, or (new) it is too short.
    """
    password = _given(file) or _prompt(new=new)
    if new and len(password) < LEAST_LENGTH:
        raise KdeployError(
            f"the password is too short for a vault that is kept in git: {LEAST_LENGTH} characters at least\n"
            "  a good one: python3 -c 'import secrets; print(secrets.token_urlsafe(24))'"
        )
    return password


def local_password(file: Path) -> str:
    """The password of a local environment's vault: made at first, kept in a file of mode 0600.

    Args:
        file: The file; the vault stands beside it as `vault.yaml`.

    Raises:
        KdeployError: The file can neither be read nor made, or is gone while its vault is still there.
    """
    if not file.exists():
        if file.with_name("vault.yaml").exists():
            # A new password could never open the old vault: better to say what happened.
            raise KdeployError(
                f"{file} is gone, and with it the password of {file.with_name('vault.yaml')}\n"
                "  bring the file back; or give up the cluster and its data with `kdeploy down --delete-data`"
            )
        write_secret(file, f"{secrets.token_urlsafe(KEY_BYTES)}\n".encode())
    return _read(file)


def _given(file: Path | None) -> str | None:
    named = file or os.environ.get(FILE_VARIABLE)
    if named:
        return _read(Path(os.path.expanduser(named)))
    password = os.environ.get(VARIABLE)
    if password and not _is_text(password):
        raise KdeployError(f"{VARIABLE} is not UTF-8 text\n  name a file with the password: {FILE_VARIABLE}")
    return password or None


def _is_text(password: str) -> bool:
    """Whether it can be encoded: bytes of a variable that are not UTF-8 come as halves of characters (PEP 383)."""
    try:
        password.encode()
    except UnicodeEncodeError:
        return False
    return True


def _read(file: Path) -> str:
    """The password in a file, without the white space around it, as Ansible reads it."""
    try:
        password, fault = file.read_text().strip(), "it is empty"
    except OSError as error:
        password, fault = "", error.strerror or "it cannot be read"
    except UnicodeDecodeError:
        password, fault = "", "it is not text"
    if not password:
        raise KdeployError(f"no vault password in {file}: {fault}\n  put the password in it, on one line")
    return password


def _prompt(*, new: bool) -> str:
    from getpass import getpass

    if not sys.stdin.isatty():
        raise KdeployError(
            "the vault's password is needed, and there is no terminal to ask on\n"
            f"  name a file with it: --vault-password-file FILE or {FILE_VARIABLE}; or set {VARIABLE}"
        )
    try:
        password = getpass("Vault password: ")
        again = getpass("The same again: ") if new else password
    except EOFError:  # Ctrl-D
        raise KdeployError("no password was typed\n  run this again and type it") from None
    if again != password:
        raise KdeployError("the two passwords differ\n  run this again")
    if not password:
        raise KdeployError("the vault's password is empty\n  run this again and type it")
    return password
