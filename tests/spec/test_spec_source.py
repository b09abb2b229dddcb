"""YAML as it is read: plain values with their lines, and nothing that hides where a value comes from."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdeploy.errors import InvalidEnvironment, InvalidSetting
from kdeploy.spec.scalars import scalar
from kdeploy.spec.source import LARGEST_FILE, Source, parse, read


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12", 12),
        ("-3", -3),
        ("012", 12),
        ("0o14", 12),
        ("0x1F", 31),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("1_000", "1_000"),
        ("1:30", "1:30"),
        ("3.9.2", "3.9.2"),
        ("true", True),
        ("True", True),
        ("yes", "yes"),
        ("off", "off"),
        ("null", None),
        ("~", None),
        ("2024-01-01", "2024-01-01"),
        ("1e999", "1e999"),
    ],
)
def test_a_plain_scalar_is_read_by_the_core_schema_of_yaml_1_2(text: str, value: object) -> None:
    read_back = scalar(text)
    assert read_back == value
    assert type(read_back) is type(value)


def test_text_in_quotes_stays_text() -> None:
    assert parse("a: '12'\nb: \"true\"\nc: |\n  12\n", "f").data == {"a": "12", "b": "true", "c": "12\n"}


def test_every_value_knows_the_line_of_its_key() -> None:
    source = parse("# top\na:\n  b: 1\n\n  c:\n    - x\n    - {d: 2}\n", "f")
    assert source.line(("a",)) == 2
    assert source.line(("a", "b")) == 3
    assert source.line(("a", "c", 0)) == 6
    assert source.line(("a", "c", 1, "d")) == 7


def test_the_line_of_what_is_not_there_is_that_of_what_is_around_it() -> None:
    source = parse("a:\n  b: 1\n", "f")
    assert source.line(("a", "x", "y")) == 1
    assert source.line(("z",)) == 0


def test_an_error_that_knows_its_path_alone_is_given_its_line() -> None:
    source = parse("a:\n  b.c: 1\n", "f")
    located = source.locate(InvalidSetting(("a", "b.c"), "wrong", "right"))
    assert str(located) == "f:2: a.b.c: wrong\n  right"


def test_all_that_is_refused_is_found_in_one_reading() -> None:
    with pytest.raises(InvalidEnvironment) as caught:
        parse("a: &x 1\nb: *x\na: 2\nc: !t 3\n", "f")
    assert [problem.line for problem in caught.value.problems] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("content", "wrong"),
    [
        (b"a: \xff\n", "byte 4 is not UTF-8 text"),
        (b"a: 1\nb: \xe9t\xe9\n", "byte 9 is not UTF-8 text"),
        ("a: 1".encode("utf-16"), "the file is in UTF-16"),
        (b"\x7fELF\0\0\0", "the file is binary"),
        (b"\0" * 100, "the file is binary"),
        (b"#" * (LARGEST_FILE + 1), "the file is larger than 16 MiB"),
    ],
    ids=["latin-1", "latin-1-later", "utf-16", "a-program", "zeros", "huge"],
)
def test_a_file_that_is_no_text_is_refused(content: bytes, wrong: str, tmp_path: Path) -> None:
    file = tmp_path / "f.yaml"
    file.write_bytes(content)
    with pytest.raises(InvalidEnvironment) as caught:
        read(file, "f.yaml")
    assert [problem.wrong for problem in caught.value.problems] == [wrong]


def test_a_byte_order_mark_of_utf_8_does_no_harm(tmp_path: Path) -> None:
    file = tmp_path / "f.yaml"
    file.write_bytes(b"\xef\xbb\xbfa: 1\n")
    assert read(file, "f").data == {"a": 1}


def test_a_file_that_cannot_be_read_is_one_clear_problem(tmp_path: Path) -> None:
    with pytest.raises(InvalidEnvironment, match="cannot be read: Is a directory"):
        read(tmp_path, "f")
    with pytest.raises(InvalidEnvironment, match="cannot be read: No such file"):
        read(tmp_path / "none", "f")


def test_windows_line_ends_are_lines() -> None:
    assert parse("a: 1\r\nb:\r\n  c: 2\r\n", "f").line(("b", "c")) == 3


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(min_size=1, max_size=60), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.text(min_size=1, max_size=60), json_values, min_size=1, max_size=5))
@settings(deadline=None)
def test_json_is_read_as_it_is_because_yaml_contains_it(document: dict[str, object]) -> None:
    """But for merge keys, and keys beyond YAML's 1,024 characters (YAML 1.2.2, section 7.4.2)."""
    if "<<" in _keys(document):
        return
    try:
        source = parse(json.dumps(document), "f")
    except InvalidEnvironment as error:
        assert "nested more than" in str(error), error  # noqa: PT017
    else:
        assert source.data == document


def test_half_a_character_is_refused_before_it_breaks_what_is_written() -> None:
    with pytest.raises(InvalidEnvironment, match="half a character"):
        parse('a: "\\ud800"\n', "f")


def _keys(value: object) -> set[str]:
    if isinstance(value, dict):
        return set(value) | {key for one in value.values() for key in _keys(one)}
    return {key for one in value for key in _keys(one)} if isinstance(value, list) else set()


@given(st.text(alphabet=st.sampled_from("ab:- \n\t[]{}&*!|>'\"#%@`,?<~0.1\x07é") | st.characters()))
@settings(deadline=None)
def test_any_text_at_all_is_read_or_refused(text: str) -> None:
    try:
        assert isinstance(parse(text, "f"), Source)
    except InvalidEnvironment as error:
        last = max(
            1,
            text.count("\n")
            + text.count("\r")
            + text.count("\x85")
            + text.count("\u2028")
            + text.count("\u2029")
            + 1,
        )
        assert all(0 <= problem.line <= last for problem in error.problems)  # noqa: PT017


def test_a_file_name_in_messages_is_the_one_the_person_gave(tmp_path: Path) -> None:
    file = tmp_path / "f.yaml"
    file.write_text("- 1\n")
    with pytest.raises(InvalidEnvironment, match=r"^given:1: the file holds a list"):
        read(Path(os.path.relpath(file)), "given")
