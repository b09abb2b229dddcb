"""What a kind of resource is for the provider: how it is made, read back, changed and deleted.

Invariant: everything a kind says about a resource is read from AWS, never remembered; that is
what lets a refresh see what was changed behind the engine's back.
"""

from __future__ import annotations

import functools
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final

Values = dict[str, Any]

ABSENT: Final = (None, "", [], {}, False)
"""What AWS answers for what nobody set."""

KINDS: Final[dict[str, Kind]] = {}


class Refused(Exception):
    """AWS said no; the text is what the real provider would show."""


class Aws:
    """Clients for one region, made when first used; making one costs more than most calls."""

    def __init__(
        self,
        region: str,
        tags: Mapping[str, str] | None = None,
        *,
        allowed: list[str] | None = None,
        **credentials: str | None,
    ) -> None:
        self.region = region
        self.default_tags = dict(tags or {})
        self.allowed = allowed
        self._credentials = credentials
        self._lock = threading.Lock()
        self._session: Any = None
        self._clients: dict[tuple[str, str], Any] = {}

    def client(self, service: str, region: str | None = None) -> Any:
        """A boto3 client."""
        import boto3
        from botocore.config import Config

        place = region or self.region
        with self._lock:
            if (service, place) not in self._clients:
                if self._session is None:
                    self._session = boto3.session.Session()
                self._clients[service, place] = self._session.client(
                    service,
                    region_name=place,
                    config=Config(
                        retries={"mode": "standard", "total_max_attempts": 3},
                        max_pool_connections=32,
                        read_timeout=600,
                    ),
                    **self._credentials,
                )
                self._clients[service, place].meta.events.register("after-call.*", _note_service)
            return self._clients[service, place]

    @functools.cache  # noqa: B019 — there is one for each process, and it lives as long
    def at(self, region: str) -> Aws:
        """The same in another region."""
        return Aws(region, self.default_tags, allowed=self.allowed, **self._credentials)

    @functools.cached_property
    def account(self) -> str:
        """The account's number."""
        return str(self.client("sts").get_caller_identity()["Account"])

    @property
    def ec2(self) -> Any:
        return self.client("ec2")

    @property
    def iam(self) -> Any:
        return self.client("iam")


def _note_service(parsed: Any, model: Any, **_: Any) -> None:
    """Keep with what AWS answered which service it was; an error tells only the operation."""
    parsed.setdefault("ResponseMetadata", {})["ServiceId"] = model.service_model.service_id


class Kind(ABC):
    """One type of resource.

    Attributes:
        type: Pulumi's token.
        noun: What the real provider calls it in errors.
        required: Inputs without which the real provider's schema refuses it.
        inputs: Further inputs, which an import is to write down.
        computed: Inputs that AWS chooses when they are left out: leaving one out again changes nothing.
        changes: Inputs that change in place; a change of any other replaces the resource.
        defaults: What an input is when it is left out.
        named: The input that gets a name made up from the logical name when it is left out.
        tagged: Whether it takes tags, and so the provider's default tags.
    """

    type: ClassVar[str]
    noun: ClassVar[str]
    required: ClassVar[tuple[str, ...]] = ()
    inputs: ClassVar[tuple[str, ...]] = ()
    computed: ClassVar[frozenset[str]] = frozenset()
    changes: ClassVar[frozenset[str]] = frozenset()
    defaults: ClassVar[Values] = {}
    named: ClassVar[str | None] = None
    tagged: ClassVar[bool] = True

    def __init_subclass__(cls) -> None:
        if "type" in cls.__dict__:
            KINDS[cls.type] = cls()

    def check(self, inputs: Values) -> list[tuple[str, str]]:
        """What is wrong with the inputs: property and reason. Inputs that are not known yet are left out."""
        return []

    @abstractmethod
    def create(self, aws: Aws, inputs: Values) -> str:
        """Make one, with what needs one call; returns its id."""

    def complete(self, aws: Aws, identity: str, inputs: Values) -> None:  # noqa: B027 - most kinds need no more
        """What is to be set after it exists; when it fails, it exists, and the engine is told so."""

    @abstractmethod
    def read(self, aws: Aws, identity: str, state: Values) -> Values | None:
        """All its properties as AWS has them; None when it is not there. `state` is empty for an import."""

    def update(self, aws: Aws, identity: str, old: Values, new: Values, changed: set[str]) -> None:
        """Change it in place; never asked of a kind without `changes`."""
        raise AssertionError(f"nothing of {self.type} changes in place")

    @abstractmethod
    def delete(self, aws: Aws, identity: str, state: Values) -> None:
        """Delete it; one that is gone already is fine."""


def gone_is_none(call: Callable[[], Any], *codes: str) -> Any:
    """What a call answers; None when AWS says that there is no such thing."""
    from botocore.exceptions import ClientError

    try:
        return call()
    except ClientError as error:
        if error.response["Error"]["Code"] in codes:
            return None
        raise


def tag_list(tags: Mapping[str, str] | None) -> list[dict[str, str]]:
    """Tags as most services take them."""
    return [{"Key": key, "Value": value} for key, value in (tags or {}).items()]


def tag_map(tags: list[dict[str, str]] | None) -> dict[str, str]:
    """Tags as Pulumi has them; Amazon's own are nobody's."""
    return {tag["Key"]: tag["Value"] for tag in tags or [] if not tag["Key"].startswith("aws:")}


def specification(resource: str, tags: Mapping[str, str] | None) -> dict[str, Any]:
    """The argument that tags an EC2 resource as it is made."""
    return {"TagSpecifications": [{"ResourceType": resource, "Tags": tag_list(tags)}]} if tags else {}


def retag(aws: Aws, identity: str, old: Values, new: Values) -> None:
    """Give an EC2 resource the tags it should have now."""
    before, after = old.get("tags") or {}, new.get("tags") or {}
    dropped = [{"Key": key} for key in before if key not in after]
    if dropped:
        aws.ec2.delete_tags(Resources=[identity], Tags=dropped)
    if after != before and after:
        aws.ec2.create_tags(Resources=[identity], Tags=tag_list(after))


def given(**arguments: Any) -> Values:
    """Arguments without those that nobody gave."""
    return {name: value for name, value in arguments.items() if value is not None}
