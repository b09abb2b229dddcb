"""The picture of a plan's page that README.md shows: docs/plan-page.png, as Chromium draws it.

It needs `playwright` and a Chromium (`pip install 'kdeploy[report]' playwright`, Debian's `chromium`).
Invariant: what is seen is what `kdeploy plan --output html` prints for the plan of README.md; the picture
is made by hand when the page changes, since no two versions of Chromium draw the same bytes.

    python docs/picture.py
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from functools import partial
from pathlib import Path

from playwright.sync_api import sync_playwright

from kdeploy import planner
from kdeploy.cli.workload import environment_of
from kdeploy.planner import page

PICTURE = Path(__file__).with_name("plan-page.png")
SIZE = {"width": 1000, "height": 1010}
"""What is shown of the page: the answer, what it is, and where the money goes."""

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def written() -> str:
    """The page of the plan that README.md shows."""
    environment = environment_of({"throughput": "200MB/s"})
    plan = planner.plan(environment, compare=True)
    return page.html(plan, environment, partial(planner.plan, remedies=False))


def main() -> int:
    """Take the picture; 1 without a browser."""
    browser = next((path for path in map(shutil.which, BROWSERS) if path), None)
    if browser is None:
        print(f"no browser is here\n  install one of {', '.join(BROWSERS)}", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        file = Path(folder) / "plan.html"
        file.write_text(written())
        started = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        tab = started.new_page(viewport=SIZE, color_scheme="light")  # type: ignore[arg-type]
        tab.goto(file.as_uri())
        tab.screenshot(path=PICTURE)
        started.close()
    print(f"wrote {PICTURE.name}, {PICTURE.stat().st_size:,} bytes")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
