"""Stands in for java: says what it was started with, listens, and ends as the tests ask.

Its main class is the behaviour: Serve (until SIGTERM), Stubborn (ignores SIGTERM), Fail
(writes an error and ends), kafka.tools.StorageTool (formats). Copied into a program by
conftest; uses the standard library alone.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path


def serve() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    while True:
        time.sleep(0.01)


def stubborn() -> None:
    signal.signal(signal.SIGTERM, lambda *_: Path("asked-to-end").touch())
    while True:
        time.sleep(0.01)


def fail() -> None:
    print("[2026-11-25 10:00:00,000] INFO starting")
    print("[2026-11-25 10:00:01,000] ERROR cannot read " + Path("secrets/identity.pem").read_text().strip())
    sys.exit(1)


def format_storage(arguments: list) -> None:
    with open("formats.log", "a") as log:
        log.write(json.dumps(arguments) + "\n")
    if "--fail" in arguments:
        sys.exit("Invalid cluster.id")
    if "--interrupt" in arguments and not Path("interrupted").exists():
        Path("interrupted").touch()
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(0.3)
    for folder in ("data/0", "data/1"):
        if Path(folder).is_dir():
            Path(folder, "meta.properties").touch()


if __name__ == "__main__":
    words = sys.argv[1:]
    main_class = next(word for word in words if not word.startswith("-"))
    if main_class == "kafka.tools.StorageTool":
        format_storage(words[words.index(main_class) + 1 :])
    else:
        seen = {
            "arguments": words,
            "cwd": os.getcwd(),
            "environment": dict(os.environ),
            "session": os.getsid(0) == os.getpid(),
            "stdin": os.readlink("/proc/self/fd/0") if sys.platform == "linux" else os.devnull,
            "umask": os.umask(0o077),
        }
        import resource

        seen["core"] = resource.getrlimit(resource.RLIMIT_CORE)[0]
        seen["files"] = list(resource.getrlimit(resource.RLIMIT_NOFILE))
        Path("seen.json.new").write_text(json.dumps(seen))
        Path("seen.json.new").rename("seen.json")
        {"Stubborn": stubborn, "Fail": fail}.get(main_class, serve)()
