"""The Kafka versions that kdeploy knows, and what each can be coordinated by.

Invariant: for each version here there are definitions in `kdeploy/tuning` and pinned
artefacts in `kdeploy/infra`; a test holds that.
"""

from __future__ import annotations

from typing import Final

from kdeploy.spec.model import Coordination

SUPPORTED: Final[dict[str, tuple[Coordination, ...]]] = {
    "3.9.2": ("zookeeper", "kraft"),
    "4.1.2": ("kraft",),
    "4.3.1": ("kraft",),
}
"""Version to coordination kinds. ZooKeeper mode ended with 3.9 (KIP-500, Kafka 4.0 release notes)."""
