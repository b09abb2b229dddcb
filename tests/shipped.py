"""The environments that come with kdeploy, by name: written out, so that one that is lost or new is noticed.

Invariant: `tests/spec/test_spec_load.py` holds this against the folder.
"""

from __future__ import annotations

from typing import Final

SHIPPED: Final = (
    "datacenter-kraft",
    "datacenter-two-dc",
    "datacenter-zk",
    "dr-active-passive",
    "global-active-active",
    "local",
    "local-kraft",
    "local-three-dc-active",
    "local-three-dc-passive",
    "local-two-dc-active",
    "local-two-dc-passive",
    "prod-eu",
    "prod-us-kraft",
)
