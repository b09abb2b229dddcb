"""The roles are small and conventional, and carry without computing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

PLAYBOOKS = Path(__file__).parents[2] / "kdeploy" / "playbooks"
ROLES = sorted(path.name for path in (PLAYBOOKS / "roles").iterdir())
MOST_TASKS = 40


def read(path: str) -> Any:
    return YAML(typ="safe").load((PLAYBOOKS / path).read_text())


def tasks(role: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = read(f"roles/{role}/tasks/main.yml")
    handlers = PLAYBOOKS / f"roles/{role}/handlers/main.yml"
    return found + (read(f"roles/{role}/handlers/main.yml") if handlers.exists() else [])


@pytest.mark.parametrize("role", ROLES)
def test_a_role_says_what_it_takes(role: str) -> None:
    options = read(f"roles/{role}/meta/argument_specs.yml")["argument_specs"]["main"]["options"]
    assert options
    for name, option in options.items():
        assert name.startswith(f"{role}_"), "a variable of a role has its name in front"
        assert option["description"]
        assert option["type"]


@pytest.mark.parametrize("role", ROLES)
def test_a_default_is_the_same_in_both_places(role: str) -> None:
    options = read(f"roles/{role}/meta/argument_specs.yml")["argument_specs"]["main"]["options"]
    declared = {name: option["default"] for name, option in options.items() if "default" in option}
    file = PLAYBOOKS / f"roles/{role}/defaults/main.yml"
    assert declared == (read(f"roles/{role}/defaults/main.yml") if file.exists() else {})


@pytest.mark.parametrize("role", ROLES)
def test_only_modules_of_ansible_core_are_used_and_every_task_has_a_name(role: str) -> None:
    for task in tasks(role):
        modules = [key for key in task if "." in key]
        assert len(modules) == 1, task
        assert modules[0].startswith("ansible.builtin."), task
        assert task["name"][0].isupper()
        assert "ignore_errors" not in task


def test_a_host_has_few_tasks() -> None:
    assert sum(len(tasks(role)) for role in ROLES) <= MOST_TASKS


def test_a_task_that_carries_secrets_says_nothing() -> None:
    assert all(task.get("no_log") for task in tasks("security"))
    others = [task for role in ROLES if role != "security" for task in tasks(role)]
    assert "secret" not in str(others).lower()


def test_every_role_is_in_a_playbook_and_has_a_tag_of_its_own() -> None:
    used = [
        (one["role"], one["tags"])
        for name in ("preflight", "provision", "apply")
        for play in read(f"{name}.yml")
        for one in play["roles"]
    ]
    assert sorted(used) == [(role, [role]) for role in ROLES]
