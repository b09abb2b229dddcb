"""Every way of getting a file beside environment.yaml wrong that we know of, with the one message that helps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from kdeploy.errors import InvalidEnvironment, Problem
from kdeploy.operations.examine import examine
from kdeploy.spec.files import BESIDE, file_name
from kdeploy.spec.load import load

ROWS: list[dict[str, Any]] = YAML(typ="safe", pure=True).load(
    Path(__file__).with_name("bad_resources.yaml").read_text()
)


def write(folder: Path, files: dict[str, Any]) -> Path:
    folder.mkdir()
    for name, said in {"environment.yaml": "kafka: {}\n", **files}.items():
        if isinstance(said, str):
            (folder / name).write_text(said)
        elif "bytes" in said:
            (folder / name).write_bytes(bytes.fromhex(said["bytes"]))
        else:
            (folder / name).mkdir()
    return folder


@pytest.mark.parametrize("row", ROWS, ids=[row["title"].replace(" ", "-") for row in ROWS])
def test_what_is_wrong_is_said_with_its_file_its_line_and_what_would_be_right(
    row: dict[str, Any], tmp_path: Path
) -> None:
    folder = write(tmp_path / "trial", row["files"])
    (found,) = examine(folder).problems
    wrong = found.wrong.replace(f"{folder}/", "")
    expected = (str(folder / row["file"]), row["line"], row["path"], row["wrong"], row["right"])
    assert (found.file, found.line, found.path, wrong, found.right) == expected


def test_the_table_is_as_long_as_it_should_be_and_has_every_file_and_no_row_twice() -> None:
    assert len(ROWS) >= 100
    assert {row["file"] for row in ROWS} >= set(map(file_name, BESIDE))
    assert len({str(row["files"]) for row in ROWS}) == len(ROWS)
    assert len({row["title"] for row in ROWS}) == len(ROWS)


@pytest.mark.parametrize("row", ROWS, ids=[row["title"].replace(" ", "-") for row in ROWS])
def test_a_message_is_two_short_sentences_without_a_full_stop(row: dict[str, Any]) -> None:
    for sentence in (row["wrong"], row["right"]):
        assert sentence
        assert not sentence.endswith(".")
        assert len(sentence) <= 220


def test_the_problems_of_all_files_are_said_at_once(tmp_path: Path) -> None:
    folder = write(
        tmp_path / "trial",
        {
            "environment.yaml": "kafka: {version: 4}\n",
            "topics.yaml": "topics:\n  - name: orders\n    partitions: none\n",
            "users.yaml": "",
            "acls.yaml": "acls: [a\n",
            "quotas.yaml": "quotas:\n  - {user: shop, producer_byte_rate: 1}\n",
            "policies.yaml": "max_partitions: 3\n",
        },
    )
    with pytest.raises(InvalidEnvironment) as caught:
        load(folder)
    assert [(Path(one.file).name, one.line) for one in caught.value.problems] == [
        ("acls.yaml", 1),
        ("environment.yaml", 1),
        ("policies.yaml", 1),
        ("quotas.yaml", 2),
        ("topics.yaml", 3),
        ("users.yaml", 0),
    ]


def test_files_are_examined_also_where_environment_yaml_cannot_be_read(tmp_path: Path) -> None:
    folder = write(tmp_path / "trial", {"environment.yaml": "", "topics.yaml": "topic: []\n"})
    with pytest.raises(InvalidEnvironment) as caught:
        load(folder)
    assert [Path(one.file).name for one in caught.value.problems] == ["environment.yaml", "topics.yaml"]


def test_a_file_that_nobody_may_read_is_said_as_such(tmp_path: Path) -> None:
    folder = write(tmp_path / "trial", {})
    (folder / "topics.yaml").symlink_to(folder / "nowhere")
    with pytest.raises(InvalidEnvironment) as caught:
        load(folder)
    expected = ("the file cannot be read: No such file or directory", "check that it exists and is readable")
    assert caught.value.problems == (Problem(str(folder / "topics.yaml"), 0, "", *expected),)


def test_what_a_default_does_to_a_thousand_topics_is_said_once(tmp_path: Path) -> None:
    names = "".join(f"  - name: topic-{number}\n" for number in range(1000))
    folder = write(
        tmp_path / "trial",
        {
            "topics.yaml": f"defaults:\n  partitions: 7\n  replication_factor: 9\ntopics:\n{names}",
            "policies.yaml": "policies:\n  max_partitions: 6\n",
        },
    )
    found = examine(folder).problems
    assert [(one.path, one.line) for one in found] == [
        ("defaults.partitions", 2),
        ("defaults.replication_factor", 3),
    ]
    assert "; likewise topic-1, topic-2, " in found[0].wrong
    assert found[0].wrong.endswith(", topic-20 and 979 more")
