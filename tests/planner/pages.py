"""Pages to look at, and a reader that sees of a page what a browser would, without one."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

from kdeploy.spec.model import Environment
from tests.planner.workloads import aws

VOID = {"meta", "link", "br", "img", "input", "hr"}


def two_datacenters() -> Environment:
    document = aws(workload={"throughput": "20MB/s"}).to_json()
    (one,) = document["datacenters"]
    document["datacenters"] = [
        {**one, "name": "ireland", "region": "eu-west-1"},
        {**one, "name": "virginia", "racks": ["a", "b", "c", "d"]},
    ]
    document["mirroring"] = {"mode": "active-active"}
    return Environment.model_validate(document)


ENVIRONMENTS = {
    "feasible": aws(workload={"throughput": "200MB/s"}),
    "infeasible": aws(workload={"throughput": "5TB/s"}),
    "two-datacenters": two_datacenters(),
}


@dataclass
class Seen(HTMLParser):
    """What is on a page.

    Attributes:
        tags: Every element with its attributes.
        text: All text.
        numbers: Of each number of the JSON: its path, its value, and how it is shown.
        unclosed: Elements that are open; empty at the end of a sound page.
    """

    tags: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    text: str = ""
    numbers: list[tuple[str, float, str]] = field(default_factory=list)
    unclosed: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        self.tags.append((tag, named))
        if tag not in VOID:
            self.unclosed.append(tag)
        if tag == "data":
            self.numbers.append((str(named["data-path"]), float(str(named["value"])), ""))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.unclosed.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data
        if self.unclosed and self.unclosed[-1] == "data":
            path, value, shown = self.numbers[-1]
            self.numbers[-1] = path, value, shown + data


def seen(page: str) -> Seen:
    reader = Seen()
    reader.feed(page)
    reader.close()
    assert not reader.unclosed
    return reader


def at(document: Any, path: str) -> Any:
    """The value of a JSON document at keys joined by dots."""
    for key in path.split("."):
        document = document[int(key)] if isinstance(document, list | tuple) else document[key]
    return document


def shown(path: str, value: float) -> str:
    """How a number of the plan should look, by its place: written here once more, apart from the page."""
    if "utilisation" in path or "ceilings" in path:
        return f"{value:.0%}"
    if "monthly_usd" in path or ".parts." in path:
        return f"${value:,.2f}" if value < 10 else f"${value:,.0f}"
    return f"{value:,.2f} times" if path.endswith(".by") else f"{value:,.0f}"
