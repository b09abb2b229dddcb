"""What all tests share: the way to accept goldens, how properties are searched, and when an ordinary run has no more
time.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "ordinary", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("soak", deadline=None, max_examples=2000, print_blob=True)
# An ordinary run tries the same examples every time, so that a change alone can break it;
# new ones are searched for by `KDEPLOY_SOAK=1`, which prints how to repeat what it finds.
settings.load_profile("soak" if os.environ.get("KDEPLOY_SOAK") else "ordinary")


UNTIL = os.environ.pop("KDEPLOY_TESTS_UNTIL", None)
"""Seconds since 1970 after which `make test` begins no test of this part (`tests.__main__`); not for tests that a test
runs."""

OVER = "the time in which `make test` begins such tests is over"
"""Why a test was left out then, and what the end of a run counts."""


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Leave a test to a run of its own before anything is started for it; one that takes long, so much earlier."""
    marked = item.get_closest_marker("takes")
    if UNTIL and time.time() + (60 * marked.args[0] if marked else 0) > float(UNTIL):
        pytest.skip(OVER)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--accept-goldens",
        action="store_true",
        help="write what is rendered now to tests/golden, to be reviewed as a difference in git",
    )


@pytest.fixture(autouse=True, scope="session")
def _state_of_nobody(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """No test sees or touches the clusters, or the catalogue, of the person who runs it."""
    with pytest.MonkeyPatch.context() as patch:
        state = tmp_path_factory.mktemp("state")
        patch.setenv("KDEPLOY_STATE_DIR", str(state))
        patch.setenv("KDEPLOY_CATALOGUE", str(state / "catalogue.json"))
        yield state


@pytest.fixture(autouse=True, scope="session")
def _a_terminal_that_can_say_something() -> None:
    """Behind nohup SIGHUP is ignored, in a background job SIGINT, and kdeploy rightly keeps that; tests of Ctrl-C
    and of a closed window want them heard."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
