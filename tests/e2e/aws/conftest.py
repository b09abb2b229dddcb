"""An account of an emulated AWS for each module; skipped in one line where there is no engine.

With KDEPLOY_AWS_E2E=1 the account is that of whoever runs the tests (docs/aws.md): tests marked `real_account` run there,
and no others.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cloud import engine, real
from tests.cloud.account import Account
from tests.cloud.cloud import Cloud
from tests.e2e.aws.world import World, written

HERE = Path(__file__).parent

ABANDONED = "ignore:Exception ignored in:pytest.PytestUnraisableExceptionWarning"
"""The Automation API leaves coroutines, an event loop and sockets of an ended program to the garbage
collector (SDK 3.272); `collected` lets it come before the next test."""

EMULATED = (
    "in an emulated AWS alone: it counts calls, has AWS refuse something, changes what others have, has records flow, "
    "or has no account"
)
"""Why a test does not run in a real account."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    lacking = engine.lacking()
    for item in items:
        item.add_marker(pytest.mark.filterwarnings(ABANDONED))
        if item.get_closest_marker("cloud") and lacking and not real.wanted():
            item.add_marker(pytest.mark.skip(reason=f"this machine lacks {lacking}"))
    if real.wanted():
        _in_a_real_account([one for one in items if HERE in one.path.parents])


def _in_a_real_account(items: list[pytest.Item]) -> None:
    """Leave those that can run there, once the account is the one that was named."""
    for item in items:
        if item.get_closest_marker("real_account"):
            item.add_marker(pytest.mark.timeout(real.LONG), append=False)
        else:
            item.add_marker(pytest.mark.skip(reason=EMULATED))
    if any(item.get_closest_marker("real_account") for item in items):
        try:
            real.permitted()
        except real.Refused as error:
            raise pytest.UsageError(str(error)) from None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what became of the records, also where everything passed."""
    from tests.e2e.aws.load import TOLD

    for line in TOLD:
        terminalreporter.write_line(line)


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    yield
    if "pulumi.automation" in sys.modules:
        gc.collect()


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with Cloud(tmp_path_factory.mktemp("cloud")) as made:
        yield made


@pytest.fixture(scope="module")
def account(request: pytest.FixtureRequest) -> Iterator[Account]:
    """The real account where it was asked for, else an emulated one."""
    if not real.wanted():
        yield request.getfixturevalue("cloud")
        return
    with real.Real(real.permitted()) as made:
        yield made


@pytest.fixture(scope="module")
def module() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture(scope="module")
def world(account: Account, module: pytest.MonkeyPatch) -> World:
    """An environment that was decided, of which nothing is made yet."""
    folder = account.folder / "work"
    made = World(folder, account, written(folder, account))
    made.decide(module)
    return made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path
