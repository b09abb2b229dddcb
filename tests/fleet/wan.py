"""A line between two networks of this machine with a round trip, a loss and a rate, that can be cut: for kernels without netem.

    network → tun device → lost? → room in the queue? → its turn at the rate → its time on the way → tun device → network

Whole IP packets go through one program; what speaks TCP on both sides is the kernel, so that windows, congestion and
what is sent again are those of a real line. What it does not prove: packets are neither reordered nor jittered, both
sides share this machine's processors, and one program carries some 10,000 to 20,000 packets a second on a slow one,
so that rates above 20 MB/s are this machine's and not the line's.

The program is a process of its own, told what to do on its standard input: it ends when that ends, and its devices
with it. Invariant: nothing is left of a line that was closed, or whose owner was killed; no packet is changed, doubled
or overtaken.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import random
import select
import shutil
import struct
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

TUN: Final = Path("/dev/net/tun")

TUNSETIFF: Final = 0x400454CA
IFF_TUN, IFF_NO_PI = 0x0001, 0x1000
"""How a device is asked for (Linux, include/uapi/linux/if_tun.h): whole IP packets, with nothing before them."""

CLONE_NEWNET: Final = 0x40000000
"""A network namespace (Linux, include/uapi/linux/sched.h)."""

STATUS: Final = Path("/proc/self/status")
CAP_NET_ADMIN, CAP_SYS_ADMIN = 1 << 12, 1 << 21
"""What a process may do (Linux, include/uapi/linux/capability.h)."""

LARGEST: Final = 65_536
"""Bytes of the largest packet."""

AT_ONCE: Final = 64
"""Packets that are read from one side before the other side has its turn."""

WAITING: Final = 10_000
"""Packets that the kernel keeps for the program (txqueuelen): none is lost before the line loses it."""

ROOM: Final = 0.1
"""Seconds of the rate that a queue holds where nothing is said: what a router's buffer does."""

SMALLEST: Final = 64 * 1024
"""Bytes that a queue holds at least."""


@dataclass(frozen=True)
class Shape:
    """What a line is like, the same both ways.

    Attributes:
        round_trip: Seconds there and back.
        loss: Share of packets that never arrive, each for itself.
        rate: Bytes per second of whole packets; None for as many as there are.
        queue: Bytes that wait for their turn at most; what comes then is lost. `ROOM` of the rate when left out.
    """

    round_trip: float = 0.0
    loss: float = 0.0
    rate: float | None = None
    queue: int | None = None

    @property
    def room(self) -> float:
        """Bytes that wait for their turn at most."""
        return max(SMALLEST, ROOM * (self.rate or 0.0)) if self.queue is None else self.queue


@dataclass
class Way:
    """One direction: what is on it, and when each packet is due.

    Attributes:
        shape: What it is like now; packets that are on it keep their time.
        dice: Which packets are lost.
        is_cut: Whether nothing gets through.
        passed: Packets that arrived.
        dropped: Packets that did not.
    """

    shape: Shape
    dice: random.Random
    is_cut: bool = False
    passed: int = 0
    dropped: int = 0
    _flying: deque[tuple[float, bytes]] = field(default_factory=deque)
    _free: float = 0.0

    def take(self, packet: bytes, now: float) -> None:
        """A packet enters."""
        shape = self.shape
        if self.is_cut or (shape.loss and self.dice.random() < shape.loss):
            self.dropped += 1
            return
        sent = now
        if shape.rate is not None:
            starts = max(now, self._free)
            if (starts - now) * shape.rate + len(packet) > shape.room:
                self.dropped += 1
                return
            sent = self._free = starts + len(packet) / shape.rate
        due = sent + shape.round_trip / 2
        if self._flying:
            due = max(due, self._flying[-1][0])  # a line that became shorter lets nobody overtake
        self._flying.append((due, packet))

    def due(self) -> float | None:
        """When the next packet arrives; None while there is none."""
        return self._flying[0][0] if self._flying else None

    def give(self, now: float) -> Iterator[bytes]:
        """Packets that arrive by now, in order."""
        while self._flying and self._flying[0][0] <= now:
            self.passed += 1
            yield self._flying.popleft()[1]

    def cut(self) -> None:
        """Let nothing through from now on; what is on its way is lost."""
        self.is_cut = True
        self.dropped += len(self._flying)
        self._flying.clear()

    def mend(self) -> None:
        """Let packets through again."""
        self.is_cut = False


@dataclass(frozen=True)
class End:
    """A side of a line: the name of its device, of up to 15 letters, and its network namespace (`ip netns`); None for
    this machine's own."""

    device: str
    namespace: str | None = None


def lacking() -> str | None:
    """What this machine lacks for a line, in one line; None when nothing."""
    held = next(one for one in STATUS.read_text().splitlines() if one.startswith("CapEff"))
    if ~int(held.split()[1], 16) & (CAP_NET_ADMIN | CAP_SYS_ADMIN):
        return "a line between two networks needs root, with the rights to make networks and namespaces"
    if shutil.which("ip") is None:
        return "a line between two networks needs the package iproute2"
    if not TUN.exists():
        return f"a line between two networks needs {TUN} (`modprobe tun`)"
    return None


@contextmanager
def inside(namespace: str | None) -> Iterator[None]:
    """Make sockets and devices in a network namespace, by this thread, for the block."""
    if namespace is None:
        yield
        return
    with open("/proc/thread-self/ns/net") as before, open(f"/run/netns/{namespace}") as there:
        _enter(there.fileno())
        try:
            yield
        finally:
            _enter(before.fileno())


def _enter(namespace: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(namespace, CLONE_NEWNET) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


class Wan:
    """A line that is up for as long as its `with` block.

    Args:
        ends: Its two sides; their devices are made, up, and without an address.
        shape: What it is like.
        seed: Which packets are lost.
    """

    def __init__(self, ends: tuple[End, End], shape: Shape, seed: int = 0) -> None:
        words = [json.dumps({"ends": [asdict(one) for one in ends], "shape": asdict(shape), "seed": seed})]
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, *words],
            cwd=Path(__file__).parents[2],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        self._answer()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Take it away, devices and all."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._process.wait()

    def cut(self) -> None:
        """Let nothing through from now on."""
        self._tell({"do": "cut"})

    def mend(self) -> None:
        """Let packets through again."""
        self._tell({"do": "mend"})

    def become(self, shape: Shape) -> None:
        """Be like something else from now on."""
        self._tell({"do": "become", "shape": asdict(shape)})

    def counted(self) -> list[dict[str, int]]:
        """Packets `passed` and `dropped`, from the first end to the second and back."""
        found: list[dict[str, int]] = self._tell({"do": "count"})
        return found

    def _tell(self, what: dict[str, Any]) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(what) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self.close()
            raise RuntimeError("the line between the two networks is gone; what it said is above")
        return json.loads(line)


def _open(end: End) -> int:
    """A device's other side: what the kernel sends into the one is read of the other."""
    with inside(end.namespace):
        opened = os.open(TUN, os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(opened, TUNSETIFF, struct.pack("16sH22x", end.device.encode(), IFF_TUN | IFF_NO_PI))
        # Neighbours of IPv6 would be looked for on it, and counted.
        for words in (
            ("sysctl", "-qw", f"net.ipv6.conf.{end.device}.disable_ipv6=1"),
            ("ip", "link", "set", end.device, "txqueuelen", str(WAITING), "up"),
        ):
            subprocess.run(words, check=words[0] == "ip", stderr=subprocess.DEVNULL)
    return opened


def _serve(ends: list[End], shape: Shape, seed: int) -> None:
    """Carry packets until standard input ends."""
    with suppress(PermissionError):  # a line keeps its times, however busy the machine
        os.setpriority(os.PRIO_PROCESS, 0, -10)
    devices = [_open(one) for one in ends]
    ways = [Way(shape, random.Random(seed + number)) for number in range(2)]
    poll = select.epoll()
    for opened in (*devices, sys.stdin.fileno()):
        poll.register(opened, select.EPOLLIN)
    print(json.dumps("ready"), flush=True)
    told = b""
    while True:
        due = [one for one in (way.due() for way in ways) if one is not None]
        wait = max(0.0, min(due) - time.monotonic()) if due else None
        ready = {number for number, _ in poll.poll(wait)}
        if sys.stdin.fileno() in ready:
            some = os.read(sys.stdin.fileno(), 4096)
            if not some:
                return
            *lines, told = (told + some).split(b"\n")
            for line in lines:
                print(json.dumps(_obey(json.loads(line), ways)), flush=True)
        for number, way in enumerate(ways):
            if devices[number] in ready:
                _read(devices[number], way)
            _write(devices[1 - number], way.give(time.monotonic()), way)


def _obey(what: dict[str, Any], ways: list[Way]) -> Any:
    for way in ways:
        match what["do"]:
            case "cut":
                way.cut()
            case "mend":
                way.mend()
            case "become":
                way.shape = Shape(**what["shape"])
    return [{"passed": way.passed, "dropped": way.dropped} for way in ways]


def _read(device: int, way: Way) -> None:
    for _ in range(AT_ONCE):
        try:
            packet = os.read(device, LARGEST)
        except BlockingIOError:
            return
        way.take(packet, time.monotonic())


def _write(device: int, packets: Iterator[bytes], way: Way) -> None:
    for packet in packets:
        try:
            os.write(device, packet)
        except (
            OSError
        ):  # a device that is down, or whose kernel has no room: as a network that is there no more
            way.passed, way.dropped = way.passed - 1, way.dropped + 1


def main(words: str) -> None:
    """Be the program of a line."""
    wanted = json.loads(words)
    _serve([End(**one) for one in wanted["ends"]], Shape(**wanted["shape"]), wanted["seed"])


if __name__ == "__main__":
    main(sys.argv[1])
