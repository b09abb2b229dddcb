"""What a person wants of the firewall on hosts.

Invariant: only what is wanted. Which of Kafka's ports is for whom follows from the nodes, and is
decided in `kdeploy.tuning.firewall`.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field, StringConstraints

from kdeploy.spec.frozen import Frozen

Network = Annotated[str, StringConstraints(pattern=r"^[0-9A-Fa-f.:]{1,45}(/[0-9]{1,3})?$")]
"""An address or a network: `10.1.2.3`, `10.0.0.0/8`, `fd00::/8`."""

EVERYONE: Final = ("0.0.0.0/0", "::/0")
"""Every address there is."""


class Opening(Frozen):
    """A port besides Kafka's that hosts let in, for example of a monitoring agent."""

    port: Annotated[int, Field(ge=1, le=65535)]
    """Its number."""

    protocol: Literal["tcp", "udp"] = "tcp"
    """What is spoken on it."""

    sources: Annotated[tuple[Network, ...], Field(min_length=1, max_length=1000)] = EVERYONE
    """Networks it is open to."""


class Firewall(Frozen):
    """What hosts let in from the network: SSH, their nodes' ports for those who need them, and nothing else."""

    enabled: bool = True
    """Whether kdeploy keeps a firewall (nftables, its own table `inet kdeploy`); false removes it again, and
    leaves it to you who reaches which port."""

    clients: Annotated[tuple[Network, ...], Field(min_length=1, max_length=1000)] = EVERYONE
    """Networks that reach the brokers' client port; it is guarded by TLS and passwords besides."""

    operators: Annotated[tuple[Network, ...], Field(min_length=1, max_length=1000)] = EVERYONE
    """Networks from which people and kdeploy log in by SSH and administer the nodes; `up` refuses to shut
    out the address that it comes from itself."""

    ssh_ports: Annotated[
        tuple[Annotated[int, Field(ge=1, le=65535)], ...], Field(min_length=1, max_length=16)
    ] = (22,)
    """Ports that the hosts' own SSH servers listen on."""

    also: Annotated[tuple[Opening, ...], Field(max_length=1000)] = ()
    """Other ports to let in: everything that is not named here is closed."""
