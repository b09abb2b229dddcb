"""Everything that is on a node, put together from the other modules of this room.

Invariant: the files of a node depend on its situation alone; a node of provider local
gets only what a process needs, with paths relative to its folder.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from kdeploy.spec.lock import Role
from kdeploy.tuning import (
    broker,
    controller,
    disk_use,
    disks,
    firewall,
    jvm,
    kernel,
    logs,
    mirror,
    render,
    service,
    zookeeper,
)
from kdeploy.tuning.definitions import definitions
from kdeploy.tuning.disks import Volume
from kdeploy.tuning.overrides import taken_while_running
from kdeploy.tuning.situation import Situation

MAIN_CLASSES: Final[dict[Role, str]] = {
    "broker": "kafka.Kafka",
    "controller": "kafka.Kafka",
    "zookeeper": "org.apache.zookeeper.server.quorum.QuorumPeerMain",
    "mirror": "org.apache.kafka.connect.cli.ConnectDistributed",
}
"""Java class of each role (bin/kafka-server-start.sh, bin/zookeeper-server-start.sh and bin/connect-distributed.sh,
Kafka 3.9)."""

CONFIGURATIONS: Final[dict[Role, str]] = {
    "broker": "server.properties",
    "controller": "server.properties",
    "zookeeper": "zoo.cfg",
    "mirror": "connect-distributed.properties",
}
"""Name of each role's configuration, as Kafka's and ZooKeeper's own are called."""


SecretKind = Literal[
    "identity",
    "broker-zookeeper-identity",
    "nodes-authority",
    "clients-authority",
    "mirror-login",
    "rest-identity",
    "rest-authorities",
]
"""What a secret file holds; `kdeploy.blueprint.SecretKind` says it in full."""


@dataclass(frozen=True)
class TunedFile:
    """A rendered file: where, what, whether a change takes a restart, and which of its settings take none."""

    path: str
    text: str
    restart: bool = True
    live: tuple[str, ...] = ()


@dataclass(frozen=True)
class Tuned:
    """What runs on a node and what it needs on disk.

    Attributes:
        main_class: Java class.
        arguments: Its arguments.
        java_options: Options of the Java machine.
        format_arguments: Arguments of StorageTool before the first start (KRaft only).
        files: Rendered files.
        secrets: Path and kind of each secret file.
        volumes: Data disks of its host.
        firewall: Digest of its host's firewall; None where there is none.
    """

    main_class: str
    arguments: tuple[str, ...]
    java_options: tuple[str, ...]
    format_arguments: tuple[str, ...]
    files: tuple[TunedFile, ...]
    secrets: tuple[tuple[str, SecretKind], ...]
    volumes: tuple[Volume, ...]
    firewall: str | None = None


def tune(situation: Situation) -> Tuned:
    """Decide and render all of a node.

    Raises:
        InvalidSetting: An override is unknown, invalid, or kdeploy's own to set.
    """
    cluster, role, layout = situation.cluster, situation.member.role, situation.layout
    configuration = f"{layout.config}/{CONFIGURATIONS[role]}"
    logging = f"{layout.config}/{logs.file_name(cluster.version)}"
    options_file = f"{layout.config}/jvm.options"
    settings = _settings(situation)
    options = jvm.options(situation, logs.option(cluster.version, logging))
    files = [
        TunedFile(configuration, render.properties(settings), live=_live(situation, settings)),
        TunedFile(logging, render.properties(_logs(situation))),
        TunedFile(options_file, render.options(options)),
    ]
    if role == "zookeeper":
        files.append(TunedFile(f"{layout.data[0]}/myid", f"{situation.member.id}\n"))
    host_files = _host_files(situation, options_file, configuration)
    if not situation.is_local:
        files += host_files
    rules = _ruleset(situation)
    if rules is not None:
        unit = render.unit(firewall.unit(names=rules.names))
        files.append(TunedFile(firewall.FILE, render.firewall(firewall.TABLE, rules.rules), restart=False))
        files.append(TunedFile(f"/etc/systemd/system/{firewall.UNIT}", unit, restart=False))
    return Tuned(
        main_class=MAIN_CLASSES[role],
        arguments=(configuration,),
        java_options=options,
        format_arguments=() if role == "mirror" else controller.format_arguments(situation, configuration),
        files=tuple(sorted(files, key=lambda file: file.path)),
        secrets=_secrets(situation),
        volumes=disks.volumes(situation),
        firewall=rules.digest if rules else None,
    )


def _ruleset(situation: Situation) -> firewall.Ruleset | None:
    wanted = firewall.settings(situation)
    return firewall.ruleset(situation, wanted) if wanted else None


def _settings(situation: Situation) -> dict[str, str]:
    decide = {
        "broker": broker.settings,
        "controller": controller.settings,
        "zookeeper": zookeeper.settings,
        "mirror": mirror.settings,
    }
    return decide[situation.member.role](situation)


def _logs(situation: Situation) -> dict[str, str]:
    levels = situation.environment.overrides.logs.get(situation.member.role, {})
    return logs.settings(situation.cluster.version, situation.member.role, situation.layout.logs, levels)


def _live(situation: Situation, settings: dict[str, str]) -> tuple[str, ...]:
    """Settings that a running node takes over by Kafka's protocol: those of brokers alone."""
    if situation.member.role != "broker":
        return ()
    return taken_while_running(settings, definitions(situation.cluster.version))


def _host_files(situation: Situation, options_file: str, configuration: str) -> tuple[TunedFile, ...]:
    """What a host gets besides: its service, and what its kernel needs for it."""
    name = service.unit_name(situation)
    main_class = MAIN_CLASSES[situation.member.role]
    unit = service.unit(situation, main_class, options_file, configuration)
    limits = render.limits(kernel.USER, kernel.limits())
    volumes = disks.volumes(situation)
    rules = TunedFile(
        "/etc/udev/rules.d/90-kdeploy.rules", render.udev(disks.udev_rules(volumes)), restart=False
    )
    return (
        TunedFile(f"/etc/systemd/system/{name}", render.unit(unit)),
        TunedFile("/etc/sysctl.d/90-kdeploy.conf", render.sysctl(kernel.settings(situation)), restart=False),
        TunedFile("/etc/security/limits.d/90-kdeploy.conf", limits, restart=False),
        TunedFile("/etc/tmpfiles.d/90-kdeploy.conf", render.tmpfiles(kernel.pages()), restart=False),
        *(
            TunedFile(
                f"/etc/systemd/system/{disks.unit_name(one)}", render.unit(disks.unit(one)), restart=False
            )
            for one in volumes
        ),
        *([rules] if volumes else []),
        *(_telling(situation) if disk_use.watched(situation) else ()),
    )


def _telling(situation: Situation) -> tuple[TunedFile, ...]:
    """What tells CloudWatch how full disks are; no node restarts for it."""
    texts = {
        disk_use.PROGRAM: disk_use.program(),
        disk_use.SETTINGS: disk_use.settings(situation),
        f"/etc/systemd/system/{disk_use.SERVICE}": render.unit(disk_use.service()),
        f"/etc/systemd/system/{disk_use.TIMER}": render.unit(disk_use.timer()),
    }
    return tuple(TunedFile(path, text, restart=False) for path, text in texts.items())


def _secrets(situation: Situation) -> tuple[tuple[str, SecretKind], ...]:
    """Secret files: everyone's own identity and whom to trust; a broker's also towards clients and ZooKeeper."""
    if situation.member.role == "mirror":
        return _named(situation, mirror.SECRETS)
    names: dict[str, SecretKind] = {"identity.pem": "identity", "nodes-authority.pem": "nodes-authority"}
    if situation.member.role == "broker":
        names["clients-authority.pem"] = "clients-authority"
        if situation.cluster.coordination == "zookeeper":
            names["broker-zookeeper.pem"] = "broker-zookeeper-identity"
    return _named(situation, names)


def _named(situation: Situation, names: Mapping[str, SecretKind]) -> tuple[tuple[str, SecretKind], ...]:
    return tuple(sorted((f"{situation.layout.secrets}/{name}", kind) for name, kind in names.items()))
