"""A region's types and prices from AWS itself, into the user's own catalogue.

Invariant: the file is replaced in one step and only when every answer was read; regions
that were not asked for stay as they are. A type that is left out has its reason there.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from kdeploy.errors import KdeployError
from kdeploy.planner import catalogue, describe, price_list
from kdeploy.planner.ebs import KINDS

PRICE_LIST_REGION: Final = "us-east-1"
"""Where the Price List API answers for every region (AWS Price List API, endpoints)."""

_PRICES: Final = {
    "size": "usd_per_gib_month",
    "iops": "usd_per_iops_month",
    "throughput": "usd_per_mib_s_month",
}
"""Prices by the words that say how sure they are."""


@dataclass(frozen=True)
class Refreshed:
    """What was written.

    Attributes:
        region: The region.
        date: Day of the prices.
        file: Where.
        types: How many types.
        left_out: How many are not in it, for each reason.
        volumes: By kind whether its prices are the region's own or derived.
    """

    region: str
    date: str
    file: Path
    types: int
    left_out: dict[str, int]
    volumes: dict[str, str]


def clients(region: str) -> tuple[Any, Any]:
    """Clients for EC2 in a region and for the Price List API, with the user's own credentials.

    Raises:
        ModuleNotFoundError: boto3 is not installed.
        KdeployError: The user's configuration of AWS cannot be used.
    """
    import boto3
    from botocore.exceptions import BotoCoreError

    try:
        session = boto3.Session()
        return session.client("ec2", region_name=region), session.client(
            "pricing", region_name=PRICE_LIST_REGION
        )
    except BotoCoreError as error:
        raise _refused("its configuration", error) from None


def refresh(region: str, ec2: Any, pricing: Any, file: Path, today: str) -> Refreshed:  # noqa: ANN401
    """Ask AWS for a region's types and prices, and write them.

    Args:
        region: The region.
        ec2: A client for EC2 in that region.
        pricing: A client for the Price List API.
        file: The user's own catalogue.
        today: The date, as YYYY-MM-DD.

    Raises:
        KdeployError: AWS refuses, cannot be reached or has no price; or the file cannot be written.
        InvalidEnvironment: The file is there and is not a catalogue.
    """
    before = catalogue.own_regions()
    answers = {one["InstanceType"]: one for one in _types(ec2, region)}
    prices = price_list.of_types(_products(pricing, region, price_list.INSTANCES))
    volumes = price_list.of_volumes(
        item for asked in price_list.VOLUMES for item in _products(pricing, region, asked)
    )
    entry = _entry(region, answers, prices, volumes, today)
    if not entry["shapes"]:
        raise KdeployError(
            f"AWS has no type with a price for {region}: nothing was written\n"
            f"  check the region; it answered with {len(answers)} types and {len(prices)} prices"
        )
    _write(file, {"schema": catalogue.OWN_SCHEMA, "regions": {**before, region: entry}})
    return Refreshed(
        region,
        today,
        file,
        len(entry["shapes"]),
        dict(sorted(Counter(entry["left_out"].values()).items())),
        {name: one["confidence"]["size"] for name, one in entry["volumes"].items()},
    )


def _entry(
    region: str,
    answers: dict[str, Any],
    prices: dict[str, float],
    volumes: dict[str, dict[str, Any]],
    today: str,
) -> dict[str, Any]:
    shapes, left_out = {}, {}
    for name in sorted(answers):
        reason = describe.exclusion(name, answers[name], prices)
        if reason:
            left_out[name] = reason
        else:
            shapes[name] = describe.row(name, answers[name], prices[name])
    return {
        "date": today,
        "sources": {
            "shapes": f"AWS DescribeInstanceTypes, {region}, {today}",
            "prices": f"AWS Price List API, on demand, Linux, {region}, {today}",
            "local_disks": "as in the catalogue that kdeploy ships",
        },
        "columns": list(describe.COLUMNS),
        "volumes": {kind: _volume(region, kind, volumes.get(kind, {})) for kind in KINDS},
        "shapes": shapes,
        "left_out": left_out,
    }


def _volume(region: str, kind: str, own: dict[str, Any]) -> dict[str, Any]:
    """A kind's prices: the region's own, or the shipped ones for what the answers do not hold."""
    shipped = catalogue.shipped_volumes(region)[kind]
    prices: dict[str, Any] = {
        "usd_per_gib_month": shipped.usd_per_gib,
        "usd_per_iops_month": [list(tier) for tier in shipped.usd_per_iops],
        "usd_per_mib_s_month": shipped.usd_per_mib_s,
    }
    confidence = {
        word: "quoted" if _PRICES.get(word) in own else "derived" if word in _PRICES else sure
        for word, sure in shipped.confidence.items()
    }
    return {**prices, **own, "confidence": confidence}


def _types(ec2: Any, region: str) -> Iterator[dict[str, Any]]:  # noqa: ANN401
    for page in _pages(ec2, "describe_instance_types", f"ec2:DescribeInstanceTypes in {region}"):
        yield from page["InstanceTypes"]


def _products(pricing: Any, region: str, asked: dict[str, str]) -> Iterator[str]:  # noqa: ANN401
    wanted = {"regionCode": region, **asked}
    filters = [{"Type": "TERM_MATCH", "Field": key, "Value": value} for key, value in wanted.items()]
    pages = _pages(pricing, "get_products", "pricing:GetProducts", ServiceCode="AmazonEC2", Filters=filters)
    for page in pages:
        yield from page["PriceList"]


def _pages(client: Any, operation: str, what: str, **asked: Any) -> Iterator[dict[str, Any]]:  # noqa: ANN401
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield from client.get_paginator(operation).paginate(**asked)
    except (BotoCoreError, ClientError) as error:
        raise _refused(what, error) from None


def _refused(what: str, error: Exception) -> KdeployError:
    said = " ".join(str(error).split())
    return KdeployError(
        f"AWS did not answer {what}: {said}\n"
        "  it takes credentials (AWS_PROFILE, or `aws configure`) that are allowed "
        "ec2:DescribeInstanceTypes and pricing:GetProducts; nothing was written"
    )


def _write(file: Path, document: dict[str, Any]) -> None:
    """Replace the file in one step, so that nobody ever reads half of it."""
    text = json.dumps(document, sort_keys=True)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)
        try:
            with os.fdopen(handle, "w") as new:
                new.write(text)
                new.flush()
                os.fsync(new.fileno())
            os.replace(temporary, file)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise KdeployError(
            f"{file} cannot be written: {error.strerror}\n"
            "  make its folder writable, or name another file in KDEPLOY_CATALOGUE"
        ) from None
