"""`pipeline show`, `pipeline comment`, `pipeline issue`: what GitHub Actions and GitLab CI run.

Invariant: no cluster is contacted; `show` writes nothing but its output.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kdeploy.errors import KdeployError, UsageError

if TYPE_CHECKING:
    from kdeploy.pipelines.telling import Told
    from kdeploy.spec.load import Loaded

_text = click.argument("text", metavar="FILE", type=click.Path(exists=True, dir_okay=False, path_type=Path))
_code = click.option(
    "--exit-code",
    "code",
    type=int,
    required=True,
    metavar="CODE",
    help="What the command that printed FILE exited with.",
)


@click.group()
def pipeline() -> None:
    """Print ready pipelines, and tell GitHub or GitLab what their jobs found.

    \b
    Example: kdeploy pipeline show github > .github/workflows/kdeploy.yml
    """


@pipeline.command()
@click.argument("forge", type=click.Choice(["github", "gitlab"]))
@click.argument("environments", metavar="[ENV]...", nargs=-1)
def show(forge: str, environments: tuple[str, ...]) -> None:
    """Print the ready pipeline for GitHub Actions or GitLab CI, for some environments.

    Without ENV it is for all under ./environments but those of provider local, and those that this version
    does not deploy.

    \b
    Example: kdeploy pipeline show gitlab prod-eu > .gitlab-ci.yml
    """
    from kdeploy.pipelines import ready
    from kdeploy.spec import load

    found = [load.load(load.find(name)) for name in environments or load.own()]
    refused = {one.environment.name: why for one in found if (why := _undeployable(one))}
    providers = {
        one.environment.name: {place.provider for place in one.environment.datacenters} for one in found
    }
    if not environments:
        providers = {name: of for name, of in providers.items() if of != {"local"} and name not in refused}
    for name, why in refused.items():
        what = (
            "is in it, and its jobs preview, up and drift will fail" if environments else "is left out of it"
        )
        click.echo(f"warning: {name} {what}: {why}", err=True)
    if not providers:
        click.echo("warning: there is no environment here that it could be for", err=True)
        click.echo("  write their names into it, where it says prod-eu", err=True)
    extras = sorted(set().union(*providers.values()))
    click.echo(ready.pipeline(forge, tuple(providers), extras), nl=False)


def _undeployable(loaded: Loaded) -> str:
    """Why this version of kdeploy does not deploy an environment; empty where it does."""
    from kdeploy.operations import site

    try:
        site.refuse_undeployable(loaded)
    except KdeployError as error:
        return str(error).splitlines()[0]
    return ""


@pipeline.command()
@click.argument("environment", metavar="ENV")
@_text
@_code
@click.option(
    "--errors",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="What it wrote to stderr; shown where it failed.",
)
def comment(environment: str, text: Path, code: int, errors: Path | None) -> None:
    """Keep one comment on the pull or merge request up to date with a preview.

    FILE has what `kdeploy preview ENV --output markdown` printed. The comment is found again by a marker that
    is not shown. With nothing to do, one that is there is updated and none is made. Run by a job of GitHub
    Actions (GITHUB_TOKEN) or GitLab CI (KDEPLOY_GITLAB_TOKEN).

    \b
    Example: kdeploy pipeline comment prod-eu preview.md --exit-code 4
    """
    from kdeploy.pipelines import forge, telling

    said = _read(errors) if errors else ""
    told = telling.preview(forge.here(), environment, _read(text), code, said)
    _say(told, f"the comment about {environment}")


@pipeline.command()
@click.argument("environment", metavar="ENV")
@_text
@_code
def issue(environment: str, text: Path, code: int) -> None:
    """Keep one issue up to date with an environment's drift: open while there is any.

    FILE has what `kdeploy drift ENV --output markdown` printed. Run by a job of GitHub Actions (GITHUB_TOKEN);
    in GitLab CI the scheduled job fails with the report instead.

    \b
    Example: kdeploy pipeline issue prod-eu drift.md --exit-code 4
    """
    from kdeploy.pipelines import forge, telling

    there = forge.here()
    if not isinstance(there, forge.GitHub):
        raise UsageError(
            f"issues are kept in GitHub alone, not in {there.name}\n  let the job that looks for drift fail"
        )
    _say(telling.drift(there, environment, _read(text), code), f"the issue about {environment}")


def _read(file: Path) -> str:
    return file.read_text(encoding="utf-8", errors="replace")


def _say(told: Told, what: str) -> None:
    words: dict[str, Any] = {
        "created": f"{what} is new",
        "updated": f"{what} is up to date",
        "unchanged": f"{what} says so already",
        "closed": f"{what} is closed",
        "none": f"nothing to say: {what} is not needed",
    }
    click.echo(words[told.what] + (f": {told.url}" if told.url else ""))
