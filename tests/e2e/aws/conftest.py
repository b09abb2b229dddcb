"""An account of an emulated AWS for each module; skipped in one line where there is no engine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cloud import engine
from tests.cloud.cloud import Cloud

ABANDONED = r"ignore:Exception ignored in. <coroutine object run_(pulumi_func|in_stack):pytest.PytestUnraisableExceptionWarning"
"""The Automation API leaves coroutines of an ended program to the garbage collector (SDK 3.272)."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    lacking = engine.lacking()
    for item in items:
        item.add_marker(pytest.mark.filterwarnings(ABANDONED))
        if item.get_closest_marker("cloud") and lacking:
            item.add_marker(pytest.mark.skip(reason=f"this machine lacks {lacking}"))


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with Cloud(tmp_path_factory.mktemp("cloud")) as made:
        yield made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path
