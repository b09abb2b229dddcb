"""The shipped environments rendered whole, compared with tests/golden.

A wanted change is accepted with `pytest --accept-goldens tests/tuning`, and reviewed in git.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from kdeploy import planner
from kdeploy.blueprint import Blueprint, draw
from kdeploy.planner.decide import decide
from kdeploy.spec.load import load
from kdeploy.tuning import disk_use
from tests.shipped import SHIPPED
from tests.tuning.builders import fixed_ids

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden"


def rendered(name: str) -> Blueprint:
    environment = load(ROOT / "environments" / name).environment
    plan = planner.plan(environment)
    return draw(environment, plan, decide(environment, plan, None, fixed_ids()))


def accepted(name: str) -> dict[str, str]:
    folder = GOLDEN / name
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_text() for path in files}


def reviewed(name: str) -> dict[str, str]:
    """What is decided for each node; a program that is the same on all is reviewed where it stands, in the package."""
    tree = rendered(name).tree()
    programs = [path for path in tree if path.endswith(disk_use.PROGRAM)]
    assert {tree.pop(path) for path in programs} <= {disk_use.program()}
    return tree


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_environment_renders_what_was_reviewed(name: str, request: pytest.FixtureRequest) -> None:
    tree = reviewed(name)
    if request.config.getoption("--accept-goldens"):
        shutil.rmtree(GOLDEN / name, ignore_errors=True)
        for path, text in tree.items():
            target = GOLDEN / name / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
    known = accepted(name)
    assert sorted(tree) == sorted(known), "nodes or files changed; review with pytest --accept-goldens"
    changed = [path for path in tree if tree[path] != known[path]]
    assert not changed, f"{changed[0]} changed; review with pytest --accept-goldens"


@pytest.mark.parametrize("name", SHIPPED)
def test_the_same_input_gives_the_same_bytes(name: str) -> None:
    assert rendered(name) == rendered(name)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_blueprint_survives_the_way_through_json(name: str) -> None:
    import json

    blueprint = rendered(name)
    assert Blueprint.from_json(json.loads(json.dumps(blueprint.to_json()))) == blueprint
