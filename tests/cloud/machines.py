"""What EC2 does to instances, done to hosts of this machine: launch, stop, start, terminate, volumes, names.

Invariant: moto says what there is, this module makes it so; an instance's state in moto says
`running` only while its host is up or coming up. All is undone by `remove`, also after a failed run.
"""

from __future__ import annotations

import base64
import copy
import functools
import ipaddress
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from moto.ec2.models import EC2Backend
from moto.ec2.models.instances import Instance
from moto.moto_server.werkzeug_app import MotoRequestHandler
from werkzeug.serving import make_server

from tests.cloud import hosts, launch, resolver, troubles
from tests.cloud.hosts import Machine
from tests.cloud.strict import refuse
from tests.fleet.base import base
from tests.fleet.fleet import Fleet
from tests.fleet.host import BootFailed

BRIDGE: Final = "kdeploy-aws"
CALLED: Final = 4566
"""Port on each network's name server by which hosts call AWS: this machine's loopback, where all else does, is not theirs."""
GIB: Final = 2**30
BOOTS: Final = 30.0
"""Seconds in which a host does what it does at boot, which takes one or two; whoever asked waits a minute for an answer
(botocore's `read_timeout`), and one that is slower than this is left to those that wait for it to listen."""
LOOK: Final = 0.2


class Machines:
    """The hosts of one account.

    Attributes:
        folder: Everything that they are: `hosts`, `volumes`, the key that logs in to all.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.fleet = Fleet(folder)
        self.lock = threading.RLock()
        self.served: set[str] = set()
        self.account: Callable[..., Any] | None = None
        self.addresses: set[str] = set()

    def prepare(self) -> None:
        """What all hosts share: the system they start from, the key, the bridge."""
        self.folder.mkdir(parents=True, exist_ok=True)
        base()
        self.fleet.note_shared()
        self.fleet.make_key()
        (self.folder / "volumes").mkdir(exist_ok=True)
        if not Path(f"/sys/class/net/{BRIDGE}").exists():
            _run("ip", "link", "add", BRIDGE, "type", "bridge")
        _run("ip", "link", "set", BRIDGE, "up")

    def of(self, instance: str) -> Machine | None:
        """The host of an instance; None when there is none, or none any more."""
        folder = self.folder / "hosts" / _name(instance)
        return hosts.read(folder) if (folder / "host.json").exists() else None

    def all(self) -> list[Machine]:
        """Every host there is."""
        return [hosts.read(file.parent) for file in sorted((self.folder / "hosts").glob("*/host.json"))]

    def launch(self, instance: Any) -> None:
        """Make an instance's host and boot it; returns at once."""
        nic = instance.nics[0]
        subnet = ipaddress.ip_network(nic.subnet.cidr_block)
        with self.lock:
            self.connect(subnet, _vpc_range(nic))
        name = _name(instance.id)
        made = Machine(
            folder=str(self.folder / "hosts" / name),
            name=name,
            address=nic.private_ip_address,
            rack=instance.availability_zone[-1],
            role="instance",
            disks=self.own_disks(instance.instance_type),
            bridge=BRIDGE,
            authorized=self.fleet.key.with_suffix(".pub").read_text(),
            instance=instance.id,
            mac=nic.mac_address,
            prefix=subnet.prefixlen,
            storage=str(self.folder / "volumes"),
            resolver=_resolver(_vpc_range(nic)),
            domain=_domain(nic.ec2_backend.region_name),
        )
        made.make(base())
        made.first_boot(_text(instance.user_data))
        made.answer_about_itself(_known(name))
        made.boot()
        expect_boot(made)

    @staticmethod
    def own_disks(sort: str) -> int:
        """How many disks of its own an instance type has (AWS's list, as moto brings it)."""
        from moto.ec2.models.instance_types import INSTANCE_TYPES

        listed = INSTANCE_TYPES.get(sort, {}).get("InstanceStorageInfo", {}).get("Disks", [])
        return sum(int(one.get("Count", 1)) for one in listed)

    def connect(self, subnet: Any, network: Any) -> None:
        """Let this machine be a subnet's router, and the name server of its network."""
        router = f"{subnet.network_address + 1}/{subnet.prefixlen}"
        _run("ip", "address", "replace", router, "dev", BRIDGE)
        self.addresses.add(router)
        server = _resolver(network)
        if server not in self.served:
            _run("ip", "address", "replace", f"{server}/32", "dev", BRIDGE)
            self.addresses.add(f"{server}/32")
            resolver.serve(server, lookup)
            self._let_call(server)
            self.served.add(server)

    def _let_call(self, address: str) -> None:
        """Let hosts of a network call AWS, as they would through its endpoints."""
        if self.account is not None:
            door = make_server(
                address, CALLED, self.account, threaded=True, request_handler=MotoRequestHandler
            )
            threading.Thread(target=door.serve_forever, daemon=True).start()

    def stop(self, instance: Any) -> None:
        """Shut an instance's host down; its state says when that is done."""
        self._ending(instance, "stopping", 64, lambda: None, "stopped", 80)

    def terminate(self, instance: Any, ended: Callable[[], None]) -> None:
        """End an instance's host and delete it; what it had is free after that."""

        def delete() -> None:
            ended()
            machine = self.of(instance.id)
            if machine is not None:
                machine.remove()

        self._ending(instance, "shutting-down", 32, delete, "terminated", 48)

    def _ending(
        self, instance: Any, during: str, code: int, then: Callable[[], None], after: str, final: int
    ) -> None:
        instance._state.name, instance._state.code = during, code

        def end() -> None:
            machine = self.of(instance.id)
            if machine is not None:
                machine.shut_down()
            with self.lock:
                if instance._state.name != during:
                    return  # stopped while it was terminated, or the other way round: the later order holds
                then()
                instance._state.name, instance._state.code = after, final

        threading.Thread(target=end).start()

    def start(self, instance: Any) -> None:
        """Boot an instance's host again; its own disks are others then, and empty, as on EC2."""
        machine = self.of(instance.id)
        if machine is None:
            return
        with self.lock:
            machine.renew_own_disks(self.own_disks(instance.instance_type))
            machine.boot()
        expect_boot(machine)

    def attach(self, volume: Any, instance: Any) -> None:
        """Attach a volume; its file is made when it is attached for the first time."""
        file = self.folder / "volumes" / volume.id
        if not file.exists():
            with file.open("wb") as opened:
                opened.truncate(int(volume.size) * GIB)
        machine = self.of(instance.id)
        if machine is not None:
            with self.lock:
                machine.attach(volume.id)

    def detach(self, volume: str, instance: str) -> None:
        """Detach a volume; one whose file system is mounted is not let go."""
        machine = self.of(instance)
        if machine is None or volume not in machine.volumes:
            return
        if machine.mounts(volume):
            refuse("IncorrectState", f"Volume '{volume}' is busy: instance '{instance}' has it mounted.")
        with self.lock:
            machine.detach(volume)

    def grow(self, volume: str, gib: int) -> None:
        """Give a volume its new size, on hosts that run too."""
        file = self.folder / "volumes" / volume
        if file.exists():
            hosts.grow(file, gib * GIB)

    def delete(self, volume: str) -> None:
        """Delete a volume's data."""
        file = self.folder / "volumes" / volume
        if file.exists():
            hosts.release(file)
            file.unlink()

    def on_start_instances(self, _: Any, changed: Any, *__: Any, **___: Any) -> None:
        for instance, before in changed:
            if before.name == "stopped":
                self.start(instance)

    def on_reboot_instances(self, _: Any, rebooted: Any, *__: Any, **___: Any) -> None:
        for instance in rebooted:
            machine = self.of(instance.id)
            if machine is not None:
                machine.reboot()

    def on_attach_volume(
        self, backend: Any, _: Any, volume_id: str, instance_id: str, device_path: str, *__: Any
    ) -> None:
        instance = backend.get_instance(instance_id)
        if device_path != instance.root_device_name:
            self.attach(backend.get_volume(volume_id), instance)

    def on_modify_volume(self, backend: Any, _: Any, volume_id: str, *__: Any, **___: Any) -> None:
        self.grow(volume_id, int(backend.get_volume(volume_id).size))

    def on_delete_volume(self, _: Any, volume: Any, *__: Any, **___: Any) -> None:
        self.delete(volume.id)

    def remove(self) -> None:
        """End every host and undo what they changed; also after a failed run."""
        if not self.folder.exists():
            return
        for machine in self.all():
            machine.remove()
        for file in (self.folder / "volumes").glob("vol-*"):
            hosts.release(file)
        for address in self.addresses:
            subprocess.run(["ip", "address", "del", address, "dev", BRIDGE], capture_output=True, check=False)
        linked = subprocess.run(
            ["ip", "-o", "link", "show", "master", BRIDGE], capture_output=True, text=True, check=False
        )
        if not linked.stdout.strip():
            subprocess.run(["ip", "link", "delete", BRIDGE], capture_output=True, check=False)
        self.fleet.restore_shared()
        shutil.rmtree(self.folder)


def expect_boot(machine: Machine) -> None:
    """Wait until a host has done what it does at boot; refused, with the host's own words, where that failed.

    Whoever asked for the instance would wait in vain for it to answer, and nobody would learn why.
    """
    until = time.monotonic() + BOOTS
    try:
        while not machine.booted() and time.monotonic() < until:
            time.sleep(LOOK)
    except BootFailed as problem:
        refuse("HostDidNotBoot", str(problem))


def _known(name: str) -> dict[str, str]:
    """What a machine's role is known by: the account's own key, since no other opens it, and a token."""
    return {
        "role": "machine",
        "key": troubles.SETTINGS.key,
        "secret": f"secret-of-{name}",
        "token": f"token-of-{name}",
    }


def _name(instance: str) -> str:
    """What the host is called on this machine: short enough for its network link's name."""
    return f"i{instance.removeprefix('i-')[:11]}"


def _vpc_range(nic: Any) -> Any:
    return ipaddress.ip_network(nic.ec2_backend.get_vpc(nic.subnet.vpc_id).cidr_block)


def _resolver(network: Any) -> str:
    """The name server of a network: the third address of its range (VPC user guide, "Amazon DNS", 2026-11)."""
    return str(network.network_address + 2)


def _domain(region: str) -> str:
    """Where EC2's own names of instances are (EC2 user guide, "Instance hostname types", 2026-11)."""
    return "ec2.internal" if region == "us-east-1" else f"{region}.compute.internal"


def _text(user_data: Any) -> str:
    """User data as it was given."""
    if not user_data:
        return ""
    raw = user_data if isinstance(user_data, str) else str(user_data)
    try:
        return base64.b64decode(raw, validate=True).decode()
    except ValueError:
        return raw


def lookup(asker: str, name: str, kind: int) -> list[str] | None:
    """What a name leads to for an instance with an address; None when there is no such name."""
    from moto.core import DEFAULT_ACCOUNT_ID
    from moto.ec2.models import ec2_backends
    from moto.route53.models import route53_backends

    vpc = _network_of(asker, ec2_backends[DEFAULT_ACCOUNT_ID])
    if vpc is None:
        return None
    region, found = vpc
    domain, address = _domain(region), resolver.reverse(name)
    if kind == resolver.PTR and address:
        return [f"ip-{address.replace('.', '-')}.{domain}"]
    own = re.fullmatch(rf"ip-(\d+)-(\d+)-(\d+)-(\d+)\.{re.escape(domain)}", name)
    if own:
        return [".".join(own.groups())] if kind == resolver.A else []
    zones = route53_backends[DEFAULT_ACCOUNT_ID]["aws"].zones.values()
    for zone in zones:
        if any(one["vpc_id"] == found for one in zone.vpcs):
            for record in zone.rrsets:
                if record.name.rstrip(".").lower() == name:
                    return list(record.records) if record.type == "A" and kind == resolver.A else []
    return None


def _network_of(asker: str, regions: Any) -> tuple[str, str] | None:
    address = ipaddress.ip_address(asker)
    for region, backend in list(regions.items()):
        for vpc in list(backend.vpcs.values()):
            if not vpc.is_default and address in ipaddress.ip_network(vpc.cidr_block):
                return region, vpc.id
    return None


def _after(name: str, act: Callable[..., None]) -> None:
    """Act after a method of the EC2 backend, with what it answered and was given."""
    original = getattr(EC2Backend, name)

    @functools.wraps(original)
    def acted(self: Any, *arguments: Any, **named: Any) -> Any:
        answer = original(self, *arguments, **named)
        act(self, answer, *arguments, **named)
        return answer

    setattr(EC2Backend, name, acted)


def install(folder: str) -> Machines:
    """Let the instances of this process's EC2 be hosts from now on."""
    machines = Machines(Path(folder))
    machines.prepare()
    launch.LAUNCHED.append(machines.launch)
    for name in ("start_instances", "reboot_instances"):
        _after(name, getattr(machines, f"on_{name}"))
    for name in ("attach_volume", "modify_volume", "delete_volume"):
        _after(name, getattr(machines, f"on_{name}"))
    _detaching(machines)
    _stopping(machines)
    _terminating(machines)
    return machines


def _detaching(machines: Machines) -> None:
    original = EC2Backend.detach_volume

    @functools.wraps(original)
    def detach(self: Any, volume_id: str, instance_id: str, device_path: str) -> Any:
        machines.detach(volume_id, instance_id)
        return original(self, volume_id, instance_id, device_path)

    EC2Backend.detach_volume = detach  # type: ignore[method-assign]


def _stopping(machines: Machines) -> None:
    def stop(self: Any) -> Any:
        before = copy.copy(self._state)
        if before.name == "running":
            machines.stop(self)
        return before

    Instance.stop = stop  # type: ignore[method-assign]


def _terminating(machines: Machines) -> None:
    original = Instance.terminate

    @functools.wraps(original)
    def terminate(self: Any) -> Any:
        before = copy.copy(self._state)
        if before.name not in ("terminated", "shutting-down"):
            machines.terminate(self, lambda: original(self))
        return before

    Instance.terminate = terminate  # type: ignore[method-assign]


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} failed: {done.stderr.strip()}")
