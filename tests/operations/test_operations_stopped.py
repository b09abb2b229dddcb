"""Ctrl-C, a closed window and SIGTERM stop kdeploy at any moment, and it says what stands."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from tests.fake_machine import Machine, finish

SIGNALS = [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]


@pytest.mark.parametrize(("number", "code"), SIGNALS)
def test_up_stops_at_once_and_says_what_stands_and_how_to_go_on(
    machine: Machine, number: signal.Signals, code: int
) -> None:
    up = machine.start("up", "demo")
    machine.wait_for(lambda: len(machine.running()) == 3, up)
    up.send_signal(number)
    began = time.monotonic()
    ended = finish(up)
    assert time.monotonic() - began < 8
    assert ended.code == code
    assert "3 of 6 nodes run, and go on running" in ended.err.replace("\n" + " " * 19, " ")
    assert "run the same command again to go on" in ended.err
    assert machine.running() == ["zookeeper-1", "zookeeper-2", "zookeeper-3"], "what was started lives on"


@pytest.mark.parametrize("seconds", [0, 0.2, 0.4, 0.6, 0.9, 1.3])
def test_ctrl_c_at_any_moment_leaves_a_state_that_down_finishes(machine: Machine, seconds: float) -> None:
    up = machine.start("up", "demo")
    # Before that it may be Python's own start, which on a busy machine takes longer than all of these.
    machine.wait_for(lambda: "pydantic_core" in Path(f"/proc/{up.pid}/maps").read_text(), up)
    time.sleep(seconds)
    up.send_signal(signal.SIGINT)
    assert finish(up).code == 130
    down = machine.run("down", "demo", "--delete-data", "--yes")
    assert (down.code, machine.running()) == (0, [])
    assert not machine.state.exists()


def test_a_second_ctrl_c_does_not_wait(machine: Machine) -> None:
    up = machine.start("up", "demo")
    machine.wait_for(lambda: len(machine.running()) == 3, up)
    up.send_signal(signal.SIGINT)
    up.send_signal(signal.SIGINT)
    assert finish(up, patience=3).code == 130


def test_down_can_be_stopped_while_it_waits_for_a_node_that_does_not_end(machine: Machine) -> None:
    java = machine.root / "jdk" / "bin" / "java"
    java.write_text(java.read_text().replace("get(main_class, serve)", "get(main_class, stubborn)"))
    up = machine.start("up", "demo")
    machine.wait_for(lambda: len(machine.running()) == 3, up)
    up.send_signal(signal.SIGINT)
    finish(up)
    down = machine.start("down", "demo")
    machine.wait_for(lambda: any(machine.state.rglob("asked-to-end")), down)
    time.sleep(1)
    assert down.poll() is None
    down.send_signal(signal.SIGINT)
    ended = finish(down, patience=8)
    assert ended.code == 130
    assert "3 of 6 nodes run" in ended.err
