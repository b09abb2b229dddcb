"""Where environments are found, and what comes out of the shipped ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from kdeploy.errors import InvalidEnvironment, UsageError
from kdeploy.spec import load
from kdeploy.spec.model import Environment
from tests.shipped import SHIPPED


def make(folder: Path, text: str = "kafka: {}\n") -> Path:
    folder.mkdir(parents=True)
    (folder / "environment.yaml").write_text(text)
    return folder


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_name_is_looked_for_under_environments_first(here: Path) -> None:
    make(here / "environments" / "local")
    make(here / "local")
    assert load.find("local") == Path("environments/local")


def test_then_as_a_folder_here(here: Path) -> None:
    make(here / "local")
    assert load.find("local") == Path("local")


@pytest.mark.usefixtures("here")
def test_and_last_among_the_shipped_ones() -> None:
    assert load.find("local") == load.shipped_folder() / "local"


@pytest.mark.parametrize(
    "given", ["some/where", "./some/where", "some/where/", "some/where/environment.yaml"]
)
def test_a_path_is_a_path(here: Path, given: str) -> None:
    make(here / "some" / "where")
    assert load.find(given).resolve() == (here / "some" / "where").resolve()


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("lcoal", r"no environment called lcoal\n  did you mean `local`\?"),
        ("production", r"known: datacenter-kraft, datacenter-two-dc, datacenter-zk, dr-active-passive, "),
        ("some/where", r"there is no some/where/environment.yaml"),
        ("../local", r"there is no ../local/environment.yaml\n  did you mean `local`"),
        ("", r"needs a name"),
        (" ", r"needs a name"),
        ("a\0b", r"needs a name"),
        ("x" * 5000, r"no environment called x"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest_or_all(given: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        load.find(given)


def test_the_name_is_the_folder_s_where_the_file_has_none(here: Path) -> None:
    assert load.load(make(here / "orders-7")).environment.name == "orders-7"
    assert load.load(make(here / "other", "name: orders\n")).environment.name == "orders"


def test_two_neighbours_never_share_a_name_because_state_is_kept_by_it(here: Path) -> None:
    make(here / "one", "name: orders # ours\n")
    make(here / "orders")
    make(here / "two", 'name: "orders"\n')
    make(here / "three", "name: payments\n")
    for folder, other in (("one", "orders"), ("two", "one")):
        with pytest.raises(
            InvalidEnvironment, match=rf"environment.yaml:1: name: the environment in {other} is"
        ):
            load.load(here / folder)
    assert load.load(here / "orders").environment.name == "orders"
    assert load.load(here / "three").environment.name == "payments"


def test_a_folder_that_cannot_be_a_name_asks_for_one(here: Path) -> None:
    with pytest.raises(InvalidEnvironment, match="rename the folder Orders, or add `name:`"):
        load.load(make(here / "Orders"))


def test_problems_name_the_file_as_the_person_did(here: Path) -> None:
    make(here / "environments" / "x", "nope: 1\n")
    with pytest.raises(InvalidEnvironment, match=r"^environments/x/environment.yaml:1: nope"):
        load.load(load.find("x"))


def test_all_problems_are_said_at_once_in_the_order_of_lines(here: Path) -> None:
    text = "workload:\n  throughput: 3\n  retention: 4\nkafka:\n  version: 3.9\n"
    with pytest.raises(InvalidEnvironment) as caught:
        load.load(make(here / "x", text))
    assert [problem.line for problem in caught.value.problems] == [2, 3, 5]


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_environment_loads_under_its_name_and_survives_a_round_trip(name: str) -> None:
    environment = load.load(load.shipped_folder() / name).environment
    assert environment.name == name
    assert Environment.model_validate(environment.to_json()) == environment


def test_the_shipped_environments_are_what_the_documentation_says() -> None:
    shipped = {name: load.load(load.shipped_folder() / name).environment for name in SHIPPED}
    said = {
        name: (one.kafka.version.partition(".")[0], one.kafka.coordination, one.datacenters[0].provider)
        for name, one in shipped.items()
    }
    assert said == {
        "datacenter-kraft": ("4", "kraft", "hosts"),
        "datacenter-two-dc": ("4", "kraft", "hosts"),
        "datacenter-zk": ("3", "zookeeper", "hosts"),
        "dr-active-passive": ("3", "zookeeper", "aws"),
        "global-active-active": ("4", "kraft", "aws"),
        "local": ("3", "zookeeper", "local"),
        "local-kraft": ("4", "kraft", "local"),
        "local-three-dc-active": ("3", "zookeeper", "local"),
        "local-three-dc-passive": ("3", "zookeeper", "local"),
        "local-two-dc-active": ("3", "zookeeper", "local"),
        "local-two-dc-passive": ("4", "kraft", "local"),
        "prod-eu": ("3", "zookeeper", "aws"),
        "prod-us-kraft": ("4", "kraft", "aws"),
    }
    assert shipped["prod-eu"].datacenters[0].region == "eu-west-1"
    small = {name for name, one in shipped.items() if {len(place.racks) for place in one.datacenters} != {3}}
    assert small == {
        "local-three-dc-active",
        "local-three-dc-passive",
        "local-two-dc-active",
        "local-two-dc-passive",
    }
    modes = {name: one.mirroring.mode for name, one in shipped.items() if one.mirroring is not None}
    assert modes == {
        "datacenter-two-dc": "active-passive",
        "dr-active-passive": "active-passive",
        "global-active-active": "active-active",
        "local-three-dc-active": "active-active",
        "local-three-dc-passive": "active-passive",
        "local-two-dc-active": "active-active",
        "local-two-dc-passive": "active-passive",
    }
    regions = {name: tuple(place.region for place in one.datacenters) for name, one in shipped.items()}
    assert regions["prod-us-kraft"] == ("us-east-1",)
    assert regions["global-active-active"] == ("eu-west-1", "us-east-1")
    assert regions["dr-active-passive"] == ("eu-central-1", "eu-west-1")


def test_the_shipped_environments_are_all_that_stands_there() -> None:
    assert sorted(path.parent.name for path in load.shipped_folder().glob("*/environment.yaml")) == list(
        SHIPPED
    )


def test_the_package_carries_each_file_of_each_shipped_environment() -> None:
    import tomllib

    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    carried = project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    folder = Path(__file__).parents[2]
    there = [str(path.relative_to(folder)) for path in (folder / "environments").glob("*/*.yaml")]
    assert carried == {path: f"kdeploy/{path}" for path in there}


def test_an_environment_inside_the_package_is_known_as_such(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load, "_packaged", lambda: here / "package")
    shipped = load.load(make(here / "package" / "x"))
    own = load.load(make(here / "environments" / "x"))
    assert (shipped.shipped, own.shipped) == (True, False)


AWS = "datacenters: [{provider: aws, region: eu-west-1}]\naws:\n  policy_packs:\n    - %s\n"


@pytest.mark.parametrize("given", ["../packs/closed", "own"])
def test_a_policy_pack_is_a_folder_from_the_environments_own(here: Path, given: str) -> None:
    folder = make(here / "environments" / "mine", AWS % given)
    pack = folder / given
    pack.mkdir(parents=True)
    (pack / "PulumiPolicy.yaml").write_text("runtime: python\n")
    assert load.load(folder).environment.aws.policy_packs == (given,)


@pytest.mark.usefixtures("here")
def test_a_policy_pack_that_is_not_there_or_is_none_is_refused_with_its_line() -> None:
    folder = make(Path("environments/mine"), AWS % "../packs/closed")
    with pytest.raises(InvalidEnvironment) as caught:
        load.load(folder)
    (problem,) = caught.value.problems
    assert (problem.line, problem.path) == (4, "aws.policy_packs[0]")
    assert problem.wrong == "there is no folder environments/packs/closed"
    (folder.parent / "packs" / "closed").mkdir(parents=True)
    with pytest.raises(InvalidEnvironment, match=r"is no policy pack: it has no PulumiPolicy\.yaml"):
        load.load(folder)
