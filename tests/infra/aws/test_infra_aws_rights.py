"""The policy of docs/aws.md: enough for all that is declared, and no more."""

from __future__ import annotations

import json
import re
from collections import Counter
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from tests.cloud import rights

GOLDEN = Path(__file__).parents[2] / "golden" / "aws"
WIDE = ("ec2:Describe*", "elasticloadbalancing:Describe*")
"""What is allowed by a pattern: answers about networks and machines, which AWS ties to no resource."""


def declared() -> list[str]:
    """Types of all that any reviewed environment declares."""
    text = "\n".join(one.read_text() for one in sorted(GOLDEN.glob("*.txt")))
    return sorted(set(re.findall(r"^(aws:\S+) ", text, re.MULTILINE)))


@pytest.mark.parametrize("kind", declared())
def test_a_type_that_is_declared_has_a_row_and_the_policy_allows_what_it_needs(kind: str) -> None:
    assert kind in rights.REAL, "say in tests/cloud/rights.py what the real provider calls for it"
    assert rights.refused(rights.REAL[kind]) == set()


def test_the_policy_allows_what_is_asked_whatever_is_made() -> None:
    assert rights.refused((*rights.ASKED, *rights.LOOKED_FOR)) == set()


def test_the_policy_allows_nothing_that_nobody_calls() -> None:
    called = {right for kind in declared() for right in rights.REAL[kind]}
    called |= {*rights.ASKED, *rights.LOOKED_FOR, *rights.OTHERWISE}
    unused = [one for one in rights.actions() if not any(fnmatchcase(right, one) for right in called)]
    assert unused == []


def test_what_is_called_by_nobody_here_is_in_the_policy() -> None:
    assert rights.refused(rights.OTHERWISE) == set()


def test_actions_are_named_one_by_one_but_for_answers_about_networks_and_machines() -> None:
    assert {one for one in rights.actions() if "*" in one} <= set(WIDE)


def test_no_action_is_allowed_twice() -> None:
    assert [one for one, times in Counter(rights.actions()).items() if times > 1] == []


def test_buckets_and_roles_are_the_environments_own() -> None:
    """What would reach data, or rights, of others is tied to names that begin with kdeploy's."""
    for statement in rights.policy()["Statement"]:
        reaching = [one for one in statement["Action"] if one.startswith(("iam:", "s3:"))]
        if set(reaching) - {"s3:ListAllMyBuckets"}:
            resources = statement["Resource"]
            names = [resources] if isinstance(resources, str) else resources
            assert all("kdeploy-" in name for name in names), statement["Sid"]


def test_the_policy_fits_into_one_of_a_users_own() -> None:
    assert len(re.sub(r"\s", "", json.dumps(rights.policy()))) <= rights.LONGEST
