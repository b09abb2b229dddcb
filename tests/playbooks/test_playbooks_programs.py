"""Programs of the roles that set and read back, on a file system and with an nft that are not real."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from kdeploy.infra.hosts import remote

ROLES = Path(__file__).parents[2] / "kdeploy" / "playbooks" / "roles"
QUEUES = {
    "0": {"scheduler": "none", "read_ahead_kb": "128"},
    "1": {"scheduler": "mq-deadline", "read_ahead_kb": "1024"},
}


def run(program: str, replaced: dict[str, str], *arguments: str) -> dict[str, Any]:
    """Run a role's program with its paths replaced, as Ansible does: from standard input."""
    text = (ROLES / program).read_text()
    for old, new in replaced.items():
        assert old in text
        text = text.replace(old, new)
    done = subprocess.run(
        [sys.executable, "-", *arguments], input=text, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    said: dict[str, Any] = json.loads(done.stdout)
    return said


class Disk:
    """What the kernel shows of a disk, as files."""

    def __init__(self, folder: Path, rotational: str, schedulers: str, part: bool = False) -> None:
        self.sys = folder / "dev"
        real = folder / "devices" / "vda"
        self.queue = real / "queue"
        self.queue.mkdir(parents=True)
        (self.queue / "rotational").write_text(f"{rotational}\n")
        (self.queue / "scheduler").write_text(f"{schedulers}\n")
        (self.queue / "read_ahead_kb").write_text("4096\n")
        (real / "vda1").mkdir()
        self.sys.mkdir()
        # A file that is called as no disk is: the kernel knows disks by their numbers (0:0 of what is none).
        self.device = str(folder / "data disk")
        Path(self.device).touch()
        (self.sys / "0:0").symlink_to(real / "vda1" if part else real)

    def set(self, mode: str) -> dict[str, Any]:
        given = json.dumps([{"device": self.device, "queues": QUEUES}])
        return run("disks/files/queues.py", {"/sys/dev/block/": f"{self.sys}/"}, given, mode)

    def drift(self, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
        """What `kdeploy status` would see."""
        real = remote.os.path.realpath
        monkeypatch.setattr(
            remote.os.path,
            "realpath",
            lambda path: real(str(path).replace("/sys/dev/block/", f"{self.sys}/")),
        )
        found: list[list[str]] = remote.queue_drift({self.device: QUEUES})
        return found


@pytest.mark.parametrize("part", [False, True])
@pytest.mark.parametrize(("rotational", "ahead"), [("0", "128"), ("1", "1024")])
def test_a_queue_is_set_by_whether_its_disk_rotates_and_then_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rotational: str, ahead: str, part: bool
) -> None:
    scheduler = QUEUES[rotational]["scheduler"]
    disk = Disk(tmp_path, rotational, "[bfq] none mq-deadline", part)
    assert len(disk.set("check")["changed"]) == 2
    assert (disk.queue / "read_ahead_kb").read_text() == "4096\n", "check changes nothing"
    # A file keeps what was written, where the kernel would put brackets around it.
    assert disk.set("set")["refused"] == []
    assert (disk.queue / "read_ahead_kb").read_text() == ahead
    assert (disk.queue / "scheduler").read_text() == scheduler
    assert disk.set("set") == {"changed": [], "refused": [], "fixed": []}
    assert disk.drift(monkeypatch) == []


def test_what_is_not_as_wanted_is_named_with_both_values(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(tmp_path, "1", "[bfq] none mq-deadline")
    assert disk.drift(monkeypatch) == [
        [f"read_ahead_kb of {disk.device}", "1024", "4096"],
        [f"scheduler of {disk.device}", "mq-deadline", "bfq"],
    ]


def test_a_scheduler_that_a_disk_does_not_have_is_no_drift_and_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(tmp_path, "1", "[none] kyber")
    (disk.queue / "read_ahead_kb").write_text("1024\n")
    assert disk.set("set") == {
        "changed": [],
        "refused": [],
        "fixed": [f"scheduler of {disk.device}: none, wanted mq-deadline"],
    }
    assert disk.drift(monkeypatch) == []


def test_a_disk_without_a_queue_is_said_and_is_no_drift(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(tmp_path, "1", "[none]")
    (disk.sys / "0:0").unlink()
    assert disk.set("set") == {
        "changed": [],
        "refused": [],
        "fixed": [
            f"read_ahead_kb of {disk.device}: not to be set here, wanted 128",
            f"scheduler of {disk.device}: not to be set here, wanted none",
        ],
    }
    assert disk.drift(monkeypatch) == []


NFT = """#!/bin/sh
# Knows one table, kept in a file; a file of rules is the table.
if [ "$1" = -s ]; then
  [ -e {here}/forbidden ] && echo 'Operation not permitted' && exit 1
  [ -e {here}/loaded ] || {{ echo 'No such file or directory'; exit 1; }}
  cat {here}/loaded
elif [ "$1" = --check ]; then grep -q nonsense "$3" && {{ echo 'syntax error'; exit 1; }}; exit 0
elif [ "$1" = delete ]; then rm -f {here}/loaded
fi
"""
SYSTEMCTL = """#!/bin/sh
case "$1" in
  reload-or-restart) cp {here}/firewall.nft {here}/loaded; cp {here}/loaded {here}/recorded ;;
  disable) rm -f {here}/loaded {here}/sysinit.target.wants/* ;;
esac
"""


class Wall:
    """A host with an nft and a systemctl that only keep files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name, text in (("nft", NFT), ("systemctl", SYSTEMCTL)):
            (folder / name).write_text(text.format(here=folder))
            (folder / name).chmod(0o755)
        self.carry("one")

    def carry(self, digest: str) -> None:
        (self.folder / "firewall.nft").write_text(f"chain input\nkdeploy {digest}\n")

    def load(self, digest: str, mode: str = "set") -> dict[str, Any]:
        replaced = {
            "/usr/sbin/nft": str(self.folder / "nft"),
            "/etc/kdeploy/firewall.nft": str(self.folder / "firewall.nft"),
            "/run/kdeploy/firewall": str(self.folder / "recorded"),
            '"systemctl"': f'"{self.folder / "systemctl"}"',
            "/etc/systemd/system/%s": f"{self.folder}/%s",
        }
        return run("firewall/files/firewall.py", replaced, digest, mode)


@pytest.fixture
def wall(tmp_path: Path) -> Wall:
    return Wall(tmp_path)


def test_the_firewall_is_loaded_once_and_again_when_its_rules_change(wall: Wall) -> None:
    assert wall.load("one", "check")["changed"] == ["firewall: not loaded"]
    assert not (wall.folder / "loaded").exists()
    assert wall.load("one")["changed"] == ["firewall: not loaded"]
    assert wall.load("one") == {"changed": [], "refused": [], "fixed": []}
    wall.carry("two")
    assert wall.load("two", "check")["changed"] == ["firewall: other rules are loaded"]
    assert wall.load("two")["refused"] == []
    assert wall.load("two")["changed"] == []


def test_what_somebody_changed_by_hand_is_put_back(wall: Wall) -> None:
    wall.load("one")
    with (wall.folder / "loaded").open("a") as file:
        file.write("tcp dport 23 accept\n")
    assert wall.load("one")["changed"] == ["firewall: changed by hand"]
    assert "23" not in (wall.folder / "loaded").read_text()


def test_a_firewall_that_is_no_longer_wanted_is_removed(wall: Wall) -> None:
    assert wall.load("") == {"changed": [], "refused": [], "fixed": []}
    wall.load("one")
    assert wall.load("", "check")["changed"] == ["firewall: removed"]
    assert (wall.folder / "loaded").exists()
    assert wall.load("") == {"changed": ["firewall: removed"], "refused": [], "fixed": []}
    assert not (wall.folder / "loaded").exists()


def test_one_that_is_no_longer_wanted_is_not_loaded_at_the_next_boot_either(wall: Wall) -> None:
    link = wall.folder / "sysinit.target.wants" / "kdeploy-firewall.service"
    link.parent.mkdir()
    link.symlink_to("/nowhere")
    assert wall.load("", "check")["changed"] == ["firewall: removed"]
    assert wall.load("")["changed"] == ["firewall: removed"]
    assert not link.is_symlink()
    assert wall.load("")["changed"] == []


def test_where_nobody_may_set_one_that_is_said(wall: Wall) -> None:
    (wall.folder / "forbidden").touch()
    assert wall.load("one") == {"changed": [], "refused": [], "fixed": ["firewall: not to be set here"]}


def test_rules_that_cannot_be_loaded_are_not_tried(wall: Wall) -> None:
    wall.carry("nonsense")
    with pytest.raises(AssertionError, match="cannot be loaded, and nothing was changed: syntax error"):
        wall.load("nonsense")
    assert not (wall.folder / "loaded").exists()


@pytest.mark.parametrize(
    ("shown", "recorded", "drift"),
    [
        ("table {\nchain input\nkdeploy one\n}", None, []),
        (
            "table {\nchain input\nkdeploy one\n}",
            "table {\nchain input\nkdeploy one\nmore\n}",
            "changed by hand",
        ),
        ("table {\nchain input\nkdeploy two\n}", None, "of other rules"),
        ("Error: No such file or directory", None, "not loaded"),
        ("Error: Operation not permitted", None, []),
    ],
)
def test_status_names_what_became_of_the_firewall(
    monkeypatch: pytest.MonkeyPatch, shown: str, recorded: str | None, drift: Any
) -> None:
    monkeypatch.setattr(remote, "output", lambda *command: shown + "\n")
    monkeypatch.setattr(remote, "text", lambda path: shown if recorded is None else recorded)
    wanted = [["firewall", "as in /etc/kdeploy/firewall.nft", drift]] if drift else []
    assert remote.firewall_drift("one") == wanted
    assert remote.firewall_drift("") == []


TIMERS = """#!/bin/sh
# Knows one timer: `active` is there while it runs, and the link while it is started at boot.
case "$1" in
  is-active) [ -e {here}/active ] && echo active || {{ echo inactive; exit 3; }} ;;
  enable) [ -e {here}/broken ] && {{ echo 'Failed to enable unit: Access denied'; exit 1; }}
    touch {here}/active; ln -sf /nowhere {here}/wants ;;
  disable) rm -f {here}/active; [ -e {here}/gone ] || rm -f {here}/wants ;;
esac
"""


class Timer:
    """A host with a systemctl that only keeps files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "systemctl").write_text(TIMERS.format(here=folder))
        (folder / "systemctl").chmod(0o755)

    def set(self, wanted: str, mode: str = "set") -> list[str]:
        replaced = {
            '"systemctl"': f'"{self.folder / "systemctl"}"',
            '"/etc/systemd/system/timers.target.wants/" + TIMER': f'"{self.folder / "wants"}"',
        }
        said = run("disk_use/files/timer.py", replaced, wanted, mode)
        assert said.keys() == {"changed"}
        return list(said["changed"])

    def state(self) -> tuple[bool, bool]:
        """Whether it runs, and whether it is started at boot."""
        return (self.folder / "active").exists(), (self.folder / "wants").is_symlink()


@pytest.fixture
def timer(tmp_path: Path) -> Timer:
    return Timer(tmp_path)


def test_the_timer_is_started_once_and_stopped_once(timer: Timer) -> None:
    assert timer.set("off") == []
    assert timer.set("on", "check") == ["not started"]
    assert timer.state() == (False, False), "check changes nothing"
    assert timer.set("on") == ["not started"]
    assert timer.state() == (True, True)
    assert timer.set("on") == []
    assert timer.set("off", "check") == ["started"]
    assert timer.state() == (True, True)
    assert timer.set("off") == ["started"]
    assert timer.state() == (False, False)


def test_a_timer_that_somebody_stopped_or_took_from_boot_is_started_again(timer: Timer) -> None:
    timer.set("on")
    (timer.folder / "active").unlink()
    assert timer.set("on") == ["not started"]
    (timer.folder / "wants").unlink()
    assert timer.set("on") == ["not started at boot"]
    assert timer.state() == (True, True)


def test_a_timer_whose_unit_somebody_took_away_is_not_started_at_boot_either(timer: Timer) -> None:
    timer.set("on")
    (timer.folder / "gone").touch()
    assert timer.set("off") == ["started"]
    assert timer.state() == (False, False)


def test_a_timer_that_cannot_be_started_is_said(timer: Timer) -> None:
    (timer.folder / "broken").touch()
    with pytest.raises(
        AssertionError, match=r"kdeploy-disk-use.timer is not started: systemctl says Failed to enable"
    ):
        timer.set("on")
