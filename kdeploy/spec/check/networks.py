"""What makes a text a network of IPv4, and how small one may be in AWS.

Invariant: pure; a text that is no network is said once, with the network that it was probably meant to be.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Network

from kdeploy.spec.check.finding import Finding
from kdeploy.spec.plain import Path_

LARGEST, SMALLEST = 16, 28
"""Prefixes of the largest and the smallest range of a VPC and of a subnet (Amazon VPC User Guide, VPC CIDR blocks and
Subnet CIDR blocks, 2026-11)."""


def unsound(path: Path_, text: str) -> Iterator[Finding]:
    """Why a text is no network; nothing where it is one."""
    try:
        IPv4Network(text)
    except ValueError as error:
        wrong, right = f"{text} is not a network", "write one like 10.20.0.0/16"
        if "host bits" in str(error):
            wrong = f"{text} has bits set beyond its length"
            right = f"write {IPv4Network(text, strict=False)}"
        yield Finding(path, wrong, right)
