"""The published schema says what the model says, and accepts what kdeploy accepts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML

from kdeploy.errors import InvalidEnvironment
from kdeploy.spec import explain, load, schema
from kdeploy.spec.files import BESIDE, Kind
from kdeploy.spec.source import parse

ROOT = Path(__file__).parents[2]
KINDS: tuple[Kind, ...] = ("environment", *BESIDE)
VALIDATOR = Draft202012Validator(schema.document())
ROWS: list[dict[str, Any]] = YAML(typ="safe", pure=True).load(
    Path(__file__).with_name("bad_environments.yaml").read_text()
)


def test_it_is_a_schema_of_the_dialect_it_names() -> None:
    for kind in KINDS:
        Draft202012Validator.check_schema(schema.document(kind))
        assert schema.document(kind)["title"] == f"kdeploy {kind}"
    assert schema.document()["$schema"] == "https://json-schema.org/draft/2020-12/schema"


@pytest.mark.parametrize("kind", KINDS)
def test_the_committed_file_is_current(kind: Kind) -> None:
    assert (ROOT / "docs" / f"{kind}.schema.json").read_text() == schema.render(kind), "run `make docs`"


@pytest.mark.parametrize(
    "file",
    sorted((ROOT / "environments").glob("*/*.yaml")),
    ids=lambda file: f"{file.parent.name}-{file.stem}",
)
def test_a_shipped_file_is_valid_and_tells_the_editor_where_the_schema_is(file: Path) -> None:
    text = file.read_text()
    kind: Kind = file.stem  # type: ignore[assignment]
    Draft202012Validator(schema.document(kind)).validate(parse(text, str(file)).data)
    first = text.splitlines()[0]
    assert first.startswith("# yaml-language-server: $schema=")
    assert (file.parent / first.partition("=")[2]).resolve() == ROOT / "docs" / f"{kind}.schema.json"


def test_every_field_is_described_and_every_map_of_settings_is_closed() -> None:
    for path, part in (found for kind in KINDS for found in schema.fields(kind)):
        assert part.get("description"), path
        if part.get("type") == "object":
            assert part["additionalProperties"] is False or isinstance(part["additionalProperties"], dict), (
                path
            )


def test_a_quantity_is_text_with_a_pattern_and_an_example_that_fits_it() -> None:
    quantities = {path: part for path, part in schema.fields() if schema.kind_of_quantity(part)}
    assert schema.kind_of_quantity(quantities["workload.throughput"]) == "rate"
    assert schema.kind_of_quantity(quantities["workload.retention"]) == "duration"
    assert schema.kind_of_quantity(quantities["datacenters[].brokers.memory"]) == "size"
    for part in quantities.values():
        for text in part["examples"]:
            Draft202012Validator(part).validate(text)


def test_every_default_is_valid_and_reads_back_as_the_model_s_own() -> None:
    lines: dict[str, Any] = {}
    for path, part in schema.fields():
        if "default" in part and "[]" not in path:
            node = lines
            *around, last = path.split(".")
            for step in around:
                node = node.setdefault(step, {})
            node[last] = part["default"]
    VALIDATOR.validate(lines)
    from kdeploy.spec.mirroring import Mirroring
    from kdeploy.spec.model import Environment

    # Said at all, mirroring has its defaults; left out, there is none.
    expected = Environment(name="x", mirroring=Mirroring())
    assert Environment.model_validate_json(json.dumps({"name": "x", **lines}), strict=True) == expected


def test_every_pattern_of_the_model_has_words_for_a_message() -> None:
    patterns = {
        one["pattern"]
        for kind in KINDS
        for _, part in schema.fields(kind)
        for one in (part, part.get("items", {}), part.get("additionalProperties") or {})
        if "pattern" in one and not schema.kind_of_quantity(one) and one["type"] == "string"
    }
    assert patterns == set(explain._PATTERNS)


def test_what_the_schema_refuses_kdeploy_refuses_too() -> None:
    """The other way round does not hold: how settings fit each other is beyond a schema."""
    refused = 0
    for row in ROWS:
        try:
            source = parse(row["text"], "f")
        except InvalidEnvironment:
            continue
        if not VALIDATOR.is_valid(source.data):
            refused += 1
            with pytest.raises(InvalidEnvironment):
                load.interpret(source, "x")
    assert refused >= 50


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        (("workload", "partitions"), "integer"),
        (("datacenters", 0, "racks", 2), "string"),
        (("users", 1, "acls", 0, "operations"), "array"),
        (("overrides", "jvm", "broker", 0), "string"),
        (("topics", 0), "object"),
    ],
)
def test_a_place_in_a_document_finds_its_part_of_the_schema(path: tuple[str | int, ...], kind: str) -> None:
    part = schema.at(path)
    assert part is not None
    assert part["type"] == kind


def test_a_place_that_the_schema_does_not_know_has_no_part() -> None:
    assert schema.at(("workload", "nope")) is None
    assert schema.at(("workload", 0)) is None
    assert schema.at(("workload", "nope", "deeper")) is None
