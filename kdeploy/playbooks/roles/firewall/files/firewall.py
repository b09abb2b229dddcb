"""Runs on a host: loads kdeploy's table of nftables where another one is loaded, and reads it back.

Takes what stands for the rules, nothing where there is to be no firewall, and `set` or `check`. Prints JSON:
`changed`, `refused` (in vain) and `fixed` (what this machine does not let anyone set), each `NAME: WORDS`.
"""

import json
import os
import subprocess
import sys

NFT = "/usr/sbin/nft"
FILE = "/etc/kdeploy/firewall.nft"
UNIT = "kdeploy-firewall.service"
AT_BOOT = ["/etc/systemd/system/%s.target.wants/%s" % (one, UNIT) for one in ("sysinit", "multi-user")]
TABLE = ["table", "inet", "kdeploy"]


def run(*command):
    """Exit code and output of a program."""
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    except OSError as error:
        return 127, str(error)
    return done.returncode, done.stdout.decode(errors="replace").strip()


def loaded():
    """The table as it is loaded, empty where there is none; None where nobody may look.

    Without counts and by numbers alone: names would change with /etc/protocols and /etc/services.
    """
    code, text = run(NFT, "-s", "-n", "list", *TABLE)
    if code == 0:
        return text
    return None if "not permitted" in text else ""


def recorded():
    """The table as it was when it was loaded from kdeploy's file."""
    try:
        with open("/run/kdeploy/firewall") as file:
            return file.read().strip()
    except OSError:
        return ""


def differs(digest):
    """What is not as it should be, in words; empty when all is."""
    found = loaded()
    if not found:
        return "not loaded"
    if digest not in found:
        return "other rules are loaded"
    return "" if found == recorded() else "changed by hand"


def load():
    code, said = run(NFT, "--check", "--file", FILE)
    if code != 0:
        sys.exit("the rules cannot be loaded, and nothing was changed: " + said.partition("\n")[0])
    run("systemctl", "daemon-reload")
    run("systemctl", "reload-or-restart", UNIT)


def remove():
    run("systemctl", "disable", "--now", UNIT)
    run(NFT, "delete", *TABLE)


def without(result, mode):
    """There is to be none, now and at the next boot."""
    if loaded() or any(os.path.lexists(link) for link in AT_BOOT):
        result["changed"].append("firewall: removed")
        if mode == "set":
            remove()
            if loaded():
                result["refused"].append("firewall: not removed")


def with_rules(result, digest, mode):
    """There is to be the one with these rules."""
    if mode == "check" and not os.path.exists(NFT):
        result["changed"].append("firewall: not loaded")  # its package would be installed before
    elif loaded() is None or not os.path.exists(NFT):
        result["fixed"].append("firewall: not to be set here")
    elif differs(digest):
        result["changed"].append("firewall: " + differs(digest))
        if mode == "set":
            load()
            if differs(digest):
                result["refused"].append("firewall: %s, wanted %s" % (differs(digest), digest))


def main(digest, mode):
    result = {"changed": [], "refused": [], "fixed": []}
    if digest:
        with_rules(result, digest, mode)
    else:
        without(result, mode)
    print(json.dumps(result))


main(sys.argv[1], sys.argv[2])
