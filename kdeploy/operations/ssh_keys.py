"""Who logs in to machines that are made: the public key that each lets in when it first starts.

Invariant: a private key is read by ssh-keygen alone, and no machine is made that nobody could log in to.
"""

from __future__ import annotations

import subprocess
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from kdeploy.errors import UsageError

if TYPE_CHECKING:
    from kdeploy.operations.prepare import Design


def public_keys(design: Design) -> dict[str, str]:
    """The public key of who logs in, by datacenter: the file beside the private one, or made from that.

    Where no key is named it is the person's own, as ssh itself would take it.
    Without one a preview is the same, since what a machine does at its first start changes none; `refuse_closed`
    sees to it that none is made.
    """
    found = {}
    for one in design.loaded.environment.datacenters:
        key = _private_key(one.ssh.key) if one.provider == "aws" else None
        if key is not None:
            with suppress(UsageError):
                found[one.name] = _public_key(one.name, key)
    return found


OWN_KEYS: Final = ("id_ed25519", "id_ecdsa", "id_rsa")
"""What ssh tries by itself, in ~/.ssh (ssh(1), -i; of those that AWS's images take)."""


def _private_key(named: str | None) -> Path | None:
    if named is not None:
        return Path(named).expanduser()
    own = (Path.home() / ".ssh" / name for name in OWN_KEYS)
    return next((key for key in own if key.is_file()), None)


def _public_key(datacenter: str, key: Path) -> str:
    beside = key.with_name(f"{key.name}.pub")
    try:
        if beside.is_file():
            return beside.read_text().strip()
        done = subprocess.run(
            ["ssh-keygen", "-y", "-P", "", "-f", str(key)],  # noqa: S607 - from PATH
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError as error:
        raise _no_key(datacenter, beside, error.strerror or "it cannot be read") from None
    if done.returncode != 0:
        raise _no_key(datacenter, beside, "there is none, and none can be made from the private one")
    return done.stdout.strip()


def _no_key(datacenter: str, file: Path, reason: str) -> UsageError:
    return UsageError(
        f"datacenter {datacenter}: the public key {file} is what machines let in, and {reason}\n"
        "  name in ssh.key a private key that has it beside it"
    )


def refuse_closed(design: Design) -> None:
    """Refuse to make machines that nobody could log in to from here.

    Raises:
        UsageError: Names the datacenter.
        KdeployError: A program is missing that sessions of Systems Manager take.
    """
    from kdeploy.infra.hosts import ssh
    from kdeploy.spec.aws import through

    for one in design.loaded.environment.datacenters:
        if one.provider != "aws":
            continue
        key = _private_key(one.ssh.key)
        if key is not None:
            _public_key(one.name, key)
        elif not one.machine.images:
            raise UsageError(
                f"datacenter {one.name}: nobody could log in to its machines, because ssh.key names no key, and "
                "there is none in ~/.ssh\n"
                "  name a private key with its .pub beside it, or an image in machine.images that lets yours in"
            )
        if through(one) == "ssm":
            ssh.refuse_missing_programs()
