"""The page as a person sees it: rendered in Chromium, wide and narrow, light and dark."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from kdeploy import planner
from kdeploy.planner import page
from tests.e2e.page import chromium
from tests.planner.pages import ENVIRONMENTS, at, shown

pytestmark = pytest.mark.skipif(chromium.find() is None, reason="this machine has no Chromium")

WIDTHS = {"phone": 390, "desktop": 1280}

CLIPPED = """() => [...document.querySelectorAll('svg')].filter(svg => svg.checkVisibility()).flatMap(svg => {
  const room = svg.getBoundingClientRect();
  return [...svg.querySelectorAll('text')].filter(text => {
    const box = text.getBoundingClientRect();
    return box.left < room.left - 1 || box.right > room.right + 1
      || box.top < room.top - 1 || box.bottom > room.bottom + 1;
  }).map(text => text.textContent);
})"""
"""Texts in drawings that are cut off at the drawing's edge."""

CONTRASTS = """() => {
  const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const channels = colour => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const light = colour => channels(colour).slice(0, 3).map(one => one / 255)
    .map(one => one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4)
    .reduce((sum, one, i) => sum + one * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = element => {
    for (let one = element; one; one = one.parentElement) {
      const colour = getComputedStyle(one).backgroundColor;
      if (channels(colour)[3] === 255) return colour;
    }
  };
  const texts = 'h1, h2, h3, p, dt, dd, span, strong, th, td, summary, figcaption, svg text';
  return [...document.querySelectorAll(texts)].filter(one => one.checkVisibility() && one.textContent.trim())
    .map(one => {
      const colour = one.closest('svg') ? getComputedStyle(one).fill : getComputedStyle(one).color;
      const [high, low] = [light(colour), light(behind(one))].sort((a, b) => b - a);
      return [(high + 0.05) / (low + 0.05), one.textContent.trim().slice(0, 40)];
    }).sort((a, b) => a[0] - b[0]).slice(0, 3);
}"""
"""The least contrasts of a text to what is behind it (WCAG 2.2, relative luminance and contrast ratio)."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium.find())
        yield started
        started.close()


@pytest.fixture(scope="module", params=sorted(ENVIRONMENTS))
def written(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    environment = ENVIRONMENTS[request.param]
    file = tmp_path_factory.mktemp("page") / "plan.html"
    file.write_text(page.html(planner.plan(environment), environment, planner.plan))
    return request.param, file


@pytest.fixture(params=sorted(WIDTHS))
def width(request: pytest.FixtureRequest) -> int:
    return WIDTHS[request.param]


@pytest.fixture(params=["light", "dark"])
def opened(
    request: pytest.FixtureRequest, browser: Browser, written: tuple[str, Path], width: int
) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=request.param)
    tab = context.new_page()
    tab.said = []  # type: ignore[attr-defined]
    tab.on("console", lambda message: tab.said.append(message.text))  # type: ignore[attr-defined]
    tab.on("pageerror", lambda error: tab.said.append(str(error)))  # type: ignore[attr-defined]
    tab.on("request", lambda request: tab.said.append(request.url))  # type: ignore[attr-defined]
    tab.goto(written[1].as_uri())
    yield tab
    context.close()


def test_it_fits_says_nothing_in_the_console_and_asks_for_nothing(
    opened: Page, written: tuple[str, Path]
) -> None:
    assert opened.said == [written[1].as_uri()]  # type: ignore[attr-defined]
    over = opened.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert over == 0
    assert opened.evaluate(CLIPPED) == []


def test_every_text_can_be_told_from_its_background(opened: Page) -> None:
    least = opened.evaluate(CONTRASTS)
    assert least[0][0] >= 4.5, least


def test_every_drawing_that_is_shown_has_a_name_and_a_description(opened: Page) -> None:
    drawings = opened.locator("svg:visible")
    names = [one.get_attribute("aria-labelledby") or "" for one in drawings.all()]
    assert len(set(names)) == len(names) == opened.locator("figure").count()
    for name in names:
        texts = [opened.locator(f"#{part}").text_content() for part in name.split()]
        assert len(texts) == 2
        assert all(texts)


def test_the_numbers_on_the_page_are_those_of_the_command_s_json(browser: Browser, tmp_path: Path) -> None:
    words = [sys.executable, "-m", "kdeploy", "plan", "--throughput", "200MB/s", "--output"]
    made = subprocess.run([*words, "html"], check=True, capture_output=True).stdout
    document = json.loads(subprocess.run([*words, "json"], check=True, capture_output=True).stdout)
    file = tmp_path / "plan.html"
    file.write_bytes(made)
    tab = browser.new_page(java_script_enabled=False)
    tab.goto(file.as_uri())
    found: list[tuple[Any, ...]] = [
        (one.get_attribute("data-path"), one.get_attribute("value"), one.text_content())
        for one in tab.locator("data").all()
    ]
    assert len(found) > 30
    for path, value, text in found:
        assert float(value) == at(document, path)
        assert text == shown(path, float(value))
    assert tab.locator("h1").text_content().endswith("a month")
