"""`kdeploy catalogue`: the EC2 types that the planner knows, and how to make them the user's own.

Invariant: listing reads files only; AWS is asked, and a file written, by `refresh` alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from kdeploy.cli.options import output_option, print_json
from kdeploy.cli.workload import ARCHITECTURES, DEFAULT_REGION, SIZE
from kdeploy.errors import UsageError

if TYPE_CHECKING:
    from kdeploy.operations.refresh import Refreshed

REFRESH_SCHEMA = "kdeploy.catalogue-refresh/v1"


@click.group(invoke_without_command=True)
@click.option("--region", default=DEFAULT_REGION, show_default=True, help="AWS region.")
@click.option("--family", help="Only this family, as m7g; also one of a former generation.")
@click.option("--architecture", type=ARCHITECTURES, help="Only these processors.")
@click.option("--local-disks", is_flag=True, help="Only types with disks of their own.")
@click.option("--min-vcpus", type=click.IntRange(min=0), default=0, help="Only with at least so many.")
@click.option("--min-memory", default="0B", **SIZE, help="Only with at least so much memory.")
@output_option
@click.pass_context
def catalogue(context: click.Context, /, region: str, output: str, **wanted: Any) -> None:  # noqa: ANN401
    """List the EC2 types that the planner knows, with prices.

    Every figure is one that the model uses: baselines, never bursts. A region that
    was refreshed is shown, and planned for, from your own catalogue.

    \b
    Example: kdeploy catalogue --region eu-west-1 --family i4i
    """
    if context.invoked_subcommand is not None:
        return
    from kdeploy.planner import listing
    from kdeploy.planner.catalogue import load, regions
    from kdeploy.spec.wording import did_you_mean
    from kdeploy.units import parse_bytes

    if region not in regions():
        raise UsageError(f"--region: there are no prices for {region}\n  {did_you_mean(region, regions())}")
    everything = load(region)
    if wanted["family"] is not None and wanted["family"] not in everything.families:
        right = did_you_mean(wanted["family"], set(everything.families))
        raise UsageError(f"--family: {region} has no family {wanted['family']}\n  {right}")
    wanted["min_memory"] = parse_bytes(wanted["min_memory"])
    shapes = listing.chosen(everything, **wanted)
    if not shapes.names:
        raise UsageError(f"no type in {region} is all of that\n  leave one of the flags out")
    if output == "json":
        print_json(listing.to_json(shapes))
    else:
        click.echo(listing.markdown(shapes) if output == "markdown" else listing.text(shapes))


@catalogue.command()
@click.option("--region", required=True, help="AWS region to ask about.")
@output_option
def refresh(region: str, output: str) -> None:
    """Write a region's types and prices, as AWS says them today, to your own catalogue.

    It asks ec2:DescribeInstanceTypes and the Price List API with your credentials, and
    needs the extra aws. The file is among your user's data; KDEPLOY_CATALOGUE names another.

    \b
    Example: kdeploy catalogue refresh --region eu-west-1
    """
    import datetime

    from kdeploy.operations import refresh as operation
    from kdeploy.planner.catalogue import own_file
    from kdeploy.spec.regions import AWS_REGIONS
    from kdeploy.spec.wording import did_you_mean

    if region not in AWS_REGIONS:
        raise UsageError(f"--region: {region} is not a region of AWS\n  {did_you_mean(region, AWS_REGIONS)}")
    ec2, pricing = operation.clients(region)
    click.echo(f"asking AWS for the types and prices of {region}", err=True)
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    found = operation.refresh(region, ec2, pricing, own_file(), today)
    if output == "json":
        print_json({"schema": REFRESH_SCHEMA, **_values(found)})
    else:
        click.echo(_sentences(found))


def _values(found: Refreshed) -> dict[str, Any]:
    return {**vars(found), "file": str(found.file)}


def _sentences(found: Refreshed) -> str:
    lines = [f"{found.types} types of {found.region} with prices of {found.date} are in {found.file}"]
    lines += [f"  left out: {count:4} {reason}" for reason, count in found.left_out.items()]
    derived = [kind for kind, word in found.volumes.items() if word != "quoted"]
    if derived:
        lines.append(f"  without a price of its own, so derived: {', '.join(derived)}")
    return "\n".join(lines)
