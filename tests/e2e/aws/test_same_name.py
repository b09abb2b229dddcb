"""Two environments of one name in one account: the second one takes nothing of the first one, and says why it stops."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from kdeploy.errors import KdeployError
from kdeploy.operations import hosts
from kdeploy.operations.progress import Silent
from tests.cloud.cloud import Cloud
from tests.e2e.aws.counted import everything
from tests.e2e.aws.verbs import ENVIRONMENT, Verbs
from tests.e2e.aws.world import kdeploy, written

pytestmark = pytest.mark.cloud


def decided(folder: Path, cloud: Cloud) -> dict[str, str]:
    """An environment with its lock and its vault, as somebody has it in a repository; whose variables."""
    own = written(folder, cloud)
    for arguments in (("plan", ENVIRONMENT, "--lock"), ("vault", "create", ENVIRONMENT)):
        done = kdeploy(folder, own, *arguments)
        assert done.returncode == 0, done.stderr
    return own


def test_neither_names_nor_a_state_of_one_environment_are_taken_for_anothers(
    cloud: Cloud, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = Verbs(folder / "first", Silent()), Verbs(folder / "second", Silent())

    def work(verbs: Verbs, own: dict[str, str]) -> None:
        for name, value in own.items():
            monkeypatch.setenv(name, value)
        monkeypatch.chdir(verbs.folder)
        monkeypatch.setattr(hosts, "provider_of", verbs.hosts.use)

    theirs = decided(first.folder, cloud)
    work(first, theirs)
    first.make()
    before = everything(cloud)
    own = decided(second.folder, cloud)

    work(second, own)
    with pytest.raises(KdeployError, match="is there already and belongs to another environment") as told:
        second.make()
    assert f"called {ENVIRONMENT} too" in str(told.value)
    assert f"put `id: {first.design().lock.id}` back into it" in str(told.value)
    assert everything(cloud) == before

    # The same place for the state, and the same vault: only the id tells them apart.
    shutil.copy(first.environment / "vault.yaml", second.environment / "vault.yaml")
    monkeypatch.setenv("KDEPLOY_STATE_DIR", theirs["KDEPLOY_STATE_DIR"])
    cloud.calls(forget=True)
    with pytest.raises(KdeployError, match=f"that of another environment called {ENVIRONMENT}"):
        second.make()
    with pytest.raises(KdeployError, match=f"that of another environment called {ENVIRONMENT}"):
        second.destroy()
    assert not cloud.calls(), "AWS was not even asked"
    assert everything(cloud) == before

    work(first, theirs)
    first.destroy()
    assert not everything(cloud)
