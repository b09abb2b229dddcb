"""Every command's JSON is what docs/schemas/ says; those of a running cluster are held in the other tests too."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from kdeploy.blueprint import Node
from kdeploy.cli import kdeploy, replace, report
from kdeploy.cluster import Check, HealthReport
from kdeploy.infra import NodeState
from kdeploy.operations import prepare
from kdeploy.operations.difference import Action
from kdeploy.operations.replace import Replaced
from kdeploy.operations.status import ClusterStatus, Status
from kdeploy.operations.up import Outcome
from kdeploy.spec.load import load
from tests.contracts import hold
from tests.infra.nodes import node

SHIPPED = Path(__file__).parents[2] / "environments"
Run = Callable[..., dict[str, Any]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command and gives its document, held against its schema."""
    folder = tmp_path / "environments" / "dev"
    folder.mkdir(parents=True)
    (folder / "environment.yaml").write_text("users: [{name: alice}]\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KDEPLOY_STATE_DIR", str(tmp_path / "state"))

    def call(*arguments: str) -> dict[str, Any]:
        ended = CliRunner().invoke(kdeploy, [*arguments, "--output", "json"])
        document: dict[str, Any] = json.loads(ended.stdout)
        hold(document)
        return document

    return call


@pytest.mark.parametrize(
    "arguments",
    [
        ("plan", "--throughput", "200MB/s"),
        ("plan", "--throughput", "1MB/s..2MB/s", "--compare"),
        ("plan", "--throughput", "900GB/s"),
        ("plan", str(SHIPPED / "prod-eu")),
        ("plan", "--throughput", "200MB/s", "--explain", "cpu"),
        ("capacity", "--instance-type", "i3en.2xlarge", "--brokers", "3", "--fan-out", "1"),
        (
            "capacity",
            "--instance-type",
            "i3en.2xlarge",
            "--brokers",
            "3",
            "--utilisation",
            "100%",
            "--survive",
            "none",
        ),
        ("catalogue",),
        ("validate", str(SHIPPED / "local")),
        ("preview", "dev"),
        ("down", "dev"),
        ("unlock", "dev", "--yes"),
    ],
    ids=" ".join,
)
def test_a_command_that_needs_no_cluster_prints_what_is_published(
    run: Run, arguments: tuple[str, ...]
) -> None:
    assert run(*arguments)["schema"].startswith(
        f"kdeploy.{'explain' if '--explain' in arguments else arguments[0]}/"
    )


def test_problems_and_risks_are_in_the_schema_of_validate(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "environments" / "dev" / "environment.yaml"
    file.write_text("security: {client_listener: PLAINTEXT}\n")
    assert run("validate", "dev")["environments"][0]["risks"]
    file.write_text("no_such_key: 1\n")
    with suppress(json.JSONDecodeError):
        assert run("validate", "dev")["environments"][0]["problems"]


def test_what_is_handed_out_and_what_a_vault_lists_is_as_published(run: Run) -> None:
    prepare.save_lock(prepare.design(load(Path("environments/dev")), freeze=True))
    CliRunner().invoke(kdeploy, ["vault", "create", "dev"])
    assert len(run("clients", "dev")["clients"]) == 2
    assert run("vault", "show", "dev")["passwords"] == ["user/alice"]


def _outcome(one: Node, **more: Any) -> Outcome:
    checks = HealthReport("dc1", (Check("brokers", True, "3 of 3"),))
    return Outcome("dc1", "localhost:1", (Action(one, "restart", "changed"),), (), checks, **more)


def test_what_operations_on_a_cluster_print_is_as_published() -> None:
    one = node()
    plain, rich = _outcome(one), _outcome(one, clients=Path("c"), left=("broker-2",), without=("broker-3",))
    state = NodeState(True, True, None, None, "process 1")
    status = ClusterStatus("dc1", (Action(one, "none", ""),), {one.key: state}, plain.report.checks)
    replaced = Replaced("broker-1", "10.0.0.1", "10.0.0.2", "vouched", (plain,))
    documents = (
        report.outcomes_json("dev", (plain, rich)),
        report.status_json(Status("dev", (status,))),
        report.verify_json("dev", (plain.report,)),
        report.down_json("dev", ("broker-1",), True),
        replace._json("dev", replaced),
        {"schema": "kdeploy.restart/v1", "environment": "dev", "restarted": ["broker-1"]},
    )
    for document in documents:
        hold(json.loads(json.dumps(document)))


def test_a_document_with_a_field_too_many_or_too_few_is_found() -> None:
    document = report.down_json("dev", (), True)
    for wrong in ({**document, "more": 1}, {key: one for key, one in document.items() if key != "data"}):
        with pytest.raises(AssertionError, match=r"kdeploy\.down/v1"):
            hold(wrong)
