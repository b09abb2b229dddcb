"""Verbs of `kdeploy.operations.aws` on the emulated AWS, without machines: hosts are a few names in a file.

python -m tests.e2e.aws.verbs make | destroy [ENV]      in a folder with environments/ENV, as a process of its own
"""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from kdeploy.blueprint import Blueprint, Node
from kdeploy.infra import NodeState
from kdeploy.operations import aws, hosts, prepare, vaults
from kdeploy.operations.progress import Lines, Progress
from kdeploy.spec import load
from tests.cloud.account import ENVIRONMENT


class Hosts:
    """What provider hosts would say; implements what `AwsProvider` asks of it.

    Attributes:
        running: Keys of nodes that run.
        silent: Ids of machines that do not answer.
        provisioned: Keys of nodes that were provisioned, run by run.
        stopped: Keys of nodes that were stopped, in their order.
    """

    def __init__(self) -> None:
        self.running: set[str] = set()
        self.silent: set[str] = set()
        self.provisioned: list[tuple[str, ...]] = []
        self.stopped: list[str] = []
        self.machines: dict[str, str] = {}

    def use(self, *given: Any) -> Hosts:
        """As `hosts.provider_of`."""
        reached = given[2] if len(given) > 2 and given[2] else {}
        self.machines = {one.host: one.instance for some in reached.values() for one in some}
        return self

    def observe(self, nodes: Sequence[Node]) -> dict[str, NodeState]:
        return {node.key: NodeState(True, node.key in self.running, None, None, "") for node in nodes}

    def reaches(self, node: Node) -> bool:
        return self.machines.get(node.host) not in self.silent

    def proxy(self, cluster: object) -> None:
        return None

    def hold(self, nodes: Sequence[Node], holder: Mapping[str, str]) -> None:
        return None

    def release(self, nodes: Sequence[Node], operator: str | None = None) -> tuple[str, ...]:
        return ()

    def stop(self, node: Node, how: str = "controlled") -> None:
        self.running.remove(node.key)
        self.stopped.append(node.key)

    def provision(self, blueprint: Blueprint, without: Collection[str] = ()) -> None:
        self.provisioned.append(tuple(node.key for node in blueprint.nodes if node.key not in without))


class Verbs:
    """One environment's verbs.

    Args:
        folder: Folder with `environments`.
        progress: Where they report.
        name: The environment's.
    """

    def __init__(self, folder: Path, progress: Progress, name: str = ENVIRONMENT) -> None:
        self.folder, self.progress, self.name, self.hosts = folder, progress, name, Hosts()

    @property
    def environment(self) -> Path:
        return self.folder / "environments" / self.name

    def design(self) -> prepare.Design:
        return prepare.design(load.load(self.environment), freeze=True)

    def vault(self) -> Any:
        return vaults.open_existing(load.load(self.environment))

    def outlook(self, *, refresh: bool = False) -> aws.Outlook:
        return aws.outlook(self.design(), self.vault(), self.progress, refresh)

    def make(self, *, refresh: bool = False) -> Any:
        _, provider = aws.make(self.design(), self.vault(), self.progress, None, refresh)
        return provider

    def drifted(self) -> list[str]:
        found = aws.drifted(self.design(), self.vault())
        return sorted(
            f"{one.op} {one.name} {' '.join(each.name for each in one.differs)}".strip() for one in found
        )

    def destroy(self) -> None:
        aws.destroy(self.design(), self.vault(), self.progress)

    def exported(self) -> str:
        stack = aws.stack_of(self.design(), self.vault(), self.progress)
        return json.dumps(stack._run(lambda engine: engine.export_stack(), "up").deployment)


if __name__ == "__main__":
    here = Verbs(Path.cwd(), Lines(), *sys.argv[2:])
    hosts.provider_of = here.hosts.use  # type: ignore[assignment]
    getattr(here, sys.argv[1])()
