"""zoo.cfg of a ZooKeeper node.

Invariant: nothing is said in plain text: clients (the brokers) and peers speak mutual TLS
under the nodes' authority, and there is no plain client port and no admin server.
"""

from __future__ import annotations

from typing import Final

from kdeploy.tuning.overrides import Settings, override
from kdeploy.tuning.situation import Layout, Situation

TICK: Final = 2000
"""tickTime in ms. It bounds sessions to 2 to 20 ticks: Kafka's zookeeper.session.timeout.ms, 18,000, is inside
(ZooKeeper 3.8 Administrator's Guide, minSessionTimeout; zoo_sample.cfg has the same tick)."""

INIT_LIMIT: Final = 10
SYNC_LIMIT: Final = 5
"""Ticks that a follower has to join, and to lag (zoo_sample.cfg of ZooKeeper 3.8)."""

SNAPSHOTS: Final = 3
"""Snapshots kept with their logs; the least allowed (ZooKeeper 3.8 Administrator's Guide,
autopurge.snapRetainCount). Purging is off by default, and the disk fills."""

PURGE_HOURS: Final = 24
"""Hours between purges (autopurge.purgeInterval; cp-ansible 7.9.x has the same)."""

WORDS: Final = "srvr,mntr,ruok"
"""Four letter words that answer: state, metrics, life. No other is needed, and some tell too much
(ZooKeeper 3.8 Administrator's Guide, 4lw.commands.whitelist)."""


def settings(situation: Situation) -> Settings:
    """All keys of one node's zoo.cfg, a person's overrides included.

    Raises:
        InvalidSetting: An override is unknown or kdeploy's own to set.
    """
    decided = (
        timing()
        | storage(situation.layout)
        | protection(situation)
        | ensemble(situation)
        | {"4lw.commands.whitelist": WORDS, "admin.enableServer": "false"}
    )
    return override(
        "zookeeper", decided, situation.environment.overrides.zookeeper, situation.cluster.definitions
    )


def timing() -> Settings:
    """The tick and what is counted in it."""
    return {"tickTime": str(TICK), "initLimit": str(INIT_LIMIT), "syncLimit": str(SYNC_LIMIT)}


def storage(layout: Layout) -> Settings:
    """Where data is; the transaction log has the second disk where there is one.

    Each write waits for the log to reach the disk, so it should not share it (ZooKeeper 3.8
    Administrator's Guide, dataLogDir).
    """
    return {
        "dataDir": layout.data[0],
        "dataLogDir": layout.data[min(1, len(layout.data) - 1)],
        "autopurge.snapRetainCount": str(SNAPSHOTS),
        "autopurge.purgeInterval": str(PURGE_HOURS),
    }


def protection(situation: Situation) -> Settings:
    """Mutual TLS for clients and among peers; a client is who its certificate says (x509).

    TLS needs the Netty connection factory (ZooKeeper 3.8 SSL user guide).
    """
    member, layout = situation.member, situation.layout
    stores = {
        "keyStore.type": "PEM",
        "keyStore.location": f"{layout.secrets}/identity.pem",
        "trustStore.type": "PEM",
        "trustStore.location": f"{layout.secrets}/nodes-authority.pem",
        "clientAuth": "need",
    }
    return {
        "secureClientPort": str(member.ports["secure"]),
        "secureClientPortAddress": member.bind,
        "serverCnxnFactory": "org.apache.zookeeper.server.NettyServerCnxnFactory",
        "authProvider.x509": "org.apache.zookeeper.server.auth.X509AuthenticationProvider",
        "sslQuorum": "true",
        **{f"ssl.{name}": value for name, value in stores.items()},
        **{f"ssl.quorum.{name}": value for name, value in stores.items()},
    }


def ensemble(situation: Situation) -> Settings:
    """Every member with its ports for the quorum and for elections; all start as participants.

    Membership changes only by file: standaloneEnabled off keeps one node an ensemble of one.
    """
    peers = {
        f"server.{peer.id}": f"{peer.at('quorum')}:{peer.ports['election']}"
        for peer in situation.cluster.of("zookeeper")
    }
    return peers | {"quorumListenOnAllIPs": "false" if situation.is_local else "true"}
