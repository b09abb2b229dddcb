"""An account of an emulated AWS for each module; skipped in one line where there is no engine."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cloud import engine
from tests.cloud.cloud import Cloud

ABANDONED = "ignore:Exception ignored in:pytest.PytestUnraisableExceptionWarning"
"""The Automation API leaves coroutines, an event loop and sockets of an ended program to the garbage
collector (SDK 3.272); `collected` lets it come before the next test."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    lacking = engine.lacking()
    for item in items:
        item.add_marker(pytest.mark.filterwarnings(ABANDONED))
        if item.get_closest_marker("cloud") and lacking:
            item.add_marker(pytest.mark.skip(reason=f"this machine lacks {lacking}"))


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    yield
    if "pulumi.automation" in sys.modules:
        gc.collect()


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with Cloud(tmp_path_factory.mktemp("cloud")) as made:
        yield made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path
