"""The Chromium of this machine, if it has one."""

from __future__ import annotations

import shutil

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def find() -> str | None:
    """Where it is; None without one."""
    return next((path for path in map(shutil.which, NAMES) if path), None)
