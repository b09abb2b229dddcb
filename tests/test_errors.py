"""The one tree of errors is drawn whole, with the exit codes that the errors have."""

from __future__ import annotations

import importlib
import pkgutil
import re

import pytest

import kdeploy
from kdeploy import errors
from kdeploy.errors import KdeployError


def modules() -> list[str]:
    found = pkgutil.walk_packages(kdeploy.__path__, "kdeploy.")
    return [one.name for one in found if not one.name.endswith("__main__") and ".data" not in one.name]


def kinds(kind: type[KdeployError] = KdeployError) -> set[type[KdeployError]]:
    return {kind}.union(
        *(kinds(below) for below in kind.__subclasses__() if below.__module__.startswith("kdeploy"))
    )


def test_every_error_is_drawn_in_the_tree_of_its_module_or_of_the_root_with_its_exit_code() -> None:
    for name in modules():
        importlib.import_module(name)
    drawn = dict(re.findall(r"(\w+) +(\d)  ", errors.__doc__ or ""))
    for kind in kinds():
        root = next(one for one in kind.__mro__ if one.__name__ in drawn)
        assert int(drawn[root.__name__]) == kind.exit_code, kind
        assert root is kind or root is not KdeployError, f"{kind} hangs at the root and is not drawn there"
    assert set(drawn) <= {kind.__name__ for kind in kinds()}, "what is drawn exists"


@pytest.mark.parametrize(
    ("path", "text"),
    [((), ""), (("topics",), "topics"), (("topics", 2, "name"), "topics[2].name"), ((0, "a"), "[0].a")],
)
def test_a_path_is_written_as_a_person_writes_it(path: tuple[str | int, ...], text: str) -> None:
    assert errors.dotted(path) == text


def test_problems_are_shown_in_the_order_of_file_and_line() -> None:
    second = errors.Problem("a.yaml", 12, "b", "wrong", "right")
    first = errors.Problem("a.yaml", 3, "", "wrong too", "right too")
    shown = str(errors.InvalidEnvironment([second, first]))
    assert shown == "a.yaml:3: wrong too\n  right too\na.yaml:12: b: wrong\n  right"
