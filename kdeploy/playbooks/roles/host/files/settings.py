"""Runs on a host: sets the kernel settings of kdeploy's own files where they differ, and reads them back.

With `check` nothing is set. Prints JSON: `changed`, `refused` (set in vain) and `fixed` (what this
machine, as a container, does not let anyone set), each as `NAME: FOUND, wanted VALUE`.
"""

import json
import os
import sys


def lines(path):
    try:
        with open(path) as file:
            return [line.strip() for line in file if line.strip() and not line.startswith("#")]
    except OSError:
        return []


def wanted():
    """Path in the kernel's file systems and value of each setting."""
    for line in lines("/etc/sysctl.d/90-kdeploy.conf"):
        name, _, value = line.partition("=")
        yield "/proc/sys/" + name.strip().replace(".", "/"), value.strip()
    for line in lines("/etc/tmpfiles.d/90-kdeploy.conf"):
        parts = line.split()
        yield parts[1], parts[6]


def found(path):
    with open(path) as file:
        value = file.read()
    return value.partition("[")[2].partition("]")[0] if "[" in value else " ".join(value.split())


def main(mode):
    result = {"changed": [], "refused": [], "fixed": []}
    for path, value in wanted():
        if not os.path.exists(path) or not os.stat(path).st_mode & 0o222:
            result["fixed"].append("%s: not to be set here, wanted %s" % (path, value))
            continue
        before = found(path)
        if before == value:
            continue
        if mode == "set":
            try:
                with open(path, "w") as file:
                    file.write(value)
            except OSError:
                pass  # what the kernel has then is read back below, and said when it is not what was wanted
            if found(path) != value:
                result["refused"].append("%s: %s, wanted %s" % (path, found(path), value))
                continue
        result["changed"].append("%s: %s, wanted %s" % (path, before, value))
    print(json.dumps(result))


main(sys.argv[1])
