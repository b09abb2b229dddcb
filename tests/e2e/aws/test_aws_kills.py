"""Engine and kdeploy killed while they make an environment in AWS: `up` again finishes, and nothing is there twice.

An ordinary run takes the last row and one drawn by KDEPLOY_SEED; with KDEPLOY_SOAK=1 all of them; a real account those
that can be seen there.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from tests.cloud import real, rights
from tests.e2e.aws.counted import beside, everything
from tests.e2e.aws.world import SEED, SOAK, World, left

pytestmark = [pytest.mark.cloud, pytest.mark.timeout(1200)]  # four runs of the engine each

KILLS = [
    ("ec2:CreateVpc", "engine"),
    ("ssm:GetParameter", "both"),
    ("ec2:AuthorizeSecurityGroupIngress", "both"),
    ("ec2:CreateNatGateway", "engine"),
    ("route53:CreateHostedZone", "both"),
    ("route53:ChangeResourceRecordSets", "both"),
    ("iam:AddRoleToInstanceProfile", "both"),
    ("ec2:CreateVolume", "both"),
    ("ec2:RunInstances", "both"),
    ("iam:CreateRole", "both"),
    ("ec2:CreateRoute", "both"),
    ("ec2:AssociateRouteTable", "engine"),
    ("s3:CreateBucket", "both"),
    ("cloudwatch:PutMetricAlarm", "both"),
    ("ec2:AttachVolume", "kdeploy"),
]
"""Calls that something is killed at when the first one was made, and what: every row leaves the others' work half done.
Looking for the image is the preview, before anything is made."""

SEEN = {"ec2:CreateVpc": "networks", "ec2:RunInstances": "machines"}
"""Calls that a real account shows to have been made: by what there is one of then (as `everything` counts)."""

KILLED = KILLS if SOAK else [random.Random(SEED).choice(KILLS[:-1]), KILLS[-1]]
if real.wanted():
    KILLED = [row for row in KILLS if row[0] in SEEN]
"""Of which an ordinary run takes the last and one that is drawn; in a real account, those that show there."""

SLOW = {"ec2:AttachVolume": 3.0}
"""Seconds before AWS does it: what lives on after the kill makes these while the next run already looks around."""


@pytest.mark.real_account
@pytest.mark.parametrize(("call", "victim"), KILLED, ids=[f"{victim}-{call}" for call, victim in KILLED])
def test_after_a_kill_up_again_finishes_with_nothing_twice(world: World, call: str, victim: str) -> None:
    lock = world.environment / "lock.yaml"
    kept = lock.read_text()
    if world.cloud.emulated:
        world.cloud.set(slow=SLOW)
        world.cloud.calls(forget=True)
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.e2e.aws.verbs", "make", world.name],
        cwd=world.folder,
        env=world.own,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    until(lambda: _is_made(world, call) or process.poll() is not None)
    for number in _victims(process, victim):
        with suppress(ProcessLookupError):
            os.kill(number, signal.SIGKILL)
    process.wait()
    try:
        world.make()
        found = everything(world.cloud)
        assert found["machines"] == found["interfaces"] - 1 == 6  # one interface is the gateway's
        assert found["volumes"] == 12  # a root disk each, and one for data
        assert (found["networks"], found["roles"], found["profiles"], found["zones"]) == (1, 1, 1, 1)
        assert (found["subnets"], found["apart"], found["addresses"]) == (4, 6, 1)
        assert (found["tables"], found["tied"], found["routes"]) == (4, 4, 4)
        assert (found["buckets"], found["alarms"]) == (1, 24)  # two checks of each, and two file systems
        assert beside(found, world.exported()) == {}, "in AWS, and not in the state"
        assert world.outlook().changes == ()
    finally:
        if world.cloud.emulated:
            world.cloud.set(slow={})
        world.destroy()
        lock.write_text(kept)
    assert not left(world.cloud)


def _is_made(world: World, call: str) -> bool:
    """Whether a call was made: as it is counted, or by what there is."""
    if world.cloud.emulated:
        return bool(world.cloud.calls()[call] > 0)
    time.sleep(1)  # AWS is asked some twenty things each time
    return everything(world.cloud)[SEEN[call]] > 0


def until(condition: Callable[[], bool]) -> None:
    """Wait; the test's own time limit is the end of it."""
    while not condition():
        time.sleep(0.02)


def _victims(process: subprocess.Popen[bytes], which: str) -> list[int]:
    """Process numbers: kdeploy's, its engine's, or both and the provider's."""
    below = {process.pid: "kdeploy"}
    for _ in range(3):
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal() and _parent(entry) in below:
                below[int(entry.name)] = (entry / "cmdline").read_bytes().decode(errors="replace")
    engines = [number for number, words in below.items() if "pulumi\0" in words.partition(" ")[0]]
    if which == "kdeploy":
        return [process.pid]
    return [*engines, process.pid] if which == "both" else engines


def _parent(entry: Path) -> int:
    try:
        return int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def test_every_call_of_all_this_is_one_that_the_policy_of_the_documents_allows(world: World) -> None:
    needed = world.cloud.needed()
    assert {"ec2:RunInstances", "iam:CreateRole", "cloudwatch:DeleteAlarms", "s3:CreateBucket"} <= needed
    assert rights.refused(needed) == set()
