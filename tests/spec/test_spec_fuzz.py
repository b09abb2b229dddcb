"""Whatever stands in an environment's file, a person gets an answer and never a traceback."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from kdeploy.errors import KdeployError
from kdeploy.spec import schema
from kdeploy.spec.load import interpret
from kdeploy.spec.model import Environment
from kdeploy.spec.risks import risks
from kdeploy.spec.source import parse

SHIPPED_TEXT = """\
kafka:
  version: "3.9.2"
  coordination: zookeeper
datacenters:
  - name: dc1
    provider: hosts
    racks: [a, b, c]
    hosts:
      - {address: h1, rack: a, role: broker, hardware: {cores: 4, memory: 16GiB, disks: [/dev/sdb]}}
      - {address: z1, rack: a, role: zookeeper}
workload:
  throughput: 10MB/s
  retention: 24h
durability:
  replication_factor: 1
  min_insync_replicas: 1
  survive: none
topics:
  - name: orders
    partitions: 6
    config: {retention.ms: 86400000}
users:
  - name: orders-consumer
    acls:
      - {resource: group, name: orders-, pattern: prefixed, operations: [read]}
overrides:
  broker: {num.io.threads: 8}
  jvm: {broker: [-Xmx1g]}
accept_risks: [single-copy]
"""

anything: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=12)
    | st.sampled_from(
        ("10MB/s", "7d", "10GiB", "a", "local", "aws", "hosts", "kraft", "3.9.2", "zone", "eu-west-1", "*")
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def _values(part: schema.Schema, root: schema.Schema, depth: int) -> st.SearchStrategy[Any]:
    """Values for a part of the schema: mostly of its shape, sometimes anything at all."""
    reference = part.get("$ref")
    if reference:
        return _values(root["$defs"][reference.rpartition("/")[2]], root, depth)
    if "properties" in part:
        fields = {name: _values(one, root, depth + 1) for name, one in part["properties"].items()}
        return st.one_of(st.fixed_dictionaries({}, optional=fields), anything)
    if part.get("type") == "array":
        return st.one_of(st.lists(_values(part["items"], root, depth + 1), max_size=3), anything)
    if "enum" in part:
        return st.sampled_from(part["enum"]) | anything
    if part.get("type") == "integer":
        return st.integers(-2, 40) | anything
    if "examples" in part:
        return st.sampled_from([*part["examples"], "0B", "1", "-1d", "3PB/s", "1ms"]) | anything
    return anything


ROOT = schema.document()


@given(_values(ROOT, ROOT, 0))
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
def test_any_document_is_read_or_refused_with_exit_code_2(document: Any) -> None:
    import io

    stream = io.StringIO()
    YAML(typ="safe", pure=True).dump(document, stream)
    answer(stream.getvalue())


@given(
    st.integers(0, len(SHIPPED_TEXT)),
    st.integers(0, 12),
    st.text(max_size=6)
    | st.sampled_from(
        ("\t", "- ", ": ", "{", "]", "\n", "  ", "&a ", "*a", "null", "1e400", '"', "'", "|", "? ")
    ),
)
@settings(max_examples=300, deadline=None)
def test_a_good_file_with_a_slip_of_the_keyboard_is_read_or_refused(place: int, cut: int, typed: str) -> None:
    answer(SHIPPED_TEXT[:place] + typed + SHIPPED_TEXT[place + cut :])


@given(st.lists(st.sampled_from(SHIPPED_TEXT.splitlines(keepends=True)), max_size=30))
@settings(max_examples=150, deadline=None)
def test_its_lines_in_any_order_are_read_or_refused(lines: list[str]) -> None:
    answer("".join(lines))


def test_the_file_that_is_damaged_here_is_good_to_begin_with() -> None:
    assert interpret(parse(SHIPPED_TEXT, "f"), "trial").topics[0].name == "orders"


def answer(text: str) -> None:
    try:
        environment = interpret(parse(text, "f"), "trial")
    except KdeployError as error:
        assert (error.exit_code, str(error)[:1]) == (2, "f")  # noqa: PT017
    else:
        assert Environment.model_validate(environment.to_json()) == environment
        risks(environment)
