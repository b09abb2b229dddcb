"""What policies of a user's packs say, told by resource, policy and their own words."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from kdeploy.infra.aws import packs
from kdeploy.infra.aws.failure import Said, explained
from kdeploy.infra.aws.heard import Heard
from kdeploy.infra.aws.packs import PackViolation

URN = "urn:pulumi:prod::kdeploy::kdeploy:aws:Node$aws:ec2/instance:Instance::eu-west-1-broker-1"
STACK = "urn:pulumi:prod::kdeploy::pulumi:pulumi:Stack::kdeploy-prod"


def violation(level: str = "mandatory", urn: str = URN, policy: str = "small") -> PackViolation:
    return PackViolation("house", policy, urn, "m7i.48xlarge is too large", level)


def told(message: str, severity: str) -> Any:
    """A diagnostic event of the engine."""
    said = SimpleNamespace(urn="", message=message, severity=severity)
    return SimpleNamespace(
        resource_pre_event=None, res_outputs_event=None, diagnostic_event=said, policy_event=None
    )


def event(message: str) -> Any:
    said = SimpleNamespace(
        policy_pack_name="house",
        policy_name="small",
        resource_urn=URN,
        message=message,
        enforcement_level="mandatory",
    )
    return SimpleNamespace(
        resource_pre_event=None, res_outputs_event=None, diagnostic_event=None, policy_event=said
    )


def test_a_violated_policy_is_told_by_its_resource_its_name_and_its_words() -> None:
    said = str(packs.violated([violation()], "preview"))
    assert "eu-west-1-broker-1 (Instance): policy small of pack house: m7i.48xlarge is too large" in said
    assert "nothing was changed" in said
    assert "aws.policy_packs" in said
    assert "what was made before it stays" in str(packs.violated([violation()], "up"))


def test_what_a_policy_holds_against_all_of_it_names_no_single_resource() -> None:
    assert str(violation(urn=STACK)).startswith("all of it together: policy small")


def test_a_violation_that_the_engine_tells_twice_is_one_and_only_mandatory_ones_refuse() -> None:
    found = [violation(), violation(), violation("advisory")]
    assert packs.mandatory(found) == (violation(),)
    assert packs.advisory(found) == (violation("advisory"),)


def test_of_many_violations_the_first_are_listed_and_the_others_counted() -> None:
    found = [violation(policy=f"p{at}") for at in range(packs.SHOWN + 7)]
    assert "and 7 more" in str(packs.violated(found, "preview"))


def test_the_engines_marks_for_colours_and_lines_are_not_a_policys_words() -> None:
    heard = Heard(lambda *_: None, 0)
    heard(event("<{%fg 13%}>m7i.48xlarge\nis too large<{%reset%}>\n"))
    assert heard.violations == [violation()]
    heard.forget()
    assert heard.violations == []


@pytest.mark.parametrize(
    ("said", "meaning", "remedy"),
    [
        (
            'could not start policy pack "/packs/house" because the built-in analyzer plugin that runs policy plugins is missing. '
            "This might occur for many reasons: no analyzer plugin 'pulumi-analyzer-policy-python' found in the workspace or on your $PATH",
            "the language that a policy pack is written in cannot be run here (no analyzer plugin 'pulumi-analyzer-policy-python' found",
            "pulumi-language-python",
        ),
        (
            'policy pack "house" failed to start: ModuleNotFoundError: No module named pulumi_policy',
            "a policy pack's libraries are missing",
            "pip install -r requirements.txt",
        ),
        (
            'failed to load Pulumi policy project located at "/packs/house": yaml: line 1',
            "a policy pack does not start",
            "PulumiPolicy.yaml",
        ),
    ],
)  # fmt: skip
def test_a_pack_that_cannot_run_is_told_in_one_message(said: str, meaning: str, remedy: str) -> None:
    message = str(explained([Said("", said)], "prod", "preview"))
    assert meaning in message
    assert remedy in message
    assert "Pulumi's provider for AWS" not in message


NOT_STARTED = "policy pack not started: could not read policy pack port: io: read/write on closed pipe"
WROTE = (
    "<{%reset%}>error: Program failed with an unhandled exception:<{%reset%}>\n",
    "Traceback (most recent call last):\n",
    '  File "/packs/house/__main__.py", line 1, in <module>\n',
    "    import nothing_such\n",
    "<{%reset%}>ModuleNotFoundError: No module named 'nothing_such'<{%reset%}>\n",
    "\n",
)
"""What a pack wrote before it ended, as an engine tells of it (seen 2026-11-28, Pulumi 3.259.0)."""


def test_a_pack_that_ended_is_told_by_what_it_wrote_last_and_lets_nothing_through() -> None:
    heard = Heard(lambda *_: None, 0)
    for line in WROTE:
        heard(told(line, "info#err"))
    refused = packs.failed([Said("", NOT_STARTED)], heard.told, "prod", "preview")
    assert str(refused).splitlines() == [
        "a policy pack could not be run, so nothing is let through:",
        "  - the engine: a policy pack's libraries are missing (policy pack not started: ModuleNotFoundError: "
        "No module named 'nothing_such')",
        "  install them where its PulumiPolicy.yaml says: `pip install -r requirements.txt` in its virtual "
        "environment, or `npm install` in its folder",
    ]
    twice = [Said("", "Program failed with an unhandled exception:"), Said("", NOT_STARTED)]
    assert str(packs.failed(twice, heard.told, "prod", "preview")) == str(refused)
    assert "closed pipe" in str(packs.failed([Said("", NOT_STARTED)], (), "prod", "preview"))
    heard.forget()
    assert not heard.told


def test_what_a_pack_in_typescript_wrote_is_told_too() -> None:
    wrote = (
        "error: [runtime] Running program '/packs/house' failed with an unhandled exception:",
        "    Error: Version must be defined in the package.json file.",
        "\x1b[90m    at Module._compile (node:internal/modules/cjs/loader:1521:14)\x1b[39m",
    )
    refused = str(packs.failed([Said("", NOT_STARTED)], wrote, "prod", "preview"))
    assert "(policy pack not started: Error: Version must be defined in the package.json file.)" in refused
    lacking = (
        'policy pack "house" failed to start: could not read plugin [house]: It looks like the Pulumi SDK has not '
        "been installed. Have you run npm install in /packs/house?"
    )
    assert "`npm install` in its folder" in str(packs.failed([Said("", lacking)], (), "prod", "up"))


def test_a_policy_that_fails_is_told_with_its_own_words_and_what_has_no_pack_in_it_is_no_packs() -> None:
    words = "failed to run policy: Exception calling application: 'Args' object has no attribute 'nothing'"
    refused = str(packs.failed([Said(STACK, words)], (), "prod", "up"))
    assert "a policy of a policy pack fails" in refused
    assert "has no attribute 'nothing'" in refused
    assert "correct the pack's program" in refused
    assert packs.failed([Said(URN, "api error Throttling: Rate exceeded")], WROTE, "prod", "up") is None
