"""The ready pipelines: files that a team copies into its repository, filled in for its environments.

Invariant: each file is valid as it is shipped; what is filled in are the values of its three settings (which
environments, which kdeploy, which extras), nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Final

from kdeploy import __version__
from kdeploy.errors import UsageError


@dataclass(frozen=True)
class Ready:
    """A pipeline that is shipped.

    Attributes:
        file: Where it is in this package.
        place: Where it belongs in a team's repository.
    """

    file: str
    place: str


PIPELINES: Final = {
    "github": Ready("github/kdeploy.yml", ".github/workflows/kdeploy.yml"),
    "gitlab": Ready("gitlab/kdeploy.yml", ".gitlab-ci.yml"),
}
"""Each forge with its pipeline."""


def pipeline(forge: str, environments: Sequence[str] = (), extras: Sequence[str] = ()) -> str:
    """The text of a pipeline.

    Args:
        forge: github or gitlab.
        environments: Names of the environments it is for; without any, as it is shipped.
        extras: Extras of kdeploy that their providers need.

    Raises:
        UsageError: An environment's name is none.
    """
    for name in environments:
        if not re.fullmatch(r"[a-z][a-z0-9-]*", name):
            raise UsageError(f"{name!r} cannot be an environment's name\n  give the name of its folder")
    text = (files("kdeploy.pipelines") / PIPELINES[forge].file).read_text(encoding="utf-8")
    text = _filled(text, "KDEPLOY_VERSION: ", f'"{__version__}"')
    if environments:
        listed = " ".join(environments) if forge == "github" else f"[{', '.join(environments)}]"
        text = _filled(text, "ENVIRONMENTS: " if forge == "github" else "- ENVIRONMENT: ", listed)
    return _filled(text, "KDEPLOY_EXTRAS: ", ",".join(sorted(set(extras)))) if extras else text


def _filled(text: str, setting: str, value: str) -> str:
    """The text with one setting's value; there is one line for it."""
    filled, count = re.subn(rf"(?m)^( +{re.escape(setting)})[^#\n]*?(?=( +#.*)?$)", rf"\g<1>{value}", text)
    assert count == 1, f"{setting} is there {count} times"  # noqa: S101
    return filled
