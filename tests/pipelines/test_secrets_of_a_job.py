"""Where the jobs put secrets: their step as written, and kdeploy and ssh that find them there."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kdeploy.pipelines import ready
from tests.e2e.pipelines import actions, gitlab

PASSWORD = 'it\'s $HOME; "quoted" % \\n'
SHELL = ["/bin/bash", "--noprofile", "--norc", "-eo", "pipefail", "-c"]
needs_ssh = pytest.mark.skipif(shutil.which("ssh-agent") is None, reason="this machine has no OpenSSH client")


def run(text: str, **variables: str) -> str:
    """Run a step: what it printed."""
    mine = {key: value for key, value in os.environ.items() if not key.startswith(("SSH_", "KDEPLOY_VAULT"))}
    done = subprocess.run(
        [*SHELL, text], env={**mine, **variables}, check=True, capture_output=True, text=True
    )
    return done.stdout + done.stderr


def github_steps() -> tuple[str, str]:
    """The step that puts secrets in place, the same in each job that has it, and the one that takes them away."""
    jobs = actions.read(ready.pipeline("github"))["jobs"]
    named = [
        {one["name"]: one["run"] for one in jobs[job]["steps"] if "run" in one}
        for job in ("preview", "up", "drift")
    ]
    put = {one["Put secrets where only kdeploy and ssh find them"] for one in named}
    away = {one["Take the secrets away"] for one in named}
    assert len(put) == len(away) == 1
    return put.pop(), away.pop()


def ends(socket: str) -> bool:
    """Whether the agent behind a socket goes away: it takes its socket with it."""
    for _ in range(500):
        if not Path(socket).exists():
            return True
        time.sleep(0.02)
    return False


@pytest.fixture
def key(tmp_path: Path) -> str:
    file = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(file)], check=True)
    return file.read_text().strip()


@needs_ssh
def test_github_s_step_puts_the_password_in_a_private_file_and_the_key_in_an_agent(
    tmp_path: Path, key: str
) -> None:
    put, away = github_steps()
    told = tmp_path / "env"
    given = {"RUNNER_TEMP": str(tmp_path), "GITHUB_ENV": str(told)}
    assert run(put, VAULT_PASSWORD=PASSWORD, SSH_KEY=key, **given) == ""
    found = dict(line.split("=", 1) for line in told.read_text().splitlines())
    file = Path(found["KDEPLOY_VAULT_PASSWORD_FILE"])
    assert file.read_text() == PASSWORD
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "ED25519" in run("ssh-add -l", **found)
    assert run(away, **found, **given) == ""
    assert not file.exists()
    assert ends(found["SSH_AUTH_SOCK"])


def test_github_s_step_does_nothing_without_secrets(tmp_path: Path) -> None:
    put, away = github_steps()
    told = tmp_path / "env"
    told.touch()
    given = {"RUNNER_TEMP": str(tmp_path), "GITHUB_ENV": str(told)}
    assert run(put, VAULT_PASSWORD="", SSH_KEY="", **given) + run(away, **given) == ""
    assert told.read_text() == ""


def gitlab_lines() -> tuple[str, str]:
    job = gitlab.read(ready.pipeline("gitlab"))["up"]
    return "\n".join(job["before_script"][1:]), "\n".join(job["after_script"])


@needs_ssh
def test_gitlab_s_lines_do_the_same_and_leave_nothing(tmp_path: Path, key: str) -> None:
    before, after = gitlab_lines()
    job = f"test-{os.getpid()}"
    look = (
        'stat -c %a "$KDEPLOY_VAULT_PASSWORD_FILE" "$AWS_WEB_IDENTITY_TOKEN_FILE"; '
        'cp "$KDEPLOY_VAULT_PASSWORD_FILE" "$COPY"; ssh-add -l; echo "$AWS_ROLE_ARN $AWS_ROLE_SESSION_NAME"; '
        'test -z "${KDEPLOY_VAULT_PASSWORD:-}${KDEPLOY_SSH_KEY:-}"; echo "$SSH_AUTH_SOCK"'
    )
    said = run(
        f"{before}\n{look}",
        CI_JOB_ID=job,
        COPY=str(tmp_path / "copy"),
        KDEPLOY_VAULT_PASSWORD=PASSWORD,
        KDEPLOY_SSH_KEY=key,
        KDEPLOY_AWS_ROLE="arn:aws:iam::1:role/kafka",
        KDEPLOY_AWS_TOKEN="an.id.token",
    )
    modes, told = said.splitlines()[:2], said.splitlines()[2:]
    assert modes == ["600", "600"]
    assert "ED25519" in told[0]
    assert told[1] == f"arn:aws:iam::1:role/kafka kdeploy-{job}"
    assert (tmp_path / "copy").read_text() == PASSWORD
    assert "an.id.token" not in said
    run(after, CI_JOB_ID=job)
    assert not Path(f"/tmp/kdeploy-{job}").exists()
    assert ends(told[2])


def test_kdeploy_opens_a_vault_with_what_the_step_left(tmp_path: Path) -> None:
    """A vault is made and read with the password of the step's file, which is in no output."""
    put, _ = github_steps()
    told = tmp_path / "env"
    run(put, VAULT_PASSWORD=PASSWORD, SSH_KEY="", RUNNER_TEMP=str(tmp_path), GITHUB_ENV=str(told))
    found = dict(line.split("=", 1) for line in told.read_text().splitlines())
    origin = Path(__file__).parents[2] / "environments" / "datacenter-kraft"
    shutil.copytree(origin, tmp_path / "environments" / "far")
    kdeploy = f'cd "{tmp_path}" && "{sys.executable}" -m kdeploy'
    source = {"PYTHONPATH": str(Path(__file__).parents[2])}
    run(f"{kdeploy} plan far --lock", **source, **found)
    said = run(f"{kdeploy} vault create far && {kdeploy} vault show far", **source, **found)
    assert "vault.yaml: added" in said
    assert PASSWORD not in said
    wrong = tmp_path / "wrong"
    wrong.write_text("another")
    refused = run(f"{kdeploy} vault show far || true", **source, KDEPLOY_VAULT_PASSWORD_FILE=str(wrong))
    assert "the password is wrong" in refused
