"""Runs on a host, under its own Python: prints what there is as one line of JSON, and changes nothing."""

import ctypes
import glob
import json
import os
import re
import socket
import struct
import subprocess
import sys
import time


def output(*command):
    """Exit code and output of a program; None and nothing where it does not exist."""
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return None, ""
    return done.returncode, done.stdout.decode(errors="replace").strip()


def text(path):
    try:
        with open(path) as file:
            return file.read().strip()
    except OSError:
        return ""


def disk(path):
    """One data disk: whether it is there, how large, and what is on it."""
    found = {"exists": os.path.exists(path), "size": 0, "type": "", "uuid": "", "mounted": "", "parts": 0}
    if not found["exists"]:
        return found
    device = os.path.realpath(path)
    code, size = output("blockdev", "--getsize64", device)
    found["block"] = code == 0
    if code != 0:
        return found
    found["size"] = int(size)
    code, shown = output("blkid", "-p", "-o", "export", device)
    values = dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)
    found["type"] = values.get("TYPE") or values.get("PTTYPE") or ("" if code == 2 else "something")
    found["uuid"] = values.get("UUID", "")
    number = os.stat(device).st_rdev
    for line in text("/proc/self/mountinfo").splitlines():
        parts = line.split()
        if parts[2] == "{}:{}".format(os.major(number), os.minor(number)):
            found["mounted"] = parts[4]
    name = os.path.basename(device)
    found["parts"] = len(glob.glob("/sys/class/block/{0}/{0}*/partition".format(name)))
    found["held"] = [os.path.basename(one) for one in glob.glob("/sys/class/block/%s/holders/*" % name)]
    return found


def listening():
    """Ports that something listens on."""
    ports = set()
    for family in ("tcp", "tcp6"):
        for line in text("/proc/net/" + family).splitlines()[1:]:
            local, state = line.split()[1], line.split()[3]
            if state == "0A":
                ports.add(int(local.rpartition(":")[2], 16))
    return ports


def resolved(name):
    """Addresses of a name, and the names that they lead back to."""
    try:
        addresses = sorted({one[4][0] for one in socket.getaddrinfo(name, None)})
    except OSError:
        return {"addresses": [], "back": []}
    back = set()
    for address in addresses:
        try:
            host, aliases, _ = socket.gethostbyaddr(address)
            back |= {host} | set(aliases)
        except OSError:
            pass  # an address that leads back to no name: `back` lacks it, and preflight says so
    return {"addresses": addresses, "back": sorted(back)}


def login():
    """Address that this very connection comes from, and the port it came to; empty where it is none of SSH."""
    pid = os.getpid()
    while pid > 1:
        for entry in text("/proc/%d/environ" % pid).split("\0"):
            if entry.startswith("SSH_CONNECTION="):
                parts = entry.partition("=")[2].split()
                return [parts[0].partition("%")[0], int(parts[3])] if len(parts) == 4 else []
        parent = re.search(r"PPid:\s*(\d+)", text("/proc/%d/status" % pid))
        pid = int(parent.group(1)) if parent else 0
    return []


def other_firewalls():
    """Firewalls that would go on closing ports that kdeploy's own opens."""
    found = []
    if output("systemctl", "is-active", "firewalld.service")[1] == "active":
        found.append("firewalld")
    if re.search(r"(?im)^ENABLED=[\"']?yes", text("/etc/ufw/ufw.conf")):
        found.append("ufw")
    return found


def active(units):
    """Those of some services that run."""
    return [unit for unit in units if output("systemctl", "is-active", unit)[1] == "active"]


def synchronised():
    """Whether something keeps the clock right, as timedatectl tells it: by the kernel's own bound of its error
    (adjtimex(2); systemd's timedated, 16 s). None where the kernel does not say."""
    answer = ctypes.create_string_buffer(256)
    if struct.calcsize("l") != 8 or ctypes.CDLL(None).adjtimex(answer) < 0:
        return None
    return struct.unpack_from("l", answer.raw, 24)[0] < 16000000


def java():
    """Java's version by the file that comes with it, else by asking it; 0 where there is none."""
    program = os.path.realpath("/usr/bin/java")
    release = text(os.path.join(os.path.dirname(os.path.dirname(program)), "release"))
    found = re.search(r'JAVA_VERSION="(?:1\.)?(\d+)', release)
    found = found or re.search(r'version "(?:1\.)?(\d+)', output("/usr/bin/java", "-version")[1])
    return int(found.group(1)) if found else 0


def main(questions):
    release = dict(
        line.replace('"', "").split("=", 1) for line in text("/etc/os-release").splitlines() if "=" in line
    )
    memory = re.search(r"MemTotal: +(\d+)", text("/proc/meminfo"))
    used = listening()
    print(
        json.dumps(
            {
                "time": time.time(),
                "root": os.geteuid() == 0,
                "boot": text("/proc/sys/kernel/random/boot_id"),
                "os": release.get("ID", ""),
                "version": release.get("VERSION_ID", ""),
                "os_name": release.get("PRETTY_NAME", ""),
                "systemd": os.path.isdir("/run/systemd/system"),
                "cores": os.cpu_count(),
                "memory": int(memory.group(1)) * 1024 if memory else 0,
                "java": java(),
                "mkfs": output("mkfs.xfs", "-V")[0] == 0,
                "disks": {path: disk(path) for path in questions["disks"]},
                "ports": sorted(used & set(questions["ports"])),
                "serves": output("systemctl", "is-active", questions["service"])[1] == "active",
                "nft": os.path.exists("/usr/sbin/nft"),
                "login": login(),
                "firewalls": other_firewalls(),
                "synchronised": synchronised(),
                "time_units": active(questions["time_units"]),
                "known": os.path.exists("/etc/kdeploy/node.json"),
                "names": {name: resolved(name) for name in questions["names"]},
            }
        )
    )


main(json.loads(sys.argv[1]))
