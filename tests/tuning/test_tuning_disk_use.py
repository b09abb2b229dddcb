"""The program that tells CloudWatch how full disks are: what it measures, how it signs, and what it says of trouble.

Its machine's metadata service is a server of these tests; CloudWatch is moto's, or a server that refuses.
"""

from __future__ import annotations

import datetime
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qsl

import pytest

from kdeploy.tuning.programs import disk_use as program
from tests.tuning.places import aws, small

KEY, SECRET, TOKEN = "ASIAEXAMPLEEXAMPLE00", "wJalrXUtnFEMI/K7MDENG/secret", "FwoGZXIvYXdzEXAMPLE/token=="
SESSION = "AQAEAsession=="
SECRETS = (KEY, SECRET, TOKEN, SESSION, "Signature=", "Credential=")
ROLE = "kdeploy-prod-dc1"
DIMENSIONS = {"environment": "prod", "node": "dc1/broker-1", "mount": "/"}

Answer = tuple[int, bytes]


@dataclass
class Served:
    """A server of this machine: what it was asked, and what it answers."""

    answers: Callable[[str, str, dict[str, str]], Answer | None]
    asked: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)
    url: str = ""

    def paths(self) -> list[str]:
        return [f"{method} {path}" for method, path, _, _ in self.asked]


@pytest.fixture
def serve() -> Iterator[Callable[[Callable[[str, str, dict[str, str]], Answer | None]], Served]]:
    """Starts servers, and ends them."""
    started: list[ThreadingHTTPServer] = []
    ended = threading.Event()

    def start(answers: Callable[[str, str, dict[str, str]], Answer | None]) -> Served:
        served = Served(answers)

        class Handler(BaseHTTPRequestHandler):
            def _answer(self) -> None:
                headers = {name.lower(): value for name, value in self.headers.items()}
                body = self.rfile.read(int(headers.get("content-length", 0)))
                served.asked.append((self.command, self.path, headers, body))
                answer = served.answers(self.command, self.path, headers)
                if answer is None:  # it never answers
                    ended.wait()
                    return
                code, content = answer
                self.send_response(code)
                if code in (301, 302, 307):
                    self.send_header("Location", f"{served.url}/elsewhere")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_PUT = do_POST = _answer  # noqa: N815

            def log_message(self, *_: object) -> None:
                """It says nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        started.append(server)
        served.url = f"http://127.0.0.1:{server.server_address[1]}"
        return served

    yield start
    ended.set()
    for server in started:
        server.shutdown()
        server.server_close()


def known(ends: str = "2999-01-01T00:00:00Z", **other: Any) -> bytes:
    found = {
        "Code": "Success",
        "AccessKeyId": KEY,
        "SecretAccessKey": SECRET,
        "Token": TOKEN,
        "Expiration": ends,
    }
    return json.dumps({**found, **other}).encode()


def metadata(method: str, path: str, headers: dict[str, str], keys: bytes = b"") -> Answer:
    """The metadata service of a machine that answers sessions alone (Amazon EC2 User Guide, IMDSv2)."""
    if path == "/latest/api/token":
        is_right = method == "PUT" and 1 <= int(headers["x-aws-ec2-metadata-token-ttl-seconds"]) <= 21600
        return (200, SESSION.encode()) if is_right else (400, b"")
    if headers.get("x-aws-ec2-metadata-token") != SESSION or method != "GET":
        return 401, b""
    role = "/latest/meta-data/iam/security-credentials/"
    return {role: (200, ROLE.encode()), role + ROLE: (200, keys or known())}.get(path, (404, b"<html/>"))


def settings(folder: Path, beside: str, endpoint: str, mount: str = "/") -> Path:
    file = folder / "disk-use.json"
    document = {
        "region": "eu-west-1",
        "endpoint": endpoint,
        "metadata": beside,
        "namespace": "kdeploy",
        "metric": "DiskUsedPercent",
        "mounts": [{"mount": mount, "dimensions": {**DIMENSIONS, "mount": mount}}],
    }
    file.write_text(json.dumps(document))
    return file


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """It waits for nobody."""
    monkeypatch.setattr(program, "PAUSE", 0.0)
    monkeypatch.setattr(program, "NEAR", 0.5)
    monkeypatch.setattr(program, "FAR", 0.5)


def said(file: Path) -> str:
    """What it ends with."""
    with pytest.raises(SystemExit) as ended:
        program.main(str(file))
    words = str(ended.value.code)
    assert words.startswith("how full disks are was not told: ")
    assert "\n" not in words
    assert [one for one in SECRETS if one in words] == []
    return words.removeprefix("how full disks are was not told: ")


@pytest.mark.parametrize(
    ("blocks", "free", "available", "percent"),
    [
        (1000, 400, 350, 100 * 600 / 950),  # 50 blocks are root's: they are neither used nor to be had
        (1000, 0, 0, 100.0),
        (1000, 1000, 1000, 0.0),
        (1000, 20, 0, 100.0),
    ],
)
def test_a_file_system_is_as_full_as_df_says(
    monkeypatch: pytest.MonkeyPatch, blocks: int, free: int, available: int, percent: float
) -> None:
    found = SimpleNamespace(f_blocks=blocks, f_bfree=free, f_bavail=available)
    monkeypatch.setattr(program.os, "statvfs", lambda _: found)
    assert program.used_percent("/") == pytest.approx(percent)


def test_a_disk_that_is_gone_is_not_taken_for_the_one_below_it(tmp_path: Path) -> None:
    values, wrong = program.measured(
        [{"mount": str(tmp_path), "dimensions": {}}, {"mount": "/", "dimensions": DIMENSIONS}]
    )
    assert wrong == [f"{tmp_path} is not mounted"]
    ((dimensions, value),) = values
    assert dimensions == DIMENSIONS, "what can be measured is told all the same"
    assert 0 < value <= 100


def test_a_signature_is_the_one_of_aws_s_own_test_suite(monkeypatch: pytest.MonkeyPatch) -> None:
    """aws-sig-v4-test-suite, post-x-www-form-urlencoded."""
    monkeypatch.setattr(program, "SERVICE", "service")
    keys = ("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "")
    moment = datetime.datetime(2015, 8, 30, 12, 36, tzinfo=datetime.UTC)
    request = program.signed("https://example.amazonaws.com", "us-east-1", b"Param1=value1", keys, moment)
    assert request.headers["Authorization"] == (
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
        "SignedHeaders=content-type;host;x-amz-date, "
        "Signature=ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a"
    )


@pytest.mark.parametrize("endpoint", ["https://monitoring.eu-west-1.amazonaws.com", "http://10.20.0.2:4566"])
def test_a_signature_is_the_one_that_aws_s_own_library_makes(endpoint: str) -> None:
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    given = {"namespace": "kdeploy", "metric": "DiskUsedPercent"}
    body = program.form(given, [(DIMENSIONS, 63.157)])
    theirs = AWSRequest(
        "POST", f"{endpoint}/", data=body, headers={"Content-Type": "application/x-www-form-urlencoded"}
    )
    SigV4Auth(Credentials(KEY, SECRET, TOKEN), "monitoring", "eu-west-1").add_auth(theirs)
    stamp = datetime.datetime.strptime(theirs.headers["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(
        tzinfo=datetime.UTC
    )
    ours = program.signed(endpoint, "eu-west-1", body, (KEY, SECRET, TOKEN), stamp)
    assert ours.headers["Authorization"] == theirs.headers["Authorization"]


def test_cloudwatch_knows_afterwards_how_full_a_disk_is(tmp_path: Path, serve: Any) -> None:
    """The program as a host runs it, isolated, against moto."""
    import boto3
    from moto.server import ThreadedMotoServer

    beside = serve(metadata)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        endpoint = f"http://{host}:{port}"
        file = settings(tmp_path, beside.url, endpoint)
        before = program.used_percent("/")
        done = subprocess.run(
            [sys.executable, "-I", "-B", str(Path(program.__file__)), str(file)],
            capture_output=True,
            text=True,
            check=False,
            env={"HTTP_PROXY": "http://127.0.0.1:1", "http_proxy": "http://127.0.0.1:1"},
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        client = boto3.client(
            "cloudwatch", "eu-west-1", endpoint_url=endpoint, aws_access_key_id="a", aws_secret_access_key="b"
        )
        wanted = [{"Name": name, "Value": value} for name, value in sorted(DIMENSIONS.items())]
        (metric,) = client.list_metrics(Namespace="kdeploy")["Metrics"]
        assert metric["MetricName"] == "DiskUsedPercent"
        assert sorted(metric["Dimensions"], key=lambda one: one["Name"]) == wanted
        now = datetime.datetime.now(datetime.UTC)
        (point,) = client.get_metric_statistics(
            Namespace="kdeploy",
            MetricName="DiskUsedPercent",
            Dimensions=wanted,
            StartTime=now - datetime.timedelta(minutes=5),
            EndTime=now + datetime.timedelta(minutes=5),
            Period=3600,
            Statistics=["Maximum"],
        )["Datapoints"]
        assert point["Maximum"] == pytest.approx(before, abs=5)
        assert point["Unit"] == "Percent"
        client.close()
    finally:
        server.stop()
    role = "GET /latest/meta-data/iam/security-credentials/"
    assert beside.paths() == ["PUT /latest/api/token", role, role + ROLE]


def test_what_is_sent_is_one_request_with_every_mount(tmp_path: Path, serve: Any, hasty: None) -> None:
    beside, cloudwatch = serve(metadata), serve(lambda *_: (200, b""))
    file = settings(tmp_path, beside.url, cloudwatch.url)
    document = json.loads(file.read_text())
    document["mounts"] *= 2
    file.write_text(json.dumps(document))
    program.main(str(file))
    ((method, path, headers, body),) = cloudwatch.asked
    assert (method, path, headers["x-amz-security-token"]) == ("POST", "/", TOKEN)
    form = dict(parse_qsl(body.decode()))
    assert (form["Action"], form["Version"], form["Namespace"]) == ("PutMetricData", "2010-08-01", "kdeploy")
    for number in (1, 2):
        at = f"MetricData.member.{number}"
        names = [form[f"{at}.Dimensions.member.{place}.Name"] for place in (1, 2, 3)]
        assert {
            name: form[f"{at}.Dimensions.member.{names.index(name) + 1}.Value"] for name in names
        } == DIMENSIONS
        assert form[f"{at}.Unit"] == "Percent"


REFUSED = b"""<ErrorResponse xmlns="http://monitoring.amazonaws.com/doc/2010-08-01/"><Error><Type>Sender</Type>
<Code>SignatureDoesNotMatch</Code><Message>The request signature we calculated does not match.

The Canonical String for this request should have been
'POST
/

x-amz-security-token:%s
'</Message></Error></ErrorResponse>""" % TOKEN.encode()
DENIED = b"""<ErrorResponse><Error><Code>AccessDenied</Code><Message>User: arn:aws:sts::123456789012:assumed-role/r/i-1 is
not authorized to perform: cloudwatch:PutMetricData (%s, %s)</Message></Error></ErrorResponse>""" % (
    KEY.encode(),
    TOKEN.encode(),
)
THROTTLED = (
    b"<ErrorResponse><Error><Code>Throttling</Code><Message>Rate exceeded</Message></Error></ErrorResponse>"
)


@pytest.mark.parametrize(
    ("answer", "times", "words"),
    [
        (
            (403, REFUSED),
            1,
            "answers 403 (SignatureDoesNotMatch: The request signature we calculated does not match.)",
        ),
        (
            (403, DENIED),
            1,
            "answers 403 (AccessDenied: User: arn:aws:sts::123456789012:assumed-role/r/i-1 is)",
        ),
        ((400, THROTTLED), 3, "answers 400 (Throttling: Rate exceeded)"),
        ((503, b"no XML"), 3, "answers 503"),
        ((400, b'{"message": "%s"}' % TOKEN.encode()), 1, "answers 400"),
        ((307, b""), 1, "answers 307"),
        (None, 3, "does not answer: timed out"),
    ],
)
def test_what_cloudwatch_refuses_is_one_line_without_a_secret(
    tmp_path: Path, serve: Any, hasty: None, answer: Answer | None, times: int, words: str
) -> None:
    cloudwatch = serve(lambda *_: answer)
    found = said(settings(tmp_path, serve(metadata).url, cloudwatch.url))
    assert found == f"CloudWatch at {cloudwatch.url} {words}"
    assert cloudwatch.paths() == ["POST /"] * times, "asked again where that may help; never led elsewhere"


def test_one_line_of_cloudwatch_s_that_quotes_a_secret_is_told_without_it(
    tmp_path: Path, serve: Any, hasty: None
) -> None:
    quoting = DENIED.replace(b"\n", b" ")
    found = said(settings(tmp_path, serve(metadata).url, serve(lambda *_: (403, quoting)).url))
    assert found.endswith("cloudwatch:PutMetricData (…, …))")


def test_a_long_line_is_not_cut_in_the_middle_of_a_secret(tmp_path: Path, serve: Any, hasty: None) -> None:
    secret = (SECRET + TOKEN).encode()
    refused = b"<E><Code>Denied</Code><Message>%s%s</Message></E>" % (b"x" * 270, secret)
    found = said(settings(tmp_path, serve(metadata).url, serve(lambda *_: (403, refused)).url))
    assert SECRET[:6] not in found
    assert found.endswith("x……)")


def test_what_answers_after_two_failures_is_sent(tmp_path: Path, serve: Any, hasty: None) -> None:
    answers = [(500, b""), (429, b""), (200, b"")]
    cloudwatch = serve(lambda *_: answers.pop(0))
    program.main(str(settings(tmp_path, serve(metadata).url, cloudwatch.url)))
    assert len(cloudwatch.asked) == 3


def refusing(method: str, path: str, headers: dict[str, str]) -> Answer:
    return 403, b""


def without_role(method: str, path: str, headers: dict[str, str]) -> Answer:
    found = metadata(method, path, headers)
    return found if "security-credentials" not in path else (404, b"<html/>")


def ended(method: str, path: str, headers: dict[str, str]) -> Answer:
    return metadata(method, path, headers, known("2020-01-01T00:00:00Z"))


def lacking(method: str, path: str, headers: dict[str, str]) -> Answer:
    return metadata(method, path, headers, b'{"Code": "AssumeRoleUnauthorizedAccess"}')


def broken(method: str, path: str, headers: dict[str, str]) -> Answer:
    return metadata(method, path, headers, b"<html/>")


def of_two_lines(method: str, path: str, headers: dict[str, str]) -> Answer:
    return metadata(method, path, headers, known(Token=f"{TOKEN}\r\nx: y"))


WHO = "the machine's metadata service"


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        (refusing, f"{WHO} answers 403"),
        (without_role, "the machine has no instance profile to sign by"),
        (ended, f"{WHO} gives credentials of the role {ROLE} that ended at 2020-01-01T00:00:00Z"),
        (lacking, f"{WHO} gives no credentials of the role {ROLE}"),
        (broken, f"{WHO} gives no credentials of the role {ROLE}"),
        (lambda *_: None, f"{WHO} does not answer: timed out"),
    ],
)
def test_a_machine_that_cannot_say_who_it_is_sends_nothing_and_says_why(
    tmp_path: Path, serve: Any, hasty: None, answers: Any, words: str
) -> None:
    cloudwatch = serve(lambda *_: (200, b""))
    assert said(settings(tmp_path, serve(answers).url, cloudwatch.url)) == words
    assert cloudwatch.asked == []


def test_where_nobody_answers_it_says_so(tmp_path: Path, hasty: None) -> None:
    with socket.socket() as closed:  # bound, and nobody listens
        closed.bind(("127.0.0.1", 0))
        beside = f"http://127.0.0.1:{closed.getsockname()[1]}"
        assert said(settings(tmp_path, beside, "http://127.0.0.1:1")).startswith(f"{WHO} does not answer: ")


def test_what_nobody_thought_of_is_told_by_its_kind_alone(tmp_path: Path, serve: Any, hasty: None) -> None:
    """A token that is no header's value: Python's own words would quote it."""
    found = said(settings(tmp_path, serve(of_two_lines).url, serve(lambda *_: (200, b"")).url))
    assert found.startswith("ValueError at line ")


def test_a_mount_that_is_gone_is_told_of_after_the_others_were_sent(
    tmp_path: Path, serve: Any, hasty: None
) -> None:
    cloudwatch = serve(lambda *_: (200, b""))
    file = settings(tmp_path, serve(metadata).url, cloudwatch.url)
    document = json.loads(file.read_text())
    document["mounts"].insert(
        0, {"mount": str(tmp_path), "dimensions": {**DIMENSIONS, "mount": str(tmp_path)}}
    )
    file.write_text(json.dumps(document))
    assert said(file) == f"{tmp_path} is not mounted"
    ((_, _, _, body),) = cloudwatch.asked
    assert f"Value={tmp_path}" not in body.decode()
    assert b"MetricData.member.2" not in body


FILES = {
    "/usr/local/lib/kdeploy/disk_use.py",
    "/etc/kdeploy/disk-use.json",
    "/etc/systemd/system/kdeploy-disk-use.service",
    "/etc/systemd/system/kdeploy-disk-use.timer",
}


def files(**fields: Any) -> list[dict[str, str]]:
    return [
        {file.path: file.text for file in node.files if file.path in FILES} for node in small(**fields).nodes
    ]


def test_only_a_machine_with_alarms_gets_the_program_and_no_node_restarts_for_it() -> None:
    assert all(found == {} for found in files())
    assert all(found.keys() == FILES for found in files(machine={"alarms": True}))
    for node in small(machine={"alarms": True}).nodes:
        assert not [file for file in node.files if file.path in FILES and file.restart]


@pytest.mark.parametrize(
    ("fields", "endpoint"),
    [
        ({}, "https://monitoring.eu-west-1.amazonaws.com"),
        ({"region": "us-east-1"}, "https://monitoring.us-east-1.amazonaws.com"),
        ({"machine": {"metrics_endpoint": "https://vpce-1.example.com"}}, "https://vpce-1.example.com"),
    ],
)
def test_a_region_s_own_endpoint_is_asked_unless_another_is_named(
    fields: dict[str, Any], endpoint: str
) -> None:
    machine = {"alarms": True, **fields.get("machine", {})}
    (first, *_) = files(**{**aws(), **fields, "machine": machine})
    given = json.loads(first["/etc/kdeploy/disk-use.json"])
    assert (given["endpoint"], given["region"]) == (endpoint, fields.get("region", "eu-west-1"))


def test_the_program_on_a_host_is_the_one_that_is_tested_here_and_imports_the_standard_library_alone() -> (
    None
):
    import ast

    (first, *_) = files(machine={"alarms": True})
    text = first["/usr/local/lib/kdeploy/disk_use.py"]
    assert text == Path(program.__file__).read_text()
    compile(text, "disk_use.py", "exec")
    names = {
        name.split(".")[0]
        for node in ast.walk(ast.parse(text, feature_version=(3, 9)))
        for name in (
            [one.name for one in node.names]
            if isinstance(node, ast.Import)
            else [str(node.module)]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert names <= sys.stdlib_module_names
