"""Which EC2 types may be chosen: what the environment and the lock leave of the catalogue.

Invariant: pure. A wish that leaves nothing is refused by its own name, with what would be
right; a wish that the lock answers otherwise is refused too, never passed over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from kdeploy.errors import InvalidSetting
from kdeploy.planner.catalogue import Catalogue
from kdeploy.planner.storage import NVME
from kdeploy.spec.model import Brokers
from kdeploy.spec.wording import did_you_mean

if TYPE_CHECKING:
    from kdeploy.spec.lock import LockedShape

Mask = NDArray[np.bool_]

WISHES: Final = ("instance_family", "architecture", "storage", "volume_type")
"""Settings of brokers that leave fewer types or disks to choose from."""

MOST_NAMED: Final = 6
"""Families that a message names: the newest of the class that was asked for."""


def shortlist(shapes: Catalogue, wanted: Brokers, instance_type: str | None, position: int) -> Catalogue:
    """The types that brokers may have.

    Args:
        shapes: The region's types.
        wanted: What the environment says of brokers.
        instance_type: The one type that is asked for, or that the lock holds.
        position: The datacenter's position in the environment, for messages.

    Raises:
        InvalidSetting: Nothing is left.
    """
    path = ("datacenters", position, "brokers")
    kept: Mask = shapes.offered
    asked = f"type in {shapes.region}"
    if wanted.instance_family is not None:
        # A family that is asked for by name may be of a former generation, as a type may.
        kept = np.array([family == wanted.instance_family for family in shapes.families])
        if not kept.any():
            known = sorted(set(shapes.only(shapes.offered).families))
            wrong = f"there is no family {wanted.instance_family} in the catalogue for {shapes.region}"
            raise InvalidSetting(
                (*path, "instance_family"), wrong, did_you_mean(wanted.instance_family, known)
            )
        asked = f"type of family {wanted.instance_family}"
    if instance_type is not None:
        named = np.array([name == instance_type for name in shapes.names])
        if wanted.instance_family is not None and not (named & kept).any():
            wrong = f"{instance_type} is not of family {wanted.instance_family}"
            family = instance_type.partition(".")[0]
            raise InvalidSetting((*path, "instance_family"), wrong, f"write {family}, or leave it out")
        kept, asked = named, instance_type
    for name, mask in _wishes(shapes, wanted).items():
        if not (kept & mask).any():
            raise _nothing_left(shapes, wanted, mask, (*path, name), asked)
        kept = kept & mask
    return shapes.only(kept)


def _wishes(shapes: Catalogue, wanted: Brokers) -> dict[str, Mask]:
    wishes = {}
    if wanted.architecture is not None:
        wishes["architecture"] = shapes.architecture == wanted.architecture
    if wanted.storage == "local":
        wishes["storage"] = shapes.nvme_count > 0
    return wishes


def _nothing_left(
    shapes: Catalogue, wanted: Brokers, mask: Mask, path: tuple[str | int, ...], asked: str
) -> InvalidSetting:
    is_type = "." in asked
    if path[-1] == "storage":
        wrong = f"{asked} has no disks of its own" if is_type else f"no {asked} has disks of its own"
    else:
        wrong = f"{asked} is not {wanted.architecture}" if is_type else f"no {asked} is {wanted.architecture}"
    letter = asked.removeprefix("type of family ")[0]
    able = sorted(set(shapes.only(shapes.offered & mask).families))
    able = [family for family in able if family[0] == letter] or able
    right = f"families that do, for example: {', '.join(able[-MOST_NAMED:])}; or leave {path[-1]} out"
    return InvalidSetting(path, wrong, right)


def refuse_other_disks(wanted: Brokers, held: LockedShape, position: int) -> None:
    """Refuse another kind of disk than running brokers have.

    Args:
        wanted: What the environment says of brokers.
        held: What the lock says of them.
        position: The datacenter's position in the environment.

    Raises:
        InvalidSetting: The lock says otherwise.
    """
    if not held.volumes:
        return
    kind = held.volumes[0].type
    storage = "local" if kind == NVME else "ebs"
    for name, asked, locked in (
        ("storage", wanted.storage, storage),
        ("volume_type", wanted.volume_type, kind),
    ):
        if asked is not None and asked != locked:
            wrong = f"the lock has brokers with {kind} disks, the environment asks for {asked}"
            right = "put back what the lock says: data would have to move from disk to disk"
            raise InvalidSetting(("datacenters", position, "brokers", name), wrong, right)
