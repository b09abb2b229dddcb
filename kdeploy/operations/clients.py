"""Handing out clients: which users, of which clusters, into which folders.

Invariant: nothing is decided, started or made here; what is not in the lock and the
vault yet is refused with the command that makes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kdeploy.errors import KdeployError, UsageError
from kdeploy.operations import places, prepare, vaults

if TYPE_CHECKING:
    from kdeploy.blueprint import ClusterBlueprint
    from kdeploy.security.clients import Form
    from kdeploy.security.vault import Vault
    from kdeploy.spec.load import Loaded


@dataclass(frozen=True)
class Handout:
    """What one client got.

    Attributes:
        datacenter: The cluster it is for.
        user: Its name; None for the administrator.
        bootstrap: Where it connects.
        folder: Where its files are.
        files: The files.
    """

    datacenter: str
    user: str | None
    bootstrap: str
    folder: Path
    files: tuple[Path, ...]

    def to_json(self) -> dict[str, Any]:
        """JSON values; paths and names only."""
        return {
            "datacenter": self.datacenter,
            "user": self.user,
            "administrator": self.user is None,
            "bootstrap": self.bootstrap,
            "folder": str(self.folder),
            "files": [file.name for file in self.files],
        }


def hand_out(
    loaded: Loaded,
    users: Sequence[str] = (),
    *,
    administrator: bool = False,
    to: Path | None = None,
    form: Form = "pem",
    password_file: Path | None = None,
) -> tuple[Handout, ...]:
    """Write what clients need, for every cluster of an environment.

    Args:
        loaded: The environment.
        users: Names of users; with none, and without `administrator`, every declared user and the administrator.
        administrator: Whether the administrator's are wanted.
        to: Folder to write below; by default in the state folder.
        form: How Java gets its certificates.
        password_file: File with the vault's password.

    Raises:
        UsageError: A user is not declared in the environment.
        KdeployError: Nothing is decided yet, or the vault lacks something.
    """
    everybody = [user.name for user in loaded.environment.users]
    declared = [user.name for user in loaded.environment.users if user.credentials == "vault"]
    unknown = [name for name in users if name not in declared]
    if unknown and unknown[0] in everybody:
        raise UsageError(
            f"the credentials of {unknown[0]} are unmanaged: kdeploy does not know its password\n"
            "  have it put into the vault by taking `credentials: unmanaged` out"
        )
    if unknown:
        raise UsageError(
            f"{loaded.environment.name} has no user {unknown[0]!r}\n"
            f"  declared are: {', '.join(declared) or 'none'}; others are added in environment.yaml"
        )
    everyone = not users and not administrator
    design = prepare.design(loaded, freeze=True)
    if design.previous is None:
        raise KdeployError(vaults.undecided(loaded))
    vault = vaults.open_existing(loaded, password_file)
    root = (to or places.clients_folder(loaded.environment.name)).absolute()
    handouts: list[Handout] = []
    for cluster in design.blueprint.clusters:
        below = root / cluster.datacenter if len(design.blueprint.clusters) > 1 else root
        wanted = declared if everyone else dict.fromkeys(users)
        handouts += [_user(loaded, vault, cluster, below, user, form) for user in wanted]
        if everyone or administrator:
            handouts.append(_administrator(vault, cluster, below, form))
    return tuple(handouts)


def _user(
    loaded: Loaded, vault: Vault, cluster: ClusterBlueprint, below: Path, user: str, form: Form
) -> Handout:
    from kdeploy.security import clients

    if user in (".", ".."):
        raise KdeployError(f"a user named {user!r} cannot have a folder\n  rename it in environment.yaml")
    folder, bootstrap = below / "users" / user, cluster.bootstrap("client")
    protocol = loaded.environment.security.client_listener
    files = clients.write_user(folder, vault, user, bootstrap, protocol, form)
    return Handout(cluster.datacenter, user, bootstrap, folder, files)


def _administrator(vault: Vault, cluster: ClusterBlueprint, below: Path, form: Form) -> Handout:
    from kdeploy.security import clients

    folder, bootstrap = below / "admin", cluster.bootstrap("admin")
    files = clients.write_administrator(folder, vault, bootstrap, form)
    return Handout(cluster.datacenter, None, bootstrap, folder, files)
