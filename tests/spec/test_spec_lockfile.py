"""The lock on disk: read back as written, small, whole, and never guessed at."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdeploy.errors import InvalidEnvironment, KdeployError
from kdeploy.spec.lock import Lock, LockedDatacenter, LockedNode, LockedShape, LockedVolumes
from kdeploy.spec.lockfile import HEADER, read_lock, render, write_lock
from kdeploy.spec.source import parse

words = st.text(max_size=24)
amounts = st.floats(min_value=0, max_value=1e18, allow_nan=False)
shapes = st.builds(
    LockedShape,
    instance_type=st.none() | words,
    cores=st.integers(1, 512),
    memory=amounts,
    volumes=st.lists(
        st.builds(
            LockedVolumes,
            type=words,
            count=st.integers(1, 64),
            size=amounts,
            iops=st.none() | amounts,
            throughput=st.none() | amounts,
        ),
        max_size=2,
    ).map(tuple),
)
nodes = st.builds(
    LockedNode,
    id=st.integers(1, 2000),
    name=words,
    role=st.sampled_from(("zookeeper", "controller", "broker")),
    rack=words,
    ordinal=st.integers(1, 2000),
    ports=st.dictionaries(words, st.integers(1, 65535), max_size=3),
    directory_id=st.none() | words,
    host=st.none() | words,
)
locks = st.builds(
    Lock,
    kdeploy=words,
    environment=words,
    kafka_version=words,
    kafka_coordination=st.sampled_from(("zookeeper", "kraft")),
    catalogue_date=st.none() | words,
    inputs=words,
    asked=st.dictionaries(words, words, max_size=3),
    datacenters=st.lists(
        st.builds(
            LockedDatacenter,
            name=words,
            provider=st.sampled_from(("local", "hosts", "aws")),
            region=st.none() | words,
            cluster_id=st.none() | words,
            brokers=shapes,
            coordination=shapes,
            partitions=st.integers(1, 10**6),
            nodes=st.lists(nodes, max_size=3).map(tuple),
            retired_ids=st.lists(st.integers(1, 2000), max_size=3).map(tuple),
        ),
        max_size=2,
    ).map(tuple),
    files=st.dictionaries(words, words, max_size=3),
)

SMALL = Lock(
    kdeploy="0.1.0",
    environment="trial",
    kafka_version="3.9.2",
    kafka_coordination="zookeeper",
    inputs="ab12",
    datacenters=(
        LockedDatacenter(
            name="dc1",
            provider="local",
            brokers=LockedShape(cores=2, memory=2.0**30),
            coordination=LockedShape(cores=1, memory=2.0**29),
            partitions=12,
            nodes=(
                LockedNode(
                    id=1, name="broker-1", role="broker", rack="a", ordinal=1, ports={"client": 19010}
                ),
            ),
        ),
    ),
)


@given(locks)
@settings(max_examples=100, deadline=None)
def test_what_is_written_is_read_back_equal(lock: Lock) -> None:
    """Any text at all, also one that looks like a number, a date or a truth value."""
    document = parse(render(lock), "lock.yaml").data
    document.pop("schema")
    import json

    assert Lock.model_validate_json(json.dumps(document), strict=True) == lock


@given(locks)
@settings(max_examples=30, deadline=None)
def test_the_same_lock_gives_the_same_bytes(lock: Lock) -> None:
    assert render(lock) == render(lock.model_copy(deep=True))


@pytest.mark.parametrize(
    "text", ["1e3", "012", "0x1F", "yes", "true", "null", "~", "", "3.10", "1_000", "- a", "#", ": ", "é"]
)
def test_a_text_that_looks_like_something_else_stays_text(text: str, tmp_path: Path) -> None:
    lock = SMALL.model_copy(update={"kafka_version": text})
    write_lock(tmp_path / "lock.yaml", lock)
    assert read_lock(tmp_path / "lock.yaml") == lock


def test_there_is_no_lock_where_there_is_no_file(tmp_path: Path) -> None:
    assert read_lock(tmp_path / "lock.yaml") is None


def test_it_is_small_sorted_and_says_what_it_is() -> None:
    text = render(SMALL)
    assert text.startswith(HEADER)
    assert "ports: {client: 19010}" in text
    assert "null" not in text
    assert "[]" not in text
    keys = [line.partition(":")[0] for line in text.splitlines() if line[:1].isalpha()]
    assert keys == sorted(keys)
    assert len(text.splitlines()) <= 30


def test_it_is_replaced_whole(tmp_path: Path) -> None:
    file = tmp_path / "lock.yaml"
    write_lock(file, SMALL)
    before = file.stat().st_ino
    write_lock(file, SMALL.model_copy(update={"kdeploy": "0.2.0"}))
    assert file.stat().st_ino != before
    assert os.listdir(tmp_path) == ["lock.yaml"]
    assert stat.S_IMODE(file.stat().st_mode) == 0o644


def test_a_folder_that_is_not_there_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(KdeployError, match="cannot be written: No such file or directory"):
        write_lock(tmp_path / "none" / "lock.yaml", SMALL)


def test_the_old_lock_stays_when_the_new_one_cannot_take_its_place(tmp_path: Path) -> None:
    file = tmp_path / "lock.yaml"
    file.mkdir()
    with pytest.raises(KdeployError, match="cannot be written"):
        write_lock(file, SMALL)
    assert os.listdir(tmp_path) == ["lock.yaml"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("kdeploy.lock/v1", "kdeploy.lock/v2"), r"newer kdeploy \(kdeploy.lock/v2\)\n  upgrade kdeploy"),
        (("kdeploy.lock/v1", "kdeploy.plan/v1"), r"this is not a lock"),
        (("schema: kdeploy.lock/v1", ""), r"its schema is None"),
        (("partitions: 12", "partitions: many"), r"partitions: the lock is damaged: .*integer"),
        (("ordinal: 1", "ordinel: 1"), r"the lock is damaged: "),
        (
            ("provider: local", "provider: azure"),
            r"lock.yaml:\d+: datacenters\[0\].provider: the lock is damaged",
        ),
        (("datacenters:\n", "datacenters: {}\nx:\n"), r"the lock is damaged"),
        (("  name: dc1", "  name: dc1\n  name: dc2"), r"name is there twice"),
        (("inputs: ab12", "\tinputs: ab12"), r"there is a tab"),
        (("inputs: ab12", "<<<<<<< HEAD\ninputs: ab12\n=======\ninputs: cd34\n>>>>>>> other"), r"lock.yaml"),
    ],
)
def test_a_lock_damaged_by_hand_is_one_clear_problem(
    change: tuple[str, str], message: str, tmp_path: Path
) -> None:
    file = tmp_path / "lock.yaml"
    text = render(SMALL)
    assert change[0] in text
    file.write_text(text.replace(*change))
    with pytest.raises(InvalidEnvironment, match=message) as caught:
        read_lock(file)
    assert len(caught.value.problems) == 1
    assert caught.value.exit_code == 2


@given(st.integers(0, 600), st.characters())
@settings(max_examples=100, deadline=None)
def test_a_lock_with_any_character_changed_is_read_or_refused(place: int, character: str) -> None:
    import tempfile

    text = render(SMALL)
    place = min(place, len(text) - 1)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "lock.yaml"
        file.write_bytes((text[:place] + character + text[place + 1 :]).encode())
        try:
            assert isinstance(read_lock(file), Lock)
        except InvalidEnvironment as error:
            assert error.problems  # noqa: PT017
