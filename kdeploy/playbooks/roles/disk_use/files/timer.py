"""Runs on a host: starts the timer that tells CloudWatch how full disks are, now and at every boot, or ends it.

Takes `on` or `off`, and `set` or `check`, with which nothing is changed. Prints JSON: `changed`, a list of words.
"""

import json
import os
import subprocess
import sys

TIMER = "kdeploy-disk-use.timer"
AT_BOOT = "/etc/systemd/system/timers.target.wants/" + TIMER


def run(*command):
    """Exit code and output of a program."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return done.returncode, done.stdout.decode(errors="replace").strip()


def runs():
    return run("systemctl", "is-active", TIMER)[1] == "active"


def differs(wanted):
    """What is not as it should be, in words; empty when all is."""
    if wanted == "on":
        return "not started" if not runs() else "" if os.path.lexists(AT_BOOT) else "not started at boot"
    return "started" if runs() else "started at boot" if os.path.lexists(AT_BOOT) else ""


def main(wanted, mode):
    words = differs(wanted)
    if words and mode == "set":
        run("systemctl", "daemon-reload")
        code, said = run("systemctl", "enable" if wanted == "on" else "disable", "--now", TIMER)
        if wanted == "off" and os.path.lexists(AT_BOOT):
            os.unlink(AT_BOOT)  # systemctl leaves it where somebody took the unit away
        if differs(wanted):
            sys.exit(
                "%s is %s: systemctl says %s" % (TIMER, differs(wanted), said.partition("\n")[0] or code)
            )
    print(json.dumps({"changed": [words] if words else []}))


main(sys.argv[1], sys.argv[2])
