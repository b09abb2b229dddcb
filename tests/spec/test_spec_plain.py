"""What is read line by line is what a full YAML reader reads, value for value and line for line."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdeploy.spec.plain import plain
from kdeploy.spec.source import parse, parse_fully

USUAL = """\
# yaml-language-server: $schema=../../docs/topics.schema.json

defaults:
  partitions: 3          # few
  retention: 7d
  config: {compression.type: lz4, min.insync.replicas: 2}
patterns:
- match: 'pay*'
  owner: the payments team
topics:
  - name: orders
    config:
      retention.ms: -1
      ratio: 0.5
      big: 1e9
      hex: 0x1F
      on: true
      off: null
  -   name: "clicks"
      config: {}
  - {name: bills, partitions: 6}
users:
  - name: shop
    acls:
      - {name: orders, operations: [read, describe]}
      - name: "*"
        operations:
          - all
        host: 10.1.2.3
nested:
  - - a
    - b: c
      d:
  - - [x, y]
disk: /dev/disk/by-path/pci-0000:00:1f.2-ata-2
empty: []
nothing:
"""

TYPED = st.sampled_from(
    (
        *(
            "\t",
            "- ",
            ": ",
            "{",
            "}",
            "[",
            "]",
            "\n",
            "  ",
            "&a ",
            "*a",
            "!!str ",
            "null",
            "1e400",
            '"',
            "'",
            "|",
            ">",
            "? ",
        ),
        *(
            " #",
            "#",
            ",",
            "\n- ",
            "\n  ",
            "-",
            ":",
            "~",
            ".",
            "%",
            "@",
            "`",
            "=",
            "<<: ",
            "...",
            "---\n",
            "0o7",
            ".inf",
        ),
        *("é", "\u2028", "\x85", "\r\n", "\ufeff", "\x00", "a: b", "'x'", "[]", "{}", "\n\n", "orders"),
    )
)


def agree(text: str) -> bool:
    """Whether the fast reader took it; what it says is then what the full one says."""
    found = plain(text)
    if found is None:
        return False
    full = parse_fully(text, "f")
    assert repr(found[0]) == repr(full.data)
    assert found[1:] == (full.lines, full.text)
    return True


def test_what_is_usual_is_read_fast_and_means_the_same() -> None:
    assert agree(USUAL)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# nothing\n",
        "- a\n",
        "a\n",
        "a: b: c\n",
        "a: b\n  c\n",
        "a:\n  - b\n   - c\n",
        "a: 1\na: 2\n",
        "a: {b: 1, b: 2}\n",
        "a: [b\n",
        "a: [b, c,\n  d]\n",
        "a: |\n  text\n",
        "a: 'it''s'\n",
        'a: "\\n"\n',
        "a: *b\n",
        "a: &b c\n",
        "a: !c d\n",
        "'a': b\n",
        "a:\tb\n",
        "a: .inf\n",
        "a: @b\n",
        " a: b\nc: d\n",
        "a:\n    b: c\n  d: e\n",
        "a: b\n---\nc: d\n",
        "%YAML 1.1\n---\na: b\n",
        "a: b#c\n",
        "a: - b\n",
        "a: [b: c]\n",
        "a: {b}\n",
        "a: [b] c\n",
        "- - a\n",
        "a:\n-\n  b: c\n",
        "a:\n" + "".join(f"{'  ' * depth}a:\n" for depth in range(1, 40)),
        "a: " + "[" * 40 + "]" * 40 + "\n",
    ],
)
def test_what_is_unusual_or_wrong_is_left_to_the_full_reader(text: str) -> None:
    assert plain(text) is None


def test_the_shipped_files_are_read_fast_but_those_with_brackets_over_two_lines() -> None:
    for file in sorted((Path(__file__).parents[2] / "environments").glob("*/*.yaml")):
        assert agree(file.read_text()) is (not file.parent.name.startswith("datacenter")), file


@given(st.data())
@settings(max_examples=1500, deadline=None)
def test_a_slip_of_the_keyboard_never_makes_the_two_differ(data: st.DataObject) -> None:
    lines = USUAL.splitlines(keepends=True)
    first = data.draw(st.integers(0, len(lines) - 1))
    text = "".join(lines[first : first + data.draw(st.integers(1, 12))])
    for _ in range(data.draw(st.integers(0, 3))):
        place = data.draw(st.integers(0, len(text)))
        text = text[:place] + data.draw(TYPED) + text[place + data.draw(st.integers(0, 4)) :]
    agree(text)


@given(st.lists(st.sampled_from(USUAL.splitlines(keepends=True)), max_size=12))
@settings(max_examples=500, deadline=None)
def test_lines_in_any_order_never_make_the_two_differ(lines: list[str]) -> None:
    agree("".join(lines))


def test_a_file_is_read_fast_when_it_can_be() -> None:
    assert parse(USUAL, "f") == parse_fully(USUAL, "f")
