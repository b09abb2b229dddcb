"""What a person wants of AWS: the state of Pulumi, the network of a datacenter, what its machines start from.

Invariant: only what is wanted, as text and numbers. Nothing here, and nothing that reads it to
plan, validate or render, imports Pulumi or asks AWS.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, Literal

from pydantic import Field, StringConstraints

from kdeploy.spec.frozen import Frozen

if TYPE_CHECKING:
    from kdeploy.spec.model import Datacenter

DEFAULT_CIDR: Final = "10.20.0.0/16"
"""The range of a network of kdeploy's own: private (RFC 1918), and as large as AWS lets a VPC be (Amazon VPC User
Guide, VPC CIDR blocks, 2026-11: /28 to /16)."""

FIRST_ADDRESS: Final = 16
"""Where nodes' addresses begin in a subnet. AWS keeps the first four for itself (Amazon VPC User Guide, Subnet CIDR
blocks); those up to here are left to endpoints and whatever else a subnet holds."""

MOST_SPREAD: Final = 7
"""Machines of a spread placement group that a zone takes, and partitions of a partition placement group (Amazon EC2
User Guide, Placement groups, rules and limitations, 2026-11: seven each)."""

METRICS: Final = "kdeploy"
"""The only namespace of CloudWatch that machines may write to."""

DISK_USE: Final = "DiskUsedPercent"
"""The metric there that says how full a file system is."""

Cidr = Annotated[str, StringConstraints(pattern=r"^([0-9]{1,3}\.){3}[0-9]{1,3}/[0-9]{1,2}$")]
"""An IPv4 network: `10.20.0.0/16`."""

Image = Annotated[str, StringConstraints(pattern=r"^ami-([0-9a-f]{8}|[0-9a-f]{17})$")]
"""An Amazon machine image, by id."""

Through = Literal["direct", "ssm"]
"""How SSH gets to a machine: straight (or through a jump host), or through Systems Manager."""

Egress = Literal["nat", "nat-per-zone", "none"]
"""How machines reach the internet."""


Join = Literal["peering", "transit-gateway"]
"""What joins the networks of two datacenters."""


Scheme = Literal["internal", "internet-facing"]
"""Whether a load balancer has private addresses alone, or public ones; as AWS calls it."""

MOST_LISTENERS: Final = 50
"""Listeners of a network load balancer, which AWS gives nobody more of (Elastic Load Balancing, Quotas for your Network
Load Balancers, read 2026-11-27: 50, not adjustable). One is for bootstrap, one for each broker."""


class LoadBalancer(Frozen):
    """A network load balancer for clients outside the network: one port for bootstrap, and one for each broker."""

    name: Annotated[
        str,
        StringConstraints(
            pattern=r"^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])?$",
            max_length=253,
        ),
    ]
    """Name that clients outside connect to, for example kafka.example.com. Brokers tell them this name, and their
    certificates are made out to it."""

    zone: Annotated[str, StringConstraints(pattern=r"^[0-9A-Z]{1,32}$")] | None = None
    """Hosted zone of Route 53, in the same account, that the name is put into; left out, the name is yours to make:
    an alias of the load balancer's own (CNAME), which `up` tells."""

    scheme: Scheme = "internal"
    """internal has private addresses alone, for networks that are joined to the VPC; internet-facing has public ones."""

    sources: Annotated[tuple[Cidr, ...], Field(max_length=50)] = ()
    """Networks that clients outside connect from; no other may."""

    everyone: bool = False
    """Whether every address of the internet may connect, in place of `sources`; passwords alone guard it then."""

    port: Annotated[int, Field(ge=1, le=60000)] = 9092
    """Port for bootstrap. The port of each broker is this and the broker's id: broker-3 has 9095."""


class Subnet(Frozen):
    """A subnet that is there already."""

    id: Annotated[str, StringConstraints(pattern=r"^subnet-([0-9a-f]{8}|[0-9a-f]{17})$")]
    """Its id."""

    cidr: Cidr
    """Its range, as AWS has it."""

    first: Annotated[int, Field(ge=4, le=65535)] = FIRST_ADDRESS
    """Where nodes' addresses begin in it, counted from its first one; those from there on are to be free."""


class Network(Frozen):
    """The network of a datacenter (provider aws): one of its own, or a VPC that is there already."""

    cidr: Cidr = DEFAULT_CIDR
    """Range of the VPC. Two datacenters need two that do not overlap, since they are peered."""

    vpc: Annotated[str, StringConstraints(pattern=r"^vpc-([0-9a-f]{8}|[0-9a-f]{17})$")] | None = None
    """A VPC that is there already; its routes and ways out stay as they are. Left out, one is made."""

    subnets: Annotated[dict[str, Subnet], Field(max_length=64)] = {}
    """Subnets of that VPC, one for each rack."""

    egress: Egress = "nat"
    """How machines of a VPC that is made reach the internet, for packages: nat is one gateway, nat-per-zone one
    in each zone (so that the loss of one zone leaves the others theirs), none leaves only AWS's own endpoints."""

    clients: Annotated[tuple[Cidr, ...], Field(max_length=50)] = ()
    """Networks that clients connect from; left out, the VPC itself. The other datacenter of the environment always
    may."""

    operators: Annotated[tuple[Cidr, ...], Field(max_length=50)] = ()
    """Networks that may log in by SSH and administer, where it does not go through Systems Manager."""

    load_balancer: LoadBalancer | None = None
    """What clients outside the network connect to; left out, there is nothing for them."""


class Machine(Frozen):
    """What the machines of a datacenter start from (provider aws)."""

    images: dict[Literal["x86_64", "arm64"], Image] = {}
    """Images by architecture; what is left out is the latest Debian 12 at the first `up`, and noted in the lock."""

    kms_key: Annotated[str, StringConstraints(pattern=r"^arn:aws[a-z-]*:kms:\S+$")] | None = None
    """Key that volumes are encrypted with; left out, the account's own for EBS (aws/ebs)."""

    root_size: Annotated[int, Field(ge=8, le=1024)] = 20
    """GiB of the disk with the operating system and Kafka's logs of its own doings."""

    bucket: bool = False
    """Whether a bucket for backups is made, that the machines may write to."""

    alarms: bool = False
    """Whether CloudWatch watches each machine: one that fails AWS's own check is recovered, and told of; so is a disk
    that is nearly full, and one of which nothing is heard any more."""

    alarm_percent: Annotated[int, Field(ge=1, le=99)] = 85
    """How full a disk may be, in percent, before its alarm; volumes are planned to be at most 80 % full."""

    alarm_topic: Annotated[str, StringConstraints(pattern=r"^arn:aws[a-z-]*:sns:\S+$")] | None = None
    """SNS topic that alarms are sent to besides."""

    metrics_endpoint: (
        Annotated[str, StringConstraints(pattern=r"^https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?$", max_length=255)]
        | None
    ) = None
    """Where machines tell CloudWatch how full their disks are; left out, the region's own. An endpoint without a private
    name, in a VPC of yours, is named here."""


class Aws(Frozen):
    """Where Pulumi keeps its state, and what holds for everything in AWS."""

    backend: (
        Annotated[str, StringConstraints(pattern=r"^(s3|file|https|gs|azblob)://\S+$", max_length=1024)]
        | None
    ) = None
    """Where the state is kept: `s3://BUCKET?region=REGION`, `file://FOLDER`, `https://api.pulumi.com`; left out, a
    folder among this user's own data, which no pipeline and no colleague has."""

    organization: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,64}$")] | None = None
    """Whose state it is in Pulumi Cloud; left out, it is in the default organization of whoever runs kdeploy, which may be
    another one for each person."""

    secrets_provider: Annotated[
        str, StringConstraints(pattern=r"^(passphrase|(awskms|gcpkms|azurekeyvault|hashivault)://\S+)$")
    ] = "passphrase"
    """What encrypts secrets in the state: `passphrase` (kept in the vault), or `awskms://alias/NAME?region=REGION`.
    kdeploy puts none into it."""

    account: Annotated[str, StringConstraints(pattern=r"^[0-9]{12}$")] | None = None
    """The account's number, in quotes; with it any other account is refused."""

    join: Join = "peering"
    """What joins the networks of two datacenters: peering leads from one VPC to the other, at no price of its own;
    transit-gateway is a gateway for each region (one where both are in one), which others of yours can be attached
    to, and costs by the hour and by traffic."""

    policy_packs: Annotated[
        tuple[Annotated[str, StringConstraints(pattern=r"""^[^"'\s]+$""", max_length=1024)], ...],
        Field(max_length=20),
    ] = ()
    """Folders of policy packs (Pulumi CrossGuard) of your own, as paths from this file's folder. Every preview and
    `up` runs them: a mandatory policy that is violated stops it, an advisory one is shown."""

    tags: Annotated[
        dict[str, Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9 _.:/=+@-]{0,256}$")]],
        Field(max_length=40),
    ] = {}
    """Tags on everything that is made, beside kdeploy's own; for example of a cost centre."""


def cut(cidr: str, racks: int) -> tuple[int, int]:
    """How a VPC is cut into equal subnets: one a rack, the last one for gateways.

    Sixteen parts, so that racks can be added; where they would be smaller than /24, as few as do.

    Args:
        cidr: Range of the VPC.
        racks: Subnets that are needed at once.

    Returns:
        Length of a part's prefix, and how many parts there are for racks.

    Example:
        >>> cut("10.20.0.0/16", 3)
        (20, 15)
    """
    length = int(cidr.rpartition("/")[2])
    fewest = racks.bit_length()  # the smallest power of two that is more than the racks
    bits = max(fewest, 4) if length + max(fewest, 4) <= SMALL else fewest
    return length + bits, 2**bits - 1


SMALL: Final = 24
"""Prefix of the smallest subnets that are made where there is a choice: 256 addresses."""


def through(wanted: Datacenter) -> Through:
    """How SSH gets to a datacenter's machines; a jump host is a way of its own."""
    default: Through = "ssm" if wanted.provider == "aws" and wanted.ssh.jump is None else "direct"
    return wanted.ssh.through or default
