"""The parts of the emulation that need neither an engine nor an account."""

from __future__ import annotations

import inspect
import socket
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.cloud import calls, hosts, metadata, resolver, values
from tests.cloud.kinds import KINDS
from tests.cloud.kinds.base import Kind
from tests.cloud.troubles import Settings, Trouble

LABEL = st.from_regex(r"[a-z]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True)
VALUE = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**31), 2**31) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(min_size=1, max_size=4), inner, max_size=3)
    ),
    max_leaves=8,
)


def packet(name: str, kind: int, number: int = 7) -> bytes:
    parts = b"".join(bytes([len(part)]) + part.encode() for part in name.split("."))
    return struct.pack("!HHHHHH", number, 0x0100, 1, 0, 0, 0) + parts + b"\0" + struct.pack("!HH", kind, 1)


@given(st.lists(LABEL, min_size=1, max_size=4), st.integers(0, 65535))
def test_a_question_is_read_as_it_was_asked(labels: list[str], number: int) -> None:
    asked = ".".join(labels)
    read = resolver.question(packet(asked, resolver.A, number))
    assert read[:3] == (number, asked, resolver.A)


def test_an_answer_holds_the_addresses_behind_the_question() -> None:
    number, _, kind, asked = resolver.question(packet("broker-1.prod", resolver.A))
    answer = resolver.reply(number, asked, kind, ["10.20.0.17", "10.20.16.17"])
    assert struct.unpack_from("!HHHHHH", answer) == (7, 0x8580, 1, 2, 0, 0)
    assert answer.endswith(socket.inet_aton("10.20.16.17"))
    missing = resolver.reply(number, asked, kind, None)
    assert struct.unpack_from("!HH", missing)[1] & 0xF == resolver.MISSING


def test_a_reverse_name_stands_for_its_address() -> None:
    assert resolver.reverse("17.0.20.10.in-addr.arpa") == "10.20.0.17"
    assert resolver.reverse("broker-1.prod") is None


@given(st.dictionaries(st.from_regex(r"[a-z]{1,6}", fullmatch=True), VALUE, max_size=4))
def test_properties_come_back_from_the_wire_as_they_went(properties: dict[str, Any]) -> None:
    read = values.read(values.write(properties))
    assert values.changed(properties, read) == set()


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        (["sg-1", "sg-2"], ["sg-2", "sg-1"], True),
        (["sg-1"], ["sg-1", "sg-2"], False),
        ("", None, True),
        (3, 3.0, True),
        ('{"a": 1}', '{"a":1}', True),
        ({"a": None}, {}, True),
        ({"a": 1}, {"a": 2}, False),
    ],
)
def test_values_are_alike_when_aws_cannot_tell_them_apart(one: object, other: object, *, alike: bool) -> None:
    assert values.same(one, other) is alike


def test_a_difference_is_named_down_to_the_tag() -> None:
    old, new = {"tags": {"a": "1", "b": "2"}, "size": 8}, {"tags": {"a": "1", "b": "3"}, "size": 8}
    changed = sorted(values.changed(old, new))
    assert list(values.details(old, new, changed)) == [("tags.b", "UPDATE")]


def environ(authorization: str, **more: str) -> dict[str, Any]:
    import io

    body = more.pop("body", "")
    return {
        "HTTP_AUTHORIZATION": f"AWS4-HMAC-SHA256 Credential={authorization}/aws4_request, SignedHeaders=host",
        "wsgi.input": io.BytesIO(body.encode()),
        "CONTENT_LENGTH": str(len(body)),
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/",
        **more,
    }


@pytest.mark.parametrize(
    ("request_", "name"),
    [
        (
            environ(
                "AK/20261127/eu-west-1/ec2",
                CONTENT_TYPE="application/x-www-form-urlencoded; charset=utf-8",
                body="Action=RunInstances&MinCount=1",
            ),
            "ec2:RunInstances",
        ),
        (
            environ("AK/20261127/eu-west-1/ssm", HTTP_X_AMZ_TARGET="AmazonSSM.GetParameter"),
            "ssm:GetParameter",
        ),
        (
            environ("AK/20261127/us-east-1/route53", PATH_INFO="/2013-04-01/hostedzone/Z1/rrset/"),
            "route53:ChangeResourceRecordSets",
        ),
        (
            environ("AK/20261127/eu-west-1/s3", PATH_INFO="/backups", REQUEST_METHOD="PUT"),
            "s3:CreateBucket",
        ),
        (
            environ(
                "AK/20261127/eu-west-1/s3",
                PATH_INFO="/backups",
                REQUEST_METHOD="PUT",
                QUERY_STRING="publicAccessBlock",
            ),
            "s3:PutPublicAccessBlock",
        ),
    ],
)
def test_a_request_is_known_by_its_operation(request_: dict[str, Any], name: str) -> None:
    found = calls.read(request_)
    assert found is not None
    assert found.name == name


@pytest.mark.parametrize(
    ("call", "right"),
    [
        ("ec2:RunInstances", "ec2:RunInstances"),
        ("monitoring:PutMetricAlarm", "cloudwatch:PutMetricAlarm"),
        ("s3:HeadBucket", "s3:ListBucket"),
        ("s3:PutBucketEncryption", "s3:PutEncryptionConfiguration"),
    ],
)
def test_a_call_needs_the_right_that_aws_asks_for(call: str, right: str) -> None:
    assert calls.right(call) == right


def test_a_request_that_nobody_signed_is_no_call() -> None:
    assert calls.read({"PATH_INFO": "/", "REQUEST_METHOD": "GET"}) is None


def test_a_key_that_is_not_the_accounts_is_refused_before_any_trouble() -> None:
    settings = Settings(key="right", troubles=[Trouble("*", "Other", "other")])
    call = calls.Call("wrong", "eu-west-1", "sts", "GetCallerIdentity", "query")
    refusal = settings.refusal(call)
    assert refusal is not None
    assert refusal.code == "InvalidClientTokenId"


def test_a_disk_is_called_as_udev_calls_it() -> None:
    volume = Path("/x/volumes/vol-0123456789abcdef0")
    assert hosts.link_of(volume, "i-1") == "nvme-Amazon_Elastic_Block_Store_vol0123456789abcdef0"
    own = hosts.link_of(Path("/x/hosts/i1/disk-0"), "i-0123456789abcdef0")
    assert own.startswith("nvme-Amazon_EC2_NVMe_Instance_Storage_AWS")


@pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))
def test_every_kind_can_be_made_read_and_deleted_and_changed_where_something_of_it_changes(
    kind: Kind,
) -> None:
    assert not inspect.isabstract(type(kind))
    assert (type(kind).update is not Kind.update) >= bool(kind.changes)


def test_a_host_s_metadata_service_answers_sessions_alone_as_ec2_s_does() -> None:
    import threading
    import urllib.error
    import urllib.request

    from kdeploy.tuning.programs import disk_use

    known = {"role": "machine", "key": "AKIAEXAMPLE", "secret": "a secret", "token": "a token"}
    server = metadata.server(known, "127.0.0.1", 0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        url = f"http://127.0.0.1:{server.server_address[1]}"
        assert disk_use.credentials(url) == ("AKIAEXAMPLE", "a secret", "a token")

        def refused(method: str, path: str, headers: dict[str, str]) -> int:
            with pytest.raises(urllib.error.HTTPError) as caught:
                urllib.request.urlopen(urllib.request.Request(url + path, method=method, headers=headers))
            caught.value.close()
            return caught.value.code

        assert refused("GET", metadata.ROLES, {}) == 401
        assert refused("GET", metadata.ROLES, {metadata.TOKEN: "guessed"}) == 401
        assert refused("PUT", "/latest/api/token", {}) == 400
        assert refused("PUT", "/latest/api/token", {metadata.TTL: "21601"}) == 400
        assert refused("PUT", "/latest/api/token", {metadata.TTL: "60", "X-Forwarded-For": "10.0.0.1"}) == 403
    finally:
        server.shutdown()
        server.server_close()


def test_what_a_host_knows_of_its_role_opens_the_account_and_no_other() -> None:
    from tests.cloud import machines, troubles

    troubles.configure({"key": "AKIAONE"})
    try:
        known = machines._known("i0123")
    finally:
        troubles.configure({"key": ""})
    assert known["key"] == "AKIAONE"
    assert {"role", "secret", "token"} <= known.keys()
