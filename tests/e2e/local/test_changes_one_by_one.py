"""On real Kafka, while records flow without a pause: change after change is what its preview said, and nothing is lost.

One producer (acks=all) is at work from the first change to the last. Each row is one saved preview that `up --expect`
or `apply --expect` carries out; what happened is told by processes, by files on disk and by the cluster. The ordinary
run takes the first row, the last and some that are drawn by a printed seed, each after those that it builds on, which
go in one step; KDEPLOY_SOAK=1 takes every row, on ZooKeeper and on KRaft.
"""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from kdeploy import cli
from tests.contracts import hold
from tests.e2e import ports
from tests.e2e.local.changes_one_by_one import ROWS, Document, Row, restarted, tokens
from tests.e2e.local.conftest import describe, prepare
from tests.e2e.local.kdeploy_command import Kdeploy
from tests.e2e.local.records import Ledger, Producing, check
from tests.operations.world import predicted

SOAK = os.environ.get("KDEPLOY_SOAK") == "1"

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(5400 if SOAK else 1200)]

SEED = int(os.environ.get("KDEPLOY_SEED") or random.randrange(1_000_000))
BASE_PORT = int(os.environ.get("KDEPLOY_TEST_PORT") or ports.CHANGES)
RATE = 400
"""Records per second, which is little, since some are read back for each row and all of them in the end."""

CHAINS = (os.environ.get("KDEPLOY_CHAINS") or ",".join(row.chain for row in ROWS)).split(",")
"""Chains of rows that KDEPLOY_SOAK=1 takes: one alone is tried again sooner than all of them."""

BETWEEN = 100
"""Records that are acknowledged between two rows at least."""

DRAWN = 3
"""Rows that the ordinary run draws."""

WATCHED = (
    *("num.io.threads", "background.threads", "num.network.threads", "max.connections"),
    *("max.connection.creation.rate", "log.cleaner.threads", "message.max.bytes"),
)
"""Settings of brokers that are looked at, whether they change or not."""


class Cluster:
    """One real cluster, one producer, and what is written into its environment."""

    def __init__(self, kdeploy: Kdeploy, document: Document) -> None:
        self.kdeploy, self.document = kdeploy, document
        self.kraft = document["kafka"]["coordination"] == "kraft"
        self.ledger = Ledger()
        self.done: list[tuple[str, float]] = []
        self.restarts = 0
        self.shut_out: set[str] = set()
        self.known = self.seen()

    def run(self, command: str, *arguments: str, code: int = 0) -> dict[str, Any]:
        """A command of kdeploy's in this process, which spares its start; the document that it prints."""
        given = [command, str(self.kdeploy.file.parent), *arguments, "--output", "json"]
        result = CliRunner().invoke(cli.kdeploy, given, standalone_mode=False)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == code, result.output
        document: dict[str, Any] = json.loads(result.stdout)
        hold(document)
        return document

    def write(self, rows: Sequence[Row]) -> None:
        """Say what rows change, in the file or the vault. JSON is YAML."""
        for row in rows:
            for change in row.changes:
                change(self.document)
            if row.secret and len(rows) == 1:  # one of several may be about what is not there yet
                renew(self.kdeploy, row.secret)
        self.kdeploy.file.write_text(json.dumps(self.document, indent=2))

    def make(self, rows: Sequence[Row], producing: Producing) -> None:
        """Change something, and hold what happens against what was said."""
        began = time.monotonic()
        self.write(rows)
        document = self.run("preview", code=4)
        file = self.kdeploy.root / "preview.json"
        file.write_text(json.dumps(document))
        said = predicted(document)
        command = "apply" if all(row.resources_only for row in rows) and len(self.done) % 8 else "up"
        self.run(command, "--expect", str(file))
        happened = self.happened()
        assert said == happened, (
            f"said and did not happen {said - happened}, and the other way {happened - said}"
        )
        restarts = {token.split()[1] for token in happened if token.startswith("restart ")}
        name = "; ".join(row.name for row in rows)
        if len({row.chain for row in rows}) == len(rows):  # those of one chain may undo one another
            wanted = [tokens(row, self.kraft) for row in rows]
            assert None in wanted or happened == frozenset().union(*(one or () for one in wanted)), name
            assert restarts == set().union(*(restarted(row, self.kraft) for row in rows)), name
        producing.wait_for(BETWEEN, patience=240)
        self.restarts += len(restarts)
        self.done.append((name, time.monotonic() - began))
        print(f"{len(self.done)}: {self.done[-1][0]}, {self.done[-1][1]:.0f} s, by {command}", flush=True)

    def files(self) -> dict[str, Any]:
        """What each file holds, by the token that tells of its change."""
        nodes = self.kdeploy.state / "nodes"
        return {
            f"file {path.relative_to(nodes).parts[1]} {path.name}": path.read_bytes()
            for kind in ("config", "secrets")
            for path in nodes.glob(f"*/*/{kind}/*")
        }

    def pids(self) -> dict[str, Any]:
        """The process of each node."""
        found = (self.kdeploy.state / "nodes").glob("*/*/process.json")
        return {path.parent.name: json.loads(path.read_text())["pid"] for path in found}

    def seen(self) -> dict[str, Any]:
        """All there is: files and processes of each node, and everything in the cluster."""
        from kdeploy.cluster.admin import connect

        cluster = describe(self.kdeploy)
        with connect(cluster.access) as admin:
            partitions: dict[str, list[int]] = {}
            for one in admin.metadata().partitions:
                if not one.topic.startswith("__"):
                    partitions.setdefault(one.topic, []).append(len(one.replicas))
            own = admin.own_topic_settings(sorted(partitions))
            return {
                "files": self.files(),
                "pids": self.pids(),
                "topics": partitions,
                "settings": {name: dict(one.own) for name, one in own.items()},
                "brokers": {
                    node.name: admin.broker_settings(node.id, WATCHED) for node in cluster.blueprint.brokers
                },
                "users": {one for one in admin.users() if not one.startswith("kdeploy-")},
                "passwords": dict(cluster.passwords),
                "acls": {one for one in admin.bindings() if not one.user.startswith("kdeploy-")},
                "quotas": admin.quotas(),
            }

    def happened(self) -> frozenset[str]:
        """Everything that is not as it was when this was asked before, as tokens of the table."""
        before, now = self.known, self.seen()
        self.known = now
        files = before["files"].keys() | now["files"].keys()
        found = [one for one in files if before["files"].get(one) != now["files"].get(one)]
        found += [f"restart {node}" for node, pid in now["pids"].items() if before["pids"][node] != pid]
        found += [
            f"set {broker} {key} {one.value}"
            for broker, settings in now["brokers"].items()
            for key, one in settings.items()
            if one.own != before["brokers"][broker][key].own
        ]
        found += _topics(before, now)
        found += [f"user {user} made" for user in now["users"] - before["users"]]
        found += [f"user {user} gone" for user in before["users"] - now["users"]]
        found += self._passwords(before, now)
        found += [f"acl + {one}" for one in now["acls"] - before["acls"]]
        found += [f"acl - {one}" for one in before["acls"] - now["acls"]]
        found += _quotas(before["quotas"], now["quotas"])
        return frozenset(found)

    def _passwords(self, before: dict[str, Any], now: dict[str, Any]) -> Iterator[str]:
        """Users that are there and whose password of before opens nothing any more."""
        from kdeploy.cluster.admin import connect

        leaving = {user["name"] for user in self.document["users"] if user.get("delete")}
        self.shut_out &= leaving
        there = (before["users"] & now["users"] & before["passwords"].keys()) - self.shut_out
        asked = {
            user: before["passwords"][user]
            for user in there
            if before["passwords"][user] != now["passwords"].get(user) or user in leaving
        }
        if asked:
            with connect(describe(self.kdeploy).access) as admin:
                for user, opens in admin.logins(asked).items():
                    yield from () if opens else (f"user {user} password",)
                    self.shut_out |= {user} & leaving if not opens else set()


def _topics(before: dict[str, Any], now: dict[str, Any]) -> Iterator[str]:
    for name, copies in now["topics"].items():
        settings, old = now["settings"][name], before["settings"].get(name, {})
        if name not in before["topics"]:
            own = "".join(f", {key} {value}" for key, value in sorted(settings.items()))
            yield f"topic {name} made {len(copies)} partitions, {min(copies)} copies{own}"
            continue
        if len(copies) != len(before["topics"][name]):
            yield f"topic {name} partitions {len(copies)}"
        if set(copies) != set(before["topics"][name]):
            yield f"topic {name} copies {'/'.join(map(str, sorted(set(copies))))}"
        yield from (f"topic {name} {key} {value}" for key, value in settings.items() if old.get(key) != value)
        yield from (f"topic {name} {key} unset" for key in old.keys() - settings.keys())
    yield from (f"topic {name} gone" for name in before["topics"].keys() - now["topics"].keys())


def _quotas(before: dict[Any, Any], now: dict[Any, Any]) -> Iterator[str]:
    yield from (f"quota {whom} gone" for whom in before.keys() - now.keys())
    for whom, limits in now.items():
        old = before.get(whom, {})
        changed = sorted(key for key in limits.keys() | old.keys() if limits.get(key) != old.get(key))
        said = (f"{key} {limits[key]:.15g}" if key in limits else f"{key} unset" for key in changed)
        yield from (f"quota {whom} {', '.join(said)}",) if changed else ()


def renew(kdeploy: Kdeploy, what: str) -> None:
    """Take a certificate or a password out of the vault, so that the next run makes another."""
    from kdeploy.operations import places, vaults
    from kdeploy.security import vault
    from kdeploy.spec import load

    loaded = load.load(kdeploy.file.parent)
    held = vaults.open_existing(loaded)
    nodes = {key: one for key, one in held.nodes.items() if key != what}
    passwords = {name: one for name, one in held.passwords.items() if name != what}
    assert len(nodes) + len(passwords) == len(held.nodes) + len(held.passwords) - 1
    key = vaults.password(loaded, None)
    vault.write(places.vault_file(loaded), replace(held, nodes=nodes, passwords=passwords), key)


def steps(seed: int) -> list[tuple[Row, ...]]:
    """The first row, the last, and some between, each after those it builds on, which go together."""
    drawn = sorted(random.Random(seed).sample(range(1, len(ROWS) - 6), DRAWN))
    found, done = [(ROWS[0],)], {(ROWS[0].chain, ROWS[0].name)}
    for row in [*(ROWS[place] for place in drawn), ROWS[-1]]:
        own = [one for one in ROWS[: ROWS.index(row)] if one.chain == row.chain != "restarts"]
        needed = tuple(one for one in own if (one.chain, one.name) not in done)
        found += [needed] if needed else []
        found.append((row,))
        done |= {(one.chain, one.name) for one in (*needed, row)}
    return found


def load_document(file: Path) -> Document:
    """An environment's file as plain values."""
    from kdeploy.spec.source import parse

    document: Document = json.loads(json.dumps(parse(file.read_text(), file.name).data))
    return document


def test_there_are_fifty_changes_and_more_over_every_layer_of_a_machine() -> None:
    assert len(ROWS) >= 50
    assert len({(row.chain, row.name) for row in ROWS}) == len(ROWS)
    assert [row.chain for row in ROWS] == sorted(
        (row.chain for row in ROWS), key=[*dict.fromkeys(row.chain for row in ROWS)].index
    )


@pytest.mark.parametrize("name", ["local", "local-kraft"] if SOAK else ["local"])
def test_every_change_is_what_its_preview_said_and_no_record_is_lost(tmp_path: Path, name: str) -> None:
    print(f"KDEPLOY_SEED={SEED}", flush=True)
    kdeploy = prepare(tmp_path, name, BASE_PORT)
    try:
        kdeploy("up")
        cluster = Cluster(kdeploy, load_document(kdeploy.file))
        producing = Producing(describe(kdeploy), cluster.ledger, RATE)
        try:
            producing.wait_for(BETWEEN)
            for rows in [(row,) for row in ROWS if row.chain in CHAINS] if SOAK else steps(SEED):
                cluster.make(rows, producing)
            producing.stop()
        finally:
            producing.abandon()
        checked = check(describe(kdeploy), cluster.ledger)
        print(f"{name}: {len(cluster.done)} steps, {cluster.restarts} nodes restarted, {checked}", flush=True)
        print(f"longest pause of a partition: {producing.longest_pause:.1f} s", flush=True)
        assert (checked.lost, checked.out_of_order, cluster.ledger.refused) == (0, 0, 0)
        assert checked.acknowledged == cluster.ledger.count > 0
        assert not kdeploy("preview", "--output", "json").document["pending"]
    finally:
        kdeploy("down", "--delete-data", "--yes", code=None)
