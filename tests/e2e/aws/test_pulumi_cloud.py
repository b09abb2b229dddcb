"""A state that Pulumi Cloud keeps, played by a server that answers the CLI as its service does (`tests/cloud/service.py`).

Invariant: whoever works on the environment from another machine has another state folder, another home of Pulumi, and a token of
their own. What the service was ever sent is looked through for secrets.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kdeploy.infra.aws.failure import StackLocked
from kdeploy.operations import hosts
from kdeploy.operations.progress import Silent
from kdeploy.spec import load
from tests.cloud import engine
from tests.cloud.cloud import Cloud
from tests.cloud.service import Kept, Service
from tests.e2e.aws.counted import everything
from tests.e2e.aws.test_backends import TEXT
from tests.e2e.aws.verbs import ENVIRONMENT, Verbs
from tests.e2e.aws.world import kdeploy, written

pytestmark = pytest.mark.cloud

STACK = f"acme/kdeploy/{ENVIRONMENT}"


class Team:
    """An environment whose state the service keeps, and who works on it.

    Attributes:
        folder: Folder with `environments`.
        given: What the CLI was given as arguments, a line a call.
    """

    def __init__(self, folder: Path, cloud: Cloud, service: Service) -> None:
        self.folder, self.service, self._own = folder, service, dict[str, str]()
        self.given = folder / "arguments"
        program = folder / "pulumi"
        program.write_text(
            f'#!/bin/sh\nprintf "%s\\n" "$*" >> "{self.given}"\nexec "{engine.pulumi()}" "$@"\n'
        )
        program.chmod(0o755)
        text = TEXT.replace('backend: "BACKEND"', f"backend: {service.url}, organization: acme")
        self._own = written(folder, cloud, text.replace("PROVIDER", "passphrase"))
        self._own |= {"KDEPLOY_PULUMI": str(program), "SSL_CERT_FILE": str(service.authority)}
        for arguments in (("plan", ENVIRONMENT, "--lock"), ("vault", "create", ENVIRONMENT)):
            done = kdeploy(folder, self._own, *arguments)
            assert done.returncode == 0, done.stderr

    def tag(self, tag: str) -> None:
        """Have everything tagged, as a person writes it."""
        file = self.folder / "environments" / ENVIRONMENT / "environment.yaml"
        text = file.read_text()
        assert text.count("organization: acme,") == 1
        file.write_text(text.replace("organization: acme,", f"organization: acme, tags: {{{tag}}},"))
        done = kdeploy(self.folder, self._own, "plan", ENVIRONMENT, "--lock")
        assert done.returncode == 0, done.stderr

    def own(self, machine: str, token: str | None) -> dict[str, str]:
        """The variables of whoever works on it from a machine."""
        state = self.folder / machine / "state"
        there = self.service.variables(token, self.folder / machine / "pulumi")
        return self._own | there | {"KDEPLOY_STATE_DIR": str(state)}

    def kdeploy(self, machine: str, token: str | None, *arguments: str) -> subprocess.CompletedProcess[str]:
        return kdeploy(self.folder, self.own(machine, token), *arguments)

    def left_on(self, machine: str) -> str:
        """All that kdeploy and the engine wrote there, but for Pulumi's own home, where it keeps who is logged in."""
        files = (one for one in (self.folder / machine / "state").rglob("*") if one.is_file())
        return "\n".join(one.read_bytes().decode("utf-8", "replace") for one in files)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with Service(tmp_path_factory.mktemp("service")) as made:
        yield made
    assert made.unanswered == [], "the service was asked for what it does not play"


@pytest.fixture(scope="module")
def team(cloud: Cloud, service: Service, tmp_path_factory: pytest.TempPathFactory) -> Team:
    return Team(tmp_path_factory.mktemp("team"), cloud, service)


@pytest.fixture
def at(team: Team, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Verbs]:
    """The environment's verbs on the machine of somebody, which keeps nothing of another's."""

    def use(machine: str, token: str) -> Verbs:
        for name, value in team.own(machine, token).items():
            monkeypatch.setenv(name, value)
        monkeypatch.chdir(team.folder)
        verbs = Verbs(team.folder, Silent())
        monkeypatch.setattr(hosts, "provider_of", verbs.hosts.use)
        return verbs

    return use


def test_it_is_everybodys_who_is_let_in_and_no_secret_is_sent_there(
    team: Team, service: Service, cloud: Cloud, at: Callable[[str, str], Verbs]
) -> None:
    mine, hers, its = service.admit("me"), service.admit("colleague"), service.admit("pipeline")
    looked = team.kdeploy("mine", mine, "preview", ENVIRONMENT)
    assert looked.returncode == 4, looked.stderr
    assert "AWS could not be asked" not in looked.stdout
    assert STACK not in service.stacks, "a preview of what is not there yet writes nothing"

    at("mine", mine).make()
    assert everything(cloud)["machines"] == 2
    kept = service.stacks[STACK]
    assert {one["type"] for one in kept.resources} >= {"aws:ec2/instance:Instance", "aws:ebs/volume:Volume"}
    assert provider(kept) == "passphrase"

    colleague = at("hers", hers)
    assert colleague.outlook().changes == ()
    before, version = everything(cloud), json.dumps(kept.deployment)
    colleague.make()
    assert (everything(cloud), json.dumps(kept.deployment)) == (before, version)
    team.tag("of: hers")
    told = team.kdeploy("hers", hers, "preview", ENVIRONMENT)
    colleague.make()
    assert json.dumps(kept.deployment) != version
    assert provider(kept) == "passphrase", "what encrypts it stays what it was, whoever changes it"
    assert {one["Value"] for one in _tags(cloud) if one["Key"] == "of"} == {"hers"}

    pipeline = at("its", its)
    vault = pipeline.vault()
    secrets = [one.key for one in vault.identities().values()] + [vault.stack, *vault.passwords.values()]
    pipeline.destroy()
    assert not everything(cloud)
    assert service.stacks == {}

    sent, said = "\n".join(service.sent), looked.stdout + looked.stderr + told.stdout + told.stderr
    given = team.given.read_text()
    assert "stack init" in given
    for machine, token in (("mine", mine), ("hers", hers), ("its", its)):
        for place in (sent, said, given, team.left_on(machine)):
            assert token not in place
    assert len(secrets) > 4
    for secret in secrets:
        for line in (one for one in secret.splitlines() if one and "-----" not in one):
            assert line not in sent
            assert line not in said
            assert line not in given


def test_a_stack_that_another_update_holds_is_told_and_unlocked_and_then_goes_on(
    team: Team, service: Service, cloud: Cloud, at: Callable[[str, str], Verbs]
) -> None:
    mine = service.admit("holder")
    verbs = at("holder-s", mine)
    verbs.make()
    service.begin(STACK)
    with pytest.raises(StackLocked) as caught:
        verbs.destroy()
    assert "another engine works on what cloudy has in AWS" in str(caught.value)
    assert "`kdeploy unlock cloudy`" in str(caught.value)
    assert everything(cloud)["machines"] == 2
    assert verbs.outlook().changes == (), "who only looks is let through"
    for _ in range(2):  # the second time there is no lock any more
        assert hosts.unlock(load.load(verbs.environment)).unasked == ()
    verbs.destroy()
    assert not everything(cloud)
    assert service.stacks == {}


def provider(kept: Kept) -> str:
    """What encrypts secrets in a state."""
    return str(kept.deployment["deployment"]["secrets_providers"]["type"])


def _tags(cloud: Cloud) -> list[dict[str, str]]:
    return [tag for one in cloud.client("ec2").describe_volumes()["Volumes"] for tag in one.get("Tags", [])]


def _nobody(service: Service) -> str | None:
    return None


def _stranger(service: Service) -> str | None:
    return "pul-" + 40 * "0"


def _revoked(service: Service) -> str | None:
    return service.admit("somebody-who-left")


def _outsider(service: Service) -> str | None:
    service.closed.add("acme")
    return service.admit("outsider")


REFUSALS: list[tuple[str, Callable[[Service], str | None], dict[str, str], tuple[str, ...]]] = [
    ("no token", _nobody, {}, ("wants a token", "PULUMI_ACCESS_TOKEN", "pulumi login")),
    ("no token, by a program", _nobody, {"CLAUDECODE": "1", "AI_AGENT": "any"}, ("wants a token", "PULUMI_ACCESS_TOKEN")),
    ("a wrong token", _stranger, {}, ("does not know this token", "PULUMI_ACCESS_TOKEN", "pulumi login")),
    ("another's organization", _outsider, {}, ("keeps this from whoever the token is of", "aws.organization")),
]  # fmt: skip
"""Who asks, with which variables besides, and words of what is said."""


@pytest.mark.parametrize(
    ("who", "variables", "words"), [row[1:] for row in REFUSALS], ids=[row[0] for row in REFUSALS]
)
def test_who_is_not_let_in_is_told_what_to_do_and_nothing_is_made(
    team: Team,
    service: Service,
    cloud: Cloud,
    who: Callable[[Service], str | None],
    variables: dict[str, str],
    words: tuple[str, ...],
) -> None:
    token = who(service)
    try:
        own = team.own(f"of-{who.__name__}", token) | variables
        for verb in ("up", "status"):
            done = kdeploy(team.folder, own, verb, ENVIRONMENT)
            assert done.returncode == (1 if verb == "up" else 5), done.stdout + done.stderr
            said = " ".join((done.stdout + done.stderr).split())
            for word in words if verb == "up" else words[:1]:
                assert word in said
            assert "Traceback" not in said
            assert token is None or token not in said
    finally:
        service.closed.clear()
    assert not everything(cloud)
    assert service.stacks == {}


def test_a_token_that_was_taken_back_is_told_where_the_engine_had_kept_it(
    team: Team, service: Service, cloud: Cloud
) -> None:
    token = service.admit("leaver")
    assert team.kdeploy("of-leaver", token, "preview", ENVIRONMENT).returncode == 4
    del service.tokens[token]
    own: dict[str, Any] = team.own("of-leaver", None)
    done = kdeploy(team.folder, own, "up", ENVIRONMENT)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Pulumi Cloud" in done.stderr
    assert "pulumi login" in done.stderr
    assert token not in done.stdout + done.stderr
    assert not everything(cloud)
