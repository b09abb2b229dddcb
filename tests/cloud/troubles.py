"""What may go wrong at AWS, to be put in the way of a test: refusals by call, quotas, what is not offered.

Invariant: codes and messages are AWS's own where it documents them; README.md names those that
are this project's wording.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import asdict, dataclass, field
from typing import Any

from tests.cloud.calls import Call


@dataclass
class Trouble:
    """A refusal of calls that fit.

    Attributes:
        call: For example `ec2:RunInstances`; `ec2:*` for all of a service, `*` for all.
        code: AWS's error code.
        message: AWS's message.
        status: HTTP status.
        region: Where; everywhere when left out.
        holding: Parameters of the request that must have these values.
        after: How many fitting calls pass first.
        times: How many are refused then; all when left out.
    """

    call: str
    code: str
    message: str
    status: int = 400
    region: str | None = None
    holding: dict[str, str] = field(default_factory=dict)
    after: int = 0
    times: int | None = None

    def fits(self, call: Call) -> bool:
        service, _, action = self.call.partition(":")
        return (
            service in ("*", call.service)
            and action in ("", "*", call.action)
            and self.region in (None, call.region)
            and all(call.parameters.get(key) == value for key, value in self.holding.items())
        )

    def strikes(self, call: Call) -> bool:
        """Whether it refuses this call; counts the calls that fit."""
        if not self.fits(call):
            return False
        if self.after > 0:
            self.after -= 1
            return False
        if self.times is not None:
            self.times -= 1
            return self.times >= 0
        return True


@dataclass
class Settings:
    """What the account and its regions are like.

    Attributes:
        key: The access key that is let in.
        quotas: `vcpu` (running on-demand instances), `vpc`, `eip`; unlimited when left out.
        not_offered: Instance types by zone that are not offered there, beside what AWS's lists say.
        regions_off: Regions that the account has not opted in to.
        troubles: Refusals.
        slow: Seconds that pass before a call, by its name, is carried out.
    """

    key: str = ""
    quotas: dict[str, int] = field(default_factory=dict)
    not_offered: list[tuple[str, str]] = field(default_factory=list)
    regions_off: list[str] = field(default_factory=list)
    troubles: list[Trouble] = field(default_factory=list)
    slow: dict[str, float] = field(default_factory=dict)

    def refusal(self, call: Call) -> Trouble | None:
        """What refuses a call; None when nothing does."""
        if call.key != self.key or call.region in self.regions_off:
            return _unknown_key(call)
        return next((one for one in self.troubles if one.strikes(call)), None)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


SETTINGS = Settings()
"""Of this server."""


def configure(values: dict[str, Any]) -> None:
    """Set what `values` names, leave the rest."""
    for name, value in values.items():
        if name == "troubles":
            value = [Trouble(**one) for one in value]
        if name == "not_offered":
            value = [tuple(one) for one in value]
        setattr(SETTINGS, name, value)


def _unknown_key(call: Call) -> Trouble:
    """A key that AWS does not know; in a region that is not enabled every key is unknown."""
    if call.service == "ec2":
        return Trouble(
            "ec2:*", "AuthFailure", "AWS was not able to validate the provided access credentials", 401
        )
    return Trouble("*", "InvalidClientTokenId", "The security token included in the request is invalid.", 403)


def answer(trouble: Trouble, call: Call) -> tuple[str, list[tuple[str, str]], bytes]:
    """Status line, headers and body of a refusal, in the way that the service speaks."""
    request = str(uuid.uuid4())
    status = f"{trouble.status} Refused"
    if call.protocol in ("json", "cbor"):
        body = json.dumps({"__type": trouble.code, "message": trouble.message})
        headers = [("Content-Type", "application/x-amz-json-1.1"), ("x-amzn-RequestId", request)]
        return status, headers, body.encode()
    error = f"<Code>{trouble.code}</Code><Message>{trouble.message}</Message>"
    if call.protocol == "ec2":
        body = f"<Response><Errors><Error>{error}</Error></Errors><RequestID>{request}</RequestID></Response>"
    elif call.service == "s3":
        body = f"<Error>{error}<RequestId>{request}</RequestId></Error>"
    else:
        body = f"<ErrorResponse><Error><Type>Sender</Type>{error}</Error><RequestId>{request}</RequestId></ErrorResponse>"
    return status, [("Content-Type", "text/xml")], body.encode()
