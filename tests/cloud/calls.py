"""Which operation of which service a request is: by its form, its target header, or its path.

Invariant: the names are those of AWS's own service models, so that a list of calls reads like a
list of rights (`ec2:RunInstances`).
"""

from __future__ import annotations

import functools
import io
import re
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qsl

SCOPE: Final = re.compile(r"Credential=([^/]+)/\d+/([^/]+)/([^/]+)/aws4_request")
SMITHY: Final = re.compile(r"^/service/[^/]+/operation/(\w+)$")

MODELS: Final = {"monitoring": "cloudwatch", "elasticloadbalancing": "elbv2"}
"""Services whose model has another name than the one that requests are signed for."""


PREFIXES: Final = {"monitoring": "cloudwatch"}
"""Services whose rights begin otherwise than the name that requests are signed for."""

RIGHTS: Final = {
    "s3:DeleteBucketEncryption": "s3:PutEncryptionConfiguration",
    "s3:DeletePublicAccessBlock": "s3:PutBucketPublicAccessBlock",
    "s3:GetBucketEncryption": "s3:GetEncryptionConfiguration",
    "s3:GetPublicAccessBlock": "s3:GetBucketPublicAccessBlock",
    "s3:HeadBucket": "s3:ListBucket",
    "s3:HeadObject": "s3:GetObject",
    "s3:ListBuckets": "s3:ListAllMyBuckets",
    "s3:ListObjectVersions": "s3:ListBucketVersions",
    "s3:ListObjects": "s3:ListBucket",
    "s3:ListObjectsV2": "s3:ListBucket",
    "s3:PutBucketEncryption": "s3:PutEncryptionConfiguration",
    "s3:PutPublicAccessBlock": "s3:PutBucketPublicAccessBlock",
}
"""Operations whose right has another name (Service Authorization Reference, Amazon S3, 2026-11)."""


def right(name: str) -> str:
    """The right that a call needs: `monitoring:PutMetricAlarm` needs `cloudwatch:PutMetricAlarm`.

    A launch with an instance profile needs `iam:PassRole` beside `ec2:RunInstances`; no call shows that.
    """
    service, _, action = name.partition(":")
    return RIGHTS.get(name, f"{PREFIXES.get(service, service)}:{action}")


LOOKER: Final = "kdeploy-tests-look"
"""Stands in the user agent of clients by which tests look at an account, and change it behind kdeploy's back."""


@dataclass(frozen=True)
class Call:
    """One request: who asks for what, where."""

    key: str
    region: str
    service: str
    action: str
    protocol: str
    parameters: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """For example `ec2:RunInstances`."""
        return f"{self.service}:{self.action}"


def read(environ: dict[str, Any]) -> Call | None:
    """The call that a signed request makes; None for one that is not signed. The body can be read again."""
    found = SCOPE.search(environ.get("HTTP_AUTHORIZATION", ""))
    if found is None:
        return None
    key, region, service = found.groups()
    path = environ.get("PATH_INFO", "/")
    target, smithy = environ.get("HTTP_X_AMZ_TARGET"), SMITHY.match(path)
    if target:
        return Call(key, region, service, target.rpartition(".")[2], "json")
    if smithy:
        return Call(key, region, service, smithy[1], "cbor")
    form = _form(environ)
    if "Action" in form:
        return Call(key, region, service, form["Action"], "ec2" if service == "ec2" else "query", form)
    action = _by_path(service, environ["REQUEST_METHOD"], path, environ.get("QUERY_STRING", ""))
    return Call(key, region, service, action, "rest")


def _form(environ: dict[str, Any]) -> dict[str, str]:
    if not environ.get("CONTENT_TYPE", "").startswith("application/x-www-form-urlencoded"):
        return {}
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    environ["wsgi.input"] = io.BytesIO(body)
    return dict(parse_qsl(body.decode(), keep_blank_values=True))


def _by_path(service: str, method: str, path: str, query: str) -> str:
    asked = {key for key, _ in parse_qsl(query, keep_blank_values=True)}
    fitting = [
        (len(required), name)
        for name, verb, pattern, required in _patterns(service)
        if verb == method and required <= asked and pattern.fullmatch(path.rstrip("/") or "/")
    ]
    # Of two that look alike, the plain one: directory buckets and access points have longer names.
    return max(fitting, key=lambda one: (one[0], -len(one[1])))[1] if fitting else f"{method} {path}"


@functools.cache
def _patterns(service: str) -> list[tuple[str, str, re.Pattern[str], set[str]]]:
    import botocore.session

    model = botocore.session.get_session().get_service_model(MODELS.get(service, service))
    found = []
    for name in model.operation_names:
        http = model.operation_model(name).http
        path, _, query = http["requestUri"].partition("?")
        parts = re.split(r"(\{\w+\+?\})", path.rstrip("/") or "/")
        pattern = "".join(
            (".+" if part.endswith("+}") else "[^/]+") if part.startswith("{") else re.escape(part)
            for part in parts
        )
        required = {key for key, _ in parse_qsl(query, keep_blank_values=True)}
        found.append((name, http["method"], re.compile(pattern), required))
    return found
