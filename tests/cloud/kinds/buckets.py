"""Buckets and what keeps them closed, encrypted and with a history."""

from __future__ import annotations

import re
import uuid
from abc import abstractmethod
from typing import Any, ClassVar

from tests.cloud.kinds.base import Aws, Kind, Values, gone_is_none, tag_list, tag_map

MISSING = ("404", "NoSuchBucket", "NotFound")


class Bucket(Kind):
    type = "aws:s3/bucket:Bucket"
    noun = "S3 Bucket"
    inputs = ("bucket", "bucketPrefix")
    computed = frozenset({"bucket", "bucketPrefix"})
    changes = frozenset({"forceDestroy", "tags"})
    defaults = {"forceDestroy": False}  # noqa: RUF012

    def create(self, aws: Aws, inputs: Values) -> str:
        name = inputs.get("bucket") or f"{inputs.get('bucketPrefix', 'bucket-')}{uuid.uuid4().hex[:26]}"[:63]
        where = {} if aws.region == "us-east-1" else {"LocationConstraint": aws.region}
        more: Values = {"CreateBucketConfiguration": where} if where else {}
        aws.client("s3").create_bucket(Bucket=name, **more)
        return name

    def complete(self, aws: Aws, identity: str, inputs: Values) -> None:
        if inputs.get("tags"):
            aws.client("s3").put_bucket_tagging(Bucket=identity, Tagging={"TagSet": tag_list(inputs["tags"])})

    def read(self, aws: Aws, identity: str, state: Values) -> Values | None:
        client = aws.client("s3")
        if gone_is_none(lambda: client.head_bucket(Bucket=identity), *MISSING) is None:
            return None
        tags = gone_is_none(lambda: client.get_bucket_tagging(Bucket=identity), "NoSuchTagSet")
        return {
            "arn": f"arn:aws:s3:::{identity}",
            "bucket": identity,
            "bucketDomainName": f"{identity}.s3.amazonaws.com",
            "bucketRegionalDomainName": f"{identity}.s3.{aws.region}.amazonaws.com",
            "forceDestroy": state.get("forceDestroy", False),
            # The real provider reads it off the name (terraform-provider-aws, create.NamePrefixFromName).
            "bucketPrefix": identity[:-26] if re.search(r"[0-9a-f]{26}$", identity) else "",
            "tags": tag_map(tags["TagSet"]) if tags else {},
        }

    def update(self, aws: Aws, identity: str, old: Values, new: Values, changed: set[str]) -> None:
        if "tags" in changed:
            tagging = {"TagSet": tag_list(new.get("tags"))}
            aws.client("s3").put_bucket_tagging(Bucket=identity, Tagging=tagging)

    def delete(self, aws: Aws, identity: str, state: Values) -> None:
        if state.get("forceDestroy"):
            self._empty(aws, identity)
        gone_is_none(lambda: aws.client("s3").delete_bucket(Bucket=identity), *MISSING)

    @staticmethod
    def _empty(aws: Aws, identity: str) -> None:
        client = aws.client("s3")
        listed = gone_is_none(lambda: client.list_object_versions(Bucket=identity), *MISSING) or {}
        for one in [*listed.get("Versions", []), *listed.get("DeleteMarkers", [])]:
            client.delete_object(Bucket=identity, Key=one["Key"], VersionId=one["VersionId"])


class _Setting(Kind):
    """One setting of a bucket, a resource of its own whose id is the bucket's name."""

    required = ("bucket",)
    tagged = False
    absent: ClassVar[tuple[str, ...]] = ()

    def create(self, aws: Aws, inputs: Values) -> str:
        self.put(aws.client("s3"), inputs)
        return str(inputs["bucket"])

    @abstractmethod
    def put(self, client: Any, inputs: Values) -> None:
        """Give a bucket the setting."""

    @abstractmethod
    def get(self, client: Any, bucket: str) -> Values:
        """The setting that a bucket has."""

    def read(self, aws: Aws, identity: str, state: Values) -> Values | None:
        found: Values | None = gone_is_none(
            lambda: self.get(aws.client("s3"), identity), *MISSING, *self.absent
        )
        return {"bucket": identity, **found} if found else None

    def update(self, aws: Aws, identity: str, old: Values, new: Values, changed: set[str]) -> None:
        self.put(aws.client("s3"), new)


BLOCKS = {
    "blockPublicAcls": "BlockPublicAcls",
    "blockPublicPolicy": "BlockPublicPolicy",
    "ignorePublicAcls": "IgnorePublicAcls",
    "restrictPublicBuckets": "RestrictPublicBuckets",
}


class BucketPublicAccessBlock(_Setting):
    type = "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock"
    noun = "S3 Bucket Public Access Block"
    changes = frozenset(BLOCKS)
    absent = ("NoSuchPublicAccessBlockConfiguration",)

    def put(self, client: Any, inputs: Values) -> None:
        wanted = {theirs: bool(inputs.get(ours)) for ours, theirs in BLOCKS.items()}
        client.put_public_access_block(Bucket=inputs["bucket"], PublicAccessBlockConfiguration=wanted)

    def get(self, client: Any, bucket: str) -> Values:
        found = client.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
        return {ours: found.get(theirs, False) for ours, theirs in BLOCKS.items()}

    def delete(self, aws: Aws, identity: str, state: Values) -> None:
        gone_is_none(lambda: aws.client("s3").delete_public_access_block(Bucket=identity), *MISSING)


class BucketServerSideEncryptionConfiguration(_Setting):
    type = "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration"
    noun = "S3 Bucket Server-side Encryption Configuration"
    required = ("bucket", "rules")
    changes = frozenset({"rules"})
    absent = ("ServerSideEncryptionConfigurationNotFoundError",)

    def put(self, client: Any, inputs: Values) -> None:
        rules = []
        for one in inputs["rules"]:
            default = one["applyServerSideEncryptionByDefault"]
            wanted = {"SSEAlgorithm": default["sseAlgorithm"]}
            if default.get("kmsMasterKeyId"):
                wanted["KMSMasterKeyID"] = default["kmsMasterKeyId"]
            rules.append({"ApplyServerSideEncryptionByDefault": wanted})
        client.put_bucket_encryption(
            Bucket=inputs["bucket"], ServerSideEncryptionConfiguration={"Rules": rules}
        )

    def get(self, client: Any, bucket: str) -> Values:
        found = client.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
        rules = []
        for one in found:
            default = one["ApplyServerSideEncryptionByDefault"]
            seen = {"sseAlgorithm": default["SSEAlgorithm"]}
            if default.get("KMSMasterKeyID"):
                seen["kmsMasterKeyId"] = default["KMSMasterKeyID"]
            rules.append({"applyServerSideEncryptionByDefault": seen})
        return {"rules": rules}

    def delete(self, aws: Aws, identity: str, state: Values) -> None:
        gone_is_none(lambda: aws.client("s3").delete_bucket_encryption(Bucket=identity), *MISSING)


class BucketVersioning(_Setting):
    type = "aws:s3/bucketVersioning:BucketVersioning"
    noun = "S3 Bucket Versioning"
    required = ("bucket", "versioningConfiguration")
    changes = frozenset({"versioningConfiguration"})

    def put(self, client: Any, inputs: Values) -> None:
        wanted = {"Status": inputs["versioningConfiguration"]["status"]}
        client.put_bucket_versioning(Bucket=inputs["bucket"], VersioningConfiguration=wanted)

    def get(self, client: Any, bucket: str) -> Values:
        status = client.get_bucket_versioning(Bucket=bucket).get("Status", "Disabled")
        return {"versioningConfiguration": {"status": status}}

    def delete(self, aws: Aws, identity: str, state: Values) -> None:
        suspended = {"Status": "Suspended"}
        gone_is_none(
            lambda: aws.client("s3").put_bucket_versioning(
                Bucket=identity, VersioningConfiguration=suspended
            ),
            *MISSING,
        )
