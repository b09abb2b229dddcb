"""Whatever stands in the files beside environment.yaml, a person gets an answer and never a traceback."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from kdeploy.errors import InvalidEnvironment
from kdeploy.spec import schema
from kdeploy.spec.files import BESIDE, Kind
from kdeploy.spec.load import interpret
from kdeploy.spec.merge import Merged
from kdeploy.spec.model import Environment
from kdeploy.spec.risks import risks
from kdeploy.spec.roles import acls_of
from kdeploy.spec.source import Source, parse

GOOD: Mapping[Kind, str] = {
    "environment": "kafka: {}\ntopics:\n  - name: first\nusers:\n  - name: shop\n",
    "topics": """\
defaults:
  partitions: 3
  config: {compression.type: lz4}
patterns:
  - match: pay*
    retention: 2d
    owner: payments
topics:
  - name: payments
    config:
      retention.ms: 86400000
  - {name: old, delete: true}
""",
    "users": "users:\n  - name: web\n    owner: team\n  - name: gone\n    delete: true\n",
    "acls": """\
acls:
  - user: shop
    role: producer
    topics: [payments, "clicks-*"]
    transactional_ids: [shop-*]
  - user: web
    role: streams
    application: totals
    topics: [payments]
  - user: web
    acls:
      - {resource: group, name: web, operations: [read]}
""",
    "quotas": """\
quotas:
  - user: shop
    producer_byte_rate: 10MB/s
  - ip: 10.1.2.3
    connection_creation_rate: 10
  - {user: "*", client_id: web, request_percentage: 50}
""",
    "policies": """\
policies:
  topic_names: ['[a-z]+']
  max_partitions: 12
  min_retention: 1d
""",
}

anything: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
    | st.sampled_from(
        ("10MB/s", "7d", "orders", "shop", "*", "pay*", "[", "10.1.2.3", "::1", "producer", "connect")
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)


def _values(part: schema.Schema, root: schema.Schema, wild: bool) -> st.SearchStrategy[Any]:
    """Values for a part of a schema: of its shape, and sometimes anything at all."""
    other = anything if wild else st.nothing()
    if "$ref" in part:
        return _values(root["$defs"][part["$ref"].rpartition("/")[2]], root, wild)
    if "anyOf" in part:
        return st.one_of(*(_values(one, root, wild) for one in part["anyOf"] if one.get("type") != "null"))
    if "properties" in part:
        fields = {name: _values(one, root, wild) for name, one in part["properties"].items()}
        needed = {name: fields.pop(name) for name in part.get("required", ())}
        return st.fixed_dictionaries(needed, optional=fields) | other
    if part.get("type") == "array":
        return st.lists(_values(part["items"], root, wild), max_size=3) | other
    if "enum" in part:
        return st.sampled_from(part["enum"]) | other
    if part.get("type") == "boolean":
        return st.booleans() | other
    if part.get("type") in ("integer", "number"):
        return st.integers(1, 5) | other
    if "examples" in part:
        return st.sampled_from([*part["examples"], "1ms", "1B/s"]) | other
    if part.get("type") == "object":
        return st.dictionaries(
            st.sampled_from(("retention.ms", "cleanup.policy", "min.insync.replicas", "x")),
            st.sampled_from((-1, 3, "3", "compact", True, 0.5)),
            max_size=2,
        )
    return (
        st.sampled_from(("shop", "web", "orders", "payments", "*", "pay*", "10.1.2.3", "[a-z]+", "(")) | other
    )


def answer(texts: Mapping[Kind, str]) -> None:
    beside: dict[Kind, Source] = {}
    try:
        for kind, text in texts.items():
            beside[kind] = parse(text, kind, kind)
        main = beside.pop("environment")
        environment = interpret(Merged(main.file, main.data, main.lines, main.text, beside), "trial")
    except InvalidEnvironment as error:
        assert error.problems  # noqa: PT017
        for one in error.problems:
            assert one.file in texts
            assert 0 <= one.line <= texts[one.file].count("\n") + 1  # type: ignore[index]
            assert one.wrong
            assert one.right
    else:
        assert Environment.model_validate(environment.to_json()) == environment
        risks(environment)
        assert {user for user, _ in acls_of(environment)} <= {user.name for user in environment.users}


def _dumped(document: Any) -> str:
    stream = io.StringIO()
    YAML(typ="safe", pure=True).dump(document, stream)
    return stream.getvalue()


ROOTS = {kind: schema.document(kind) for kind in BESIDE}


def _files(wild: bool) -> st.SearchStrategy[dict[Kind, Any]]:
    return st.fixed_dictionaries(
        {}, optional={kind: _values(root, root, wild) for kind, root in ROOTS.items()}
    )


@given(_files(wild=True))
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
def test_any_documents_are_read_or_refused(documents: dict[Kind, Any]) -> None:
    answer({"environment": GOOD["environment"], **{kind: _dumped(one) for kind, one in documents.items()}})


@given(_files(wild=False))
@settings(
    max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
def test_documents_of_the_right_shape_are_read_or_refused(documents: dict[Kind, Any]) -> None:
    answer({"environment": GOOD["environment"], **{kind: _dumped(one) for kind, one in documents.items()}})


@given(
    st.sampled_from(BESIDE),
    st.integers(0, 400),
    st.integers(0, 12),
    st.text(max_size=6)
    | st.sampled_from(("\t", "- ", ": ", "{", "]", "\n", "  ", "&a ", "null", '"', "'", "|", "*")),
)
@settings(max_examples=400, deadline=None)
def test_a_slip_of_the_keyboard_in_one_file_is_read_or_refused(
    kind: Kind, place: int, cut: int, typed: str
) -> None:
    text = GOOD[kind]
    place %= len(text)
    answer({**GOOD, kind: text[:place] + typed + text[place + cut :]})


def test_the_files_that_are_damaged_here_are_good_to_begin_with() -> None:
    beside = {kind: parse(GOOD[kind], kind) for kind in BESIDE}
    main = parse(GOOD["environment"], "environment")
    environment = interpret(Merged(main.file, main.data, main.lines, main.text, beside), "trial")
    assert [topic.name for topic in environment.topics] == ["first", "payments", "old"]
    assert len(environment.quotas) == 3
