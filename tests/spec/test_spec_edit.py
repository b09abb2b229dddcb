"""One value of a file is put in another's place, and nothing else is touched."""

from __future__ import annotations

from pathlib import Path

import pytest

from kdeploy.spec.edit import with_value
from kdeploy.spec.source import parse

SHIPPED = Path(__file__).parents[2] / "environments"
PATH = ("hosts", 1, "address")


@pytest.mark.parametrize(
    ("line", "changed"),
    [
        ("  - address: 10.0.0.2", "  - address: 10.0.0.9"),
        ("  - address: 10.0.0.2   # was 10.0.0.2", "  - address: 10.0.0.9   # was 10.0.0.2"),
        ('  - address: "10.0.0.2"', '  - address: "10.0.0.9"'),
        ("  - {address: 10.0.0.2, rack: a}", "  - {address: 10.0.0.9, rack: a}"),
        ("  - {note: 10.0.0.2, address: 10.0.0.2}", "  - {note: 10.0.0.2, address: 10.0.0.9}"),
        ("  - {rack: 10.0.0.21, address: 10.0.0.2}", "  - {rack: 10.0.0.21, address: 10.0.0.9}"),
    ],
)
def test_the_value_alone_is_another_afterwards(line: str, changed: str) -> None:
    text = f"# ours\nhosts:\n  - address: 10.0.0.1\n{line}\nlast: true\n"
    assert with_value(text, PATH, "10.0.0.2", "10.0.0.9") == text.replace(line, changed)


def test_what_would_be_read_as_something_else_is_quoted() -> None:
    text = "hosts:\n  - {address: a}\n  - {address: b}\n"
    assert with_value(text, PATH, "b", "fd00::9,x") == text.replace("address: b", 'address: "fd00::9,x"')


@pytest.mark.parametrize(
    "text",
    [
        "hosts:\n  - address: a\n  - address:\n      b\n",
        'hosts:\n  - address: a\n  - address: "\\x62"\n',
        "hosts:\n  - address: a\n  - address: c\n",
        "hosts:\n  - address: a\n  - rack: b\n",
    ],
)
def test_what_is_not_written_in_one_piece_beside_its_key_is_left_to_a_person(text: str) -> None:
    assert with_value(text, PATH, "b", "d") is None


@pytest.mark.parametrize("name", ["datacenter-zk", "datacenter-kraft"])
def test_every_address_of_the_shipped_environments_can_be_replaced(name: str) -> None:
    text = (SHIPPED / name / "environment.yaml").read_text()
    hosts = parse(text, "").data["datacenters"][0]["hosts"]
    for index, host in enumerate(hosts):
        path = ("datacenters", 0, "hosts", index, "address")
        changed = with_value(text, path, host["address"], "kafka-9.example")
        assert changed is not None
        pairs = zip(text.splitlines(), changed.splitlines(), strict=True)
        ((before, after),) = [(old, new) for old, new in pairs if old != new]
        assert after == before.replace(host["address"], "kafka-9.example")
