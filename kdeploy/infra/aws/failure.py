"""What the engine and AWS say when something fails, in kdeploy's words: the resource, what was said, the remedy.

Invariant: pure. Whatever is not in the table is told as AWS said it, shortened to one line, never lost.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from kdeploy.errors import KdeployError


class CloudError(KdeployError):
    """AWS, or the engine that speaks to it, refused something."""


class StackLocked(CloudError):
    """Another engine works on the same stack."""

    exit_code = 6


class NotLetThrough(CloudError):
    """A policy of a person's own forbids what is planned, or what it would take is another environment's."""


@dataclass(frozen=True)
class Said:
    """One thing that failed.

    Attributes:
        urn: Of the resource; empty where the engine names none.
        message: The engine's words.
    """

    urn: str
    message: str


CREDENTIALS: Final = (
    "AWS does not know these credentials",
    "name good ones in AWS_PROFILE, or in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; "
    "`aws sts get-caller-identity` shows whose they are; a region that the account has not enabled says the same: "
    "`aws account enable-region --region-name REGION`",
)

QUOTA: Final = (
    "the account's quota is used up",
    "ask for more in AWS's Service Quotas, for this region, then run this again; what was made stays",
)

OVERLAP: Final = (
    "the address range is taken or too small",
    "choose another `network.cidr` for this datacenter, or free the range",
)

TAKEN: Final = (
    "something of this name is there already, and this stack did not make it",
    "delete it if it is nobody's, or rename the environment; an interrupted run's own is adopted by itself",
)

CLOUD: Final = "log in with `pulumi login`, or put a token into PULUMI_ACCESS_TOKEN; or keep the state elsewhere (`aws.backend`)"
"""What to do where Pulumi Cloud does not let anybody in."""

MEANINGS: Final[tuple[tuple[str, str, str], ...]] = (
    (r"PULUMI_ACCESS_TOKEN must be set", "Pulumi Cloud, which keeps the state, wants a token", CLOUD),
    (r"invalid access token|No credentials provided or are invalid|401.*(Unauthorized|token)", "Pulumi Cloud does not know this token", CLOUD),
    (r"this command requires logging in", "Pulumi Cloud does not know who asks", CLOUD),
    (r"\[403\] .*update token", "somebody ended this run in Pulumi Cloud meanwhile, with `kdeploy unlock` or `pulumi cancel`", "run this again; it goes on, and finds what was made since"),
    (r"\[403\]", "Pulumi Cloud keeps this from whoever the token is of", "correct `aws.organization`, or have the organization let them in"),
    (r'performing HTTP request: \w+ "https?://\S+/api/', "the service that keeps the state cannot be reached from here", "look at the network, and at `aws.backend`, then run this again"),
    (r"(listing|list|read|open|could not).*NoSuchBucket", "the bucket that keeps the state is not there", "make it, with versions (`aws s3api create-bucket`), or correct `aws.backend`"),
    (r"secrets manager|secrets \(code=", "the key of the state's secrets cannot be used", "correct `aws.secrets_provider`, and let these credentials encrypt and decrypt with that key"),
    (r"OptInRequired|region .* is not enabled", "this region is not enabled for the account", "enable it: `aws account enable-region --region-name REGION`, or choose another `region`"),
    (r"ExpiredToken|RequestExpired|token (is|has) expired", "the credentials have ended", "log in again, with `aws sso login` for example"),
    (r"account ID not allowed|AccountNotAllowed|forbidden account", "these credentials are of another account than `aws.account` says", "use that account's credentials, or correct `aws.account`"),
    (r"InvalidClientTokenId|UnrecognizedClient|AuthFailure|SignatureDoesNotMatch|InvalidAccessKeyId|no valid credential|No valid credential|Unable to locate credentials|NoCredentialProviders|failed to refresh cached credentials", *CREDENTIALS),
    (r"UnauthorizedOperation|AccessDenied|not authorized to perform", "these credentials lack a right", "give them the rights that docs/aws.md lists"),
    (r"RequestLimitExceeded|Throttl|SlowDown", "AWS asks for fewer questions", "run this again in a minute; it goes on"),
    (r"VcpuLimitExceeded|InstanceLimitExceeded|VolumeLimitExceeded|AddressLimitExceeded|VpcLimitExceeded|MaxIOPSLimitExceeded|LimitExceeded|QuotaExceeded|TooMany(LoadBalancers|TargetGroups|Targets|Listeners)", *QUOTA),
    (r"InsufficientInstanceCapacity|InsufficientHostCapacity", "AWS has no such machine free in this zone right now", "run this again later, or choose another `instance_type`"),
    (r"\bUnsupported\b|InvalidInstanceType|instance type .* not (supported|offered)", "this instance type is not offered in this zone", "choose another `instance_type`, or other `racks`"),
    (r"InvalidSubnet\.Conflict|InvalidSubnet\.Range|InvalidVpc\.Range|overlap|InvalidVpcPeeringConnection.*CIDR", *OVERLAP),
    (r"InsufficientFreeAddressesInSubnet|does not fall within the subnet|reserved address range", "the subnet has no room for this address", "choose a larger `network.cidr`, or subnets of yours with more free addresses"),
    (r"availabilityZone is invalid|InvalidZone|[Aa]vailability [Zz]one.* (is invalid|does not exist)", "the region has no such zone for this account", "correct `racks`: `aws ec2 describe-availability-zones --region REGION` lists them"),
    (r"InvalidIPAddress\.InUse|PrivateIpAddress.*(in use|already)", "a fixed address is taken by something else", "free it: `aws ec2 describe-network-interfaces` shows who has it"),
    (r"NoSuchHostedZone", "there is no such hosted zone in this account", "correct `network.load_balancer.zone`, or leave it out and make the name yourself"),
    (r"EntityAlreadyExists|Duplicate(LoadBalancerName|TargetGroupName|Listener)|BucketAlreadyExists|BucketAlreadyOwnedByYou|\.Duplicate|ConflictingDomainExists|AlreadyExists|already exists", *TAKEN),
    (r"InvalidAMIID", "there is no such image in this region", "correct `machine.images`, or leave it out"),
    (r"InvalidVpcID\.NotFound|InvalidSubnetID\.NotFound", "there is no such network in this region", "correct `network.vpc` and `network.subnets`"),
    (r"KMSKeyNotAccessible|KMS.*(NotFound|Disabled)|InvalidKmsKey", "the KMS key cannot be used", "correct `machine.kms_key`, and let these credentials use it"),
    (r"VolumeInUse|NetworkInterface.*InUse|InvalidVolume.*in use|InvalidNetworkInterface\.InUse", "it is still attached to another machine", "detach it, or end that machine, then run this again"),
    (r"VolumeModification|IncorrectModificationState|six hours|6 hours", "AWS lets a volume be changed once in six hours", "run this again when those are over"),
    (r"could not connect|Could not connect|no such host|connection refused|dial tcp|EndpointConnectionError|deadline exceeded", "AWS cannot be reached from here", "look at the network, and at AWS_ENDPOINT_URL if it is set, then run this again"),
    (r"incorrect passphrase", "the state was made with another passphrase than the vault's", "use the vault that belongs to this state: both come from the same environment"),
    (r"cannot be deleted|protected resource|is protected", "it holds data and is protected", "to give up all data: `kdeploy down ENV --delete-data`"),
    (r"no (analyzer|language) plugin '\S+'", "the language that a policy pack is written in cannot be run here", "install the whole Pulumi CLI, which brings `pulumi-language-python` and its like, beside `pulumi` on PATH; the pack's PulumiPolicy.yaml names its runtime"),
    (r"policy pack's dependencies|No module named|Cannot find module|SDK has not been installed", "a policy pack's libraries are missing", "install them where its PulumiPolicy.yaml says: `pip install -r requirements.txt` in its virtual environment, or `npm install` in its folder"),
    (r"policy pack \S+ failed to start|failed to load Pulumi policy project|policy pack not (found|started)", "a policy pack does not start", "look at the pack: its PulumiPolicy.yaml, and its program"),
    (r"failed to run policy", "a policy of a policy pack fails", "correct the pack's program"),
    (r"no resource plugin|could not load plugin|plugin .* not found|failed to (load|install) plugin", "Pulumi's provider for AWS is not there", "let the CLI fetch it: `pulumi plugin install resource aws`"),
)  # fmt: skip
"""What a word in the message means, and what to do. Codes: Amazon EC2 API Reference, "Error codes for the Amazon
EC2 API", and IAM's and S3's references (read 2026-11). The first row that fits counts."""

AWS: Final = "AWS did not do all of it:"

SHOWN: Final = 8
"""Failures that a message lists: hundreds fail for the same reason."""

LONGEST: Final = 300
"""Characters of AWS's own words that are shown."""


def explained(said: Sequence[Said], environment: str, verb: str = "up", head: str = AWS) -> CloudError:
    """One error of everything that failed.

    Args:
        said: At least one.
        environment: Name of the environment, for remedies that name a command.
        verb: The command to run again.
        head: The message's first line.
    """
    lines, remedies = list[str](), dict[str, None]()
    for one in _distinct(said)[:SHOWN]:
        meaning, remedy = _meaning(one.message)
        where = resource_name(one.urn)
        words = _words(one.message)
        lines.append(f"- {where}: {meaning} ({words})" if meaning else f"- {where}: {words}")
        if remedy:
            remedies[remedy.replace("ENV", environment)] = None
    more = len(_distinct(said)) - SHOWN
    lines += [f"- and {more} more"] if more > 0 else []
    ends = list(remedies) or [f"mend what that says, then `kdeploy {verb} {environment}` goes on"]
    return CloudError(f"{head}\n" + "\n".join(f"  {one}" for one in [*lines, *ends]))


def _distinct(said: Sequence[Said]) -> list[Said]:
    """Without what the engine says about others' failures."""
    known = dict.fromkeys(one for one in said if not is_echo(one.message))
    return list(known) or list(said)[:1]


def is_echo(message: str) -> bool:
    """Whether the engine only says that something failed of which it has told already."""
    return re.search(ECHOES, message) is not None


ECHOES: Final = r"^(update failed|preview failed|resource .* failed|\d+ errors? occurred:?|error: )\s*$"
"""What the engine adds when something failed already."""


def _meaning(message: str) -> tuple[str, str]:
    for pattern, meaning, remedy in MEANINGS:
        if re.search(pattern, message):
            return meaning, remedy
    return "", ""


def _words(message: str) -> str:
    """AWS's own words: behind its code, without request ids, Go's file names and the provider's signature."""
    text = " ".join(message.split())
    for pattern in (
        r"api error ([\w.]+: .*)",
        r"(no (?:analyzer|language) plugin '[^']+' found.*)",
        r"An error occurred \(([\w.]+)\) when calling .* operation.*?: (.*)",
    ):
        found = re.search(pattern, text)
        if found:
            text = ": ".join(found.groups())
    text = re.sub(r":? ?provider=aws@[\w.]+", "", text)
    text = re.sub(r"<\{%[^%]*%\}>", "", text).strip(" :")
    return text if len(text) <= LONGEST else text[:LONGEST] + "…"


def resource_name(urn: str) -> str:
    """A resource as a person knows it: `eu-west-1-broker-1 (Instance)`."""
    if "::" not in urn:
        return "the engine"
    kind, _, name = urn.rpartition("::")
    return f"{name} ({kind.rpartition(':')[2]})"
