"""A host as a machine: booted anew, and taken out of service, without any host."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from kdeploy.errors import KdeployError
from kdeploy.infra.hosts import provider
from kdeploy.infra.hosts.ssh import Unreachable
from tests.infra.test_infra_hosts_provider import Hosts, broker, hosts

__all__ = ["hosts"]


class Rebooted(Hosts):
    """A host that goes away when it is told to, and comes back with another boot."""

    def __init__(self, folder: Path, away: int, serves: bool = False) -> None:
        super().__init__(folder)
        self.away, self.serves, self.verbs = away, serves, list[str]()

    def run(self, host: str, program: str, *, patience: float) -> str:
        verb = program.splitlines()[-1].partition("main('")[2].partition("'")[0]
        self.verbs.append(verb)
        if verb == "reboot":
            return json.dumps({"ok": not self.serves, "boot": "one", "holder": {"operator": "me"}})
        if verb == "hold":
            assert json.loads(eval(program.splitlines()[-1].partition("json.loads(")[2].removesuffix("))")))[
                "holder"
            ] == {"operator": "me"}
            return json.dumps({"ok": True, "holder": {"operator": "me"}})
        self.away -= 1
        if self.away > 3:
            return json.dumps({"boot": "one"})  # it has not gone down yet
        if self.away > 0:
            raise Unreachable(f"{host} cannot be reached: it does not answer")
        return json.dumps({"boot": "two"})


def test_a_reboot_ends_when_the_host_is_in_another_boot_and_its_lease_is_ours_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provider, "REBOOT_PAUSE", 0.0)
    hosts = Rebooted(tmp_path, away=6)
    hosts.provider().reboot(broker())
    assert hosts.verbs == ["reboot", *["boot"] * 6, "hold"]


def test_a_host_whose_node_runs_is_not_booted_anew(tmp_path: Path) -> None:
    hosts = Rebooted(tmp_path, away=1, serves=True)
    with pytest.raises(KdeployError, match="here/broker-1 still runs; its host is not booted anew"):
        hosts.provider().reboot(broker())
    assert hosts.verbs == ["reboot"]


def test_a_host_that_does_not_come_back_is_told_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provider, "REBOOT_PAUSE", 0.0)
    monkeypatch.setattr(provider, "REBOOT_PATIENCE", 0.0)
    with pytest.raises(
        KdeployError, match=r"10\.0\.0\.1 \(broker-1\) did not come back within 0 s of its reboot"
    ):
        Rebooted(tmp_path, away=3).provider().reboot(broker())


def test_a_node_that_is_replaced_loses_its_unit_and_keys_unless_it_runs(hosts: Hosts) -> None:
    one = broker()
    hosts.shows["10.0.0.1"] = {"ok": True}
    assert hosts.provider().retire(one)
    hosts.shows["10.0.0.1"] = {"ok": False}
    with pytest.raises(KdeployError, match="still runs broker-1, and two nodes of one id must never run"):
        hosts.provider().retire(one)
    hosts.shows["10.0.0.1"] = Unreachable("10.0.0.1 cannot be reached: it does not answer")
    assert not hosts.provider().retire(one)
    assert not hosts.provider().reaches(one)


@pytest.mark.parametrize(("state", "retired"), [("inactive", True), ("failed", True), ("active", False)])
def test_on_the_host_unit_and_keys_go_and_data_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: str, retired: bool
) -> None:
    text = resources.files("kdeploy.infra.hosts").joinpath("remote.py").read_text()
    program: dict[str, Any] = {"__name__": "remote"}
    exec(text.replace("/etc/", f"{tmp_path}/etc/"), program)
    unit, key, data = (
        tmp_path / "etc" / name for name in ("systemd/system/kafka.service", "key.pem", "data")
    )
    unit.parent.mkdir(parents=True)
    (tmp_path / "etc/kdeploy").mkdir()
    for file in (unit, key, data):
        file.write_text("there")
    record = {"files": {str(key): "x", str(data): "x"}, "secrets": [str(key)]}
    (tmp_path / "etc/kdeploy/node.json").write_text(json.dumps(record))
    said: list[tuple[str, ...]] = []
    program["output"] = lambda *command: said.append(command) or f"ActiveState={state}\n"  # type: ignore[func-returns-value]
    assert program["retire"]({"unit": "kafka.service"}) == {"ok": retired}
    assert (unit.exists(), key.exists(), data.exists()) == (not retired, not retired, True)
    assert (("systemctl", "disable", "kafka.service") in said) == retired
