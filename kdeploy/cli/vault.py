"""`vault create`, `vault show`, `vault edit`: an environment's secrets.

Invariant: no secret is printed unless it is asked for by name with --reveal.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kdeploy.cli.options import environment_argument, output_option, print_json, vault_password_option
from kdeploy.errors import UsageError

if TYPE_CHECKING:
    from kdeploy.security.vault import Vault
    from kdeploy.spec.load import Loaded

SOON = timedelta(days=30)
"""How long before its end a certificate is called out: a month is the habit of certificate authorities
(Let's Encrypt renews 90-day certificates at 60 days, letsencrypt.org/docs/faq)."""


@click.group()
def vault() -> None:
    """Create, show or edit an environment's secrets.

    They are in vault.yaml, encrypted as Ansible Vault: `ansible-vault view` opens it too. The password
    comes from --vault-password-file, KDEPLOY_VAULT_PASSWORD_FILE, KDEPLOY_VAULT_PASSWORD, or a prompt;
    provider local makes and keeps its own.

    \b
    Example: kdeploy vault create prod-eu
    """


@vault.command()
@environment_argument
@vault_password_option
def create(environment: str, vault_password_file: Path | None) -> None:
    """Make the vault, or add what it lacks; what is there stays as it is.

    \b
    Example: kdeploy vault create prod-eu --vault-password-file ~/.kdeploy-prod
    """
    from kdeploy.operations import vaults

    made = vaults.create(_load(environment), vault_password_file)
    click.echo(
        "\n".join([f"{made.file}: added", *(f"  {one}" for one in made.added)])
        if made.added
        else _whole(made.file)
    )


def _whole(file: Path) -> str:
    return f"{file}: nothing is missing"


@vault.command()
@environment_argument
@click.option("--reveal", metavar="NAME", help="Print one secret: a user's password, or a certificate's key.")
@vault_password_option
@output_option
def show(environment: str, reveal: str | None, vault_password_file: Path | None, output: str) -> None:
    """Show what is in the vault and when certificates end; no secret without --reveal.

    \b
    Example: kdeploy vault show local
    """
    from kdeploy.operations import vaults

    loaded = _load(environment)
    opened = vaults.open_existing(loaded, vault_password_file)
    if reveal is not None:
        click.echo(_secret(opened, reveal, output))
    elif output == "json":
        print_json(_listing(opened))
    else:
        click.echo(_text(opened, output))


@vault.command()
@environment_argument
@vault_password_option
def edit(environment: str, vault_password_file: Path | None) -> None:
    """Edit the vault in $EDITOR; broken content is refused and the vault stays as it was.

    \b
    Example: EDITOR=nano kdeploy vault edit prod-eu
    """
    from kdeploy.operations import vaults

    changed = vaults.edit(_load(environment), _go_back, vault_password_file)
    click.echo(
        "changed; `kdeploy preview` shows what it means for the cluster" if changed else "nothing was changed"
    )


def _go_back(fault: str) -> bool:
    click.echo(f"the edited text is damaged at {fault}", err=True)
    return sys.stdin.isatty() and click.confirm("Go back to the editor?", default=True, err=True)


def _load(environment: str) -> Loaded:
    from kdeploy.spec import load

    return load.load(load.find(environment))


def _secret(vault: Vault, name: str, output: str) -> str:
    if output != "text":
        raise UsageError("a secret is printed as it is, never inside another document\n  leave out --output")
    if name in vault.passwords or name.removeprefix("user/") in vault.passwords:
        return vault.passwords.get(name) or vault.passwords[name.removeprefix("user/")]
    identities = vault.identities()
    if name not in identities:
        raise UsageError(f"the vault has nothing called {name!r}\n  `kdeploy vault show` lists what it has")
    return identities[name].key.strip()


def _listing(vault: Vault) -> dict[str, Any]:
    """The contract `kdeploy.vault-listing/v1`: names, subjects and dates; no secret."""
    certificates = [
        {"name": name, "subject": one.subject, "not_after": one.not_after.isoformat()}
        for name, one in vault.identities().items()
    ]
    return {
        "schema": "kdeploy.vault-listing/v1",
        "environment": vault.environment,
        "certificates": certificates,
        "passwords": sorted(f"user/{user}" for user in vault.passwords),
    }


def _text(vault: Vault, output: str) -> str:
    from kdeploy.cli.report import markdown_table, table
    from kdeploy.security.issue import expiring

    now = datetime.now(UTC)
    soon = {one.name for one in expiring(vault, now, SOON)}
    rows = [("name", "ends", "subject")]
    for name, one in vault.identities().items():
        rows.append(
            (
                name,
                f"{one.not_after:%Y-%m-%d}",
                one.subject + (_warning(one.not_after, now) if name in soon else ""),
            )
        )
    rows += [(f"user/{user}", "never", "password") for user in sorted(vault.passwords)]
    return markdown_table(rows) if output == "markdown" else table(rows, indent="")


def _warning(ending: datetime, now: datetime) -> str:
    days = (ending - now).days
    return f"  (ends in {days} days)" if ending > now else "  (HAS ENDED)"
