"""What a machine does when it first starts: it lets Ansible in, and nothing else.

Invariant: no secret is in it (an operator's public key is none), and what it does is done once; all else is Ansible's.
"""

from __future__ import annotations

import json
from typing import Any, Final

from kdeploy.blueprint import Place
from kdeploy.spec.model import Architecture

DEBIAN: Final = {"x86_64": "amd64", "arm64": "arm64"}
"""Debian's names of architectures."""

LATEST: Final = "/aws/service/debian/release/12/latest/{}"
"""The public parameter with the newest image of Debian 12 (Debian wiki, Cloud/AmazonEC2Image, 2026-11)."""

USER: Final = "admin"
"""Who may log in to Debian's images (ibid.)."""

AGENT: Final = (
    "https://s3.{region}.amazonaws.com/amazon-ssm-{region}/latest/debian_{architecture}/amazon-ssm-agent.deb"
)
"""Where AWS keeps its agent, in the region's own S3, so that it is had without the internet too (AWS Systems Manager
User Guide, "Manually installing SSM Agent on Debian Server"); Debian's images come without it."""


def parameter(architecture: Architecture) -> str:
    """Name of the public parameter that says which image is the latest."""
    return LATEST.format(DEBIAN[architecture])


def user_data(place: Place, architecture: Architecture, public_key: str | None) -> str:
    """The text for cloud-init (cloud-init 22.4, cloud-config; JSON is YAML too).

    Args:
        place: Where the machine is.
        architecture: What its processors speak.
        public_key: Who may log in; None leaves it to what the image brings.
    """
    # Debian's images write /etc/hosts anew at each boot, unless told not to: names on a machine are Ansible's.
    config: dict[str, Any] = {"manage_etc_hosts": False, "package_update": False}
    if public_key is not None:
        config |= _login(place.user, public_key)
    if place.through == "ssm":
        config["runcmd"] = [
            ["sh", "-c", _install(place.region, architecture)],
            ["systemctl", "enable", "--now", "amazon-ssm-agent"],
        ]
    return "#cloud-config\n" + json.dumps(config, indent=1, sort_keys=True) + "\n"


TRIES: Final = 60
"""How often the agent is fetched, ten seconds apart: as long as a gateway takes to let a new network out."""


def _install(region: str, architecture: Architecture) -> str:
    """Fetches the agent and installs it, where the image has none; Debian's images have no curl."""
    address = AGENT.format(region=region, architecture=DEBIAN[architecture])
    file = "/run/amazon-ssm-agent.deb"
    fetch = "import sys, urllib.request; urllib.request.urlretrieve(sys.argv[1], sys.argv[2])"
    return (
        f"for _ in $(seq {TRIES}); do command -v amazon-ssm-agent && break; "
        f"python3 -c '{fetch}' {address} {file} && dpkg -i {file} && break; sleep 10; done"
    )


def _login(user: str | None, public_key: str) -> dict[str, Any]:
    """The image's own user, or another beside it, logs in by key and may become root."""
    if user in (None, USER):
        return {"ssh_authorized_keys": [public_key]}
    if user == "root":
        return {"disable_root": False, "ssh_authorized_keys": [public_key]}
    named = {
        "name": user,
        "shell": "/bin/bash",
        "sudo": "ALL=(ALL) NOPASSWD:ALL",
        "ssh_authorized_keys": [public_key],
    }
    return {"users": ["default", named]}
