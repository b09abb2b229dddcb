"""What the provider sees of a host, and what it asks the playbook to carry: without any host."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from kdeploy.blueprint import Blueprint, ClusterBlueprint, Disk, HostFirewall, Node, RenderedFile, SecretFile
from kdeploy.errors import KdeployError
from kdeploy.infra.hosts.provider import HostsProvider
from kdeploy.infra.hosts.sources import Sources
from kdeploy.infra.hosts.ssh import Unreachable
from kdeploy.playbooks.runner import BROKEN_OFF, Failure, Played
from kdeploy.spec.model import Ssh
from tests.infra.nodes import node
from tests.infra.test_infra_hosts_preflight import EMPTY, GOOD

SECRETS = {"/etc/kafka/secrets/identity.pem": b"-----BEGIN PRIVATE KEY-----\nhunter2\n"}
MOUNT = "/var/lib/kafka/data/0"
QUEUES = {"0": {"scheduler": "none"}, "1": {"scheduler": "mq-deadline"}}
SYSCTL = "/etc/sysctl.d/90-kdeploy.conf"


def broker(number: int = 1, **changes: Any) -> Node:
    given: dict[str, Any] = {
        "host": f"10.0.0.{number}",
        "ports": {"client": 9092},
        "arguments": ("/etc/kafka/server.properties",),
        "data_directories": (MOUNT,),
        "files": (
            RenderedFile("/etc/kafka/server.properties", f"broker.id={number}\n"),
            RenderedFile("/etc/systemd/system/kafka.service", "[Service]\nLimitNOFILE=524288\n"),
            RenderedFile(SYSCTL, "# notice\nvm.swappiness = 1\n", restart=False),
            RenderedFile("/etc/systemd/system/var-lib-kafka-data-0.mount", "[Mount]\n", restart=False),
        ),
        "secrets": (SecretFile("/etc/kafka/secrets/identity.pem", "identity"),),
        "disks": (
            Disk("/dev/disk/by-id/one", f"0000000{number}-0000-5000-8000-000000000000", MOUNT, QUEUES),
        ),
    }
    return node(f"broker-{number}", **{**given, **changes})


def seen(of: Node, **changes: Any) -> dict[str, Any]:
    """What a host shows of a node that was applied and runs."""
    files = {file.path: file.sha256 for file in of.files}
    return {
        "record": {"files": files, "secrets": list(SECRETS)},
        "damaged": [],
        "applied": "wanted",
        "started": "wanted",
        "running": True,
        "service": {"MainPID": "42", "ActiveEnterTimestamp": "Wed", "Result": "success"},
        "version": "3.9.2",
        "unmounted": [],
        "formatted": [True],
        "was_formatted": True,
        "drift": [],
        "open_files": 524288,
        "synchronised": True,
        "last": "",
        **changes,
    }


@dataclass
class Hosts:
    """Hosts that answer as they are told, and a playbook that notes what it is given."""

    folder: Path
    shows: dict[str, dict[str, Any] | Exception] = field(default_factory=dict)
    facts: dict[str, dict[str, Any]] = field(default_factory=dict)
    unreachable: set[str] = field(default_factory=set)
    played: list[tuple[str, dict[str, dict[str, Any]]]] = field(default_factory=list)
    carried: dict[str, list[str]] = field(default_factory=dict)
    asked: list[dict[str, Any]] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    output: dict[str, str] = field(default_factory=dict)
    settings = Ssh(user="deploy")
    configuration = Path("/somewhere/ssh_config")

    def run(self, host: str, program: str, *, patience: float) -> str:
        call = program.splitlines()[-1]
        self.asked.append(json.loads(eval(call.partition("json.loads(")[2].removesuffix("))"))))
        answer = self.shows[host]
        if isinstance(answer, Exception):
            raise answer
        return json.dumps(answer)

    def play(self, part: str, variables: Mapping[str, Mapping[str, Any]]) -> Played:
        self.played.append((part, {name: dict(one) for name, one in variables.items()}))
        result = Played()
        for name, given in variables.items():
            for key, value in given.items():
                if key.endswith("_archive") and key != "kafka_archive":
                    with tarfile.open(value) as opened:
                        self.carried.setdefault(name, []).extend(opened.getnames())
            if name in self.unreachable:
                result.failures.append(Failure(name, "", "UNREACHABLE"))
            elif part == "preflight":
                result.output[name] = {"Look at the host": json.dumps(self.facts[name])}
            else:
                result.output[name] = self.output
        return result

    def provider(self) -> HostsProvider:
        jar = self.folder / "kafka-clients-3.9.2.jar"
        jar.write_bytes(b"jar")
        return HostsProvider(
            Sources(
                shells={"here": self},  # type: ignore[dict-item]
                play=self.play,
                jars=lambda version: [jar],
                cache=self.folder / "cache",
                private=self.folder / "private",
                tell=lambda phase, text: self.said.append(text),
                disk_sizes={},
            )
        )


@pytest.fixture
def hosts(tmp_path: Path) -> Hosts:
    return Hosts(tmp_path)


def blueprint(*nodes: Node) -> Blueprint:
    return Blueprint("env", (ClusterBlueprint("here", "hosts", "zookeeper", "3.9.2", None, nodes),))


def facts(number: int, **changes: Any) -> dict[str, Any]:
    import time

    disks = {"/dev/disk/by-id/one": EMPTY}
    return {**GOOD, "boot": f"b{number}", "time": time.time(), "disks": disks, **changes}


@pytest.mark.parametrize(
    ("service", "may"),
    [
        ({"ActiveState": "activating", "NRestarts": "0"}, True),
        ({"ActiveState": "activating", "NRestarts": "4"}, True),
        ({"ActiveState": "activating", "NRestarts": "5"}, False),
        ({"ActiveState": "failed", "NRestarts": "0"}, False),
    ],
)
def test_a_node_that_systemd_starts_again_may_return_until_it_has_ended_too_often(
    hosts: Hosts, service: dict[str, str], may: bool
) -> None:
    one = broker(1)
    hosts.shows[one.host] = seen(one, running=False, started=None, service={"Result": "signal", **service})
    state = hosts.provider().observe([one])[one.key]
    assert state.may_return is may
    assert ("is started again by systemd" in state.detail) is may


def test_a_node_whose_host_cannot_be_asked_may_return(hosts: Hosts) -> None:
    one = broker(1)
    hosts.shows[one.host] = Unreachable("10.0.0.1 cannot be reached: it does not answer")
    state = hosts.provider().observe([one])[one.key]
    assert (state.may_return, state.unseen) == (True, True)
    assert hosts.provider().strayed([one]) == {}, "not: nothing strayed"


@pytest.mark.parametrize(
    ("changes", "running", "applied", "started", "detail"),
    [
        ({}, True, "wanted", "wanted", "process 42 since Wed"),
        ({"damaged": [SYSCTL]}, True, None, "wanted", "process 42"),
        ({"record": {"files": {}}}, True, None, "wanted", "process 42"),
        ({"synchronised": False}, True, "wanted", "wanted", "its clock is not synchronised"),
        ({"swapped": 52_428_800}, True, "wanted", "wanted", "50 MiB of it are swapped out, wanted none"),
        ({"synchronised": None}, True, "wanted", "wanted", "process 42 since Wed"),
        (
            {"drift": [["firewall", "loaded", "changed by hand"]]},
            True,
            None,
            "wanted",
            "firewall is changed by hand",
        ),
        ({"drift": [["vm.swappiness", "1", "60"]]}, True, None, "wanted", "vm.swappiness is 60, wanted 1"),
        ({"open_files": 20000}, True, "wanted", "wanted", "LimitNOFILE is 20000, wanted 524288"),
        ({"started": None}, True, "wanted", None, "process 42"),
        ({"running": False, "started": None}, False, "wanted", None, "stopped"),
        (
            {
                "running": False,
                "started": None,
                "service": {"Result": "exit-code"},
                "last": "ERROR no such thing",
            },
            False,
            "wanted",
            None,
            "ended by itself (exit-code); its logs last say: ERROR no such thing",
        ),
        ({"running": False, "started": None, "unmounted": [MOUNT]}, False, "wanted", None, "not mounted"),
    ],
)
def test_what_a_host_shows_is_what_the_node_is(
    hosts: Hosts,
    changes: dict[str, Any],
    running: bool,
    applied: str | None,
    started: str | None,
    detail: str,
) -> None:
    one = broker()
    hosts.shows["10.0.0.1"] = seen(one, **changes)
    state = hosts.provider().observe([one])[one.key]
    assert (state.present, state.running, state.applied, state.started) == (True, running, applied, started)
    assert detail in state.detail


@pytest.mark.parametrize(
    ("changes", "prepared"),
    [
        ({}, True),
        ({"damaged": ["/etc/kafka/server.properties"]}, True),
        ({"damaged": [SYSCTL]}, False),
        ({"record": {"files": {}}}, False),
        ({"record": None}, False),
        ({"drift": [["vm.swappiness", "1", "60"]]}, False),
        ({"unmounted": [MOUNT]}, False),
        ({"version": "current"}, False),
    ],
)
def test_a_host_is_prepared_where_all_that_its_node_stands_on_is_as_it_should_be(
    hosts: Hosts, changes: dict[str, Any], prepared: bool
) -> None:
    one = broker()
    hosts.shows["10.0.0.1"] = seen(one, **changes)
    assert hosts.provider().observe([one])[one.key].prepared is prepared


def test_a_file_of_the_host_that_is_to_change_or_to_go_is_work_on_the_host_and_one_of_the_node_is_not(
    hosts: Hosts,
) -> None:
    before = broker()
    hosts.shows["10.0.0.1"] = seen(before)
    configured = RenderedFile("/etc/kafka/server.properties", "broker.id=1\nnum.io.threads=9\n")
    for files, prepared in (
        ((configured, *before.files[1:]), True),
        (
            (*before.files[:2], RenderedFile(SYSCTL, "vm.swappiness = 2\n", restart=False), before.files[3]),
            False,
        ),
        (before.files[:-1], False),
    ):
        after = replace(before, files=files)
        assert hosts.provider().observe([after])[after.key].prepared is prepared


def test_the_clock_of_a_container_is_said_to_be_that_of_its_machine(hosts: Hosts) -> None:
    one = broker()
    hosts.shows["10.0.0.1"] = seen(one, synchronised=False, contained=True)
    assert "only the machine under this container" in hosts.provider().observe([one])[one.key].detail


def test_a_host_that_was_never_touched_has_no_node(hosts: Hosts) -> None:
    one = broker()
    hosts.shows["10.0.0.1"] = seen(one, record=None, running=False, applied=None, started=None)
    state = hosts.provider().observe([one])[one.key]
    assert (state.present, state.running, state.detail) == (False, False, "never started")


def test_a_host_that_cannot_be_reached_is_a_node_that_does_not_run(hosts: Hosts) -> None:
    one = broker()
    hosts.shows["10.0.0.1"] = Unreachable("10.0.0.1 cannot be reached: it does not answer")
    state = hosts.provider().observe([one])[one.key]
    assert (state.present, state.running) == (True, False)
    assert state.detail == "10.0.0.1 cannot be reached: it does not answer"


def test_looking_asks_for_every_kernel_setting_of_the_files(hosts: Hosts) -> None:
    one = broker()
    hosts.shows["10.0.0.1"] = seen(one)
    hosts.provider().observe([one])
    assert hosts.asked[0]["settings"] == [["vm.swappiness", "/proc/sys/vm/swappiness", "1"]]
    assert hosts.asked[0]["queues"] == {"/dev/disk/by-id/one": QUEUES}
    assert hosts.asked[0]["firewall"] == ""


def test_a_file_that_is_no_longer_wanted_is_a_reason_to_put_files_in_place_again(hosts: Hosts) -> None:
    guarded = broker()
    unguarded = replace(guarded, files=guarded.files[:-1])
    hosts.shows["10.0.0.1"] = seen(guarded)
    assert hosts.provider().observe([guarded])[guarded.key].applied == "wanted"
    assert hosts.provider().observe([unguarded])[guarded.key].applied is None


@pytest.mark.parametrize(
    ("changes", "keep_time", "packages", "unit"),
    [
        ({}, True, [], ""),
        ({"nft": False}, True, ["nftables"], ""),
        ({"synchronised": False}, True, ["chrony"], "chrony.service"),
        ({"synchronised": False}, False, [], ""),
        ({"synchronised": False, "time_units": ["ntpsec.service"]}, True, [], ""),
        (
            {"synchronised": False, "nft": False, "os": "rocky"},
            True,
            ["nftables", "chrony"],
            "chronyd.service",
        ),
    ],
)
def test_a_host_gets_what_it_lacks_for_time_and_firewall_and_nothing_else(
    hosts: Hosts, changes: dict[str, Any], keep_time: bool, packages: list[str], unit: str
) -> None:
    one = broker(firewall=HostFirewall("digest", ("0.0.0.0/0",), (22,)))
    hosts.facts = {"here.broker-1": facts(1, **{"version": "12", **changes})}
    drawn = blueprint(one)
    hosts.provider().provision(replace(drawn, clusters=(replace(drawn.clusters[0], keep_time=keep_time),)))
    given = hosts.played[-1][1]["here.broker-1"]
    assert (given["host_packages"], given["host_time_unit"]) == (packages, unit)
    assert given["firewall_digest"] == "digest"


def test_what_could_not_be_set_is_told_with_its_hosts(hosts: Hosts) -> None:
    one = broker()
    hosts.facts = {"here.broker-1": facts(1)}
    read_back = {
        "Set kernel settings, and read them back": {"fixed": ["/proc/sys/net/core/rmem_max: no"]},
        "Set the queues of data disks, and read them back": {
            "refused": ["scheduler of /dev/a: bfq, wanted none"]
        },
        "Load the firewall as a whole, and read it back": {"fixed": ["firewall: not to be set here"]},
    }
    hosts.output = {task: json.dumps(said) for task, said in read_back.items()}
    hosts.provider().provision(blueprint(one))
    assert hosts.said == [
        "scheduler of /dev/a: cannot be set, on every host",
        "net.core.rmem_max: not to be set in a container, on every host",
        "firewall: not to be set in a container, on every host",
    ]


def test_every_problem_of_every_host_is_said_before_anything_is_changed(hosts: Hosts) -> None:
    one, two, three = broker(1), broker(2), broker(3)
    hosts.facts = {"here.broker-1": facts(1, os="alpine"), "here.broker-2": facts(2, ports=[9092])}
    hosts.unreachable = {"here.broker-3"}
    hosts.shows["10.0.0.3"] = Unreachable("10.0.0.3 cannot be reached: there is no way to its address")
    with pytest.raises(KdeployError, match="nothing was changed") as caught:
        hosts.provider().provision(blueprint(one, two, three))
    said = str(caught.value)
    assert "10.0.0.1 (broker-1): it runs" in said
    assert "10.0.0.2 (broker-2): port 9092 is taken" in said
    assert "10.0.0.3 (broker-3): cannot be reached: there is no way to its address" in said
    assert [part for part, _ in hosts.played] == ["preflight"]


def test_provisioning_carries_what_the_blueprint_says(hosts: Hosts, tmp_path: Path) -> None:
    one, two = broker(1), broker(2)
    hosts.facts = {"here.broker-1": facts(1), "here.broker-2": facts(2)}
    hosts.provider().provision(blueprint(one, two))
    part, variables = hosts.played[-1]
    given = variables["here.broker-1"]
    assert part == "provision"
    assert given["disks_volumes"] == [
        {
            "device": "/dev/disk/by-id/one",
            "file_system": one.disks[0].file_system,
            "mount": MOUNT,
            "unit": "var-lib-kafka-data-0.mount",
            "queues": QUEUES,
        }
    ]
    assert given["host_names"] == ["10.0.0.1 broker-1.here broker-1", "10.0.0.2 broker-2.here broker-2"]
    assert given["ansible_become"] is True
    assert (given["firewall_digest"], given["host_packages"], given["host_time_unit"]) == ("", [], "")
    assert sorted(hosts.carried["here.broker-1"]) == [
        "etc/sysctl.d/90-kdeploy.conf",
        "etc/systemd/system/var-lib-kafka-data-0.mount",
    ]
    assert list((tmp_path / "private").iterdir()) == [], "nothing that was carried is left"


def test_applying_goes_in_one_run_and_removes_what_is_no_longer_wanted(hosts: Hosts, tmp_path: Path) -> None:
    one, two = broker(1), broker(2)
    hosts.shows["10.0.0.1"] = seen(one, record={"files": {"/etc/kafka/old.properties": "x"}})
    hosts.shows["10.0.0.2"] = seen(two, record=None)
    hosts.provider().apply_together([(one, SECRETS), (two, SECRETS)])
    ((part, variables),) = hosts.played
    assert (part, sorted(variables)) == ("apply", ["here.broker-1", "here.broker-2"])
    assert variables["here.broker-1"]["service_stale"] == ["/etc/kafka/old.properties"]
    assert variables["here.broker-2"]["service_stale"] == []
    assert "hunter2" not in str(variables)
    assert hosts.carried["here.broker-1"] == [
        "etc/kafka/secrets/identity.pem",
        "etc/kafka/server.properties",
        "etc/systemd/system/kafka.service",
        "etc/kdeploy/node.json",
        "etc/kafka/applied",
    ]
    assert list((tmp_path / "private").iterdir()) == []


@pytest.mark.parametrize(
    ("then", "said"),
    [
        (
            Unreachable("10.0.0.1 cannot be reached: it does not answer"),
            "cannot be reached: it does not answer",
        ),
        (None, "the connection could not be made, or broke off"),
    ],
)
def test_a_host_that_is_lost_while_files_are_carried_is_told_in_plain_words(
    hosts: Hosts, monkeypatch: pytest.MonkeyPatch, then: Exception | None, said: str
) -> None:
    one = broker(1)
    hosts.shows["10.0.0.1"] = seen(one, was_formatted=True)

    def lost(part: str, variables: Mapping[str, Mapping[str, Any]]) -> Played:
        if then is not None:
            hosts.shows["10.0.0.1"] = then
        return Played(failures=[Failure("here.broker-1", "", BROKEN_OFF)])

    monkeypatch.setattr(hosts, "play", lost)
    with pytest.raises(KdeployError) as caught:
        hosts.provider().apply_together([(one, SECRETS)])
    assert str(caught.value) == (
        f"hosts could not be made what they should be:\n  - here.broker-1: {said}\n  mend that, and run this again"
    )


def test_what_is_in_place_already_is_not_carried_again(hosts: Hosts) -> None:
    one, provider = broker(), hosts.provider()
    hosts.shows["10.0.0.1"] = seen(one, applied=provider.wanted(one, SECRETS))
    provider.apply(one, SECRETS)
    assert hosts.played == []
    kraft = broker(format_arguments=("format",))
    hosts.shows["10.0.0.1"] = seen(kraft, applied=provider.wanted(kraft, SECRETS), was_formatted=False)
    provider.apply(kraft, SECRETS)
    assert [part for part, _ in hosts.played] == ["apply"], "storage is not formatted yet"


def test_storage_that_was_formatted_and_is_empty_is_never_formatted_again(hosts: Hosts) -> None:
    one = broker(format_arguments=("format",))
    hosts.shows["10.0.0.1"] = seen(one, formatted=[False])
    with pytest.raises(KdeployError, match="its storage was formatted, but"):
        hosts.provider().apply(one, SECRETS)
    assert hosts.played == []


def test_a_service_that_does_not_start_is_told_with_what_systemd_says(hosts: Hosts) -> None:
    one = broker()
    hosts.shows["10.0.0.1"] = {"ok": False, "said": "Job failed.\nSee status.", "service": {}}
    with pytest.raises(KdeployError, match=r"here/broker-1 could not be started: Job failed\."):
        hosts.provider().start(one)


def test_data_of_a_running_node_is_not_deleted(hosts: Hosts) -> None:
    one = broker()
    hosts.shows["10.0.0.1"] = seen(one)
    with pytest.raises(KdeployError, match="still runs"):
        hosts.provider().delete(one)


def test_what_stands_for_a_node_changes_with_its_files_and_its_secrets(hosts: Hosts) -> None:
    one, provider = broker(), hosts.provider()
    wanted = provider.wanted(one, SECRETS)
    assert provider.wanted(one, SECRETS) == wanted
    assert provider.wanted(one, dict.fromkeys(SECRETS, b"other")) != wanted
    assert provider.wanted(broker(2), SECRETS) != wanted
    with pytest.raises(KdeployError, match="the vault gives no content"):
        provider.wanted(one, {})


def test_a_host_that_is_left_out_is_not_touched_and_the_others_know_it_by_name(hosts: Hosts) -> None:
    up, down = broker(1), broker(2)
    hosts.facts["here.broker-1"] = facts(1)
    hosts.provider().provision(blueprint(up, down), without=("broker-2",))
    assert [(part, sorted(given)) for part, given in hosts.played] == [
        ("preflight", ["here.broker-1"]),
        ("provision", ["here.broker-1"]),
    ]
    given = hosts.played[-1][1]["here.broker-1"]
    assert f"{down.host} broker-2.here broker-2" in given["host_names"]


def test_one_dead_host_among_others_is_refused_with_the_way_around_it(hosts: Hosts) -> None:
    hosts.facts["here.broker-1"] = facts(1)
    hosts.unreachable = {"here.broker-2"}
    hosts.shows["10.0.0.2"] = Unreachable("10.0.0.2 cannot be reached: it does not answer")
    with pytest.raises(KdeployError, match=r"(?s)10.0.0.2 \(broker-2\).*--without NODE"):
        hosts.provider().provision(blueprint(broker(1), broker(2)))
