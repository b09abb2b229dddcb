"""The operating systems that hosts may have: what is called how there.

Invariant: data alone. Debian 12 is proven by the tests on a fleet; the others are held against recorded
facts of their own (tests/infra/systems.yaml), and are unproven as a whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class System:
    """One operating system.

    Attributes:
        lowest: Its lowest version, the part before the first dot.
        java: Package with Java 17.
        time: Package with chrony.
        time_unit: Its service.
        firewall: Package with nft.
        file_systems: Package with mkfs.xfs.
    """

    lowest: int
    java: str
    time: str
    time_unit: str
    firewall: str = "nftables"
    file_systems: str = "xfsprogs"


DEBIAN: Final = ("openjdk-17-jre-headless", "chrony", "chrony.service")
RED_HAT: Final = ("java-17-openjdk-headless", "chrony", "chronyd.service")

SYSTEMS: Final[Mapping[str, System]] = {
    "debian": System(12, *DEBIAN),
    "ubuntu": System(22, *DEBIAN),
    "rhel": System(9, *RED_HAT),
    "rocky": System(9, *RED_HAT),
    "almalinux": System(9, *RED_HAT),
    "amzn": System(2023, "java-17-amazon-corretto-headless", "chrony", "chronyd.service"),
}
"""By the ID of os-release(5). Names are those of the systems' package lists, 2026-11."""

TIME_UNITS: Final = (
    "chrony.service",
    "chronyd.service",
    "systemd-timesyncd.service",
    "ntpsec.service",
    "ntp.service",
    "ntpd.service",
    "openntpd.service",
)
"""Services that keep a clock right: where one runs, no other is installed."""
