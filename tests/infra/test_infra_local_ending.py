"""How a process ended is told in its own last words, and never in its secrets."""

from __future__ import annotations

from pathlib import Path

import pytest

from kdeploy.infra.local.ending import last_words


def write(folder: Path, **logs: str) -> None:
    (folder / "logs").mkdir()
    for name, text in logs.items():
        (folder / "logs" / f"{name}.log").write_text(text)


@pytest.mark.parametrize(
    ("console", "server", "said"),
    [
        ("", "", ""),
        ("hello\n\n", "", "hello"),
        ("hello\n", "[2026-11-25 02:00:00,000] INFO fine\n", "hello"),
        (
            "",
            "[2026-11-25 02:00:00,000] ERROR bad (kafka.Kafka$)\n[…] INFO bye\n",
            "[2026-11-25 02:00:00,000] ERROR bad",
        ),
        (
            "",
            "[2026-11-25 02:00:00,000] ERROR Exiting (kafka.Kafka$)\n"
            "org.apache.kafka.common.config.ConfigException: Invalid value none\n\tat x.y(Z.java:1)\n",
            "org.apache.kafka.common.config.ConfigException: Invalid value none",
        ),
        (
            "",
            "java.lang.RuntimeException: outer\n\tat a\nCaused by: java.io.IOException: No space left on device\n\tat b\n",
            "Caused by: java.io.IOException: No space left on device",
        ),
        (
            "",
            "[2026-11-25 02:00:00,000] INFO ignoring NotLeaderOrFollowerException: as usual\n",
            "",
        ),
        (
            "Error: Could not find or load main class Kafka\n",
            "",
            "Error: Could not find or load main class Kafka",
        ),
        (
            "Unrecognized VM option 'X'\nError: Could not create the Java Virtual Machine.\n",
            "",
            "Error: Could not",
        ),
    ],
)
def test_the_last_line_that_tells_of_an_error_is_taken(
    tmp_path: Path, console: str, server: str, said: str
) -> None:
    write(tmp_path, console=console, server=server)
    assert last_words(tmp_path, []).startswith(said)
    assert bool(last_words(tmp_path, [])) == bool(said)


def test_a_folder_without_logs_says_nothing(tmp_path: Path) -> None:
    assert last_words(tmp_path, []) == ""


def test_the_collectors_log_is_not_read(tmp_path: Path) -> None:
    write(tmp_path, server="ERROR mine\n", gc="ERROR collector\n")
    assert last_words(tmp_path, []) == "ERROR mine"


def test_long_logs_are_read_from_their_end_and_long_lines_are_cut(tmp_path: Path) -> None:
    write(tmp_path, server="ERROR early\n" + "x\n" * 100_000 + "ERROR " + "y" * 500 + "\n")
    assert len(last_words(tmp_path, [])) == 300


def test_no_line_of_a_secret_file_is_shown(tmp_path: Path) -> None:
    write(tmp_path, console="ERROR password=correcthorsebattery in key\n")
    (tmp_path / "key.pem").write_text("-----BEGIN PRIVATE KEY-----\ncorrecthorsebattery\n")
    assert last_words(tmp_path, ["key.pem", "missing.pem"]) == "ERROR password=[hidden] in key"


def test_a_log_that_is_rotated_away_while_it_is_looked_for_is_passed_over(tmp_path: Path) -> None:
    write(tmp_path, console="hello\n", server="[2026-11-25 02:00:00,000] ERROR bad\n")
    (tmp_path / "logs" / "gone.log").symlink_to("nothing")
    assert last_words(tmp_path, []) == "[2026-11-25 02:00:00,000] ERROR bad"
