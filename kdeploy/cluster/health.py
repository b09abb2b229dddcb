"""How a cluster is, seen in a few questions.

Invariant: `observe` changes nothing and asks a fixed, small number of questions,
however many topics there are: brokers, partitions, one setting of every topic,
reassignments, with KRaft the quorum, and each broker whether it is there at all.
"""

from __future__ import annotations

from typing import Final

from kdeploy.cluster.admin import Admin
from kdeploy.cluster.state import ClusterState

MIN_INSYNC: Final = "min.insync.replicas"
"""The setting that says how many in-sync copies an acks=all producer needs (Kafka documentation)."""


def observe(admin: Admin) -> ClusterState:
    """Look at a cluster.

    Raises:
        ClusterError: It does not answer.
    """
    metadata = admin.metadata()
    silent = admin.silent(metadata.brokers)
    topics = sorted({partition.topic for partition in metadata.partitions})
    settings = admin.topic_settings(topics, [MIN_INSYNC])
    quorum = admin.quorum()
    controller = quorum.leader if quorum is not None else metadata.controller
    if quorum is None and controller in silent:
        # It died and is named until its session ends; only it could tell what is being moved.
        controller = None
    return ClusterState(
        cluster_id=metadata.cluster_id,
        brokers=metadata.brokers,
        controller=controller,
        partitions=metadata.partitions,
        min_insync={
            topic: int(found[MIN_INSYNC]) for topic, found in settings.items() if MIN_INSYNC in found
        },
        reassigning=admin.reassigning() if controller is not None else (),
        quorum=quorum,
        silent=silent,
    )
