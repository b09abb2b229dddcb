"""Handing out clients: which users, of which clusters, into which folders.

Invariant: nothing is decided, started or made here; what is not in the lock and the
vault yet is refused with the command that makes it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kdeploy.errors import KdeployError, UsageError
from kdeploy.operations import belonging, mirroring, places, prepare, vaults

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
        external: Whether it connects from outside the network, through the load balancer.
    """

    datacenter: str
    user: str | None
    bootstrap: str
    folder: Path
    files: tuple[Path, ...]
    external: bool = False

    def to_json(self) -> dict[str, Any]:
        """JSON values; paths and names only."""
        return {
            "datacenter": self.datacenter,
            "user": self.user,
            "administrator": self.user is None,
            "bootstrap": self.bootstrap,
            "external": self.external,
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
    datacenter: str | None = None,
    external: bool = False,
) -> tuple[Handout, ...]:
    """Write what clients need, for every cluster of an environment.

    Where one datacenter is written to, it is that one's alone, always in the same folder. Where all are, each
    has a folder; after a failover that of one that was lost leads to the one that its clients were sent to.

    Args:
        loaded: The environment.
        users: Names of users; with none, and without `administrator`, every declared user and the administrator.
        administrator: Whether the administrator's are wanted.
        to: Folder to write below; by default in the state folder.
        form: How Java gets its certificates.
        password_file: File with the vault's password.
        datacenter: Whose, whoever is written to; in a folder of its own.
        external: Whether they connect from outside the network, through the load balancer; in a folder of its own.

    Raises:
        UsageError: A user is not declared in the environment, or a datacenter is not; or a load balancer is not.
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
    if external and administrator:
        raise UsageError(
            "the load balancer leads to the listener of users alone, and the administrator has another\n"
            "  leave out --admin, or --external"
        )
    everyone = not users and not administrator
    belonging.refuse_other(loaded)
    design = prepare.design(loaded, freeze=True)
    if design.previous is None:
        raise KdeployError(vaults.undecided(loaded))
    vault = vaults.open_existing(loaded, password_file)
    root = (to or places.clients_folder(loaded.environment.name)).absolute()
    handouts: list[Handout] = []
    for cluster, below in _places(design, vault, root, datacenter):
        wanted = declared if everyone else dict.fromkeys(users)
        if external:
            outside = _outside(loaded, cluster)
            handouts += [_external(vault, cluster, below, user, form, outside) for user in wanted]
            continue
        handouts += [_user(loaded, vault, cluster, below, user, form) for user in wanted]
        if everyone or administrator:
            handouts.append(_administrator(vault, cluster, below, form))
    return tuple(handouts)


def _places(
    design: prepare.Design, vault: Vault, root: Path, datacenter: str | None
) -> Iterator[tuple[ClusterBlueprint, Path]]:
    """Clusters whose clients are handed out, each with the folder that they are in."""
    clusters = {cluster.datacenter: cluster for cluster in design.blueprint.clusters}
    if datacenter is not None:
        if datacenter not in clusters:
            raise UsageError(
                f"{design.loaded.environment.name} has no datacenter {datacenter!r}\n"
                f"  there are: {', '.join(clusters)}"
            )
        yield clusters[datacenter], root / datacenter
    elif len(clusters) == 1:
        yield from ((cluster, root) for cluster in clusters.values())
    elif (wanted := design.loaded.environment.mirroring) is None:
        yield from ((cluster, root / name) for name, cluster in clusters.items())
    elif wanted.mode == "active-passive":
        yield clusters[mirroring.active(design, vault)], root
    else:
        where = mirroring.handed(design, vault)
        yield from ((clusters[where[name]], root / name) for name in clusters)


def _outside(loaded: Loaded, cluster: ClusterBlueprint) -> str:
    """Where clients outside a cluster's network connect."""
    balancer = cluster.place.balancer if cluster.place else None
    if balancer is None:
        raise UsageError(
            f"there is nothing that clients outside the network of {cluster.datacenter} could connect to\n"
            f"  declare `network: {{load_balancer: …}}` of it in {loaded.source.file} (provider aws), or leave out "
            "--external"
        )
    return balancer.bootstrap


def _external(
    vault: Vault, cluster: ClusterBlueprint, below: Path, user: str, form: Form, bootstrap: str
) -> Handout:
    from kdeploy.security import clients

    folder = _folder(below / "external", user)
    files = clients.write_user(folder, vault, user, bootstrap, "SASL_SSL", form)
    return Handout(cluster.datacenter, user, bootstrap, folder, files, external=True)


def _folder(below: Path, user: str) -> Path:
    if user in (".", ".."):
        raise KdeployError(f"a user named {user!r} cannot have a folder\n  rename it in environment.yaml")
    return below / "users" / user


def _user(
    loaded: Loaded, vault: Vault, cluster: ClusterBlueprint, below: Path, user: str, form: Form
) -> Handout:
    from kdeploy.security import clients

    folder, bootstrap = _folder(below, user), cluster.bootstrap("client")
    protocol = loaded.environment.security.client_listener
    files = clients.write_user(folder, vault, user, bootstrap, protocol, form)
    return Handout(cluster.datacenter, user, bootstrap, folder, files)


def _administrator(vault: Vault, cluster: ClusterBlueprint, below: Path, form: Form) -> Handout:
    from kdeploy.security import clients

    folder, bootstrap = below / "admin", cluster.bootstrap("admin")
    files = clients.write_administrator(folder, vault, bootstrap, form)
    return Handout(cluster.datacenter, None, bootstrap, folder, files)
