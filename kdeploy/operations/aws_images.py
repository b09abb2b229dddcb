"""Which image machines start from: the one that the first of them was started from, for good.

Invariant: a newer image never replaces a machine by itself, whether or not the lock says yet what runs: a lock that
nobody committed after the first `up` is not asked for what the stack's state knows. An image is noted for the
architecture of the machine that starts from it, and for no other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from kdeploy.operations.prepare import Design


class Made(Protocol):
    """A resource as the engine plans it, or as its state has it."""

    @property
    def type(self) -> str:
        """Its type."""

    @property
    def name(self) -> str:
        """Its logical name."""

    @property
    def inputs(self) -> Mapping[str, Any]:
        """What it is asked to be."""


def as_started(design: Design, resources: Iterable[Made]) -> Design:
    """The design with images where its lock has none yet; nothing is written.

    Args:
        design: The environment's design.
        resources: What is there, or is about to be.
    """
    from kdeploy.operations import prepare

    chosen = _lacking(design, resources)
    return prepare.with_images(design, chosen) if chosen else design


def noted(design: Design, resources: Iterable[Made], before: Design) -> Design:
    """As `as_started`, and written into the lock where that has another.

    Args:
        design: The environment's design, as it was looked at.
        resources: What is about to be.
        before: The design whose lock is written already.
    """
    from kdeploy.operations import places
    from kdeploy.spec import lockfile

    found = as_started(design, resources)
    if found.lock != before.lock:
        lockfile.write_lock(places.lock_file(found.loaded), found.lock)
    return found


def _lacking(design: Design, resources: Iterable[Made]) -> dict[str, dict[str, str]]:
    """Images by datacenter and architecture that the lock lacks, of the first node that has one."""
    from kdeploy.infra.aws.changes import INSTANCE
    from kdeploy.tuning.place import architecture

    made = {one.name: one.inputs for one in resources if one.type == INSTANCE}
    chosen: dict[str, dict[str, str]] = {}
    for node in design.blueprint.nodes:
        inputs, machine = made.get(f"{node.datacenter}-{node.name}", {}), node.machine
        image, kind = inputs.get("ami"), inputs.get("instanceType")
        if machine is None or machine.image is not None or not (isinstance(image, str) and image):
            continue
        # A machine that is about to get other processors was started from an image that they do not run.
        if isinstance(kind, str) and architecture(kind) == machine.architecture:
            chosen.setdefault(node.datacenter, {}).setdefault(machine.architecture, image)
    return chosen
