"""`init`, `validate` and `schema`, as a person or a pipeline runs them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from kdeploy import cli
from kdeploy.spec import schema
from kdeploy.spec.files import BESIDE, Kind

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Run kdeploy in an empty folder: exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)

    def kdeploy(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["kdeploy", *words])
        with pytest.raises(SystemExit) as left:
            cli.main()
        shown = capsys.readouterr()
        code = left.value.code
        assert isinstance(code, int | None)
        return code or 0, shown.out, shown.err

    return kdeploy


def write(name: str, text: str) -> None:
    folder = Path("environments") / name
    folder.mkdir(parents=True)
    (folder / "environment.yaml").write_text(text)


def test_a_newcomer_makes_checks_and_has_an_environment_of_their_own(run: Run) -> None:
    code, out, err = run("init", "mine", "--from", "local")
    assert (code, err) == (0, "")
    assert "environments/mine/environment.yaml is a copy of local" in out
    assert "kdeploy validate mine" in out
    assert run("validate", "mine") == (0, "OK mine (environments/mine/environment.yaml)\n", "")


def test_init_starts_from_local_where_nothing_is_said(run: Run) -> None:
    run("init", "mine")
    assert "provider: local" in Path("environments/mine/environment.yaml").read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("init",), "Missing argument"),
        (("init", "Mine"), "cannot be an environment's name"),
        (("init", "mine", "--from", "lcal"), "did you mean `local`?"),
        (("init", "../mine"), "cannot be an environment's name"),
        (("validate", "nope"), "no environment called nope"),
        (("validate",), "there is no environment here"),
        (("validate", "local", "--output", "xml"), "'xml' is not one of"),
        (("schema", "local"), "'local' is not one of 'environment', 'topics'"),
    ],
)
def test_a_mistake_on_the_command_line_is_exit_code_2_and_one_message(
    run: Run, words: tuple[str, ...], message: str
) -> None:
    code, out, err = run(*words)
    assert (code, out) == (2, "")
    assert message in err
    assert "Traceback" not in err


def test_init_twice_changes_nothing(run: Run) -> None:
    run("init", "mine")
    before = Path("environments/mine/environment.yaml").read_text()
    code, _, err = run("init", "mine", "--from", "prod-eu")
    assert code == 2
    assert "exists already" in err
    assert Path("environments/mine/environment.yaml").read_text() == before


def test_the_shipped_environments_are_valid_without_a_checkout(run: Run) -> None:
    code, out, err = run("validate", "local", "local-kraft", "prod-eu")
    assert (code, err) == (0, "")
    assert [line.split()[:2] for line in out.splitlines()] == [
        ["OK", "local"],
        ["OK", "local-kraft"],
        ["OK", "prod-eu"],
    ]


def test_without_a_name_it_validates_every_environment_here(run: Run) -> None:
    write("one", "kafka: {}\n")
    write("two", "workload: {fan_out: -1}\n")
    write("three", "nope: 1\n")
    code, out, err = run("validate")
    assert code == 2
    assert out == "OK one (environments/one/environment.yaml)\n"
    assert err == (
        "kdeploy: environments/three/environment.yaml:1: nope: there is no setting called 'nope' here\n"
        "  known: accept_risks, acls, aws, datacenters, durability, kafka, mirroring, moving, name, overrides, planner, "
        "policies, quotas, security, topics, users, workload\n"
        "environments/two/environment.yaml:1: workload.fan_out: -1 is too small\n"
        "  write 0 or more\n"
    )


def test_a_risk_is_a_warning_with_its_line_and_how_to_silence_it(run: Run) -> None:
    write("one", "durability:\n  min_insync_replicas: 1\n")
    code, out, err = run("validate", "one")
    assert (code, out) == (0, "OK one (environments/one/environment.yaml)\n")
    assert err.startswith(
        "warning: environments/one/environment.yaml:2: durability.min_insync_replicas: with "
    )
    assert "(one-acknowledgement)\n  if it is meant, add one-acknowledgement to accept_risks\n" in err


def test_an_environment_that_no_plan_fits_is_valid_and_warned_of(run: Run) -> None:
    place = "{provider: aws, region: eu-west-1, brokers: {count: 3, instance_type: m7g.large}}"
    write("one", f"workload: {{throughput: 100GB/s}}\ndatacenters: [{place}]\n")
    code, out, err = run("validate", "one")
    assert (code, out) == (0, "OK one (environments/one/environment.yaml)\n")
    assert "no plan fits it\n  `kdeploy plan one` says why" in err


def test_json_holds_all_of_it_for_machines(run: Run) -> None:
    write("bad", "workload:\n  throughput: 3\n")
    write("good", "durability: {min_insync_replicas: 1}\n")
    code, out, _ = run("validate", "bad", "good", "--output", "json")
    assert code == 2
    document = json.loads(out)
    assert document["schema"] == "kdeploy.validate/v1"
    assert document["valid"] is False
    bad, good = document["environments"]
    assert bad == {
        "name": "bad",
        "file": "environments/bad/environment.yaml",
        "valid": False,
        "fits": None,
        "risks": [],
        "problems": [
            {
                "file": "environments/bad/environment.yaml",
                "line": 2,
                "path": "workload.throughput",
                "wrong": "3 has no unit",
                "right": "write the rate with its unit, for example 3MB/s",
            }
        ],
    }
    assert (good["valid"], good["fits"], good["problems"]) == (True, True, [])
    assert [(one["name"], one["line"], one["path"]) for one in good["risks"]] == [
        ("one-acknowledgement", 1, "durability.min_insync_replicas")
    ]


def test_a_damaged_lock_beside_an_environment_is_found(run: Run) -> None:
    write("one", "kafka: {}\n")
    Path("environments/one/lock.yaml").write_text("schema: kdeploy.lock/v1\n")
    code, _, err = run("validate", "one")
    assert code == 2
    assert "environments/one/lock.yaml" in err
    assert "the lock is damaged" in err


def test_validate_writes_nothing(run: Run) -> None:
    write("one", "kafka: {}\n")
    run("validate", "one", "prod-eu", "--output", "json")
    assert sorted(str(path) for path in Path().rglob("*")) == [
        "environments",
        "environments/one",
        "environments/one/environment.yaml",
    ]


def test_validate_names_the_file_of_each_problem_and_risk(run: Run) -> None:
    write("good", "kafka: {}\n")
    Path("environments/good/users.yaml").write_text("users:\n  - name: shop\n")
    Path("environments/good/acls.yaml").write_text("acls:\n  - {user: shop, role: producer, topics: ['*']}\n")
    write("bad", "kafka: {}\n")
    Path("environments/bad/topics.yaml").write_text("defaults: {partitions: 0}\ntopics: [{name: a}]\n")
    code, out, err = run("validate", "good", "bad")
    assert (code, out) == (2, "OK good (environments/good/environment.yaml)\n")
    assert err == (
        "warning: environments/good/acls.yaml:2: acls[0].topics[0]: who may write every topic may also write those "
        "that Kafka keeps for itself, consumers' offsets among them (writes-everything)\n"
        "  if it is meant, add writes-everything to accept_risks\n"
        "kdeploy: environments/bad/topics.yaml:1: defaults.partitions: 0 is too small\n"
        "  write 1 or more\n"
    )
    _, out, _ = run("validate", "good", "--output", "json")
    (risk,) = json.loads(out)["environments"][0]["risks"]
    assert (risk["file"], risk["line"], risk["path"]) == (
        "environments/good/acls.yaml",
        2,
        "acls[0].topics[0]",
    )


def test_init_copies_the_files_beside_environment_yaml(run: Run) -> None:
    assert run("init", "mine", "--from", "prod-eu")[0] == 0
    assert {path.name for path in Path("environments/mine").iterdir()} == {
        "environment.yaml",
        *(f"{kind}.yaml" for kind in BESIDE),
    }
    assert run("validate", "mine")[0] == 0


@pytest.mark.parametrize("kind", BESIDE)
def test_schema_prints_that_of_each_file(run: Run, kind: Kind) -> None:
    code, out, err = run("schema", kind)
    assert (code, err) == (0, "")
    assert json.loads(out) == schema.document(kind)


def test_schema_prints_the_published_schema(run: Run) -> None:
    code, out, err = run("schema")
    assert (code, err) == (0, "")
    assert json.loads(out) == schema.document()


def test_every_setting_that_is_wrong_is_named_at_once(run: Run) -> None:
    write(
        "bad",
        "overrides:\n  broker:\n    num.io.thread: 8\n    broker.id: 7\n  jvm:\n    broker: ['-cp']\n"
        "  kernel:\n    swappiness: 1\n",
    )
    Path("environments/bad/topics.yaml").write_text(
        "defaults:\n  config:\n    retention: 1\n"
        "topics:\n  - name: a\n    config: {segment.ms: soon}\n  - name: b\n    config: {cleanup: x}\n"
    )
    code, out, err = run("validate", "bad")
    assert (code, out) == (2, "")
    said = [line.removeprefix("kdeploy: ").split(": ") for line in err.splitlines() if "yaml:" in line]
    assert [tuple(one[:2]) for one in said] == [
        ("environments/bad/environment.yaml:3", "overrides.broker.num.io.thread"),
        ("environments/bad/environment.yaml:4", "overrides.broker.broker.id"),
        ("environments/bad/environment.yaml:6", "overrides.jvm.broker[0]"),
        ("environments/bad/environment.yaml:8", "overrides.kernel.swappiness"),
        ("environments/bad/topics.yaml:3", "defaults.config.retention"),
        ("environments/bad/topics.yaml:6", "topics[0].config.segment.ms"),
        ("environments/bad/topics.yaml:8", "topics[1].config.cleanup"),
    ], "what a default says wrong is one problem, however many topics take it over"


def test_a_pattern_that_no_topic_matches_is_warned_of_at_its_place_in_its_own_file(run: Run) -> None:
    write("idle", "kafka: {}\n")
    file = Path("environments/idle/topics.yaml")
    file.write_text(
        "patterns:\n  - {match: 'pay*', partitions: 3}\n  - {match: 'order?', partitions: 3}\ntopics:\n  - name: orders\n"
    )
    code, _, err = run("validate", "idle")
    assert (code, err) == (
        0,
        "warning: environments/idle/topics.yaml:2: patterns[0].match: no topic of this file matches it, "
        "so it says nothing of any (idle-pattern)\n  if it is meant, add idle-pattern to accept_risks\n",
    )
    Path("environments/idle/environment.yaml").write_text("accept_risks: [idle-pattern]\n")
    assert run("validate", "idle")[::2] == (0, "")


def test_a_rate_to_move_copies_at_is_read_as_files_have_it(run: Run) -> None:
    write("good", "kafka: {}\n")
    for command in ("apply", "up"):
        code, _, err = run(command, "good", "--move-rate", "100")
        assert code == 2
        assert "'100' has no unit; write it like 200MB/s" in err
        assert run(command, "good", "--move-rate", "0MB/s")[0] == 2
