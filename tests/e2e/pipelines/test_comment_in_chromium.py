"""The comment as a reviewer sees it: real previews, told to a forge, rendered as it renders them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from playwright.sync_api import Browser, Page, sync_playwright

from tests.e2e.page import chromium
from tests.pipelines import hub
from tests.pipelines.hub import TOKEN

pytestmark = pytest.mark.skipif(chromium.find() is None, reason="this machine has no Chromium")

ROOT = Path(__file__).parents[3]
STYLE = """
body { font: 14px/1.5 system-ui, sans-serif; max-width: 720px; margin: 16px auto; padding: 0 16px; color: #1f2328 }
table { border-collapse: collapse; display: block; overflow: auto; max-width: 100% }
th, td { border: 1px solid #d1d9e0; padding: 6px 13px } pre { background: #f6f8fa; padding: 16px; overflow: auto }
"""
"""Near to what a forge gives a comment: its width, and tables and code that scroll by themselves."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium.find())
        yield started
        started.close()


def told(folder: Path, name: str) -> str:
    """The comment that the jobs of an environment's pipeline leave: both commands are run as they run them."""
    event = folder / "event.json"
    event.write_text(json.dumps({"pull_request": {"number": 12, "head": {"sha": "5eed" * 10}}}))
    with hub.github() as forge:
        variables = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "KDEPLOY_STATE_DIR": str(folder / "state"),
            "GITHUB_ACTIONS": "true",
            "GITHUB_API_URL": forge.api,
            "GITHUB_REPOSITORY": "acme/kafka",
            "GITHUB_SERVER_URL": "https://forge.test",
            "GITHUB_RUN_ID": "99",
            "GITHUB_EVENT_PATH": str(event),
            "GITHUB_TOKEN": TOKEN,
        }
        kdeploy = [sys.executable, "-m", "kdeploy"]
        preview = [*kdeploy, "preview", name, "--output", "markdown"]
        found = subprocess.run(
            preview, cwd=folder, env=variables, check=False, capture_output=True, text=True
        )
        (folder / "text.md").write_text(found.stdout)
        (folder / "errors").write_text(found.stderr)
        tell = [
            "pipeline",
            "comment",
            name,
            "text.md",
            "--exit-code",
            str(found.returncode),
            "--errors",
            "errors",
        ]
        subprocess.run([*kdeploy, *tell], cwd=folder, env=variables, check=True, capture_output=True)
        (only,) = forge.comments
    return str(only["body"])


@pytest.fixture(scope="module", params=["pending", "failed"])
def comment(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """What was done, and the comment about it."""
    folder = tmp_path_factory.mktemp("comment")
    shutil.copytree(ROOT / "environments" / "local", folder / "environments" / "shop")
    if request.param == "failed":
        file = folder / "environments" / "shop" / "environment.yaml"
        file.write_text(file.read_text().replace("min_insync_replicas: 2", "min_insync_replicas: 4"))
    return request.param, told(folder, "shop")


@pytest.fixture(params=[390, 1280])
def seen(
    request: pytest.FixtureRequest, browser: Browser, comment: tuple[str, str], tmp_path: Path
) -> Iterator[Page]:
    rendered = MarkdownIt("commonmark", {"html": True}).enable("table").render(comment[1])
    file = tmp_path / "comment.html"
    file.write_text(f"<!doctype html><meta charset=utf-8><style>{STYLE}</style>{rendered}")
    tab = browser.new_page(viewport={"width": request.param, "height": 900})
    tab.goto(file.as_uri())
    if os.environ.get("KDEPLOY_PICTURES"):
        folder = Path(os.environ["KDEPLOY_PICTURES"])
        tab.screenshot(path=str(folder / f"comment-{comment[0]}-{request.param}.png"), full_page=True)
    yield tab
    tab.close()


def test_it_reads_as_a_text_and_not_as_markdown(seen: Page, comment: tuple[str, str]) -> None:
    text = seen.locator("body").inner_text()
    assert "<!--" not in text
    assert "| " not in text
    assert "**" not in text
    assert "```" not in text
    assert "~~~" not in text
    assert seen.get_by_role("link", name="this run").get_attribute("href").endswith("/actions/runs/99")
    if comment[0] == "failed":
        assert "failed with exit code 2" in text
        assert "environment.yaml:" in seen.locator("pre").inner_text()
    else:
        assert [cell.strip() for cell in seen.locator("th").all_inner_texts()[:3]] == [
            "Action",
            "Node",
            "Why",
        ]
        assert seen.locator("td", has_text="broker-3").count() == 1


def test_it_fits_its_place(seen: Page) -> None:
    wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert seen.evaluate(wide) == 0
