"""A copy of an environment is valid, stands beside the original, and overwrites nothing."""

from __future__ import annotations

import errno
import json
import re
import shutil
from pathlib import Path

import pytest

from kdeploy.errors import KdeployError, UsageError
from kdeploy.spec import schema
from kdeploy.spec.copy import adapted, copy
from kdeploy.spec.files import BESIDE
from kdeploy.spec.load import Loaded, available, files, find, load
from kdeploy.spec.ports import HIGHEST, MOST_LOCAL_NODES, OFFSETS, local_ports
from tests.shipped import SHIPPED


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def ports_of(loaded: Loaded) -> set[int]:
    """Every port that the nodes of a local environment could ever get."""
    role = "zookeeper" if loaded.environment.kafka.coordination == "zookeeper" else "controller"
    return {
        port
        for datacenter in loaded.environment.datacenters
        for kind in ("broker", role, *(["mirror"] if loaded.environment.mirroring else []))
        for ordinal in range(1, MOST_LOCAL_NODES + 1)
        for port in local_ports(kind, datacenter.base_port, ordinal).values()  # type: ignore[arg-type]
    }


def origin_of(text: str) -> Loaded:
    folder = Path("origin")
    folder.mkdir()
    (folder / "environment.yaml").write_text(text)
    return load(folder)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_copy_says_what_the_original_says_but_its_name_and_ports(name: str) -> None:
    original = load(find(name))
    copied = load(copy("mine", original).parent)
    assert copied.environment.name == "mine"
    there = zip(original.environment.datacenters, copied.environment.datacenters, strict=True)
    datacenters = tuple(one.model_copy(update={"base_port": other.base_port}) for one, other in there)
    expected = original.environment.model_copy(update={"name": "mine", "datacenters": datacenters})
    assert copied.environment == expected


@pytest.mark.parametrize("name", SHIPPED)
def test_every_command_that_a_comment_names_is_about_the_copy(name: str) -> None:
    original = load(find(name))
    named = re.compile(r"`kdeploy ([^`]*)`")
    for file in files(original.folder):
        before = named.findall(file.read_text())
        after = named.findall((copy("mine", original).parent / file.name).read_text()) if before else []
        assert after == [re.sub(rf"\b{name}(?![\w-])", "mine", one) for one in before]
        shutil.rmtree("environments", ignore_errors=True)


def test_policy_packs_beside_the_environments_are_the_copys_too_and_those_inside_one_are_refused() -> None:
    aws = "datacenters: [{provider: aws, region: eu-west-1}]\naws: {policy_packs: [%s]}\n"
    for pack in (Path("environments/packs/closed"), Path("environments/theirs/own")):
        pack.mkdir(parents=True)
        (pack / "PulumiPolicy.yaml").write_text("runtime: python\n")
    file = Path("environments/theirs/environment.yaml")
    file.write_text(aws % "../packs/closed")
    assert load(copy("mine", load(file.parent)).parent).environment.aws.policy_packs == ("../packs/closed",)
    file.write_text(aws % "own")
    with pytest.raises(UsageError, match="has the policy pack own") as caught:
        copy("another", load(file.parent))
    assert "`../PACK`" in str(caught.value)
    assert not Path("environments/another").exists()


def test_comments_are_kept_and_follow() -> None:
    copied = copy("mine", load(find("local"))).read_text()
    original = (find("local") / "environment.yaml").read_text()
    assert copied.count("#") == original.count("#")
    assert "`kdeploy up mine`" in copied
    assert "`kdeploy up local`" not in copied
    assert "base_port: 20000        # clients connect to 20010, 20020, 20030" in copied


def test_ten_local_environments_share_no_port() -> None:
    for number in range(8):
        copy(f"mine-{number}", load(find("local" if number % 2 else "local-kraft")))
    taken: set[int] = set()
    for name in available():
        loaded = load(find(name))
        if (
            name == "local-three-dc-passive"
        ):  # of all ports below those that Linux lends, none are left for nine roles more
            assert ports_of(loaded) == ports_of(load(find("local-three-dc-active")))
        elif loaded.environment.datacenters[0].provider == "local":
            assert not taken & ports_of(loaded), name
            taken |= ports_of(loaded)
    assert len(available()) == 21


def test_both_datacenters_of_a_copy_have_ports_of_their_own() -> None:
    file = copy("mine", load(find("local-two-dc-passive")))
    copied = load(file.parent)
    assert [one.base_port for one in copied.environment.datacenters] == [33000, 35000]
    assert "base_port: 35000        # clients connect to 35010, 35020" in file.read_text()


def test_when_no_ports_are_left_it_says_so() -> None:
    with pytest.raises(UsageError, match="no ports are left"):
        adapted("mine", load(find("local")), [range(1024, 65536)])


def test_an_environment_that_does_not_load_stands_in_nobody_s_way() -> None:
    Path("environments/broken").mkdir(parents=True)
    Path("environments/broken/environment.yaml").write_text("- nope")
    assert load(copy("mine", load(find("local"))).parent).environment.name == "mine"


@pytest.mark.parametrize(
    "text",
    [
        "name: other\nworkload:\n  fan_out: 1\n",
        "workload:\n  fan_out: 1\n",
        "workload:\n  fan_out: 1\n# the end without a line end",
        "datacenters:\n  - name: east\n    racks: [a, b, c]\n",
        "datacenters:\n- racks: [a, b, c]\n  name: east\n",
        "datacenters:\n  - {name: east, base_port: 19000}\n",
        "datacenters: [{base_port: 19000}]\n",
    ],
)
def test_it_moves_the_ports_however_the_original_is_written(text: str) -> None:
    original = origin_of(text)
    copied = load(copy("mine", original).parent).environment
    assert copied.name == "mine"
    assert copied.datacenters[0].base_port == 20000
    restored = copied.datacenters[0].model_copy(update={"base_port": 19000})
    assert (restored,) == original.environment.datacenters


def test_where_it_cannot_be_sure_it_asks() -> None:
    with pytest.raises(UsageError, match="the copy needs `base_port: 20000`"):
        copy("mine", origin_of("datacenters: [{name: east}]\n"))
    assert not Path("environments/mine").exists()


@pytest.mark.parametrize("name", ["Mine", "", "my env", "../mine", "-mine", "7up", "x" * 41, "mine/two"])
def test_what_cannot_be_a_name_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="cannot be an environment's name"):
        copy(name, load(find("local")))
    assert not Path("environments").exists()


def test_nothing_is_overwritten() -> None:
    copy("mine", load(find("local")))
    before = Path("environments/mine/environment.yaml").read_bytes()
    with pytest.raises(UsageError, match="exists already, and nothing is overwritten"):
        copy("mine", load(find("prod-eu")))
    Path("environments/link").symlink_to("nowhere")
    with pytest.raises(UsageError, match="exists already"):
        copy("link", load(find("local")))
    assert Path("environments/mine/environment.yaml").read_bytes() == before


def test_an_init_that_was_killed_is_finished_by_the_same_command(monkeypatch: pytest.MonkeyPatch) -> None:
    class Killed(BaseException):
        pass

    def die(*_: object, **__: object) -> None:
        raise Killed

    before = available()
    for moment in ("write_text", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(Path, moment, die)
            with pytest.raises(Killed):
                copy("mine", load(find("prod-eu")))
        assert available() == before
    made = copy("mine", load(find("prod-eu"))).parent
    assert sorted(made.iterdir()) == sorted(files(made))


def test_a_copy_has_the_files_beside_the_original_with_their_comments_and_schemas() -> None:
    folder = copy("mine", load(find("prod-eu"))).parent
    assert [file.name for file in files(folder)] == [
        "environment.yaml",
        *(f"{kind}.yaml" for kind in BESIDE),
    ]
    for kind in BESIDE:
        text = (folder / f"{kind}.yaml").read_text()
        where = text.splitlines()[0].partition("=")[2]
        assert json.loads((folder / where).read_text()) == schema.document(kind)
        assert text.count("\n") == (find("prod-eu") / f"{kind}.yaml").read_text().count("\n")
    assert "`kdeploy validate mine`" in (folder / "topics.yaml").read_text()


def test_a_folder_with_somebody_s_topics_is_taken() -> None:
    Path("environments/mine").mkdir(parents=True)
    Path("environments/mine/topics.yaml").write_text("topics: []\n")
    with pytest.raises(UsageError, match="exists already, and nothing is overwritten"):
        copy("mine", load(find("prod-eu")))
    assert Path("environments/mine/topics.yaml").read_text() == "topics: []\n"


def test_a_copy_that_cannot_be_written_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", full)
        with pytest.raises(KdeployError, match="No space left"):
            copy("mine", load(find("local")))
    assert not Path("environments/mine").exists()


def test_the_editor_finds_a_schema_beside_the_copy() -> None:
    file = copy("mine", load(find("local")))
    where = file.read_text().splitlines()[0].partition("=")[2]
    assert json.loads((file.parent / where).read_text()) == schema.document()


def test_the_ports_of_two_roles_never_meet_and_never_leave_tcp() -> None:
    """`base_port` goes up to 60000."""
    base = 60_000
    ports = [
        port
        for role in OFFSETS
        for ordinal in range(1, MOST_LOCAL_NODES + 1)
        for port in local_ports(role, base, ordinal).values()
    ]
    assert len(ports) == len(set(ports))
    assert max(ports) <= HIGHEST
