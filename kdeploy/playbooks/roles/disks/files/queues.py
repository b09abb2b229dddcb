"""Runs on a host: sets the queues of data disks where they differ, and reads them back.

Takes JSON, a list of disks with `device` and `queues` (settings by whether the disk rotates), and `set` or
`check`. Prints JSON: `changed`, `refused` (set in vain) and `fixed` (what this machine does not let anyone
set), each as `NAME of DEVICE: FOUND, wanted VALUE`.
"""

import json
import os
import sys


def text(path):
    try:
        with open(path) as file:
            return file.read().strip()
    except OSError:
        return ""


def folder(device):
    """The queue of a disk, or of the disk that a partition is on; found by number, whatever the disk is called."""
    number = os.stat(device).st_rdev
    here = os.path.realpath("/sys/dev/block/%d:%d" % (os.major(number), os.minor(number)))
    return here + "/queue" if os.path.isdir(here + "/queue") else os.path.dirname(here) + "/queue"


def chosen(value):
    """The choice that is made, of a file that lists all with it in brackets."""
    return value.partition("[")[2].partition("]")[0] if "[" in value else value


def settable(path, value):
    """Whether a value can be had: the file may be written, and has it among its choices where it lists them."""
    there = text(path)
    writable = os.path.exists(path) and os.stat(path).st_mode & 0o222
    return writable and ("[" not in there or value in there.replace("[", "").replace("]", "").split())


def write(path, value):
    try:
        with open(path, "w") as file:
            file.write(value)
    except OSError:
        pass  # what the kernel has then is read back, and said when it is not what was wanted


def wanted(disks):
    """Path, value and words of every setting; of a disk without a queue, those of one that does not rotate."""
    for disk in disks:
        queue = folder(disk["device"])
        rotates = text(queue + "/rotational") or "0"
        for name, value in sorted(disk["queues"].get(rotates, {}).items()):
            yield queue + "/" + name, value, "%s of %s: " % (name, disk["device"])


def main(disks, mode):
    result = {"changed": [], "refused": [], "fixed": []}
    for path, value, what in wanted(disks):
        before = chosen(text(path))
        if before == value:
            continue
        if not settable(path, value):
            result["fixed"].append("%s%s, wanted %s" % (what, before or "not to be set here", value))
            continue
        if mode == "set":
            write(path, value)
            if chosen(text(path)) != value:
                result["refused"].append("%s%s, wanted %s" % (what, chosen(text(path)), value))
                continue
        result["changed"].append("%s%s, wanted %s" % (what, before, value))
    print(json.dumps(result))


main(json.loads(sys.argv[1]), sys.argv[2])
