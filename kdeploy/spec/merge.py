"""One environment of the files of a folder, and the way back: where each of its values is written.

Invariant: pure. `together` and `Merged.place` know the same order: a topic's own value, then the patterns that its
name matches from the last to the first, then the defaults; `retention` and the setting `retention.ms` are one value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import translate
from functools import lru_cache
from typing import Any, Final, cast

from kdeploy.spec.files import AclsFile, Kind, PoliciesFile, QuotasFile, TopicsFile, UsersFile
from kdeploy.spec.frozen import Frozen
from kdeploy.spec.model import Environment
from kdeploy.spec.plain import Path_
from kdeploy.spec.resources import Policies, Setting, Topic
from kdeploy.spec.source import Source

RETENTION: Final = "retention.ms"
"""Kafka's name for a topic's `retention`."""

_FIELDS: Final = ("partitions", "replication_factor", "retention", "owner")
_SAME: Final[Mapping[Path_, Path_]] = {
    ("retention",): ("config", RETENTION),
    ("config", RETENTION): ("retention",),
}


def together(environment: Environment, beside: Mapping[Kind, Frozen]) -> Environment:
    """An environment with what stands in files beside it, after what it says itself.

    Args:
        environment: What environment.yaml says.
        beside: What the other files say, each of its type in `kdeploy.spec.files`.
    """
    added: dict[str, Any] = {}
    for one in beside.values():
        match one:
            case TopicsFile():
                added["topics"] = (*environment.topics, *topics(one))
            case UsersFile():
                added["users"] = (*environment.users, *one.users)
            case AclsFile():
                added["acls"] = (*environment.acls, *one.acls)
            case QuotasFile():
                added["quotas"] = (*environment.quotas, *one.quotas)
            case PoliciesFile():
                added["policies"] = _both(environment.policies, one.policies)
    return environment.model_copy(update=added) if added else environment


def topics(file: TopicsFile) -> tuple[Topic, ...]:
    """The topics of a file, each with what it takes over from patterns and defaults."""
    patterns = [(_matcher(one.match), one) for one in file.patterns]
    return tuple(
        _resolved(topic, (file.defaults, *(one for matches, one in patterns if matches(topic.name))))
        for topic in file.topics
    )


def _resolved(topic: Topic, layers: tuple[Frozen, ...]) -> Topic:
    """A topic over its layers, the weakest first."""
    values: dict[str, Any] = {}
    config: dict[str, Setting] = {}
    for layer in (*layers, topic):
        given = layer.model_fields_set
        own: Mapping[str, Setting] = layer.config if "config" in given else {}  # type: ignore[attr-defined]
        if RETENTION in own:
            values.pop("retention", None)
        if "retention" in given:
            config.pop(RETENTION, None)
        values.update({name: getattr(layer, name) for name in _FIELDS if name in given})
        config.update(own)
    if not values and not config:
        return topic
    return topic.model_copy(update={**values, "config": config})


def _both(here: Policies, there: Policies) -> Policies:
    return here.model_copy(update={name: getattr(there, name) for name in there.model_fields_set})


@lru_cache(maxsize=1024)
def _matcher(pattern: str) -> Callable[[str], object]:
    return re.compile(translate(pattern)).match


@dataclass(frozen=True)
class Merged(Source):
    """Several files that are one environment; as a `Source` it is the first of them, environment.yaml.

    Attributes:
        beside: The other files, by what they hold.
    """

    beside: Mapping[Kind, Source] = field(default_factory=dict)

    @property
    def main(self) -> Source:
        """environment.yaml alone."""
        return Source(self.file, self.data, self.lines, self.text)

    def place(self, path: Path_) -> tuple[Source, Path_]:
        """The file that a value of the environment is written in, and where it stands there."""
        source = self.beside.get(cast("Kind", path[0])) if path else None
        if source is None or path in self.lines:
            return super().place(path)
        if path[0] == "policies" or len(path) == 1:
            return (source, path) if path in source.lines else super().place(path)
        position = cast("int", path[1]) - len(self.data.get(path[0]) or ())
        if position < 0:
            return super().place(path)
        inside: Path_ = (path[0], position, *path[2:])
        return source, self._layer(source, inside) if path[0] == "topics" else inside

    def _layer(self, source: Source, path: Path_) -> Path_:
        """The topic's own place, or that of the pattern or the default which gave it this value."""
        wanted = path[2:]
        if not wanted or path in source.lines:
            return path
        for around in (path[:2], *_layers(source, path[:2])):
            for inner in (wanted, _SAME.get(wanted)):
                if inner and (*around, *inner) in source.lines:
                    return (*around, *inner)
        return path


def _layers(source: Source, topic: Path_) -> Iterator[Path_]:
    """The places that give a topic what it does not say itself, the strongest first."""
    name = source.data["topics"][topic[1]]["name"]
    patterns = source.data.get("patterns") or ()
    for index in reversed(range(len(patterns))):
        if _matcher(patterns[index]["match"])(name):
            yield ("patterns", index)
    yield ("defaults",)
