"""The published schemas, for every test that has a document in its hands."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

SCHEMAS = Path(__file__).parents[1] / "docs" / "schemas"


@cache
def validator(name: str) -> Draft202012Validator:
    """Of a document by its `schema` value."""
    file = SCHEMAS / (name.removeprefix("kdeploy.").replace("/", "-") + ".json")
    assert file.exists(), f"{name} has no published schema: write it in docs/contracts.py"
    schema = json.loads(file.read_text())
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def hold(document: Any) -> None:
    """Hold a document against the schema that it names."""
    faults = [
        f"{fault.json_path}: {fault.message[:300]}"
        for fault in validator(document["schema"]).iter_errors(document)
    ]
    assert not faults, (document["schema"], faults)
