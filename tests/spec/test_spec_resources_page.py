"""What docs/resources.md shows can be copied, and does what the page says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from kdeploy.operations.examine import examine
from kdeploy.spec.files import BESIDE, file_name
from kdeploy.spec.load import Loaded, load
from kdeploy.spec.roles import ROLES, acls_of

PAGE = (Path(__file__).parents[2] / "docs" / "resources.md").read_text()
EXAMPLES = dict(re.findall(r"```yaml\n# ([a-z]+\.yaml)\n(.*?)```", PAGE, re.DOTALL))


@pytest.fixture
def shown(tmp_path: Path) -> Loaded:
    folder = tmp_path / "shown"
    folder.mkdir()
    for name, text in {"environment.yaml": "kafka: {}\n", **EXAMPLES}.items():
        (folder / name).write_text(text)
    examined = examine(folder)
    assert (examined.problems, examined.risks) == ((), ())
    return load(folder)


def test_each_file_has_an_example() -> None:
    assert set(EXAMPLES) == set(map(file_name, BESIDE))
    assert PAGE.count("```yaml") == len(EXAMPLES)


def test_the_examples_are_one_valid_environment(shown: Loaded) -> None:
    environment = shown.environment
    assert all((environment.topics, environment.users, environment.acls, environment.quotas))
    assert environment.policies.owner_required


def test_the_topic_that_the_page_explains_is_as_it_says(shown: Loaded) -> None:
    (found,) = [topic for topic in shown.environment.topics if topic.name == "payments.changes"]
    assert (found.partitions, found.owner) == (24, "payments")
    assert found.settings == {"cleanup.policy": "compact", "max.compaction.lag.ms": "86400000"}


def test_every_role_is_shown_and_gives_something(shown: Loaded) -> None:
    assert {grant.role for grant in shown.environment.acls} == {None, *ROLES}
    assert {user for user, _ in acls_of(shown.environment)} == {"shop", "billing", "order-totals", "connect"}
