"""Runs on a machine in AWS, once a minute: tells CloudWatch how full its file systems are.

Takes the path of a JSON file: `region`, `endpoint` of CloudWatch, `metadata` (where the machine answers about itself),
`namespace`, `metric`, and `mounts` with the dimensions that each is sent under. The machine's own role signs for it: what
that is known by is asked for anew each time, and written nowhere. Invariant: what it prints holds no part of a key, a token
or a signature, and is one line; it is silent where all went well.
"""

import datetime
import hashlib
import hmac
import http.client
import json
import os
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import xml.etree.ElementTree

VERSION = "2010-08-01"
"""Of CloudWatch's query interface (Amazon CloudWatch API Reference)."""

SERVICE = "monitoring"
"""What requests to CloudWatch are signed for (AWS General Reference, CloudWatch endpoints)."""

SESSION = "60"
"""Seconds that a session with the metadata service is good for (Amazon EC2 User Guide, IMDSv2: 1 to 21,600)."""

TRIES, PAUSE = 3, 2.0
"""How often something is asked that does not answer, or is too busy, and seconds between."""

NEAR, FAR = 2.0, 5.0
"""Seconds that the metadata service, which is beside the machine, and CloudWatch have for an answer. Four questions with all
their tries take 49 s; what is slower than that its unit ends."""

LONGEST = 300
"""Characters of what AWS said that are told."""


class Failed(Exception):
    """Why nothing was sent, for people; `code` is that of an answer, where one came."""

    def __init__(self, words, code=0):
        super().__init__(words)
        self.code = code


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """Whoever else answers gets no token: it stays an answer that was not wanted."""

    def redirect_request(self, *arguments):
        return None


def opener():
    """What asks: straight, whatever proxy the surroundings name, and one address alone."""
    return urllib.request.build_opener(urllib.request.ProxyHandler({}), NoRedirect())


def used_percent(mount):
    """How full a file system is, as df says: of what is used and what its users may still use.

    What is kept for root counts as neither (statvfs(3); coreutils 9.1, df.c, the column Use%).
    """
    if not os.path.ismount(mount):
        raise Failed("%s is not mounted" % mount)
    found = os.statvfs(mount)
    used = found.f_blocks - found.f_bfree
    whole = used + found.f_bavail
    if whole <= 0:
        raise Failed("%s has no size" % mount)
    return 100.0 * used / whole


def asked(request, patience, who, secrets=()):
    """What is answered to a request; one that is too busy, or does not answer, is asked again."""
    for left in range(TRIES - 1, -1, -1):
        try:
            with opener().open(request, timeout=patience) as answer:
                return answer.read()
        except urllib.error.HTTPError as error:
            said = error.read().decode(errors="replace")
            if not left or not busy(error.code, said):
                raise Failed(
                    "%s answers %d%s" % (who, error.code, meaning(said, secrets)), error.code
                ) from None
        except (OSError, http.client.HTTPException) as error:
            if not left:
                why = getattr(error, "reason", None) or str(error) or type(error).__name__
                raise Failed("%s does not answer: %s" % (who, why)) from None
        time.sleep(PAUSE)
    raise AssertionError


def busy(code, said):
    """Whether to ask again (AWS General Reference, error retries): it is overloaded, or has too many questions."""
    return code >= 500 or code == 429 or "<Code>Throttling" in said


def meaning(said, secrets):
    """AWS's own code and first line, of an answer in XML, without any of these secrets; nothing of any other answer.

    Of a signature that is refused the lines below say what it was made of, the session's token among it.
    """
    try:
        root = xml.etree.ElementTree.fromstring(said)
    except xml.etree.ElementTree.ParseError:
        return ""
    found = {one.tag.rpartition("}")[2]: (one.text or "").strip() for one in root.iter()}
    parts = [found.get("Code", ""), found.get("Message", "").partition("\n")[0]]
    words = without(": ".join(part for part in parts if part), secrets)[:LONGEST]  # half a secret would stay
    return " (%s)" % words if words else ""


def credentials(metadata):
    """Key, secret and token of the machine's role, by a session with the metadata service (IMDSv2)."""
    who = "the machine's metadata service"
    session = urllib.request.Request(
        metadata + "/latest/api/token",
        method="PUT",
        headers={"X-aws-ec2-metadata-token-ttl-seconds": SESSION},
    )
    header = {"X-aws-ec2-metadata-token": asked(session, NEAR, who).decode().strip()}

    def ask(path):
        request = urllib.request.Request(
            metadata + "/latest/meta-data/iam/security-credentials/" + path, headers=header
        )
        return asked(request, NEAR, who).decode()

    try:
        role = ask("").strip().partition("\n")[0]
    except Failed as error:
        raise (
            Failed("the machine has no instance profile to sign by") if error.code == 404 else error
        ) from None
    try:
        found = json.loads(ask(urllib.parse.quote(role)))
        ends = datetime.datetime.strptime(found["Expiration"], "%Y-%m-%dT%H:%M:%SZ")
        keys = found["AccessKeyId"], found["SecretAccessKey"], found["Token"]
    except (ValueError, KeyError, TypeError):
        raise Failed("%s gives no credentials of the role %s" % (who, role)) from None
    if ends.replace(tzinfo=datetime.timezone.utc) <= now():
        raise Failed(
            "%s gives credentials of the role %s that ended at %s" % (who, role, found["Expiration"])
        )
    return keys


def now():
    """The moment, in UTC."""
    return datetime.datetime.now(datetime.timezone.utc)


def form(settings, values):
    """The question to CloudWatch: PutMetricData with every value (Amazon CloudWatch API Reference)."""
    fields = {"Action": "PutMetricData", "Version": VERSION, "Namespace": settings["namespace"]}
    for number, (dimensions, value) in enumerate(values, 1):
        at = "MetricData.member.%d." % number
        fields[at + "MetricName"] = settings["metric"]
        fields[at + "Unit"] = "Percent"
        fields[at + "Value"] = "%.2f" % value
        for place, (name, text) in enumerate(sorted(dimensions.items()), 1):
            fields[at + "Dimensions.member.%d.Name" % place] = name
            fields[at + "Dimensions.member.%d.Value" % place] = text
    return urllib.parse.urlencode(fields, quote_via=urllib.parse.quote).encode()


def signed(endpoint, region, body, keys, moment):
    """A request with the signature that AWS asks for (IAM User Guide, AWS Signature Version 4), as a POST of a form."""
    key, secret, token = keys
    stamp = moment.strftime("%Y%m%dT%H%M%SZ")
    headers = {
        "content-type": "application/x-www-form-urlencoded",
        "host": urllib.parse.urlsplit(endpoint).netloc,
        "x-amz-date": stamp,
    }
    if token:
        headers["x-amz-security-token"] = token
    names = ";".join(sorted(headers))
    lines = ["POST", "/", "", *("%s:%s" % one for one in sorted(headers.items())), "", names, sha256(body)]
    scope = "%s/%s/%s/aws4_request" % (stamp[:8], region, SERVICE)
    text = "\n".join(["AWS4-HMAC-SHA256", stamp, scope, sha256("\n".join(lines).encode())])
    made = ("AWS4" + secret).encode()
    for part in scope.split("/"):
        made = hmac.new(made, part.encode(), hashlib.sha256).digest()
    signature = hmac.new(made, text.encode(), hashlib.sha256).hexdigest()
    headers["authorization"] = "AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, Signature=%s" % (
        *(key, scope),
        *(names, signature),
    )
    return urllib.request.Request(endpoint + "/", data=body, headers=headers, method="POST")


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def measured(mounts):
    """Dimensions and value of each mount that can be measured, and why others cannot."""
    values, wrong = [], []
    for one in mounts:
        try:
            values.append((one["dimensions"], used_percent(one["mount"])))
        except (Failed, OSError) as error:
            wrong.append(str(error))
    return values, wrong


def send(settings):
    """Measure and send.

    Raises:
        Failed: Nothing was sent, or not all; whatever can be sent is.
    """
    values, wrong = measured(settings["mounts"])
    if values:
        keys = credentials(settings["metadata"])
        request = signed(settings["endpoint"], settings["region"], form(settings, values), keys, now())
        asked(request, FAR, "CloudWatch at " + settings["endpoint"], keys)
    if wrong:
        raise Failed("; ".join(wrong))


def without(text, secrets):
    """A text in which no secret stands, whoever put it there."""
    for one in secrets:
        text = text.replace(one, "…") if one else text
    return text


def main(path):
    try:
        with open(path) as file:
            settings = json.load(file)
        send(settings)
    except Failed as error:
        sys.exit("how full disks are was not told: " + " ".join(str(error).split()))
    except Exception as error:  # noqa: BLE001 - what is raised by others may quote a header, and so a token
        line = error.__traceback__ and error.__traceback__.tb_next and error.__traceback__.tb_next.tb_lineno
        sys.exit(
            "how full disks are was not told: %s at line %s of %s" % (type(error).__name__, line, __file__)
        )


if __name__ == "__main__":
    main(sys.argv[1])
