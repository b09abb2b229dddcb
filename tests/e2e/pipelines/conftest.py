"""One runner for all pipelines under test: making its wheel and its Python takes longest."""

from __future__ import annotations

import pytest

from tests.e2e.pipelines.machine import Machine, machine


@pytest.fixture(scope="session")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    """The machine that runs the jobs."""
    return machine(tmp_path_factory.mktemp("runner"))
