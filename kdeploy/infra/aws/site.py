"""Where resources belong: the environment, the datacenter, the provider of its region, and how they are named.

Invariant: a resource's logical name is unique in the environment, says what it is, and stays the same for as long as
it is the same thing; it is also a tag, so that what an interrupted run left behind is found again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import pulumi
import pulumi_aws as aws

from kdeploy.infra.aws.ownership import ENVIRONMENT, IDENTITY

DATACENTER: Final = "kdeploy:datacenter"
RESOURCE: Final = "kdeploy:resource"
NODE: Final = "kdeploy:node"
ROLE: Final = "kdeploy:role"
TAGS: Final = (ENVIRONMENT, DATACENTER, RESOURCE)
"""Tags that everything has which can have some."""


@dataclass(frozen=True)
class Site:
    """One datacenter as its resources know it.

    Attributes:
        environment: The environment's name.
        datacenter: The datacenter's name.
        region: Its region.
        provider: The AWS provider of the region.
    """

    environment: str
    datacenter: str
    region: str
    provider: aws.Provider

    def name(self, *parts: str) -> str:
        """A resource's logical name: `eu-west-1-broker-1`."""
        return "-".join((self.datacenter, *parts))

    def outside(self, *parts: str, most: int = 255) -> str:
        """A name in AWS itself, where others have names too: `kdeploy-prod-eu-eu-west-1-broker`.

        Args:
            parts: What it is the name of.
            most: Characters that AWS takes; a longer one ends with a hash of all of it, so that no two become one.
        """
        whole = "-".join(("kdeploy", self.environment, self.datacenter, *parts))
        if len(whole) <= most:
            return whole
        return f"{whole[: most - 9]}-{hashlib.sha256(whole.encode()).hexdigest()[:8]}"

    @property
    def partition(self) -> str:
        """The part of AWS that the region is in, as ARNs begin with it (IAM User Guide, Amazon Resource Names)."""
        return {"cn": "aws-cn", "us-gov": "aws-us-gov"}.get(self.region.rsplit("-", 2)[0], "aws")

    def tags(self, name: str, **more: str) -> dict[str, str]:
        """Tags of a resource, by its logical name; `node` and `role` where it is a node's."""
        own = {f"kdeploy:{key}": value for key, value in more.items()}
        return {"Name": f"{self.environment}-{name}", DATACENTER: self.datacenter, RESOURCE: name, **own}

    def below(self, parent: pulumi.Resource, **options: Any) -> pulumi.ResourceOptions:  # noqa: ANN401
        """Options of a resource of a component."""
        return pulumi.ResourceOptions(parent=parent, provider=self.provider, **options)

    def asking(self, parent: pulumi.Resource | None = None) -> pulumi.InvokeOptions:
        """Options of a question to AWS."""
        return pulumi.InvokeOptions(parent=parent, provider=self.provider)


def provider(
    region: str, environment: str, identity: str | None, tags: dict[str, str], account: str | None
) -> aws.Provider:
    """The provider of a region: what it makes has the environment's tags, and is in the right account.

    Args:
        region: AWS region.
        environment: The environment's name.
        identity: Its id, which tells it from another one of that name; None where its lock has none yet.
        tags: What a person wants on everything.
        account: The only account that is right; None is any.
    """
    own = {IDENTITY: identity} if identity else {}
    allowed: Sequence[str] | None = [account] if account else None
    return aws.Provider(
        f"aws-{region}",
        region=region,
        default_tags={"tags": {**tags, ENVIRONMENT: environment, **own}},
        allowed_account_ids=allowed,
    )
