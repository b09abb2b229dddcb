"""Where an environment's files are: beside `environment.yaml`, or in the state folder.

Invariant: what a team shares (lock, vault) stands beside the environment in git;
what belongs to this machine alone (everything of provider `local`, the
administrator's certificate, the lease) stands in the state folder, mode 0700.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kdeploy.spec.load import Loaded

STATE_VARIABLE = "KDEPLOY_STATE_DIR"
"""Environment variable that moves the state folder."""


def state_root() -> Path:
    """The folder that holds every environment's state: $KDEPLOY_STATE_DIR, or the platform's own."""
    chosen = os.environ.get(STATE_VARIABLE)
    if chosen:
        return Path(os.path.expanduser(chosen)).absolute()
    from platformdirs import user_state_path

    return user_state_path("kdeploy")


def state_folder(environment: str) -> Path:
    """The state folder of one environment; not created here."""
    return state_root() / environment


def is_untouched(environment: str) -> bool:
    """Whether nothing was ever kept for an environment here; a file in the folder's place does not count as nothing."""
    root = state_root()
    return not root.exists() or (root.is_dir() and not (root / environment).exists())


def is_local(loaded: Loaded) -> bool:
    """Whether every node of the environment is a process on this machine."""
    return all(datacenter.provider == "local" for datacenter in loaded.environment.datacenters)


def lock_file(loaded: Loaded) -> Path:
    """The lock: beside the environment, for provider local in the state folder."""
    return _shared_folder(loaded) / "lock.yaml"


def vault_file(loaded: Loaded) -> Path:
    """The vault: beside the environment, for provider local in the state folder."""
    return _shared_folder(loaded) / "vault.yaml"


def vault_key_file(loaded: Loaded) -> Path:
    """The generated vault password of provider local (mode 0600)."""
    return state_folder(loaded.environment.name) / "vault.key"


def nodes_folder(environment: str) -> Path:
    """Folders of local nodes: `DATACENTER/NODE` below it."""
    return state_folder(environment) / "nodes"


def hosts_folder(environment: str) -> Path:
    """What this machine keeps for reaching hosts: SSH configurations, locks, Ansible's log (mode 0700)."""
    return state_folder(environment) / "hosts"


def stack_folder(environment: str) -> Path:
    """The engine's working folder, and its state where the environment names no other place for that (mode 0700)."""
    return state_folder(environment) / "aws"


def stack_backend(environment: str, wanted: str | None) -> str:
    """URL of where the engine keeps its state; a folder has its whole path, since the engine runs in another folder.

    Args:
        environment: The environment's name.
        wanted: What it says (`aws.backend`); None is a folder of this user's.
    """
    if wanted is None:
        return f"file://{stack_folder(environment) / 'state'}"
    folder = wanted.removeprefix("file://")
    return f"file://{os.path.expanduser(folder)}" if folder != wanted else wanted


def known_hosts_file(loaded: Loaded) -> Path:
    """The hosts' public keys, beside the environment: a pipeline on a fresh machine knows them too."""
    return loaded.folder.absolute() / "known_hosts"


def administrator_folder(environment: str) -> Path:
    """The administrator's certificate and the authority to trust (0600 files)."""
    return state_folder(environment) / "admin"


def clients_folder(environment: str) -> Path:
    """Where `kdeploy clients` writes unless told otherwise (0600 files)."""
    return state_folder(environment) / "clients"


def _shared_folder(loaded: Loaded) -> Path:
    return state_folder(loaded.environment.name) if is_local(loaded) else loaded.folder
