"""Where the state is: in a bucket, with a passphrase or a key of KMS; and what is said where it cannot be had.

Kept in a bucket, with machines, with KDEPLOY_SOAK=1 alone; what is said where it cannot be had, in every run.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from kdeploy.operations import hosts
from kdeploy.operations.progress import Silent
from tests.cloud.cloud import Cloud
from tests.e2e.aws.counted import everything
from tests.e2e.aws.verbs import ENVIRONMENT, Verbs
from tests.e2e.aws.world import kdeploy, written

pytestmark = pytest.mark.cloud

BUCKET = "s3://kept?region=eu-west-1"
KMS = "awskms://alias/kept?region=eu-west-1"
SOAK = pytest.mark.skipif(os.environ.get("KDEPLOY_SOAK") != "1", reason="a soak: KDEPLOY_SOAK=1")

TEXT = """\
kafka: {version: "3.9.2", coordination: kraft}
datacenters:
  - name: one
    provider: aws
    region: eu-west-1
    racks: [a]
    ssh: {user: root, key: KEY, through: direct}
    network: {operators: [10.20.0.0/16], egress: none}
    brokers: {count: 1}
    coordination: {count: 1}
workload: {throughput: 1MB/s, retention: 1h, partitions: 10}
durability: {replication_factor: 1, min_insync_replicas: 1, survive: none}
aws: {backend: "BACKEND", secrets_provider: "PROVIDER"}
"""


def decided(folder: Path, cloud: Cloud, backend: str, provider: str = "passphrase") -> dict[str, str]:
    """The environment with its lock and its vault; the variables of who works on it."""
    own = written(folder, cloud, TEXT.replace("BACKEND", backend).replace("PROVIDER", provider))
    for arguments in (("plan", ENVIRONMENT, "--lock"), ("vault", "create", ENVIRONMENT)):
        done = kdeploy(folder, own, *arguments)
        assert done.returncode == 0, done.stderr
    return own


@pytest.fixture
def at(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, str], str], Verbs]:
    """The environment's verbs on the machine of somebody, which keeps nothing of another's."""

    def use(own: dict[str, str], machine: str) -> Verbs:
        for name, value in (own | {"KDEPLOY_STATE_DIR": str(folder / machine)}).items():
            monkeypatch.setenv(name, value)
        monkeypatch.chdir(folder)
        verbs = Verbs(folder, Silent())
        monkeypatch.setattr(hosts, "provider_of", verbs.hosts.use)
        return verbs

    return use


@SOAK
@pytest.mark.parametrize("provider", [KMS, "passphrase"], ids=["kms", "passphrase"])
def test_a_state_in_a_bucket_is_everybodys_who_has_the_environment_and_its_vault(
    cloud: Cloud, folder: Path, at: Callable[[dict[str, str], str], Verbs], provider: str
) -> None:
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket="kept", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    if provider == KMS:
        key = cloud.client("kms").create_key()["KeyMetadata"]["KeyId"]
        cloud.client("kms").create_alias(AliasName="alias/kept", TargetKeyId=key)
    own = decided(folder, cloud, BUCKET, provider)
    at(own, "mine").make()
    assert everything(cloud)["machines"] == 2
    (state,) = (
        one["Key"]
        for one in s3.list_objects_v2(Bucket="kept")["Contents"]
        if one["Key"].endswith(f"/{ENVIRONMENT}.json")
    )

    def encrypts() -> str:
        kept = json.loads(s3.get_object(Bucket="kept", Key=state)["Body"].read())
        return str(kept["checkpoint"]["latest"]["secrets_providers"]["type"])

    assert encrypts() == ("cloud" if provider == KMS else "passphrase")
    colleague = at(own, "a-colleague-s")
    assert colleague.outlook().changes == ()
    before = everything(cloud)
    colleague.make()
    assert everything(cloud) == before
    file = folder / "environments" / ENVIRONMENT / "environment.yaml"
    file.write_text(file.read_text().replace("aws: {", "aws: {tags: {of: a-colleague}, "))
    assert kdeploy(folder, own, "plan", ENVIRONMENT, "--lock").returncode == 0
    assert colleague.outlook().changes != ()
    colleague.make()
    assert encrypts() == ("cloud" if provider == KMS else "passphrase"), (
        "it stays what it was, whoever changes it"
    )
    at(own, "a-pipeline-s").destroy()
    assert set(everything(cloud)) == {"buckets"}
    for one in s3.list_objects_v2(Bucket="kept")["Contents"]:
        s3.delete_object(Bucket="kept", Key=one["Key"])
    s3.delete_bucket(Bucket="kept")


REFUSALS = [
    ("s3://nowhere?region=eu-west-1", "passphrase", ("the bucket that keeps the state is not there", "aws.backend")),
    ("file:///tmp/nothing-of-kdeploys", "awskms://alias/nobodys?region=eu-west-1", ("the key of the state's secrets", "aws.secrets_provider")),
    ("https://api.pulumi.com", "passphrase", ("wants a token", "PULUMI_ACCESS_TOKEN", "pulumi login")),
]  # fmt: skip
"""What is wrong with the place of a state, and words of what is said."""


@pytest.mark.parametrize(("backend", "provider", "words"), REFUSALS, ids=["bucket", "key", "token"])
def test_a_state_that_cannot_be_had_is_told_with_what_to_do(
    cloud: Cloud, folder: Path, backend: str, provider: str, words: tuple[str, ...]
) -> None:
    if backend.startswith("file:"):
        backend = f"file://{folder}/kept"
    own = decided(folder, cloud, backend, provider)
    done = kdeploy(folder, own, "up", ENVIRONMENT)
    assert done.returncode == 1, done.stdout + done.stderr
    for word in words:
        assert word in done.stderr
    assert "Traceback" not in done.stderr
    assert not everything(cloud)
