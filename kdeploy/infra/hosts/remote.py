"""Runs on a host, under its own Python: looks at a node there, starts it, or stops it; prints one line of JSON.

It is sent whole over SSH and imports nothing of kdeploy. Invariant: `look` changes nothing.
"""

import ctypes
import errno
import glob
import hashlib
import json
import os
import struct
import subprocess

RECORD = "/etc/kdeploy/node.json"
FORMATTED = "/etc/kdeploy/formatted"
LEASE = "/run/kdeploy/lease.json"
TIMER = "kdeploy-disk-use.timer"
TAIL = 65536
GROWN = 2**26  # bytes that a disk has more than its file system: what mkfs leaves over at its end is less


def output(*command):
    """What a program prints, whatever its exit code."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return done.stdout.decode(errors="replace")


def read(path):
    """A file's content; None where it cannot be read."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return None


def text(path):
    """A file's text without white space around it; None where it cannot be read."""
    content = read(path)
    return None if content is None else content.decode(errors="replace").strip()


def service(unit):
    """What systemd says of a unit."""
    names = "ActiveState,SubState,MainPID,ActiveEnterTimestamp,Result,ExecMainStatus,NRestarts,UnitFileState"
    lines = output("systemctl", "show", unit, "--property=" + names).splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)


def damaged(record):
    """Files that are not as they were put there: changed, missing, or secrets that others may read."""
    wrong = []
    for path, digest in record.get("files", {}).items():
        content = read(path)
        changed = content is None or hashlib.sha256(content).hexdigest() != digest
        if changed or (path in record.get("secrets", ()) and os.stat(path).st_mode & 0o077):
            wrong.append(path)
    return wrong


def setting(path):
    """Value of one of the kernel's files; None where this machine does not let anyone set it."""
    if not os.path.exists(path) or not os.stat(path).st_mode & 0o222:
        return None
    value = text(path) or ""
    return value.partition("[")[2].partition("]")[0] if "[" in value else " ".join(value.split())


def drift(settings):
    """Kernel settings that are not what they should be, as [name, wanted, found]."""
    found = [(name, wanted, setting(path)) for name, path, wanted in settings]
    return [list(one) for one in found if one[2] is not None and one[2] != one[1]]


def queue_drift(disks):
    """Settings of data disks' queues that are not what they should be, as [name, wanted, found]."""
    wrong = []
    for device, queues in sorted(disks.items()):
        try:
            number = os.stat(device).st_rdev
        except OSError:
            continue  # a disk that is not there is named by what is not mounted
        here = os.path.realpath("/sys/dev/block/%d:%d" % (os.major(number), os.minor(number)))
        folder = here if os.path.isdir(here + "/queue") else os.path.dirname(here)
        for name, wanted in sorted(queues.get(text(folder + "/queue/rotational"), {}).items()):
            path = folder + "/queue/" + name
            choices = (text(path) or "").replace("[", "").replace("]", "").split()
            found = setting(path)
            if found not in (None, wanted) and (len(choices) < 2 or wanted in choices):
                wrong.append(["%s of %s" % (name, device), wanted, found])
    return wrong


def firewall_drift(digest):
    """What is not as it should be with the firewall, as [name, wanted, found]; nothing where nobody may look."""
    if not digest:
        return []
    try:
        shown = output("/usr/sbin/nft", "-s", "-n", "list", "table", "inet", "kdeploy")
    except OSError:
        shown = ""
    if "not permitted" in shown:
        return []
    if digest in shown:
        known = text("/run/kdeploy/firewall") == shown.strip()
        return [] if known else [["firewall", "as in /etc/kdeploy/firewall.nft", "changed by hand"]]
    loaded = "chain input" in shown
    return [["firewall", "as in /etc/kdeploy/firewall.nft", "of other rules" if loaded else "not loaded"]]


def size_drift(disks):
    """File systems that are smaller than the disks they are on, which have grown, as [name, wanted, found]."""
    wrong = []
    for device, mount in sorted(disks.items()):
        try:
            with open(device, "rb") as disk:
                head, size = disk.read(16), disk.seek(0, os.SEEK_END)
        except OSError:
            continue
        if (
            head[:4] == b"XFSB"
        ):  # with the size of a block and their number (xfs(5); XFS Algorithms, superblocks)
            block, count = struct.unpack(">IQ", head[4:])
            if size - block * count >= GROWN:
                wrong.append(["size of " + mount, gib(size), gib(block * count)])
    return wrong


def timer_drift(record):
    """Whether the timer that was put here still tells how full disks are, as [name, wanted, found]; nothing where none was."""
    if not any(path.endswith("/" + TIMER) for path in (record or {}).get("files", {})):
        return []
    shown = service(TIMER)
    if shown.get("ActiveState") != "active":
        return [[TIMER, "running", "stopped"]]
    at_boot = shown.get("UnitFileState") == "enabled"
    return [] if at_boot else [[TIMER, "started at boot", "not started at boot"]]


def gib(size):
    """Bytes as a person reads them."""
    return "%.1f GiB" % (size / 2.0**30)


def settings_drift(asked):
    """Settings of the kernel, of disks' queues and of the firewall that are not what they should be."""
    return drift(asked["settings"]) + queue_drift(asked["queues"]) + firewall_drift(asked["firewall"])


def synchronised():
    """Whether something keeps the clock right, as timedatectl tells it: by the kernel's own bound of its error
    (adjtimex(2); systemd's timedated, 16 s). None where the kernel does not say."""
    answer = ctypes.create_string_buffer(256)
    if struct.calcsize("l") != 8 or ctypes.CDLL(None).adjtimex(answer) < 0:
        return None
    return struct.unpack_from("l", answer.raw, 24)[0] < 16000000


def open_files(pid):
    """Files that a process may have open; None where it does not run."""
    for line in (text("/proc/%s/limits" % pid) or "").splitlines():
        if line.startswith("Max open files"):
            number = line.split()[3]
            return None if number == "unlimited" else int(number)
    return None


def swapped(pid):
    """Bytes of a process that are swapped out; 0 where it does not run."""
    for line in (text("/proc/%s/status" % pid) or "").splitlines():
        if line.startswith("VmSwap:"):
            return int(line.split()[1]) * 1024
    return 0


def last_error(folder, unit):
    """The last lines that may say why a node ended: of its log, and of what systemd caught."""
    lines = []
    logs = sorted(glob.glob(folder + "/server.log"))
    for log in logs:
        with open(log, "rb") as file:
            file.seek(max(0, os.path.getsize(log) - TAIL))
            lines += file.read().decode(errors="replace").splitlines()
    lines += output("journalctl", "-q", "-o", "cat", "-n", "20", "-u", unit).splitlines()
    worst = [line for line in lines if "ERROR" in line or "FATAL" in line or "Exception" in line]
    return (worst or lines or [""])[-1].strip()[:300]


def look(asked):
    """How a node is."""
    unit = asked["unit"]
    shown = service(unit)
    try:
        record = json.loads(read(RECORD) or b"null")
    except ValueError:
        record = None
    running = shown.get("ActiveState") in ("active", "reloading", "deactivating")
    formatted = [os.path.exists(path + "/meta.properties") for path in asked["data"]]
    return {
        "record": record,
        "damaged": damaged(record) if record else [],
        "applied": text(asked["config"] + "/applied"),
        "started": text("/run/" + asked["folder"] + "/applied") if running else None,
        "running": running,
        "service": shown,
        "version": os.path.basename(os.path.realpath("/opt/kafka/current")),
        "unmounted": [path for path in asked["mounts"] if not os.path.ismount(path)],
        "formatted": formatted,
        "was_formatted": os.path.exists(FORMATTED),
        "drift": settings_drift(asked) + size_drift(asked.get("sizes", {})) + timer_drift(record),
        "synchronised": synchronised(),
        "contained": os.path.exists("/run/systemd/container"),
        "open_files": open_files(shown.get("MainPID")) if running else None,
        "swapped": swapped(shown.get("MainPID")) if running else 0,
        "last": "" if running else last_error(asked["logs"], unit),
    }


def strayed(asked):
    """What is not as it was put there: files with what is in them now, but for secrets, and settings."""
    try:
        record = json.loads(read(RECORD) or b"{}")
    except ValueError:
        record = {}
    files = []
    for path in damaged(record):
        secret = path in record.get("secrets", ())
        content = read(path)
        shown = None if content is None else "" if secret else content[:TAIL].decode(errors="replace")
        files.append({"path": path, "digest": record["files"][path], "secret": secret, "found": shown})
    settings = settings_drift(asked) + timer_drift(record) if record else []
    return {"files": files, "settings": settings, "recorded": record.get("files", {})}


def files(asked):
    """What stands of a node's files: the text of those that hold no secret, the recorded hash of those that do."""
    try:
        record = json.loads(read(RECORD) or b"null")
    except ValueError:
        record = None
    recorded = (record or {}).get("files", {})
    secrets = (record or {}).get("secrets", ())
    return {
        "recorded": record is not None,
        "texts": {path: text_of(path) for path in recorded if path not in secrets},
        "secrets": {path: recorded[path] for path in secrets if path in recorded},
        "damaged": damaged(record) if record else [],
    }


def text_of(path):
    """A file's text as it is; None where it cannot be read."""
    content = read(path)
    return None if content is None else content.decode(errors="replace")


def start(asked):
    """Start a node; returns when it is started, not when it is ready."""
    subprocess.run(["systemctl", "reset-failed", asked["unit"]], stderr=subprocess.DEVNULL)
    said = output("systemctl", "start", asked["unit"])
    shown = service(asked["unit"])
    return {"ok": shown.get("ActiveState") in ("active", "activating"), "said": said, "service": shown}


def stop(asked):
    """Stop a node and wait until it is gone."""
    if asked["how"] == "now":
        output("systemctl", "kill", "--signal=SIGKILL", asked["unit"])
    said = output("systemctl", "stop", asked["unit"])
    shown = service(asked["unit"])
    return {"ok": shown.get("ActiveState") in ("inactive", "failed"), "said": said, "service": shown}


def delete(asked):
    """Delete a node's data, files and secrets; its file systems stay, empty and ours."""
    output("systemctl", "disable", asked["unit"])
    output("systemctl", "disable", "--now", "kdeploy-firewall.service")
    output("systemctl", "disable", "--now", TIMER)
    record = json.loads(read(RECORD) or b"{}")
    kept = [path for path in record.get("files", {}) if path.endswith(".mount")]
    for folder in asked["data"] + [asked["config"], asked["logs"]]:
        for entry in glob.glob(folder + "/*") + glob.glob(folder + "/.[!.]*"):
            output("rm", "-rf", "--one-file-system", entry)
    for path in record.get("files", {}):
        if path not in kept and os.path.exists(path):
            os.unlink(path)
    for path in glob.glob("/etc/kdeploy/*"):
        os.unlink(path)
    output("systemctl", "daemon-reload")
    return {"ok": True, "said": ""}


def holder():
    """Who works on this host; None when nobody does. A boot ends every lease."""
    try:
        return json.loads(read(LEASE) or b"null")
    except ValueError:
        return {}


def hold(asked):
    """Take this host's lease, unless another operator has it; one's own of before is taken over."""
    os.makedirs(os.path.dirname(LEASE), mode=0o700, exist_ok=True)
    new = "%s.%d" % (LEASE, os.getpid())
    with open(new, "w") as file:
        json.dump(asked["holder"], file)
    try:
        os.link(new, LEASE)  # fails where there is one, so two that come at once do not both have it
    except FileExistsError:
        other = holder() or {}
        if other.get("operator") != asked["holder"]["operator"]:
            return {"ok": False, "said": "", "holder": other}
        os.replace(new, LEASE)
    finally:
        if os.path.exists(new):
            os.unlink(new)
    return {"ok": True, "said": "", "holder": asked["holder"]}


def release(asked):
    """Give this host's lease back; whoever has it, where no operator is named."""
    other = holder()
    if other is not None and asked.get("operator") in (None, other.get("operator")):
        try:
            os.unlink(LEASE)
        except OSError as error:  # a machine that is declared twice is asked twice, at once
            if error.errno != errno.ENOENT:
                raise
        return {"ok": True, "said": "", "holder": other}
    return {"ok": True, "said": "", "holder": None}


def retire(asked):
    """Make this host unable to start a stopped node: no unit, no keys. Its data stays."""
    if service(asked["unit"]).get("ActiveState") not in ("inactive", "failed"):
        return {"ok": False}
    output("systemctl", "disable", asked["unit"])
    record = json.loads(read(RECORD) or b"{}")
    for path in ["/etc/systemd/system/" + asked["unit"], *record.get("secrets", ())]:
        if os.path.exists(path):
            os.unlink(path)
    output("systemctl", "daemon-reload")
    return {"ok": not os.path.exists("/etc/systemd/system/" + asked["unit"])}


def own_disks(asked):
    """Disks whose stable paths begin in a certain way, by those paths, with what is on each.

    What goes on behind the serial number is a partition or another name of the same disk.
    """
    found = []
    for path in sorted(glob.glob(asked["prefix"] + "*")):
        if path[len(asked["prefix"]) :].isalnum():
            command = ["blkid", "-p", "-s", "UUID", "-o", "value", os.path.realpath(path)]
            done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            uuid = done.stdout.decode(errors="replace").strip()
            # 2: it recognises nothing (blkid(8), EXIT STATUS)
            found.append({"path": path, "file_system": uuid, "empty": done.returncode == 2})
    return {"disks": found}


def forget(asked):
    """Make this host one that never had its node, whose data is gone; not while it runs or has a data disk mounted."""
    mounted = [path for path in asked["mounts"] if os.path.ismount(path)]
    if mounted or service(asked["unit"]).get("ActiveState") not in ("inactive", "failed"):
        return {"ok": False}
    for path in (RECORD, FORMATTED):
        if os.path.exists(path):
            os.unlink(path)
    return {"ok": True}


def boot(asked):
    """What stands for this boot."""
    return {"boot": text("/proc/sys/kernel/random/boot_id")}


def reboot(asked):
    """Boot this host anew, a moment after it has answered; not while its node runs."""
    if service(asked["unit"]).get("ActiveState") not in ("inactive", "failed"):
        return {"ok": False}
    answer = {"ok": True, "holder": holder(), **boot(asked)}
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.Popen(["sh", "-c", "sleep 1; exec systemctl reboot"], start_new_session=True, **quiet)
    return answer


VERBS = {
    verb.__name__: verb
    for verb in (
        *(look, files, strayed, start, stop, delete, hold, release, boot, reboot, retire),
        *(own_disks, forget),
    )
}


def main(verb, asked):
    """Do what is asked and print the answer."""
    print(json.dumps(VERBS[verb](asked)))
