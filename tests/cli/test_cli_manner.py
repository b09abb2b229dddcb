"""What a person says on the command line is how nodes are restarted: each option reaches what carries it out."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from kdeploy.cli import kdeploy
from kdeploy.operations.site import Manner

ENVIRONMENT = str(Path(__file__).parents[2] / "environments" / "local")


class Reached(Exception):
    """Raised in place of the work, with the manner that it was given."""


ROWS: tuple[tuple[str, str, Manner], ...] = (
    ("up", "", Manner()),
    ("up", "--canary", Manner(canary=True)),
    ("up", "--by-rack", Manner(by_rack=True)),
    ("up", "--canary --by-rack", Manner(canary=True, by_rack=True)),
    ("up", "--accept-unavailable a --accept-unavailable b", Manner(accepted=("a", "b"))),
    ("up", "--without broker-1 --without east", Manner(without=("broker-1", "east"))),
    ("up", "--take-over", Manner(take_over=True)),
    ("up", "--refresh", Manner(refresh=True)),
    ("up", "--move-rate 10MB/s", Manner(move_rate=10e6)),
    ("preview", "", Manner()),
    ("preview", "--without broker-1", Manner(without=("broker-1",))),
    ("preview", "--refresh", Manner(refresh=True)),
    ("preview", "--take-over --move-rate 1MB/s", Manner(take_over=True, move_rate=1e6)),
    ("restart", "", Manner()),
    ("restart", "--by-rack --accept-unavailable a", Manner(by_rack=True, accepted=("a",))),
    ("restart", "--reboot", Manner(reboot=True)),
)


@pytest.mark.parametrize(("command", "options", "manner"), ROWS, ids=[" ".join(row[:2]) for row in ROWS])
def test_an_option_is_carried_to_what_restarts_nodes(
    command: str, options: str, manner: Manner, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(*given: Any, **named: Any) -> None:
        raise Reached(next(one for one in (*given, *named.values()) if isinstance(one, Manner)))

    monkeypatch.setattr(import_module(f"kdeploy.operations.{command}"), command, work)
    result = CliRunner().invoke(kdeploy, [command, ENVIRONMENT, *options.split()])
    assert isinstance(result.exception, Reached), result.output
    assert result.exception.args == (manner,)
