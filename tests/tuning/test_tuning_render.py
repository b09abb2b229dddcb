"""What is rendered reads back as what was decided."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import UndefinedError

from kdeploy.tuning import render

TEXT = st.text(st.characters(codec="utf-16", exclude_categories=["Cs"]))


@given(st.dictionaries(TEXT, TEXT))
def test_java_reads_back_the_properties_that_were_given(settings: dict[str, str]) -> None:
    assert render.parse_properties(render.properties(settings)) == settings


@given(st.dictionaries(TEXT, TEXT))
def test_a_properties_file_is_printable_ascii_with_sorted_keys(settings: dict[str, str]) -> None:
    lines = render.properties(settings).splitlines()
    assert all(" " <= character <= "~" for line in lines for character in line)
    assert list(render.parse_properties("\n".join(lines))) == sorted(settings)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("a=b", {"a": "b"}),
        ("a : b ", {"a": "b "}),
        ("a b", {"a": "b"}),
        ("a", {"a": ""}),
        ("# a=b\n! c=d\n\n  e=f", {"e": "f"}),
        ("a=b\\\n   c", {"a": "bc"}),
        ("a=b\\\\\nc=d", {"a": "b\\", "c": "d"}),
        ("a\\ b\\:c=d=e", {"a b:c": "d=e"}),
        ("a=\\u00e9\\uD83D\\ude00\\q", {"a": "é😀q"}),
        ("a=1\na=2", {"a": "2"}),
    ],
)
def test_properties_are_read_as_java_reads_them(written: str, read: dict[str, str]) -> None:
    assert render.parse_properties(written) == read


def test_a_template_with_an_undefined_name_fails() -> None:
    with pytest.raises(UndefinedError):
        render._templates().from_string("{{ nothing }}").render()


@pytest.mark.parametrize(
    ("option", "written"), [("-Xmx1g", "-Xmx1g"), ("-Dx=a b", '"-Dx=a b"'), ('-Dx=#"\\', '"-Dx=#\\"\\\\"')]
)
def test_a_java_option_is_quoted_where_java_would_split_it(option: str, written: str) -> None:
    assert render.options([option]).splitlines()[1] == written


def test_no_template_decides_on_a_value() -> None:
    from importlib.resources import files

    for template in files("kdeploy.tuning").joinpath("templates").iterdir():
        assert "{% if" not in template.read_text()
