"""A refreshed catalogue holds what AWS answered, and is what is planned with from then on.

EC2 is moto's, in this process; the Price List API's answers are in price_list.json, in the shape of
real ones, and come through botocore's own client and paginator.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from kdeploy import planner
from kdeploy.cli import kdeploy
from kdeploy.errors import InvalidEnvironment, KdeployError
from kdeploy.operations import refresh as operation
from kdeploy.planner import catalogue, price_list
from tests.planner.workloads import aws

boto3 = pytest.importorskip("boto3")
moto = pytest.importorskip("moto")
stub = pytest.importorskip("botocore.stub")

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

RECORDED = json.loads(Path(__file__).with_name("price_list.json").read_text())
REGION = "eu-west-1"
TODAY = "2026-11-25"


SOME = (
    "i3en.2xlarge",
    "m5.large",
    "m7g.large",
    "m7g.xlarge",
    "r7g.xlarge",
    "m6g.large",
    "t3.large",
    "d3.xlarge",
)


class Recorded:
    """EC2 as far as it is asked: some of moto's types, in two pages."""

    def __init__(self) -> None:
        file = Path(moto.__file__).parent / "ec2" / "resources" / "instance_types.json.gz"
        answers = json.loads(gzip.decompress(file.read_bytes()))
        types = [answers[name] for name in SOME]
        self.pages = [{"InstanceTypes": types[:3]}, {"InstanceTypes": types[3:]}]

    def get_paginator(self, operation_name: str) -> Recorded:
        assert operation_name == "describe_instance_types"
        return self

    def paginate(self) -> list[dict[str, Any]]:
        return self.pages


@pytest.fixture
def ec2() -> Recorded:
    return Recorded()


@pytest.fixture
def pricing() -> Iterator[Any]:
    yield from priced()


def priced() -> Iterator[Any]:
    """The Price List API with what was recorded, page by page, and nothing else to be asked."""
    client = boto3.client(
        "pricing",
        region_name=operation.PRICE_LIST_REGION,
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
    )
    with stub.Stubber(client) as answers:
        for asked in (price_list.INSTANCES, *price_list.VOLUMES):
            token = None
            for page in RECORDED[asked["productFamily"]]:
                answers.add_response("get_products", page, expected(asked, token))
                token = page.get("NextToken")
        yield client
        answers.assert_no_pending_responses()


def expected(asked: dict[str, str], token: str | None) -> dict[str, Any]:
    wanted = {"regionCode": REGION, **asked}
    filters = [{"Type": "TERM_MATCH", "Field": key, "Value": value} for key, value in wanted.items()]
    more = {"NextToken": token} if token else {}
    return {"ServiceCode": "AmazonEC2", "Filters": filters, **more}


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "data" / "catalogue.json"
    monkeypatch.setenv("KDEPLOY_CATALOGUE", str(file))
    return file


def test_moto_s_ec2_is_read_whole(pricing: Any, own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one test that goes through botocore's own answers to DescribeInstanceTypes: it takes moto a while."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    for name in ("AWS_PROFILE", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.delenv(name, raising=False)
    with moto.mock_aws():
        client = boto3.client("ec2", region_name=REGION)
        found = operation.refresh(REGION, client, pricing, own, TODAY)
    assert catalogue.load(REGION).names == (
        "i3en.2xlarge",
        "m5.large",
        "m7g.large",
        "m7g.xlarge",
        "r7g.xlarge",
    )
    assert found.left_out["no published price"] > 500


def test_types_with_a_price_are_written_and_others_left_out_with_their_reason(
    ec2: Any, pricing: Any, own: Path
) -> None:
    found = operation.refresh(REGION, ec2, pricing, own, TODAY)
    shapes = catalogue.load(REGION)
    assert shapes.names == ("i3en.2xlarge", "m5.large", "m7g.large", "m7g.xlarge", "r7g.xlarge")
    assert found.types == 5
    assert shapes.usd_per_hour[shapes.names.index("m7g.xlarge")] == 0.1822
    left_out = json.loads(own.read_text())["regions"][REGION]["left_out"]
    assert left_out["m6g.large"] == "no published price"
    assert left_out["t3.large"].startswith("burstable")
    assert left_out["d3.xlarge"].startswith("local hard disks")
    assert sum(found.left_out.values()) == len(left_out)


def test_a_refreshed_region_is_exact_dated_and_the_user_s_own(ec2: Any, pricing: Any, own: Path) -> None:
    before = catalogue.load(REGION)
    operation.refresh(REGION, ec2, pricing, own, TODAY)
    after = catalogue.load(REGION)
    assert (before.exact, before.origin) == (False, catalogue.SHIPPED)
    assert (after.exact, after.origin, after.date) == (True, catalogue.OWN, TODAY)
    assert catalogue.load("us-east-1").origin == catalogue.SHIPPED


def test_figures_of_a_type_are_those_that_are_shipped(ec2: Any, pricing: Any, own: Path) -> None:
    before = catalogue.load(REGION)
    operation.refresh(REGION, ec2, pricing, own, TODAY)
    after = catalogue.load(REGION)
    for name in after.names:
        for column in ("vcpus", "compute", "memory", "network", "ebs_throughput", "ebs_iops", "nvme_write"):
            new = vars(after)[column][after.names.index(name)]
            assert new == vars(before)[column][before.names.index(name)], (name, column)


def test_volumes_cost_what_the_region_says_and_the_rest_is_derived(ec2: Any, pricing: Any, own: Path) -> None:
    found = operation.refresh(REGION, ec2, pricing, own, TODAY)
    volumes = catalogue.load(REGION).volumes
    gp3, io2 = volumes["gp3"], volumes["io2"]
    assert (gp3.usd_per_gib, gp3.usd_per_iops) == (0.088, ((3000, 0.0055),))
    assert gp3.usd_per_mib_s == pytest.approx(0.044)
    assert io2.usd_per_iops == ((0, 0.072), (32000, 0.0504), (64000, 0.03528))
    assert gp3.confidence["throughput"] == "quoted"
    assert gp3.most_throughput == catalogue.load("us-east-1").gp3.most_throughput
    assert found.volumes == {"gp3": "quoted", "gp2": "quoted", "io2": "quoted", "st1": "derived"}
    assert volumes["st1"].usd_per_gib == pytest.approx(0.045 * 1.115)


def test_a_plan_is_made_from_it_and_says_so(ec2: Any, pricing: Any, own: Path) -> None:
    operation.refresh(REGION, ec2, pricing, own, TODAY)
    environment = aws(region=REGION, workload={"throughput": "20MB/s", "retention": "1d"})
    plan = planner.plan(environment)
    cost = plan.datacenters[0].cost
    assert (cost.date, cost.exact, cost.catalogue) == (TODAY, True, catalogue.OWN)
    assert plan.datacenters[0].brokers.instance_type in catalogue.load(REGION).names
    assert planner.plan(environment) == plan


def test_other_regions_in_the_file_stay(ec2: Any, pricing: Any, own: Path) -> None:
    own.parent.mkdir()
    other = {"date": "2026-01-01", "kept": True}
    own.write_text(json.dumps({"schema": catalogue.OWN_SCHEMA, "regions": {"eu-west-3": other}}))
    operation.refresh(REGION, ec2, pricing, own, TODAY)
    assert json.loads(own.read_text())["regions"]["eu-west-3"] == other
    assert [file.name for file in own.parent.iterdir()] == [own.name]


def refused(service: str, operation_name: str, code: str) -> Any:
    client = boto3.client(service, region_name=REGION, aws_access_key_id="x", aws_secret_access_key="y")
    answers = stub.Stubber(client)
    answers.add_client_error(operation_name, code, "User: arn:aws:iam::1:user/me is not authorized", 403)
    answers.activate()
    return client


def test_without_permission_there_is_one_clear_message_and_no_file(ec2: Any, own: Path) -> None:
    with pytest.raises(KdeployError) as prices:
        operation.refresh(
            REGION, ec2, refused("pricing", "get_products", "AccessDeniedException"), own, TODAY
        )
    denied = refused("ec2", "describe_instance_types", "UnauthorizedOperation")
    with pytest.raises(KdeployError) as types:
        operation.refresh(REGION, denied, None, own, TODAY)
    assert "pricing:GetProducts" in str(prices.value)
    assert "ec2:DescribeInstanceTypes in eu-west-1" in str(types.value)
    for error in (prices, types):
        assert error.value.exit_code == 1
        assert "not authorized" in str(error.value)
        assert "AWS_PROFILE" in str(error.value)
    assert not own.exists()


def test_a_region_without_a_price_changes_nothing(ec2: Any, own: Path) -> None:
    client = boto3.client("pricing", region_name=REGION, aws_access_key_id="x", aws_secret_access_key="y")
    with stub.Stubber(client) as answers:
        for _ in (price_list.INSTANCES, *price_list.VOLUMES):
            answers.add_response("get_products", {"FormatVersion": "aws_v1", "PriceList": []})
        with pytest.raises(KdeployError, match="no type with a price for eu-west-1: nothing was written"):
            operation.refresh(REGION, ec2, client, own, TODAY)
    assert not own.exists()


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("not json", "cannot be read"),
        ('{"schema": "kdeploy.other/v1"}', "schema is not kdeploy.own-catalogue/v1"),
        ('{"schema": "kdeploy.own-catalogue/v1"}', "no regions"),
        ('{"schema": "kdeploy.own-catalogue/v1", "regions": {"eu-west-1": {}}}', "does not hold"),
        ('{"schema": "kdeploy.own-catalogue/v1", "regions": {"eu-west-1": 3}}', "does not hold"),
        ("[]", "schema is not"),
    ],
)
def test_a_file_that_is_no_catalogue_is_refused_by_its_name(own: Path, text: str, wrong: str) -> None:
    own.parent.mkdir()
    own.write_text(text)
    with pytest.raises(InvalidEnvironment) as error:
        catalogue.load(REGION)
    assert wrong in str(error.value)
    assert str(own) in str(error.value)
    assert "kdeploy catalogue refresh --region" in str(error.value)


def run(*words: str) -> Result:
    return CliRunner().invoke(kdeploy, ["catalogue", *words])


def test_the_command_says_what_it_wrote(
    ec2: Any, pricing: Any, own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operation, "clients", lambda _region: (ec2, pricing))
    result = run("refresh", "--region", REGION)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith(f"5 types of {REGION} with prices of ")
    assert "no published price" in result.stdout
    assert "derived: st1" in result.stdout
    assert "asking AWS" in result.stderr
    listed = json.loads(run("--region", REGION, "--family", "m7g", "--output", "json").stdout)
    assert (listed["exact"], listed["catalogue"], len(listed["types"])) == (True, catalogue.OWN, 2)


def test_without_boto3_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, own: Path) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "boto3", None)
    with pytest.raises(ModuleNotFoundError) as error:
        run_in_full("refresh", "--region", REGION)
    from kdeploy.cli import EXTRAS

    assert EXTRAS[str(error.value.name)] == "aws"


def run_in_full(*words: str) -> None:
    result = run(*words)
    assert result.exception is not None
    raise result.exception
