"""Where a node's log goes: files in its logs folder, bounded in size; nothing to its output.

Kafka 3.9 and ZooKeeper 3.8 log through reload4j (log4j 1 properties), Kafka 4 through log4j 2
(KIP-653), whose properties format needs no further library. Invariant: `logs/server.log`
is the log of every node, whatever its role and version.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from kdeploy.spec.lock import Role
from kdeploy.tuning.overrides import Settings

FILE_BYTES: Final = "50MB"
BACKUPS: Final = 9
"""500 MB for each log: at Kafka's usual rate some weeks, and never a full disk. Kafka's own configuration
rotates by the hour and deletes nothing (config/log4j.properties, Kafka 3.9)."""

PATTERN: Final = "[%d] %p %m (%c)%n"
"""Kafka's own layout (config/log4j.properties, Kafka 3.9), which log tools know."""

OWN_FILE: Final[dict[str, tuple[str, ...]]] = {
    "controller": ("kafka.controller", "org.apache.kafka.controller", "state.change.logger"),
    "authorizer": ("kafka.authorizer.logger",),
}
"""Logs with a file of their own, and their loggers, as in Kafka's own configuration."""


def file_name(version: str) -> str:
    """Name of the configuration file."""
    return "log4j.properties" if version.startswith("3.") else "log4j2.properties"


def option(version: str, path: str) -> str:
    """The Java option that names the configuration.

    Args:
        version: Kafka's version.
        path: The configuration's path, relative to the working directory or absolute.
    """
    if version.startswith("3."):
        return f"-Dlog4j.configuration=file:{path}"
    return f"-Dlog4j2.configurationFile={path}"


ROOT: Final = "root"
"""What an environment calls the logger of everything that has none of its own."""

LEVEL: Final = "INFO"
"""Of every logger that a person says nothing about (config/log4j.properties, Kafka 3.9, is finer for some)."""


def settings(version: str, role: Role, folder: str, levels: Mapping[str, str]) -> Settings:
    """The configuration's properties.

    Args:
        version: Kafka's version.
        role: What the node is.
        folder: Where its logs go.
        levels: A person's levels by logger.
    """
    own = OWN_FILE if role in ("broker", "controller") else {}
    render = _log4j1 if version.startswith("3.") else _log4j2
    return render(own, folder, levels)


def _others(own: Mapping[str, tuple[str, ...]], levels: Mapping[str, str]) -> list[str]:
    """Loggers with a level of their own in the log of all."""
    apart = {ROOT, *(logger for loggers in own.values() for logger in loggers)}
    return sorted(set(levels) - apart)


def _log4j1(own: Mapping[str, tuple[str, ...]], folder: str, levels: Mapping[str, str]) -> Settings:
    all_of_them = {"log4j.rootLogger": f"{levels.get(ROOT, LEVEL)}, server"}
    all_of_them |= {f"log4j.logger.{logger}": levels[logger] for logger in _others(own, levels)}
    for name in ("server", *own):
        prefix = f"log4j.appender.{name}"
        all_of_them |= {
            prefix: "org.apache.log4j.RollingFileAppender",
            f"{prefix}.File": f"{folder}/{name}.log",
            f"{prefix}.MaxFileSize": FILE_BYTES,
            f"{prefix}.MaxBackupIndex": str(BACKUPS),
            f"{prefix}.layout": "org.apache.log4j.PatternLayout",
            f"{prefix}.layout.ConversionPattern": PATTERN,
        }
    for name, loggers in own.items():
        for logger in loggers:
            level = levels.get(logger, LEVEL)
            all_of_them |= {
                f"log4j.logger.{logger}": f"{level}, {name}",
                f"log4j.additivity.{logger}": "false",
            }
    return all_of_them


def _log4j2(own: Mapping[str, tuple[str, ...]], folder: str, levels: Mapping[str, str]) -> Settings:
    all_of_them = {
        "rootLogger.level": levels.get(ROOT, LEVEL),
        "rootLogger.appenderRef.server.ref": "server",
        "status": "ERROR",
    }
    for name in ("server", *own):
        prefix = f"appender.{name}"
        all_of_them |= {
            f"{prefix}.type": "RollingFile",
            f"{prefix}.name": name,
            f"{prefix}.fileName": f"{folder}/{name}.log",
            f"{prefix}.filePattern": f"{folder}/{name}.log.%i",
            f"{prefix}.layout.type": "PatternLayout",
            f"{prefix}.layout.pattern": PATTERN,
            f"{prefix}.policies.type": "Policies",
            f"{prefix}.policies.size.type": "SizeBasedTriggeringPolicy",
            f"{prefix}.policies.size.size": FILE_BYTES,
            f"{prefix}.strategy.type": "DefaultRolloverStrategy",
            f"{prefix}.strategy.max": str(BACKUPS),
        }
    for number, logger in enumerate(_others(own, levels)):
        all_of_them |= {f"logger.other{number}.name": logger, f"logger.other{number}.level": levels[logger]}
    for name, loggers in own.items():
        for number, logger in enumerate(loggers):
            prefix = f"logger.{name}{number}"
            all_of_them |= {
                f"{prefix}.name": logger,
                f"{prefix}.level": levels.get(logger, LEVEL),
                f"{prefix}.additivity": "false",
                f"{prefix}.appenderRef.{name}.ref": name,
            }
    return all_of_them
