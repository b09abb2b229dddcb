"""Several files are one environment, and each value is found again where it is written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdeploy.errors import InvalidSetting
from kdeploy.operations.examine import examine
from kdeploy.spec.files import TopicsFile
from kdeploy.spec.load import Loaded, files, interpret, load, with_text
from kdeploy.spec.merge import Merged, topics
from kdeploy.spec.model import Environment
from kdeploy.spec.source import parse

TOPICS = """\
defaults:
  partitions: 3
  retention: 7d
  owner: platform
  config:
    compression.type: lz4
    min.insync.replicas: 2
patterns:
  - match: pay*
    partitions: 12
    config:
      compression.type: zstd
  - match: '*.compacted'
    retention: 1d
    config: {cleanup.policy: compact}
  - match: payments.c*
    owner: payments
    config:
      compression.type: snappy
topics:
  - name: clicks
  - name: payments.compacted
    replication_factor: 2
    config:
      min.insync.replicas: 1
  - name: payments
    partitions: 24
    config: {retention.ms: 1000}
"""


def loaded(folder: Path, **said: str) -> Loaded:
    folder.mkdir(exist_ok=True)
    for name, text in {"environment": "kafka: {}\n", **said}.items():
        (folder / f"{name}.yaml").write_text(text)
    return load(folder)


@pytest.fixture
def here(tmp_path: Path) -> Path:
    return tmp_path / "trial"


def test_a_topic_takes_over_what_it_does_not_say_from_patterns_and_defaults_setting_by_setting(
    here: Path,
) -> None:
    clicks, compacted, payments = loaded(here, topics=TOPICS).environment.topics
    assert (clicks.partitions, clicks.retention, clicks.owner) == (3, 7 * 86400, "platform")
    assert clicks.config == {"compression.type": "lz4", "min.insync.replicas": 2}
    assert (compacted.partitions, compacted.replication_factor, compacted.owner) == (12, 2, "payments")
    assert compacted.retention == 86400
    assert compacted.config == {
        "compression.type": "snappy",
        "min.insync.replicas": 1,
        "cleanup.policy": "compact",
    }
    assert payments.partitions == 24
    assert payments.settings == {
        "retention.ms": "1000",
        "compression.type": "zstd",
        "min.insync.replicas": "2",
    }


PLACES: list[tuple[tuple[str | int, ...], str, str]] = [
    (("topics", 1, "name"), "- name: clicks", "topics[0].name"),
    (("topics", 1, "partitions"), "partitions: 3", "defaults.partitions"),
    (("topics", 1, "retention"), "retention: 7d", "defaults.retention"),
    (("topics", 1, "config", "retention.ms"), "retention: 7d", "defaults.retention"),
    (("topics", 1, "owner"), "owner: platform", "defaults.owner"),
    (
        ("topics", 1, "config", "compression.type"),
        "compression.type: lz4",
        "defaults.config.compression.type",
    ),
    (("topics", 1, "replication_factor"), "- name: clicks", "topics[0].replication_factor"),
    (("topics", 1, "config", "flush.ms"), "- name: clicks", "topics[0].config.flush.ms"),
    (("topics", 2, "partitions"), "partitions: 12", "patterns[0].partitions"),
    (("topics", 2, "owner"), "owner: payments", "patterns[2].owner"),
    (
        ("topics", 2, "config", "compression.type"),
        "compression.type: snappy",
        "patterns[2].config.compression.type",
    ),
    (
        ("topics", 2, "config", "cleanup.policy"),
        "config: {cleanup.policy: compact}",
        "patterns[1].config.cleanup.policy",
    ),
    (
        ("topics", 2, "config", "min.insync.replicas"),
        "min.insync.replicas: 1",
        "topics[1].config.min.insync.replicas",
    ),
    (("topics", 2, "replication_factor"), "replication_factor: 2", "topics[1].replication_factor"),
    (("topics", 3, "partitions"), "partitions: 24", "topics[2].partitions"),
    (("topics", 3, "retention"), "config: {retention.ms: 1000}", "topics[2].config.retention.ms"),
]


def test_a_value_is_found_where_it_is_written_be_it_by_a_pattern_or_a_default(here: Path) -> None:
    text = "# one more\n" + "topics:\n  - name: first\n    partitions: 1\n"
    found = loaded(here, environment=text, topics=TOPICS)
    assert [topic.name for topic in found.environment.topics] == [
        "first",
        "clicks",
        "payments.compacted",
        "payments",
    ]
    lines = TOPICS.splitlines()
    for path, line, said in PLACES:
        problem = found.source.problem(path, "wrong", "right")
        assert (Path(problem.file).name, problem.path) == ("topics.yaml", said)
        assert lines[problem.line - 1].strip() == line, said
    own = found.source.problem(("topics", 0, "partitions"), "wrong", "right")
    assert (Path(own.file).name, own.line, own.path) == ("environment.yaml", 4, "topics[0].partitions")


def test_a_later_stage_s_error_is_located_in_the_file_it_is_about(here: Path) -> None:
    found = loaded(
        here,
        environment="users: [{name: a}]\nacls: [{user: b, role: producer, topics: [x]}]\n",
        users="users:\n  - name: b\n",
        quotas="quotas:\n  - user: a\n    producer_byte_rate: 1MB/s\n",
        acls="acls:\n  - user: a\n    role: producer\n    topics: [x, y]\n",
        policies="policies:\n  max_partitions: 3\n",
    )
    for path, place in (
        (("users", 0, "name"), "environment.yaml:1: users[0].name"),
        (("users", 1, "name"), "users.yaml:2: users[0].name"),
        (("acls", 0, "role"), "environment.yaml:2: acls[0].role"),
        (("acls", 1, "topics", 1), "acls.yaml:4: acls[0].topics[1]"),
        (("quotas", 0, "producer_byte_rate"), "quotas.yaml:3: quotas[0].producer_byte_rate"),
        (("policies", "max_partitions"), "policies.yaml:2: policies.max_partitions"),
        (("policies", "owner_required"), "environment.yaml: policies.owner_required"),
        (("workload", "throughput"), "environment.yaml: workload.throughput"),
    ):
        said = str(found.source.locate(InvalidSetting(path, "wrong", "right")))
        assert said == f"{here}/{place}: wrong\n  right"


def test_what_stands_in_files_of_its_own_is_what_would_stand_in_environment_yaml(here: Path) -> None:
    parts = {
        "users": "users:\n  - name: shop\n    owner: team\n",
        "acls": "acls:\n  - {user: shop, role: producer, topics: [orders]}\n",
        "quotas": "quotas:\n  - {user: shop, producer_byte_rate: 1MB/s}\n",
        "policies": "policies:\n  owner_required: true\n",
        "topics": "topics:\n  - {name: orders, owner: team}\n",
    }
    apart = loaded(here, **parts).environment
    whole = interpret(parse("kafka: {}\n" + "".join(parts.values()), "f"), "trial")
    assert apart == whole
    assert Environment.model_validate(apart.to_json()) == apart


def test_policies_of_two_files_add_up(here: Path) -> None:
    found = loaded(
        here,
        environment="policies: {max_partitions: 3}\n",
        policies="policies: {owner_required: true}\n",
    ).environment.policies
    assert (found.max_partitions, found.owner_required, found.min_retention) == (3, True, None)


def test_a_risk_is_named_with_its_own_file_and_a_default_s_once(here: Path) -> None:
    loaded(
        here,
        topics="defaults: {replication_factor: 1}\ntopics:\n  - name: a\n  - name: b\n  - {name: c, replication_factor: 1}\n",
        users="users:\n  - name: shop\n",
        acls="acls:\n  - {user: shop, role: producer, topics: [orders, '*']}\n",
    )
    seen = examine(here).risks
    assert [(Path(one.file).name, one.line, one.path, one.risk.name) for one in seen] == [
        ("topics.yaml", 1, "defaults.replication_factor", "single-copy"),
        ("topics.yaml", 5, "topics[2].replication_factor", "single-copy"),
        ("acls.yaml", 2, "acls[0].topics[0]", "unknown-topic"),
        ("acls.yaml", 2, "acls[0].topics[1]", "writes-everything"),
    ]


def test_another_text_of_environment_yaml_is_read_with_the_same_files_beside(here: Path) -> None:
    found = loaded(
        here,
        environment="acls: [{user: shop, role: producer, topics: [a]}]\n",
        users="users: [{name: shop}]\n",
    )
    changed = with_text(found.source, "workload: {fan_out: 7}\n")
    environment = interpret(changed, "trial")
    assert (environment.workload.fan_out, [user.name for user in environment.users]) == (7, ["shop"])


def test_the_files_of_an_environment_are_those_that_are_there(here: Path) -> None:
    loaded(here, topics="topics: []\n", quotas="quotas: []\n")
    assert [file.name for file in files(here)] == ["environment.yaml", "topics.yaml", "quotas.yaml"]


LAYER: dict[str, st.SearchStrategy[Any]] = {
    "partitions": st.integers(1, 9),
    "retention": st.sampled_from(("1d", "2d", "3d")),
    "owner": st.sampled_from(("a", "b", "c")),
    "config": st.dictionaries(
        st.sampled_from(("retention.ms", "flush.ms", "segment.ms")), st.integers(1, 9), max_size=3
    ),
}
layers = st.fixed_dictionaries({}, optional=LAYER).filter(
    lambda one: not ("retention" in one and "retention.ms" in one.get("config", {}))
)


@given(st.lists(layers, min_size=2, max_size=5))
def test_of_all_layers_the_last_that_says_something_is_heard_and_found_again(
    said: list[dict[str, Any]],
) -> None:
    document = {
        "defaults": said[0],
        "patterns": [{"match": "*", **one} for one in said[1:-1]],
        "topics": [{"name": "t", **said[-1]}],
    }
    (topic,) = topics(TopicsFile.model_validate_json(json.dumps(document)))
    beside = {"topics": parse(json.dumps(document, indent=1), "t")}
    source = Merged("e", {"kafka": {}}, beside=beside)  # type: ignore[arg-type]
    for name in ("partitions", "owner"):
        given_ = [one[name] for one in said if name in one]
        assert getattr(topic, name) == (given_[-1] if given_ else None)
    seconds = {"1d": 86400, "2d": 172800, "3d": 259200}
    kept = None
    for one in said:
        kept = one.get("config", {}).get("retention.ms", kept)
        kept = seconds[one["retention"]] * 1000 if "retention" in one else kept
    assert topic.settings.get("retention.ms") == (None if kept is None else str(kept))
    for name in ("flush.ms", "segment.ms"):
        given_ = [one["config"][name] for one in said if name in one.get("config", {})]
        assert topic.config.get(name) == (given_[-1] if given_ else None)
        if given_:
            holder, inside = source.place(("topics", 0, "config", name))
            value: Any = holder.data
            for step in inside:
                value = value[step]
            assert value == given_[-1]
