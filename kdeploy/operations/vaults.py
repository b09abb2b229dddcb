"""An environment's vault: made, completed, opened and edited.

Invariant: the vault is changed only under the environment's lease, and only to
something that was checked; what a cluster runs with is never replaced by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from kdeploy.errors import KdeployError, UsageError
from kdeploy.operations import belonging, editor, places
from kdeploy.operations.killpoint import kill_point
from kdeploy.operations.lease import lease

if TYPE_CHECKING:
    from kdeploy.security.vault import Vault
    from kdeploy.spec.load import Loaded


@dataclass(frozen=True)
class Created:
    """What `create` did.

    Attributes:
        file: The vault.
        added: What it lacked and now has, in words; empty when nothing was missing.
    """

    file: Path
    added: tuple[str, ...]


def undecided(loaded: Loaded) -> str:
    """Why nothing can be done with an environment that has no lock, and how it gets one."""
    name = loaded.environment.name
    if places.is_local(loaded):
        return f"nothing is decided about {name} yet\n  `kdeploy up {name}` decides it, and makes its vault by itself"
    return f"nothing is decided about {name} yet\n  decide it first: `kdeploy plan {name} --lock`"


def create(loaded: Loaded, password_file: Path | None = None) -> Created:
    """Make the vault, or add what it lacks; what is there stays as it is.

    Raises:
        KdeployError: There is no lock yet, or the vault cannot be opened or written.
    """
    from kdeploy.security import issue, vault
    from kdeploy.spec import lockfile

    belonging.refuse_other(loaded)
    file = places.vault_file(loaded)
    if loaded.shipped and not places.is_local(loaded):
        raise UsageError(
            f"{loaded.environment.name} came with kdeploy and is only an example: its vault would be lost with the "
            f"next version\n  make your own with `kdeploy init NAME --from {loaded.environment.name}`"
        )
    lock = lockfile.read_lock(places.lock_file(loaded))
    if lock is None:
        raise KdeployError(undecided(loaded))
    needed = issue.requirements(loaded.environment, lock)
    with lease(places.state_folder(loaded.environment.name), "vault create"):
        key = password(loaded, password_file, new=not file.exists())
        current = vault.read(file, key) if file.exists() else None
        added = issue.lacking(current, needed)
        if added:
            complete = issue.complete(current, needed, datetime.now(UTC))
            kill_point("vault-completed")
            vault.write(file, complete, key)
            kill_point("vault-written")
    return Created(file, added)


def open_existing(loaded: Loaded, password_file: Path | None = None) -> Vault:
    """The vault as it stands.

    Raises:
        KdeployError: There is none, or it cannot be opened.
    """
    from kdeploy.security import vault

    _refuse_missing(loaded)
    return vault.read(places.vault_file(loaded), password(loaded, password_file))


def edit(loaded: Loaded, go_back: Callable[[str], bool], password_file: Path | None = None) -> bool:
    """Let a person change the vault in an editor; it is replaced only by content that is sound.

    Args:
        loaded: The environment.
        go_back: Asked with what is wrong; True opens the editor again with the same text.
        password_file: File with the vault's password.

    Returns:
        Whether the vault was changed.

    Raises:
        KdeployError: The content stayed broken, or the vault cannot be opened or written.
    """
    from kdeploy.security import content, vault

    _refuse_missing(loaded)
    file = places.vault_file(loaded)
    with lease(places.state_folder(loaded.environment.name), "vault edit"):
        key = password(loaded, password_file)
        original = text = vault.read_text(file, key)
        while True:
            text = editor.revise(text)
            if text == original:
                return False
            try:
                changed = content.from_yaml(text)
                fault = _of_another(changed, loaded)
            except content.Damaged as error:
                fault = str(error)
            if not fault:
                vault.write(file, changed, key)
                return True
            if not go_back(fault):
                raise KdeployError(
                    f"{file} was left as it was: the edited text is damaged at {fault}\n  edit it again"
                )


def password(loaded: Loaded, password_file: Path | None, *, new: bool = False) -> str:
    """The vault's password: provider local keeps its own, elsewhere a person or a pipeline gives it."""
    from kdeploy.security import password as source

    if places.is_local(loaded):
        return source.local_password(places.vault_key_file(loaded))
    return source.ask(password_file, new=new)


def _of_another(vault: Vault, loaded: Loaded) -> str:
    name = loaded.environment.name
    return "" if vault.environment == name else f"environment: is not {name}, whose vault this is"


def _refuse_missing(loaded: Loaded) -> None:
    belonging.refuse_other(loaded)
    file, name = places.vault_file(loaded), loaded.environment.name
    if not file.exists():
        how = f"kdeploy up {name}" if places.is_local(loaded) else f"kdeploy vault create {name}"
        raise KdeployError(f"{name} has no vault yet: there is no {file}\n  make it with `{how}`")
