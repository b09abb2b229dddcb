"""What is promised of each JSON document is kept: a schema that changes takes another version, or an addition."""

from __future__ import annotations

import copy
import json
import re
import runpy
from pathlib import Path

import pytest

from tests.contracts import SCHEMAS, validator

ROOT = Path(__file__).parents[1]
CONTRACTS = runpy.run_path(str(ROOT / "docs" / "contracts.py"))
PROMISED = json.loads((SCHEMAS / "index.json").read_text())
NOW = CONTRACTS["promise"]()


def test_what_is_published_is_what_was_promised() -> None:
    assert NOW == PROMISED, "a schema changed: docs/contracts.py says what that takes"


def test_no_schema_breaks_what_was_promised_under_its_version() -> None:
    assert CONTRACTS["broken"](PROMISED, NOW) == []


def test_every_document_that_a_command_prints_is_published_and_in_the_table_of_documents() -> None:
    printed = set()
    for file in (ROOT / "kdeploy").rglob("*.py"):
        printed |= set(re.findall(r'"(kdeploy\.[a-z-]+/v\d+)"', file.read_text()))
    on_disk = {
        *(
            "kdeploy.lock/v1",
            "kdeploy.vault/v1",
            "kdeploy.blueprint/v1",
            "kdeploy.client/v1",
            "kdeploy.node/v1",
        ),
        *("kdeploy.node/v2", "kdeploy.host/v1", "kdeploy.own-catalogue/v1", "kdeploy.distribution/v1"),
        "kdeploy.resource/v1",  # in the cluster itself
        "kdeploy.direction/v1",  # there too
        "kdeploy.tail/v1",  # of exported records
    }
    assert printed - on_disk == set(PROMISED)
    told = (ROOT / "docs" / "json.md").read_text()
    assert [name for name in PROMISED if f"`{name}`" not in told] == []


@pytest.mark.parametrize("name", sorted(PROMISED))
def test_a_schema_is_one_and_is_closed(name: str) -> None:
    schema = validator(name).schema
    assert schema["properties"]["schema"] == {"const": name}
    assert schema["additionalProperties"] is False
    assert set(schema["required"]) == set(schema["properties"])


@pytest.mark.parametrize(
    ("path", "kind", "said"),
    [
        ("pending", None, "pending is gone: it takes another version"),
        ("pending", "string", "pending was boolean and is string: it takes another version"),
        ("changes[].effect", "one of create, change", "it takes another version"),
    ],
)
def test_a_field_that_goes_or_changes_breaks_a_promise(path: str, kind: str | None, said: str) -> None:
    now = copy.deepcopy(NOW)
    fields = now["kdeploy.preview/v2"]["fields"]
    fields.pop(path)
    if kind:
        fields[path] = kind
    (wrong,) = CONTRACTS["broken"](PROMISED, now)
    assert said in wrong


def test_a_field_more_or_a_value_more_breaks_none() -> None:
    now = copy.deepcopy(NOW)
    fields = now["kdeploy.preview/v2"]["fields"]
    fields["added"] = "string"
    fields["changes[].effect"] += ", moved"
    assert CONTRACTS["broken"](PROMISED, now) == []


def test_a_document_that_is_gone_breaks_a_promise() -> None:
    now = {name: one for name, one in NOW.items() if name != "kdeploy.up/v1"}
    assert CONTRACTS["broken"](PROMISED, now) == [
        "kdeploy.up/v1 is gone: keep it for as long as a command can print it"
    ]
