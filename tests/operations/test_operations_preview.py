"""Preview with its reasons, what --expect refuses, apply alone, and the cluster that is not the lock's."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import pytest

from kdeploy import planner
from kdeploy.blueprint import Node
from kdeploy.cluster.change import Kind
from kdeploy.errors import InvalidEnvironment, KdeployError, UsageError
from kdeploy.infra.hosts import ssh
from kdeploy.infra.local.provider import LocalProvider
from kdeploy.operations import expected, pending, prepare
from kdeploy.operations.apply import apply
from kdeploy.operations.expected import Moved
from kdeploy.operations.preview import cost_items
from kdeploy.operations.progress import Silent
from kdeploy.operations.reach import WrongCluster
from kdeploy.planner.costs import Beside, beside, data_disks
from kdeploy.spec import load, lockfile
from kdeploy.spec.lock import Lock
from tests.contracts import hold
from tests.operations.changes_table import TOPICS, USERS, override
from tests.operations.world import SHIPPED, World, predicted

TOPIC = (TOPICS, f"{TOPICS}  - {{name: payments, partitions: 2}}\n")
USER = (USERS, f"{USERS}\n  - name: carol\n#")


def saved(world: World, tmp_path: Path) -> Path:
    file = tmp_path / "preview.json"
    file.write_text(json.dumps(world.preview().to_json()))
    return file


def expectation(file: Path) -> expected.Expectation:
    return expected.read(file, "local")


def broker(world: World, path: str) -> Path:
    return world.root / "state" / "local" / "nodes" / "dc1" / "broker-1" / path


def lock(world: World) -> Path:
    return world.root / "state" / "local" / "lock.yaml"


def whys(world: World) -> dict[str, str]:
    return {one.name: one.why for one in world.preview().items if one.layer == "nodes"}


def test_every_kind_of_change_has_its_layer_and_the_place_of_its_name() -> None:
    assert set(pending.KINDS) >= set(get_args(Kind))
    assert {layer for layer, _, _ in pending.KINDS.values()} <= set(pending.LAYERS)


def test_the_same_world_gives_the_same_bytes_and_they_are_as_published(world: World) -> None:
    world.edit([TOPIC, USER, *override("broker", "queued.max.requests: 400", "num.io.threads: 12")])
    first, second = (json.dumps(world.preview().to_json(), sort_keys=True) for _ in range(2))
    assert first == second
    hold(json.loads(first))


def test_preview_writes_nothing(world: World) -> None:
    world.edit([TOPIC, USER, *override("broker", "queued.max.requests: 400")])
    state = world.root / "state"
    before = {path: path.read_bytes() for path in state.rglob("*") if path.is_file()}
    world.admin.calls.clear()
    world.preview()
    assert {path: path.read_bytes() for path in state.rglob("*") if path.is_file()} == before
    assert world.admin.calls == []


def test_a_restart_names_the_file_and_the_settings_it_is_for(world: World) -> None:
    world.edit(override("broker", "queued.max.requests: 400", "num.io.threads: 12"))
    assert whys(world) == dict.fromkeys(
        ("broker-1", "broker-2", "broker-3"), "server.properties: queued.max.requests unset → 400"
    )


def test_a_restart_names_an_option_of_the_jvm(world: World) -> None:
    world.edit(override("jvm", 'zookeeper: ["-Xmx99m"]'))
    assert set(whys(world)) == {"zookeeper-1", "zookeeper-2", "zookeeper-3"}
    assert set(whys(world).values()) == {"jvm.options: -Xms256m → -Xms99m, -Xmx256m → -Xmx99m"}


def test_a_node_that_does_not_run_is_started_and_said_to_be(world: World) -> None:
    (folder,) = [folder for folder in world.processes if folder.name == "broker-2"]
    world._stop(folder, "controlled", 0)
    (item,) = world.preview().items
    assert (item.kind, item.name, item.effect) == ("start", "broker-2", "start")
    assert "it is not running" in item.why


def test_a_file_that_somebody_edited_is_shown_with_what_up_puts_back(world: World) -> None:
    file = broker(world, "config/server.properties")
    file.write_text(file.read_text() + "queued.max.requests=7\n")
    items = {one.layer: one for one in world.preview().items}
    assert items["files"].diff.endswith("-queued.max.requests=7")
    assert items["files"].why == "it was changed by hand since it was put there"
    assert items["nodes"].kind == "update"
    assert items["nodes"].why == "server.properties changed by hand"
    world.up()
    assert not world.preview().pending


def test_of_a_secret_file_it_is_said_that_it_changed_and_nothing_else(world: World) -> None:
    secret = next(path for path in broker(world, "secrets").iterdir())
    secret.write_text("-----BEGIN PRIVATE KEY-----\nhunter2hunter2\n")
    document = world.preview().to_json()
    (item,) = [one for one in document["changes"] if one["layer"] == "files"]
    assert (item["before"], item["after"], item["diff"]) == (None, None, "")
    assert item["what"] == "changed, gone, or open to others"
    assert "hunter2" not in json.dumps(document)


def test_a_renewed_certificate_is_why_a_node_restarts(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from kdeploy.operations import prepare

    real = prepare.secrets_of

    def renewed(node: Any, vault: Any) -> dict[str, bytes]:
        found = real(node, vault)
        kinds = {one.path: one.kind for one in node.secrets}
        return {
            path: content + b"\n" if node.name == "broker-3" and kinds[path] == "identity" else content
            for path, content in found.items()
        }

    monkeypatch.setattr(prepare, "secrets_of", renewed)
    (why,) = whys(world).values()
    assert why.startswith("certificate renewed (")


def test_what_an_environment_could_not_be_made_is_refused_by_preview_too(world: World) -> None:
    world.edit([("partitions: 6", "partitions: 4")])
    with pytest.raises(InvalidEnvironment, match="Kafka cannot take any away"):
        world.preview()


def test_up_does_just_what_was_saved(world: World, tmp_path: Path) -> None:
    world.edit([TOPIC, USER, *override("broker", "queued.max.requests: 400")])
    file = saved(world, tmp_path)
    before = world.seen()
    world.up(expectation=expectation(file))
    assert world.happened(before) == predicted(json.loads(file.read_text()))
    with pytest.raises(Moved, match="- gone: create topic payments"):
        world.up(expectation=expectation(file))


@pytest.mark.parametrize(
    ("edits", "said"),
    [
        ([("partitions: 6", "partitions: 8")], "- new: topic orders: partitions 6 → 8"),
        (override("broker", "num.io.threads: 12"), r"- new: broker-1: num\.io\.threads 8 → 12"),
        (override("broker", "queued.max.requests: 400"), "- new: restart broker-1"),
    ],
)
def test_up_refuses_what_the_saved_preview_does_not_say_and_changes_nothing(
    world: World, tmp_path: Path, edits: Any, said: str
) -> None:
    world.edit([USER])
    file = saved(world, tmp_path)
    world.edit(edits)
    before, locked = world.seen(), lock(world).read_bytes()
    with pytest.raises(Moved, match=said) as refused:
        world.up(expectation=expectation(file))
    assert refused.value.exit_code == 6
    assert world.happened(before) == frozenset()
    assert lock(world).read_bytes() == locked


def test_a_world_that_moved_is_refused_too(world: World, tmp_path: Path) -> None:
    world.edit([TOPIC])
    file = saved(world, tmp_path)
    world.admin.set_topic_settings({"orders": {"retention.ms": "1"}})
    with pytest.raises(Moved, match=r"- new: topic orders: retention\.ms 1 → 86400000"):
        world.up(expectation=expectation(file))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("no json", "is not JSON, so it is no saved preview"),
        ("[]", "it names no schema"),
        ('{"schema": "kdeploy.up/v1"}', r"its schema is 'kdeploy\.up/v1', not 'kdeploy\.preview/v2'"),
        ('{"schema": "kdeploy.preview/v2", "environment": "other"}', "is a preview of other, not of local"),
        ('{"schema": "kdeploy.preview/v2", "environment": "local"}', "is a damaged preview"),
        (
            '{"schema": "kdeploy.preview/v2", "environment": "local", "clusters": [], "changes": [7]}',
            "is a damaged preview",
        ),
    ],
)
def test_what_is_no_preview_of_this_environment_is_refused_with_how_to_save_one(
    tmp_path: Path, text: str, said: str
) -> None:
    file = tmp_path / "preview.json"
    file.write_text(text)
    with pytest.raises(UsageError, match=said) as refused:
        expected.read(file, "local")
    assert "kdeploy preview local --output json > preview.json" in str(refused.value)


def test_apply_makes_resources_and_leaves_nodes_files_and_settings(world: World, tmp_path: Path) -> None:
    world.edit([TOPIC, USER, *override("broker", "queued.max.requests: 400", "num.io.threads: 12")])
    file, before, told = saved(world, tmp_path), world.seen(), []
    progress = Silent()
    progress.step = lambda phase, text: told.append(text)  # type: ignore[method-assign]
    (done,) = apply(load.load(world.folder), progress, expectation=expectation(file))
    assert world.happened(before) == {"topic payments made 2 partitions, 3 copies", "user carol made"}
    assert [one.what for one in done.items] == told[:2]
    (again,) = apply(load.load(world.folder), Silent())
    assert again.items == ()
    assert {one.layer for one in world.preview().items} == {"files", "nodes"}
    with pytest.raises(Moved, match="- gone: create user carol"):
        apply(load.load(world.folder), Silent(), expectation=expectation(file))


def test_apply_of_a_cluster_that_is_down_or_never_was_is_refused(world: World, tmp_path: Path) -> None:
    for folder in list(world.processes):
        world._stop(folder, "controlled", 0)
    with pytest.raises(KdeployError, match="no broker of dc1 runs"):
        apply(load.load(world.folder), Silent())


def test_apply_of_what_was_never_up_makes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KDEPLOY_STATE_DIR", str(tmp_path / "nowhere"))
    with pytest.raises(KdeployError, match="nothing is decided about local yet"):
        apply(load.load(SHIPPED / "local"), Silent())
    assert not (tmp_path / "nowhere").exists()


def test_the_first_up_notes_the_id_that_zookeeper_chose(world: World) -> None:
    found = lockfile.read_lock(lock(world))
    assert found is not None
    assert found.datacenters[0].cluster_id == "chosen-by-zookeeper"


def test_another_cluster_is_refused_by_whatever_connects_and_nothing_is_changed(world: World) -> None:
    world.admin.id = "of-somebody-else"
    world.edit([TOPIC, *override("broker", "queued.max.requests: 400")])
    before = world.seen()
    loaded = load.load(world.folder)
    for command in (world.preview, world.up, lambda: apply(loaded, Silent())):
        with pytest.raises(
            WrongCluster, match="its id is of-somebody-else, and the lock says chosen-by-zookeeper"
        ):
            command()
    assert world.happened(before) == frozenset()


def test_a_lock_of_before_without_an_id_takes_what_answers_and_notes_it(world: World) -> None:
    file = lock(world)
    file.write_text("".join(line for line in file.read_text().splitlines(True) if "cluster_id" not in line))
    assert not world.preview().pending
    world.up()
    assert "cluster_id: chosen-by-zookeeper" in file.read_text()


def test_a_lock_whose_node_lacks_a_port_is_named_with_its_line(world: World) -> None:
    file = lock(world)
    lines = file.read_text().splitlines(True)
    at = next(number for number, line in enumerate(lines) if "client: " in line)
    lines[at] = lines[at].replace("client: ", "clients: ")
    file.write_text("".join(lines))
    with pytest.raises(
        InvalidEnvironment, match="the lock is damaged: broker-1 has no client port"
    ) as refused:
        world.preview()
    assert refused.value.problems[0].line == at + 1


def test_where_machines_have_a_price_it_is_said_before_and_after(tmp_path: Path) -> None:
    text = (SHIPPED / "prod-eu" / "environment.yaml").read_text()
    before = designed(tmp_path, text)
    there = declared(before)
    again = designed(tmp_path, text, before.lock)
    machines = Machines(types_of(before))
    assert cost_items(again, machines, there) == (), "as many machines, of the types that the lock says"
    throughput = next(line for line in text.splitlines() if line.strip().startswith("throughput:"))
    grown = designed(tmp_path, text.replace(throughput, "  throughput: 900MB/s"), before.lock)
    (item,) = cost_items(grown, machines, there)
    assert (item.layer, item.effect) == ("cost", "none")
    more = item.what.split(", ")[-1]
    assert item.what == f"all that is made, without traffic: {item.before} → {item.after} a month, {more}"
    assert more.endswith(" more")
    for part in ("brokers $", "volumes $", "root disks $"):
        assert part in item.why
    (first,) = cost_items(grown, Machines({}), {})
    decided = designed(tmp_path, text.replace(throughput, "  throughput: 900MB/s"), grown.lock)
    assert cost_items(decided, Machines({}), {}) == (first,), "what is there counts, and nothing is"
    assert first.before == "$0"
    larger = Machines({**types_of(before), before.blueprint.nodes[0].key: "m6g.8xlarge"})
    (smaller,) = cost_items(again, larger, there)
    assert smaller.what.endswith(" less"), "a machine that is larger than the lock says becomes smaller"


def test_what_is_made_beside_machines_is_part_of_what_a_change_costs(tmp_path: Path) -> None:
    text = (SHIPPED / "prod-eu" / "environment.yaml").read_text()
    before = designed(tmp_path, text)
    machines, there = Machines(types_of(before)), declared(before)
    assert "egress: nat-per-zone" in text
    (item,) = cost_items(
        designed(tmp_path, text.replace("nat-per-zone", "none"), before.lock), machines, there
    )
    assert re.fullmatch(r"nat gateways \$\d+ less, endpoints \$\d+ more", item.why), "CloudWatch's own way"
    balancer = "load_balancer: {name: kafka.example.com, sources: [198.51.100.0/24]}"
    wanted = text.replace("egress: nat-per-zone", f"egress: nat-per-zone\n      {balancer}")
    (item,) = cost_items(designed(tmp_path, wanted, before.lock), machines, there)
    assert re.fullmatch(r"load balancer \$\d+ more", item.why)


@pytest.mark.parametrize("name", ["prod-eu", "global-active-active"])
def test_what_is_to_be_made_costs_in_a_preview_what_cost_says_of_it(tmp_path: Path, name: str) -> None:
    from kdeploy.planner.costs import TRAFFIC, costs

    loaded = load.load(SHIPPED / name)
    design = prepare.design(loaded, freeze=False)
    said = costs(loaded.environment, planner.plan(loaded.environment, design.lock), design.lock)
    for item, one in zip(cost_items(design, Machines({}), {}), said.datacenters, strict=True):
        whole = sum(part.monthly_usd for part in one.parts if part.name not in TRAFFIC)
        assert (item.before, item.after) == ("$0", f"${whole:,.0f}")


def test_where_nobody_could_look_what_is_to_be_made_is_told_alone(tmp_path: Path) -> None:
    design = designed(tmp_path, (SHIPPED / "prod-eu" / "environment.yaml").read_text())
    (item,) = cost_items(design, Machines(types_of(design)), None)
    assert item.before is None
    assert item.what.endswith(f"{item.after} a month; what of it there is now is not known")
    assert "nat gateways $" in item.why


def designed(tmp_path: Path, text: str, previous: Lock | None = None) -> prepare.Design:
    """An environment's design, where a lock was there before."""
    folder = tmp_path / "prod"
    folder.mkdir(exist_ok=True)
    (folder / "environment.yaml").write_text(text)
    return prepare.design(load.load(folder), freeze=False, previous=previous)


def declared(design: prepare.Design) -> dict[str, Beside]:
    """What there is beside machines when all that a design wants was made."""
    wanted = design.loaded.environment.datacenters
    return {
        one.name: beside(place, len(one.nodes), data_disks(one))
        for one, place in zip(design.lock.datacenters, wanted, strict=True)
    }


def types_of(design: prepare.Design) -> dict[str, str]:
    """The types that a lock's machines are of."""
    (place,) = design.lock.datacenters
    kinds = {True: place.brokers.instance_type, False: place.coordination.instance_type}
    return {node.key: kinds[node.role == "broker"] or "" for node in design.blueprint.nodes}


class Machines:
    """A provider as far as it knows types."""

    def __init__(self, known: dict[str, str]) -> None:
        self.known = known

    def types(self, nodes: Sequence[Node]) -> dict[str, str]:
        return {node.key: self.known[node.key] for node in nodes if node.key in self.known}


class Drifted:
    """A change as they are, of a kind with limits on both sides."""

    kind, cause, entity = "set-quota", "drift", "user alice"
    before, after = {"producer_byte_rate": 1.0}, {"producer_byte_rate": None}

    def __str__(self) -> str:
        return "quota of user alice: producer_byte_rate 1 → unset"


def test_a_change_of_any_kind_is_told_by_the_table_with_what_caused_it() -> None:
    change: Any = Drifted()
    (item,) = pending.of_change("dc1", change)
    assert (item.layer, item.effect, item.name) == ("quotas", "change", "user alice")
    assert (item.before, item.after) == ("producer_byte_rate 1", "producer_byte_rate unset")
    assert item.why == "it was changed behind our back"


def test_what_kdeploy_made_and_nobody_declares_any_more_stays_and_is_told(world: World) -> None:
    text = (world.folder / "environment.yaml").read_text()
    (world.folder / "environment.yaml").write_text(
        text[: text.index("\ntopics:")] + "\ntopics:\n  - name: payments\n"
    )
    found = world.preview()
    assert found.notes == tuple(
        f"{one} is no longer declared and stays; to be rid of it, mark it `delete: true`"
        for one in ("topic orders", "user orders-consumer", "user orders-producer")
    )
    assert [item.what.partition(":")[0] for item in found.items] == ["create topic payments"]
    world.up()
    assert "orders" in world.admin.topics
    assert world.preview().pending is False
    assert len(world.preview().notes) == 3


def test_a_cluster_that_no_host_lets_anybody_through_to_is_not_compared_and_the_rest_is_shown(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def closed() -> tuple[str, int]:
        raise ssh.Unreachable("no connection to the brokers, which go over SSH:\n  10.0.0.1 does not answer")

    def connect(access: Any, *_: float) -> Any:
        return access.proxy()

    monkeypatch.setattr(LocalProvider, "proxy", lambda self, cluster: closed, raising=False)
    monkeypatch.setattr("kdeploy.cluster.admin.connect", connect)
    monkeypatch.setattr("kdeploy.operations.readiness.PAUSE", 1.0)
    world.edit(override("broker", "queued.max.requests: 400"))
    found = world.preview()
    assert [one.compared for one in found.clusters] == [False]
    assert {one.kind for one in found.items if one.layer == "nodes"} == {"restart"}
