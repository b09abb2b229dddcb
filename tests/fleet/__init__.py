"""Real systemd hosts on this machine, in namespaces: for tests, and for a developer to play with.

    python -m tests.fleet up 6      boot six hosts with disks, three racks, reachable by SSH
    python -m tests.fleet list      say what is there
    python -m tests.fleet down      end them and leave nothing

Invariant: everything a fleet is lies in its own folder; its processes, mounts and loop devices
are found again by that folder, so `down` also cleans up after a run that was killed.
"""
