"""From an environment's folder to a Blueprint and its secrets: the pure flow, plus the lock and the vault.

Invariant: nothing here starts, stops or changes a node. Decisions and secrets are
written (`Prepared.save`) before the first effect that rests on them, so a crash
never leaves a running node whose identity was forgotten.
"""

from __future__ import annotations

import base64
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from kdeploy.errors import InvalidSetting, KdeployError, StaleLock, UsageError
from kdeploy.operations import belonging, places, vaults

if TYPE_CHECKING:
    from kdeploy.blueprint import Blueprint, Node
    from kdeploy.planner.result import Plan
    from kdeploy.security.vault import Vault
    from kdeploy.spec.load import Loaded
    from kdeploy.spec.lock import Lock


class NoPlan(KdeployError):
    """Nothing fits the environment; the plan says which limit binds and what would fit."""

    exit_code = 3


@dataclass(frozen=True)
class Design:
    """All that is decided about an environment, before anyone connects.

    Attributes:
        loaded: The environment with its source.
        plan: What the planner answered.
        previous: The lock as it was found; None at first.
        lock: The lock as it should be.
        blueprint: Every file of every node.
    """

    loaded: Loaded
    plan: Plan
    previous: Lock | None
    lock: Lock
    blueprint: Blueprint


def design(loaded: Loaded, *, freeze: bool, reshape: bool = False, previous: Lock | None = None) -> Design:
    """Plan, decide and draw.

    Args:
        loaded: The environment.
        freeze: Refuse where the lock was written for another environment. Provider
            local decides afresh instead: its lock is its own.
        reshape: Whether running brokers may get another EC2 type.
        previous: What was decided before, where that is not what the lock's file says. Without `freeze` a lock of
            another folder's environment counts as none.

    Raises:
        NoPlan: Nothing fits.
        StaleLock: With `freeze`, when the lock is older than the environment.
        InvalidEnvironment: A change that is not supported, or a setting that Kafka does not know.
    """
    from kdeploy import blueprint, planner
    from kdeploy.planner import decide
    from kdeploy.spec import lockfile

    environment = loaded.environment
    file = places.lock_file(loaded)
    if previous is None:
        previous = lockfile.read_lock(file) if freeze else belonging.lock(loaded)
    if previous is not None:
        lockfile.refuse_lacking_ports(file, previous)
    try:
        plan = planner.plan(environment, previous, reshape=reshape)
        if not plan.feasible:
            raise NoPlan(_why(plan))
        if previous is not None:
            decide.refuse_unsupported(environment, plan, previous)
            if freeze and not places.is_local(loaded):
                refuse_stale(loaded, decide.stale(environment, previous))
        lock = decide.decide(environment, plan, previous, new_id)
        drawn = blueprint.draw(environment, plan, lock)
    except InvalidSetting as error:
        raise loaded.source.locate(error) from None
    files = {f"{node.key}/{file.path}": file.sha256 for node in drawn.nodes for file in node.files}
    return Design(loaded, plan, previous, lock.model_copy(update={"files": files}), drawn)


def new_id() -> str:
    """A new Kafka UUID: 128 random bits in URL-safe base64 without padding (org.apache.kafka.common.Uuid).

    One that begins with a hyphen is not taken: on a command line it would read as an option.
    """
    while True:
        text = base64.urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()
        if not text.startswith("-"):
            return text


def _why(plan: Plan) -> str:
    lines = [
        f"{one.datacenter}: {one.limit} is {one.by:.2f} times what the best choice can take\n  {one.nearest}"
        for one in plan.infeasible
    ]
    return "no plan fits this environment\n" + "\n".join(lines)


def refuse_stale(loaded: Loaded, differences: Sequence[str]) -> None:
    """Refuse to go on where the environment differs from what its lock was written for.

    Raises:
        StaleLock: Names each difference.
    """
    if differences:
        listed = "\n".join(f"  - {difference}" for difference in differences)
        raise StaleLock(
            f"{places.lock_file(loaded)} is older than the environment:\n{listed}\n"
            f"  review it with `kdeploy plan {loaded.environment.name}`, "
            f"then write it with `kdeploy plan {loaded.environment.name} --lock`"
        )


def save_lock(design: Design) -> None:
    """Write the lock where it differs from what was found.

    Raises:
        UsageError: The environment is one of kdeploy's own, inside the installed package; or the lock on this machine
            is another folder's.
    """
    from kdeploy.spec import lockfile

    if design.lock != design.previous:
        name = design.loaded.environment.name
        if design.loaded.shipped and not places.is_local(design.loaded):
            raise UsageError(
                f"{name} came with kdeploy and is only an example: its lock would be lost with the next version\n"
                f"  make your own with `kdeploy init NAME --from {name}`"
            )
        belonging.refuse_other(design.loaded)
        file = places.lock_file(design.loaded)
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        lockfile.write_lock(file, design.lock)


def remember_ids(design: Design, ids: Mapping[str, str | None]) -> None:
    """Write the ids that clusters chose for themselves into the lock; a None among them changes nothing.

    Args:
        design: The environment's design, whose lock is written already.
        ids: Cluster ids by datacenter.
    """
    from kdeploy.spec import lockfile

    datacenters = tuple(
        one.model_copy(update={"cluster_id": ids.get(one.name) or one.cluster_id})
        for one in design.lock.datacenters
    )
    if datacenters != design.lock.datacenters:
        file = places.lock_file(design.loaded)
        lockfile.write_lock(file, design.lock.model_copy(update={"datacenters": datacenters}))


def with_images(design: Design, chosen: Mapping[str, Mapping[str, str]]) -> Design:
    """The design with images that machines were started from in its lock; what is there stays, and nothing is written.

    Args:
        design: The environment's design.
        chosen: Images by datacenter and architecture.

    Returns:
        The same design with them.
    """
    from kdeploy import blueprint

    datacenters = tuple(
        one.model_copy(update={"images": {**chosen.get(one.name, {}), **one.images}})
        for one in design.lock.datacenters
    )
    lock = design.lock.model_copy(update={"datacenters": datacenters})
    drawn = blueprint.draw(design.loaded.environment, design.plan, lock)
    return replace(design, lock=lock, blueprint=drawn)


def forget_images(loaded: Loaded) -> None:
    """Take images that `up` chose out of the lock: nothing runs on them any more."""
    from kdeploy.spec import lockfile

    file = places.lock_file(loaded)
    lock = lockfile.read_lock(file)
    if lock is not None:
        gone = tuple(one.model_copy(update={"images": {}}) for one in lock.datacenters)
        if gone != lock.datacenters:
            lockfile.write_lock(file, lock.model_copy(update={"datacenters": gone}))


def forget_ids(loaded: Loaded) -> None:
    """Take the ids that clusters chose for themselves out of the lock: their data is deleted, and so are they."""
    from kdeploy.spec import lockfile

    file = places.lock_file(loaded)
    lock = lockfile.read_lock(file)
    if lock is not None and lock.kafka_coordination == "zookeeper":
        gone = (one.model_copy(update={"cluster_id": None}) for one in lock.datacenters)
        forgotten = lock.model_copy(update={"datacenters": tuple(gone)})
        if forgotten != lock:
            lockfile.write_lock(file, forgotten)


def complete_vault(design: Design, password_file: Path | None) -> Vault:
    """The vault with every secret the blueprint needs.

    Provider local makes and completes its vault by itself; elsewhere `up` never
    invents a secret, and a lack is refused with the command that fills it.

    Args:
        design: The environment's design; the caller holds its lease.
        password_file: File with the vault's password.
    """
    return save_vault(design, completed_vault(design, password_file))


def save_vault(design: Design, completed: CompletedVault) -> Vault:
    """Write a vault where something in it is new; the caller holds the environment's lease."""
    from kdeploy.security import vault

    if completed.new:
        vault.write(places.vault_file(design.loaded), completed.vault, completed.key)
    return completed.vault


@dataclass(frozen=True)
class CompletedVault:
    """A vault that has every secret the blueprint needs.

    Attributes:
        vault: The vault.
        key: Its password.
        new: Whether something in it is new, and not written yet.
    """

    vault: Vault = field(repr=False)
    key: str = field(repr=False)
    new: bool


def completed_vault(design: Design, password_file: Path | None) -> CompletedVault:
    """As `complete_vault`, with nothing written: what it made may be thrown away.

    Raises:
        KdeployError: It lacks something, and is not provider local's own; or it cannot be opened.
    """
    from kdeploy.security import issue, vault

    loaded = design.loaded
    file = places.vault_file(loaded)
    needed = issue.requirements(loaded.environment, design.lock)
    key = vaults.password(loaded, password_file)
    current = vault.read(file, key) if file.exists() else None
    lacking = issue.lacking(current, needed)
    if current is not None and not lacking:
        return CompletedVault(current, key, new=False)
    if not places.is_local(loaded):
        raise KdeployError(
            f"{file} lacks {', '.join(lacking)}\n"
            f"  add what is missing with `kdeploy vault create {loaded.environment.name}`"
        )
    return CompletedVault(issue.complete(current, needed, datetime.now(UTC)), key, new=True)


def secrets_of(node: Node, vault: Vault) -> dict[str, bytes]:
    """Content of a node's secret files, by path."""
    from kdeploy.security import files

    return files.node_secrets(vault, node.key, {secret.path: secret.kind for secret in node.secrets})
