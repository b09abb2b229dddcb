"""An environment in an account, as tests on an engine change it, look at it and give it up.

Invariant: what a person does is done by the command, in a process of its own; AWS is asked by a client that is told apart
from kdeploy's. Of a table, an ordinary run takes the rows that `chosen` draws by KDEPLOY_SEED; with KDEPLOY_SOAK=1 all.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from kdeploy.operations import hosts
from kdeploy.operations.progress import Silent
from tests.cloud import real
from tests.cloud.account import Account
from tests.cloud.cloud import REPOSITORY
from tests.e2e.aws.counted import HERE, everything
from tests.e2e.aws.verbs import Verbs

SEED = int(os.environ.get("KDEPLOY_SEED") or random.randrange(1_000_000))
SOAK = os.environ.get("KDEPLOY_SOAK") == "1"

TEXT = """\
kafka: {version: "3.9.2", coordination: zookeeper}
datacenters:
  - name: eu-west-1
    provider: aws
    region: eu-west-1
    racks: [a, b, c]
    ssh: {user: root, key: KEY, through: direct}
    network: {operators: [10.20.0.0/16]}
    machine: {bucket: true, alarms: true}
    brokers: {count: 3}
workload: {throughput: 1MB/s, retention: 1h, partitions: 30}
durability: {replication_factor: 3, min_insync_replicas: 2, survive: zone}
users: [{name: somebody}]
"""
NODES = [f"eu-west-1/{role}-{number}" for role in ("broker", "zookeeper") for number in (1, 2, 3)]


def chosen(rows: list[Any]) -> list[Any]:
    """Rows that this run takes."""
    return rows if SOAK else [rows[0], random.Random(SEED).choice(rows[1:-1]), rows[-1]]


def written(folder: Path, cloud: Account, text: str = TEXT) -> dict[str, str]:
    """Write the environment; the variables of whoever works on it."""
    place = folder / "environments" / cloud.name
    place.mkdir(parents=True)
    key = folder / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    (place / "environment.yaml").write_text(text.replace("KEY", str(key)))
    own = {one: value for one, value in cloud.environment.items() if not one.startswith("PULUMI_CONFIG")}
    own.pop("PULUMI_BACKEND_URL", None)
    own |= {"KDEPLOY_STATE_DIR": str(folder / "state"), "KDEPLOY_VAULT_PASSWORD": cloud.password}
    return own | {"PYTHONPATH": str(REPOSITORY)}


def kdeploy(folder: Path, own: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "kdeploy", *arguments],
        cwd=folder,
        env=own,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


class World(Verbs):
    """An environment in an account.

    Attributes:
        regions: Where it is.
    """

    def __init__(
        self, folder: Path, cloud: Any, own: dict[str, str], regions: tuple[str, ...] = HERE
    ) -> None:
        super().__init__(folder, Silent(), cloud.name)
        self.cloud, self.own, self.regions = cloud, own, regions

    def kdeploy(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return kdeploy(self.folder, self.own, *arguments)

    def up(self) -> dict[str, Any]:
        """What `kdeploy up` came to."""
        done = self.kdeploy("up", self.name, "--output", "json")
        assert done.returncode == 0, done.stderr
        return dict(json.loads(done.stdout))

    def expect_health(self) -> None:
        """`status` and `verify` find nothing wrong."""
        for command in ("status", "verify"):
            done = self.kdeploy(command, self.name)
            assert done.returncode == 0, done.stdout + done.stderr

    def edit(self, old: str, new: str, *how: str) -> None:
        """Change the environment as a person would, and decide it; `how` is what `plan --lock` is told besides."""
        file = self.environment / "environment.yaml"
        text = file.read_text()
        assert text.count(old) == 1
        file.write_text(text.replace(old, new))
        done = self.kdeploy("plan", self.name, "--lock", *how)
        assert done.returncode == 0, done.stderr

    def decide(self, patch: pytest.MonkeyPatch) -> None:
        """Have its lock and its vault, and let this process work on it as commands do."""
        for name, value in self.own.items():
            patch.setenv(name, value)
        patch.setattr(hosts, "provider_of", self.hosts.use)
        self.have_lock_and_vault()

    def have_lock_and_vault(self) -> None:
        """Decide it, as a person does before the first `up`."""
        for arguments in (("plan", self.name, "--lock"), ("vault", "create", self.name)):
            done = self.kdeploy(*arguments)
            assert done.returncode == 0, done.stderr

    def clients(self) -> list[Any]:
        """A client of EC2 for each region."""
        return [self.cloud.client("ec2", region) for region in self.regions]

    def machines(self, clients: Iterable[Any] = ()) -> dict[str, Any]:
        """Machines that run, by their node, as AWS says; `clients` are those of `clients()`, where whoever asks often has
        them already."""
        answers = [each.describe_instances(Filters=self._own()) for each in clients or self.clients()]
        found = [one for answer in answers for group in answer["Reservations"] for one in group["Instances"]]
        return {tags(one)["kdeploy:node"]: one for one in found if one["State"]["Name"] == "running"}

    def volumes(self) -> dict[str, Any]:
        """Data volumes by their resource."""
        answers = [each.describe_volumes(Filters=self._own()) for each in self.clients()]
        found = [one for answer in answers for one in answer["Volumes"]]
        return {tags(one)["kdeploy:resource"]: one for one in found if "kdeploy:resource" in tags(one)}

    def _own(self) -> list[dict[str, Any]]:
        return [{"Name": "tag:kdeploy:environment", "Values": [self.name]}]

    @contextmanager
    def counted(self) -> Iterator[Counter[str]]:
        """Calls that are made meanwhile, known afterwards; a real account does not count them."""
        found: Counter[str] = Counter()
        if self.cloud.emulated:
            self.cloud.calls(forget=True)
        yield found
        if self.cloud.emulated:
            found.update(self.cloud.calls())


def tags(one: Any) -> dict[str, str]:
    """Tags of one thing, as AWS describes it."""
    return {tag["Key"]: tag["Value"] for tag in one.get("Tags", [])}


def left(cloud: Account, regions: Iterable[str] = HERE) -> Counter[str]:
    """What there is of an environment that was given up; a real account tells of its end a little late."""
    return cloud.left() if isinstance(cloud, real.Real) else everything(cloud, regions)
