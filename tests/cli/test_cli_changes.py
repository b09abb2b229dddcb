"""What a preview looks like: 80 columns for a terminal, one comment below its limit for a pull request."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdeploy.cli import changes
from kdeploy.operations.pending import LAYERS, Item, counts, natural, ordered, summary
from kdeploy.operations.preview import ClusterPreview, Preview

FILE = Item(
    *("dc1", "files", "change-file", "broker-1", "num.io.threads 8 → 12", "", "a" * 64, "b" * 64, "none"),
    path="config/server.properties",
    diff="@@ -1,2 +1,2 @@\n a=1\n-num.io.threads=8\n+num.io.threads=12",
)
NODE = Item(
    "dc1", "nodes", "restart", "broker-1", "restart broker-1", "certificate renewed", effect="restart"
)
TOPIC = Item("dc1", "topics", "create-topic", "t", "create topic t: partitions 1", effect="create")
GIVEN = Item(
    "dc1", "settings", "alter-broker-config", "broker-1", "num.io.threads 8 → 12", before="8", after="12"
)


def of(*items: Item, compared: bool = True, notes: tuple[str, ...] = ()) -> Preview:
    return Preview("demo", (ClusterPreview("dc1", ordered(items), compared),), notes)


def on(item: Item, *names: str) -> list[Item]:
    return [replace(item, name=name) for name in names]


def test_what_is_the_same_on_several_nodes_is_said_once() -> None:
    names = ("broker-10", "broker-2", "broker-1")
    text = changes.preview_text(of(*on(FILE, *names), *on(NODE, *names), *on(GIVEN, *names), TOPIC))
    assert text == (
        "demo: what `kdeploy up demo` would do\n"
        "\n"
        "files\n"
        "  ~ config/server.properties of broker-1, broker-2, broker-10: num.io.threads 8\n"
        "    → 12\n"
        "      @@ -1,2 +1,2 @@\n"
        "       a=1\n"
        "      -num.io.threads=8\n"
        "      +num.io.threads=12\n"
        "\n"
        "nodes\n"
        "  ! restart broker-1, broker-2, broker-10: certificate renewed\n"
        "\n"
        "settings of running brokers\n"
        "  ~ num.io.threads 8 → 12 (of broker-1, broker-2, broker-10)\n"
        "\n"
        "topics\n"
        "  + create topic t: partitions 1\n"
        "\n"
        "1 to create, 3 to change, 3 to restart; 3 files differ\n"
        "Carry it out with: kdeploy up demo"
    )


def test_nothing_to_do_is_one_line_and_notes_stay() -> None:
    assert changes.preview_text(of()) == "demo: nothing to do, everything is as the environment says"
    assert "\nnote: a is no longer declared" in changes.preview_text(of(notes=("a is no longer declared",)))


def test_a_cluster_that_is_down_is_said_to_be_compared_later() -> None:
    text = changes.preview_text(of(NODE, compared=False))
    assert "dc1: topics, users, ACLs, quotas and settings are compared once it is up" in text
    assert changes.NOT_COMPARED in changes.preview_markdown(of(NODE, compared=False))


def test_a_long_difference_is_cut_and_said_to_be() -> None:
    diff = "\n".join(f"+line {number} {'x' * 200}" for number in range(100))
    lines = changes.preview_text(of(replace(FILE, diff=diff))).splitlines()
    assert max(map(len, lines)) <= 80
    assert "      … 60 lines more; --output json has all of them" in lines


@pytest.mark.parametrize(
    ("items", "said"),
    [
        ((), ""),
        ((FILE,), "1 file differs"),
        ((FILE, replace(FILE, name="b")), "2 files differ"),
        ((TOPIC, NODE, NODE), "1 to create, 2 to restart"),
        ((replace(TOPIC, effect="remove"), FILE), "1 to remove; 1 file differs"),
    ],
)
def test_a_summary_counts_by_what_becomes_of_things(items: tuple[Item, ...], said: str) -> None:
    assert summary(items) == said
    assert sum(counts(items).values()) == len(items)


def test_numbers_in_names_are_counted_as_people_count() -> None:
    names = ["broker-10", "broker-9", "a", "broker-1", "10", "9", ""]
    assert sorted(names, key=natural) == ["", "9", "10", "a", "broker-1", "broker-9", "broker-10"]


def test_a_comment_can_be_found_again_by_its_first_line() -> None:
    for preview in (of(), of(NODE, FILE, TOPIC)):
        assert changes.preview_markdown(preview).splitlines()[0] == "<!-- kdeploy preview demo -->"


def test_a_comment_has_tables_and_differences_to_unfold() -> None:
    text = changes.preview_markdown(of(NODE, FILE, TOPIC))
    assert "**1 to create, 1 to restart; 1 file differs**" in text
    assert "| restart | broker-1 | certificate renewed |" in text
    assert (
        "<details><summary><code>config/server.properties</code> of broker-1</summary>\n\n```diff\n" in text
    )


def test_nothing_in_a_change_becomes_markup() -> None:
    evil = "a | b `c` <script> @team [x](y) **z** | <!-- --> </details>"
    items = [
        replace(TOPIC, what=evil),
        replace(NODE, why=evil),
        replace(FILE, path=evil, diff="+```\n+````x"),
    ]
    text = changes.preview_markdown(of(*items))
    outside = re.sub(r"`````diff.*?`````", "", text, flags=re.DOTALL)
    assert text.count("`````") == 2
    assert "<script>" not in text
    assert "@team" not in text.replace("<code>", "\n").split("\n#### ", 1)[1].split("<details>")[0]
    for line in outside.splitlines():
        if line.startswith(("| `", "| restart")):
            assert line.count("|") in (3, 4, 5)


texts = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=200)


@given(st.lists(st.tuples(st.sampled_from(LAYERS), texts, texts, st.integers(0, 3000)), max_size=30))
def test_a_terminal_and_a_comment_hold_their_limits_whatever_changes(
    found: list[tuple[str, str, str, int]],
) -> None:
    items = [
        Item(
            *("dc1", layer, "kind", f"n{number}", what, why),  # type: ignore[arg-type]
            path="p" if layer in ("files", "host") else None,
            diff="+x\n" * length if layer in ("files", "host") else "",
        )
        for number, (layer, what, why, length) in enumerate(found)
    ]
    assert len(changes.preview_markdown(of(*items))) < changes.LIMIT
    changes.preview_text(of(*items))


def test_many_notes_leave_room_for_what_changes_and_are_said_to_be_left_out() -> None:
    notes = tuple(f"topic t{n} is no longer declared and stays; mark it" for n in range(5000))
    for items in ((TOPIC, NODE, FILE), ()):
        text = changes.preview_markdown(of(*items, notes=notes))
        assert len(text) < changes.LIMIT
        assert re.search(r"\n\d{4} more lines are left out here; `--output json` has all of them\.", text)
        assert ("| restart | broker-1 | certificate renewed |" in text) == bool(items)
        assert ("<details>" in text) == bool(items)


def test_a_very_large_change_stays_below_the_limit_and_says_what_is_left_out() -> None:
    topics = [replace(TOPIC, name=f"t{n}", what=f"create topic t{n}: partitions 12") for n in range(5000)]
    files = [
        replace(FILE, name=f"broker-{n}", diff="\n".join(f"+{n} {line}" for line in range(800)))
        for n in range(9)
    ]
    text = changes.preview_markdown(of(*topics, *files))
    assert len(text) < changes.LIMIT
    assert re.search(r"\n\d{4} more are left out here; `--output json` has all of them\.", text)
    assert re.search(r"\n\d differences? (is|are) left out, to stay below this comment's limit", text)
    assert text.count("<details>") == text.count("</details>") > 0
    assert text.count("```") == 2 * text.count("<details>")
