"""The account of whoever runs the tests, in place of an emulated one: where they say so twice, and mean this account.

    KDEPLOY_AWS_E2E=1 KDEPLOY_AWS_E2E_ACCOUNT=123456789012 pytest -m cloud tests/e2e/aws
    python -m tests.cloud.real                    runs that did not come to their end, and how they are given up
    python -m tests.cloud.real --delete NAME      give one up: everything in AWS is deleted

Invariant: nothing is made unless the account that the credentials open is the one that was named. What is made is one
environment's, whose name nobody else has; it is deleted at the end, also after a failure, and its folder stays until
nothing of it is left, since that folder alone (lock, vault, state) knows what was made.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from tests.cloud.account import Account

WANTED: Final = "KDEPLOY_AWS_E2E"
NUMBER: Final = "KDEPLOY_AWS_E2E_ACCOUNT"
"""Names the account that money may be spent in."""

REPOSITORY: Final = Path(__file__).parents[2]

REGION: Final = "eu-west-1"
"""Where the tests' environments are, as their files say."""

LOOKING: Final = frozenset(
    {
        "cloudwatch:GetMetricStatistics",
        "iam:ListInstanceProfiles",
        "iam:ListRoles",
        "route53:ListHostedZones",
    }
)
"""Rights that tests need to look whether anything is left, and whether metrics come, beside those of the policy in
docs/aws.md."""

NOT_THEIRS: Final = ("PULUMI_ACCESS_TOKEN", "PULUMI_BACKEND_URL", "PULUMI_CONFIG_", "PULUMI_STACK")
"""Variables of whoever runs the tests that would lead to another state; credentials and the engine's home stay."""

LONG: Final = 7200
"""Seconds for a test in a real account, which takes minutes for a NAT gateway, and lets the engine fetch its plugin."""

PATIENCE: Final = 300.0
"""Seconds after which AWS tells of nothing any more that is deleted; it does so a little late."""

PAUSE: Final = 5.0
ATTEMPTS: Final = 2
"""Times that giving up is tried: what AWS refuses at first, because something is still in use, it often does later."""


class Refused(Exception):
    """The account is not one that tests may spend money in; the message says what to do."""


def wanted() -> bool:
    """Whether tests are to run in a real account."""
    return os.environ.get(WANTED) == "1"


def permitted() -> str:
    """The number of the account that tests may spend money in.

    Raises:
        Refused: None is named, or the credentials do not open that one.
    """
    named = os.environ.get(NUMBER, "")
    if not re.fullmatch(r"[0-9]{12}", named):
        said = f"is {named!r}" if named else "is not set"
        raise Refused(
            f"{WANTED}=1 spends money in a real account, so {NUMBER} has to name it by its 12 digits, and {said}"
            " (`aws sts get-caller-identity`); docs/aws.md says what it costs"
        )
    found = _opened()
    if found != named:
        raise Refused(f"the credentials open account {found}, and {NUMBER} says {named}; nothing was made")
    return named


def _opened() -> str:
    """The number of the account that the credentials of whoever runs the tests open."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        return str(_client("sts", REGION).get_caller_identity()["Account"])
    except (BotoCoreError, ClientError) as error:
        why = str(error).splitlines()[0]
        raise Refused(
            f"AWS does not say whose account the credentials open: {why}; nothing was made"
        ) from None


def _client(service: str, region: str) -> Any:
    import boto3

    return boto3.session.Session().client(service, region_name=region)


def runs() -> Path:
    """The folder with a folder for each run that did not come to its end."""
    from platformdirs import user_state_path

    return user_state_path("kdeploy") / "tests-in-aws"


class Real(Account):
    """One run's part of the account.

    Args:
        number: The account's, as `permitted` has it.
    """

    emulated = False

    def __init__(self, number: str) -> None:
        self.number = number
        self.name = f"e2e-{secrets.token_hex(4)}"
        self.password = secrets.token_urlsafe(24)
        self.folder = runs() / self.name
        self.environment = {key: value for key, value in os.environ.items() if not key.startswith(NOT_THEIRS)}

    def __enter__(self) -> Real:
        self.folder.mkdir(parents=True, mode=0o700)
        file = self.folder / "run.json"
        file.touch(mode=0o600)
        file.write_text(json.dumps({"account": self.number, "password": self.password}))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.give_up()

    @classmethod
    def of(cls, folder: Path) -> Real:
        """A run that did not come to its end, by its folder.

        Raises:
            Refused: It is of another account than the one that was named.
        """
        said = json.loads((folder / "run.json").read_text())
        number = permitted()
        if said["account"] != number:
            raise Refused(f"{folder.name} is in account {said['account']}, not in {number}")
        run = cls(number)
        run.name, run.folder, run.password = folder.name, folder, said["password"]
        return run

    def client(self, service: str, region: str = REGION) -> Any:
        """A boto3 client with the credentials of whoever runs the tests."""
        return _client(service, region)

    def mine(self, region: str) -> Callable[[Mapping[str, Any]], bool]:
        """Tells what is this run's: by its tag, the network that it is in, or what its name begins or ends with."""
        ec2, tag = self.client("ec2", region), ("kdeploy:environment", self.name)
        filters = [{"Name": f"tag:{tag[0]}", "Values": [tag[1]]}]
        networks = {one["VpcId"] for one in ec2.describe_vpcs(Filters=filters)["Vpcs"]}
        groups = ec2.describe_instances(Filters=filters)["Reservations"]
        machines = {one["InstanceId"] for group in groups for one in group["Instances"]}

        def is_mine(one: Mapping[str, Any]) -> bool:
            tags = {(each["Key"], each["Value"]) for each in one.get("Tags") or one.get("TagSet") or ()}
            attached = one.get("Attachments") or ()
            places = {one.get("VpcId"), *(each.get("VpcId") for each in attached)}
            hosts = {one.get("InstanceId"), *(each.get("InstanceId") for each in attached)}
            return bool(tag in tags or places & networks or hosts & machines) or self._is_called_mine(one)

        return is_mine

    def _is_called_mine(self, one: Mapping[str, Any]) -> bool:
        keys = ("RoleName", "InstanceProfileName", "AlarmName", "GroupName", "Name")
        names = [str(one[key]).rstrip(".") for key in keys if key in one]
        return any(
            name.startswith(f"kdeploy-{self.name}-") or name.endswith(f".{self.name}.kdeploy.internal")
            for name in names
        )

    def give_up(self) -> None:
        """Delete everything of this run, and its folder once nothing is left.

        Raises:
            Refused: Something is left; names it, and the command that goes on.
        """
        works = sorted(one.parents[2] for one in self.folder.glob("*/environments/*/lock.yaml"))
        for _ in range(ATTEMPTS):
            said = "\n".join(filter(None, [self._destroy(one) for one in works]))
            left = self.left(patience=0 if said else PATIENCE)
            if not left:
                shutil.rmtree(self.folder)
                return
        how = f"{WANTED}=1 {NUMBER}={self.number} {sys.executable} -m tests.cloud.real --delete {self.name}"
        raise Refused(
            f"{dict(left)} of {self.name} are left in account {self.number}, and cost money: {how}\n{said}"
        )

    def left(self, patience: float = PATIENCE) -> Counter[str]:
        """What there is of this run in the account, once AWS has had some seconds to tell of its end."""
        from tests.e2e.aws.counted import everything

        deadline = time.monotonic() + patience
        while (found := everything(self)) and time.monotonic() < deadline:
            time.sleep(PAUSE)
        return found

    def _destroy(self, work: Path) -> str:
        """Delete what one environment has in AWS, as `kdeploy down --delete-data` does there; what went wrong."""
        done = subprocess.run(
            [sys.executable, "-m", "tests.e2e.aws.verbs", "destroy", self.name],
            cwd=work,
            env=self.environment | self.operator(work),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        return "" if done.returncode == 0 else done.stderr[-2000:]

    def operator(self, work: Path) -> dict[str, str]:
        """Variables of whoever works on the environment below a folder."""
        return {
            "KDEPLOY_STATE_DIR": str(work / "state"),
            "KDEPLOY_VAULT_PASSWORD": self.password,
            "PYTHONPATH": str(REPOSITORY),
        }


def main() -> None:
    """Say which runs did not come to their end, or give one up."""
    parser = argparse.ArgumentParser(prog="python -m tests.cloud.real")
    parser.add_argument("--delete", metavar="NAME", help="delete everything that a run made in AWS")
    asked = parser.parse_args()
    there = sorted(one.parent for one in runs().glob("*/run.json"))
    if asked.delete is None:
        for one in there:
            number = json.loads((one / "run.json").read_text())["account"]
            sys.stdout.write(f"{one.name} in account {number}: {one}\n")
        sys.stdout.write("" if there else "no run is left\n")
        return
    folder = runs() / asked.delete
    if folder not in there:
        raise SystemExit(f"no run called {asked.delete} is left in {runs()}")
    try:
        Real.of(folder).give_up()
    except Refused as error:
        raise SystemExit(str(error)) from None
    sys.stdout.write(f"nothing of {asked.delete} is left\n")


if __name__ == "__main__":
    main()
