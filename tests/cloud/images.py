"""Debian's public images and the parameters that name them, in every region that is asked.

Invariant: a parameter always names an image that can be launched; `publish` puts out a newer one,
as Debian does every few weeks.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

OWNER: Final = "136693071363"
"""Debian's account (wiki.debian.org, "Cloud/AmazonEC2Image/Bookworm", 2026-11)."""
ARCHITECTURES: Final = {"amd64": "x86_64", "arm64": "arm64"}
PARAMETER: Final = "/aws/service/debian/release/12/latest/{}"
FIRST: Final = "20261101-2285"
"""Debian's number of a build; each `publish` puts out another."""


def publish(account: str, region: str, build: str = FIRST) -> dict[str, str]:
    """Put out images of one build; their ids by architecture."""
    from moto.ec2.models import ec2_backends
    from moto.ec2.models.amis import Ami
    from moto.ssm.models import Parameter, ssm_backends

    backend, found = ec2_backends[account][region], {}
    for name, architecture in ARCHITECTURES.items():
        identity = f"ami-{hashlib.sha256(f'{region} {name} {build}'.encode()).hexdigest()[:17]}"
        if identity not in backend.amis:
            backend.amis[identity] = Ami(
                backend,
                identity,
                name=f"debian-12-{name}-{build}",
                description="Debian 12",
                owner_id=OWNER,
                owner_alias="aws-marketplace",
                public=True,
                virtualization_type="hvm",
                architecture=architecture,
                root_device_type="ebs",
                root_device_name="/dev/xvda",
            )
        key = PARAMETER.format(name)
        parameters = ssm_backends[account][region]._parameters
        parameters[key].append(
            _parameter(Parameter, account, region, key, identity, len(parameters[key]) + 1)
        )
        found[name] = identity
    return found


def _parameter(kind: Any, account: str, region: str, name: str, value: str, version: int) -> Any:
    from moto.core.utils import utcnow

    return kind(
        account_id=account,
        name=name,
        value=value,
        parameter_type="String",
        description="",
        allowed_pattern=None,
        keyid=None,
        last_modified_date=utcnow(),
        version=version,
        data_type="aws:ec2:image",
    )
