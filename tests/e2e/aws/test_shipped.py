"""The shipped environments in AWS, whole: previewed, made, made again, and given up, by a real engine.

With KDEPLOY_SOAK=1 alone: two minutes each, and what they declare is a golden that every run looks at.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from kdeploy.infra.hosts.ssh import SSM_PROGRAMS
from kdeploy.operations import hosts
from kdeploy.operations.progress import Silent
from tests.cloud import rights
from tests.cloud.cloud import REPOSITORY, Cloud
from tests.e2e.aws.counted import beside, everything
from tests.e2e.aws.verbs import Verbs
from tests.e2e.aws.world import kdeploy

pytestmark = [
    pytest.mark.cloud,
    pytest.mark.timeout(1500),
    pytest.mark.skipif(os.environ.get("KDEPLOY_SOAK") != "1", reason="a soak: KDEPLOY_SOAK=1"),
]

SHIPPED = {
    "prod-eu": ("eu-west-1",),
    "prod-us-kraft": ("us-east-1",),
    "global-active-active": ("eu-west-1", "us-east-1"),
    "dr-active-passive": ("eu-central-1", "eu-west-1"),
}
"""Environments and the regions that they are in."""


def programs(folder: Path) -> Path:
    """A folder with what sessions of Systems Manager take: no machine is made without, and none is logged in to here."""
    made = folder / "programs"
    made.mkdir()
    for name in SSM_PROGRAMS:
        (made / name).write_text("#!/bin/sh\nexit 1\n")
        (made / name).chmod(0o755)
    return made


def home(folder: Path) -> Path:
    """The home of somebody who has a key to log in with."""
    keys = folder / "home" / ".ssh"
    keys.mkdir(parents=True)
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(keys / "id_ed25519")], check=True
    )
    return keys.parent


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_environment_is_previewed_made_found_unchanged_and_given_up(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    verbs, regions = Verbs(folder, Silent(), name), SHIPPED[name]
    shutil.copytree(REPOSITORY / "environments" / name, verbs.environment)
    with Cloud(folder / "cloud") as cloud:
        own = {one: value for one, value in cloud.environment.items() if not one.startswith("PULUMI_CONFIG")}
        del own["PULUMI_BACKEND_URL"]
        own |= {"KDEPLOY_STATE_DIR": str(folder / "state"), "KDEPLOY_VAULT_PASSWORD": cloud.password}
        own["HOME"] = str(home(folder))
        own["PATH"] = f"{programs(folder)}{os.pathsep}{own['PATH']}"
        for variable, value in (own | {"PYTHONPATH": str(REPOSITORY)}).items():
            monkeypatch.setenv(variable, value)
        monkeypatch.chdir(folder)
        monkeypatch.setattr(hosts, "provider_of", verbs.hosts.use)
        for arguments in (("plan", name, "--lock"), ("vault", "create", name)):
            done = kdeploy(folder, dict(os.environ), *arguments)
            assert done.returncode == 0, done.stderr
        done = kdeploy(folder, dict(os.environ), "preview", name, "--output", "json")
        assert done.returncode == 4, done.stderr
        listed = [one for one in json.loads(done.stdout)["changes"] if one["layer"] == "resources"]
        assert not everything(cloud, regions)
        verbs.make()
        exported = verbs.exported()
        made = [
            one for one in json.loads(exported)["resources"] if one["type"].startswith("aws:") and one["id"]
        ]
        assert len(made) == len(listed)
        assert beside(everything(cloud, regions), exported) == {}
        assert verbs.outlook().changes == ()
        before = everything(cloud, regions)
        verbs.make()
        assert everything(cloud, regions) == before
        assert verbs.drifted() == []
        verbs.destroy()
        assert not everything(cloud, regions)
        assert rights.refused(cloud.needed()) == set()
