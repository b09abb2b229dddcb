"""`clients` hands out what connects, in private files."""

from __future__ import annotations

import json
import stat
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from kdeploy.cli import main
from kdeploy.operations import places, prepare
from kdeploy.spec.load import load

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    folder = tmp_path / "environments" / "dev"
    folder.mkdir(parents=True)
    (folder / "environment.yaml").write_text("users:\n  - name: alice\n  - name: admin\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KDEPLOY_STATE_DIR", str(tmp_path / "state"))

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["kdeploy", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        shown = capsys.readouterr()
        return int(ended.value.code or 0), shown.out, shown.err

    return call


@pytest.fixture
def ready(run: Run) -> Run:
    """As after `up`: decided, and with a vault."""
    prepare.save_lock(prepare.design(load(Path("environments/dev")), freeze=True))
    assert run("vault", "create", "dev")[0] == 0
    return run


def handed_out(root: Path) -> set[str]:
    return {str(file.parent.relative_to(root)) for file in root.rglob("client.properties")}


def test_everyone_and_the_administrator_get_a_folder_of_their_own(ready: Run, tmp_path: Path) -> None:
    code, out, _ = ready("clients", "dev")
    root = places.clients_folder("dev")
    assert code == 0
    assert handed_out(root) == {"users/alice", "users/admin", "admin"}
    assert str(root / "users" / "alice") in out


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--user", "alice"), {"users/alice"}),
        (("--user", "alice", "--user", "admin", "--user", "alice"), {"users/alice", "users/admin"}),
        (("--admin",), {"admin"}),
        (("--admin", "--user", "alice"), {"users/alice", "admin"}),
    ],
)
def test_only_those_who_are_named_are_handed_out(
    ready: Run, tmp_path: Path, arguments: tuple[str, ...], expected: set[str]
) -> None:
    assert ready("clients", "dev", "--to", "out", *arguments)[0] == 0
    assert handed_out(tmp_path / "out") == expected


def test_users_and_the_administrator_reach_their_own_listeners(ready: Run, tmp_path: Path) -> None:
    ready("clients", "dev", "--to", "out")
    user = json.loads((tmp_path / "out/users/alice/python.json").read_text())
    admin = json.loads((tmp_path / "out/admin/python.json").read_text())
    assert user["confluent-kafka"]["bootstrap.servers"] == "localhost:19010,localhost:19020,localhost:19030"
    assert admin["confluent-kafka"]["bootstrap.servers"] == "localhost:19012,localhost:19022,localhost:19032"


@pytest.mark.parametrize("form", ["pem", "pkcs12"])
@pytest.mark.parametrize("output", ["text", "json"])
def test_no_secret_is_printed_and_every_file_is_private(
    ready: Run, tmp_path: Path, form: str, output: str
) -> None:
    code, out, err = ready("clients", "dev", "--to", "out", "--format", form, "--output", output)
    assert code == 0
    files = [file for file in (tmp_path / "out").rglob("*") if file.is_file()]
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    for file in (tmp_path / "out").rglob("python.json"):
        password = json.loads(file.read_text())["confluent-kafka"].get("sasl.password")
        assert password is None or password not in out + err
    assert "PRIVATE KEY" not in out + err


def test_json_is_a_documented_contract(ready: Run, tmp_path: Path) -> None:
    document = json.loads(ready("clients", "dev", "--to", "out", "--output", "json")[1])
    assert (document["schema"], document["environment"]) == ("kdeploy.clients/v1", "dev")
    assert [(one["user"], one["administrator"]) for one in document["clients"]] == [
        ("alice", False),
        ("admin", False),
        (None, True),
    ]
    for one in document["clients"]:
        assert all((Path(one["folder"]) / name).is_file() for name in one["files"])


def test_a_user_who_is_not_declared_is_refused_with_those_who_are(ready: Run) -> None:
    code, _, err = ready("clients", "dev", "--user", "carol")
    assert code == 2
    assert "no user 'carol'" in err
    assert "alice, admin" in err


def test_before_up_there_is_nothing_to_hand_out(run: Run) -> None:
    code, out, err = run("clients", "dev")
    assert (code, out) == (1, "")
    assert "kdeploy up dev" in err
    assert not places.clients_folder("dev").exists()


OUTSIDE = """\
users: [{name: alice}, {name: bob}]
datacenters:
  - provider: aws
    region: eu-west-1
    brokers: {count: 3}
    network: {load_balancer: {name: kafka.example.com, sources: [198.51.100.0/24]}}
"""


@pytest.fixture
def balanced(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """An environment in AWS with a load balancer, decided and with a vault."""
    folder = tmp_path / "environments" / "out"
    folder.mkdir()
    (folder / "environment.yaml").write_text(OUTSIDE)
    monkeypatch.setenv("KDEPLOY_VAULT_PASSWORD", "a password for tests alone")
    assert run("plan", "out", "--lock")[0] == 0
    assert run("vault", "create", "out")[0] == 0
    return run


def test_clients_outside_are_handed_the_load_balancers_name_and_no_administrator_is(
    balanced: Run, tmp_path: Path
) -> None:
    code, out, _ = balanced("clients", "out", "--external", "--to", "to", "--output", "json")
    assert code == 0
    assert handed_out(tmp_path / "to") == {"external/users/alice", "external/users/bob"}
    said = [(one["user"], one["bootstrap"], one["external"]) for one in json.loads(out)["clients"]]
    assert said == [("alice", "kafka.example.com:9092", True), ("bob", "kafka.example.com:9092", True)]
    given = json.loads((tmp_path / "to/external/users/alice/python.json").read_text())["kafka-python"]
    assert given["bootstrap_servers"] == ["kafka.example.com:9092"]
    assert given["security_protocol"] == "SASL_SSL"
    assert balanced("clients", "out", "--user", "alice", "--to", "to")[0] == 0
    inside = json.loads((tmp_path / "to/users/alice/python.json").read_text())["kafka-python"]
    assert inside["bootstrap_servers"][0] == "broker-1.dc1.out.kdeploy.internal:9092"


def test_from_outside_nobody_is_the_administrator_and_without_a_load_balancer_nothing_is_reached(
    balanced: Run, ready: Run, tmp_path: Path
) -> None:
    code, _, err = balanced("clients", "out", "--external", "--admin", "--to", "to")
    assert code == 2
    assert "leads to the listener of users alone" in err
    code, _, err = ready("clients", "dev", "--external", "--to", "to")
    assert code == 2
    assert "nothing that clients outside the network of dc1 could connect to" in err
    assert handed_out(tmp_path / "to") == set()
