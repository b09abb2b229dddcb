"""An account in an emulated AWS, with a Pulumi engine and a provider to go with it.

Invariant: what runs in `Cloud.environment` reaches this AWS and no other: its keys open nothing
else, its endpoint is on this machine's loopback, its Pulumi has a home and a backend of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

from tests.cloud import account, calls, engine
from tests.fleet.fleet import Fleet

if TYPE_CHECKING:
    from tests.cloud.hosts import Machine

ACCOUNT: Final = "123456789012"
"""The account's number."""
REPOSITORY: Final = Path(__file__).parents[2]

FOREIGN: Final = ("AWS_", "PULUMI_")
"""Variables of whoever runs the tests that must not reach what they run."""


class Cloud(account.Account):
    """One account; a context manager.

    Attributes:
        machines: Whether instances are hosts of this machine (needs root; see tests/fleet).
        endpoint: Where it answers.
    """

    emulated, name, password = True, account.ENVIRONMENT, account.PASSWORD

    def __init__(self, folder: Path, *, machines: bool = False) -> None:
        self.folder = folder.resolve()
        self.machines = machines
        self.endpoint = ""
        self.environment: dict[str, str] = {}
        self._server: subprocess.Popen[str] | None = None

    def __enter__(self) -> Cloud:
        self.folder.mkdir(parents=True, exist_ok=True)
        key = f"AKIA{uuid.uuid4().hex[:16].upper()}"
        more = ["--machines", str(self.folder / "machines")] if self.machines else []
        with (self.folder / "server.log").open("a") as log:
            self._server = subprocess.Popen(
                [sys.executable, "-m", "tests.cloud.server", key, *more],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={**self._inherited(), "PYTHONPATH": str(REPOSITORY)},
            )
        assert self._server.stdout is not None
        port = self._server.stdout.readline().strip()
        if not port:
            raise SystemExit(f"the emulated AWS did not start; see {self.folder}/server.log")
        self.endpoint = f"http://127.0.0.1:{port}"
        self.environment = self._variables(key)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._server is not None:
            if self.machines:
                self._ask("remove", {})
            self._server.terminate()
            self._server.wait()
            assert self._server.stdout is not None
            self._server.stdout.close()

    def client(self, service: str, region: str = "eu-west-1") -> Any:
        """A boto3 client of this account, whose calls are those of a test that looks."""
        import boto3
        from botocore.config import Config

        return boto3.session.Session().client(
            service,
            region_name=region,
            endpoint_url=self.endpoint,
            config=Config(user_agent_extra=calls.LOOKER),
            aws_access_key_id=self.environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.environment["AWS_SECRET_ACCESS_KEY"],
        )

    def mine(self, region: str) -> Callable[[Mapping[str, Any]], bool]:
        """Nothing else is in it."""
        return lambda one: True

    def calls(self, *, forget: bool = False) -> Counter[str]:
        """How often what was called, for example `ec2:RunInstances`; forgotten after that when asked to."""
        return Counter(self._ask("calls", {"forget": forget}))

    def needed(self) -> set[str]:
        """Rights that kdeploy and the engine's provider needed for all that they called since the start."""
        return set(self._ask("needed", {}))

    def set(self, **settings: Any) -> None:
        """Set quotas, what is not offered, regions that are off, troubles (see `troubles.Settings`)."""
        self._ask("settings", settings)

    def publish(self, build: str, region: str = "eu-west-1") -> dict[str, str]:
        """Put out newer Debian images; their ids by architecture."""
        return dict(self._ask("publish", {"region": region, "build": build}))

    @property
    def key(self) -> Path:
        """The private key that logs in to every machine, as root and as the image's own user."""
        return self.folder / "machines" / "id_ed25519"

    def hosts(self) -> dict[str, Machine]:
        """The hosts of instances, by the instance's id."""
        from tests.cloud import hosts

        found = (hosts.read(Path(one["folder"])) for one in self._ask("hosts", {}))
        return {one.instance: one for one in found}

    def host(self, address: str) -> Machine:
        """The host that has an address."""
        return next(one for one in self.hosts().values() if one.address == address)

    def run(self, machine: Machine, command: str, *, check: bool = True) -> str:
        """What a command says on a machine, run by root."""
        return Fleet(self.folder / "machines").run(machine, command, check=check).stdout.strip()

    def wait(self, machine: Machine) -> None:
        """Wait until a machine has booted."""
        Fleet(self.folder / "machines").wait(machine)

    def _ask(self, what: str, given: dict[str, Any]) -> Any:
        asked = urllib.request.Request(f"{self.endpoint}/cloud/{what}", json.dumps(given).encode())
        with urllib.request.urlopen(asked, timeout=600) as answer:
            return json.loads(answer.read())

    @staticmethod
    def _inherited() -> dict[str, str]:
        return {key: value for key, value in os.environ.items() if not key.startswith(FOREIGN)}

    def _variables(self, key: str) -> dict[str, str]:
        inherited = self._inherited()
        state = self.folder / "pulumi-state"
        state.mkdir(exist_ok=True)
        return {
            **inherited,
            "PATH": f"{self._programs()}{os.pathsep}{inherited.get('PATH', os.defpath)}",
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": key,
            "AWS_SECRET_ACCESS_KEY": uuid.uuid4().hex,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "PULUMI_BACKEND_URL": f"file://{state}",
            "PULUMI_CONFIG_PASSPHRASE": "only for tests",
            "PULUMI_HOME": str(self.folder / "pulumi-home"),
            "PULUMI_SKIP_UPDATE_CHECK": "1",
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "1",
        }

    def _programs(self) -> Path:
        """A folder with the engine and the provider, for PATH."""
        folder = self.folder / "bin"
        folder.mkdir(exist_ok=True)
        link = folder / "pulumi"
        link.unlink(missing_ok=True)
        link.symlink_to(engine.pulumi())
        provider = folder / "pulumi-resource-aws"
        provider.write_text(
            f'#!/bin/sh\nPYTHONPATH="{REPOSITORY}" exec "{sys.executable}" -m tests.cloud.provider "$@"\n'
        )
        provider.chmod(0o755)
        return folder
