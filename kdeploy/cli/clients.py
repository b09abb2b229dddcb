"""`clients`: what Java, librdkafka and Python clients need to connect.

Invariant: passwords and keys go to files of mode 0600, never to the terminal.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from kdeploy.cli.options import environment_argument, print_json, vault_password_option

if TYPE_CHECKING:
    from kdeploy.operations.clients import Handout
    from kdeploy.security.clients import Form


@click.command()
@environment_argument
@click.option("--user", "users", metavar="NAME", multiple=True, help="Only this user (can be repeated).")
@click.option("--admin", is_flag=True, help="Only the administrator's, or beside the users named.")
@click.option(
    "--to", metavar="DIR", type=click.Path(file_okay=False, path_type=Path), help="Folder to write below."
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["pem", "pkcs12"]),
    default="pem",
    show_default=True,
    help="How Java gets its certificates.",
)
@click.option(
    "--datacenter",
    metavar="NAME",
    help="Only this datacenter's; left out, that one's which is written to, or every one's.",
)
@click.option(
    "--external",
    is_flag=True,
    help="For clients outside the network, who connect through the load balancer (provider aws).",
)
@vault_password_option
@click.option(
    "--output", type=click.Choice(["text", "json"]), default="text", show_default=True, help="How to print."
)
def clients(
    environment: str,
    users: tuple[str, ...],
    admin: bool,
    to: Path | None,
    form: Form,
    datacenter: str | None,
    external: bool,
    vault_password_file: Path | None,
    output: str,
) -> None:
    """Write client properties and certificates for Java, librdkafka and Python.

    Where one datacenter alone is written to, it is that one's, always in the same folder, so that a client
    which reads its files anew follows a failover.

    Without --user and --admin: for every user of the environment, and the administrator. The folders are
    private (0700) and tell git to ignore them. With --external users are handed the load balancer's name, in a
    folder `external`; the administrator is not reached from outside.

    \b
    Example: kdeploy clients local --user orders-producer --to ./clients
    """
    from kdeploy.operations.clients import hand_out
    from kdeploy.spec import load

    loaded = load.load(load.find(environment))
    made = hand_out(
        loaded,
        users,
        administrator=admin,
        to=to,
        form=form,
        password_file=vault_password_file,
        datacenter=datacenter,
        external=external,
    )
    if output == "json":
        name = loaded.environment.name
        print_json(
            {"schema": "kdeploy.clients/v1", "environment": name, "clients": [one.to_json() for one in made]}
        )
    else:
        click.echo("\n\n".join(map(_text, made)))


def _text(one: Handout) -> str:
    who = "the administrator" if one.user is None else f"user {one.user}"
    others = ", ".join(
        sorted({file.name for file in one.files} - {"client.properties", "librdkafka.conf", "python.json"})
    )
    return (
        f"{one.datacenter}: {who} ({one.bootstrap})\n"
        f"  {one.folder}\n"
        f"    Java: client.properties   librdkafka, kcat: librdkafka.conf   Python: python.json\n"
        f"    certificates: {others or 'none'}"
    )
