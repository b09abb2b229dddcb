"""What differs between a node's files as they stand and as they should be, and what of it takes a restart.

Invariant: pure. A secret's content is compared by its hash and never shown, nor is the hash.
"""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from kdeploy.blueprint import Node, RenderedFile
    from kdeploy.infra import Secrets, Standing

MOST: Final = 3
"""Settings that a reason names; the file's difference has all of them."""

SECRETS: Final = {
    "identity": "certificate renewed",
    "broker-zookeeper-identity": "certificate towards ZooKeeper renewed",
    "nodes-authority": "trusted authority of nodes changed",
    "clients-authority": "trusted authority of clients changed",
}
"""What it means that a secret file changed, by `blueprint.SecretKind`."""


@dataclass(frozen=True)
class Difference:
    """One file of a node that is not as it should be.

    Attributes:
        path: The file.
        before: Its text now; None for a secret, and where there is none.
        after: Its text then; None for a secret, and where it goes.
        what: The difference in a few words: settings with both values where it has settings.
        restarts: The same of what a running node has to be restarted for; empty where nothing is.
        by_hand: Whether somebody else changed it since it was put there.
        secret: Whether its content must not be shown.
    """

    path: str
    before: str | None
    after: str | None
    what: str
    restarts: str = ""
    by_hand: bool = False
    secret: bool = False

    @property
    def diff(self) -> str:
        """The unified difference, without its two head lines; empty for a secret."""
        if self.secret:
            return ""
        lines = difflib.unified_diff(
            (self.before or "").splitlines(), (self.after or "").splitlines(), lineterm="", n=2
        )
        return "\n".join(list(lines)[2:])


def differences(node: Node, secrets: Secrets, standing: Standing) -> tuple[Difference, ...]:
    """Every file that is not as it should be, by its path.

    Args:
        node: As it should be.
        secrets: Content of its secret files.
        standing: What is there.
    """
    found = [*_of_files(node, standing), *_of_secrets(node, secrets, standing)]
    return tuple(sorted(found, key=lambda one: one.path))


def _of_files(node: Node, standing: Standing) -> Iterator[Difference]:
    wanted = {file.path: file for file in node.files}
    for path, file in wanted.items():
        before, by_hand = standing.files.get(path), path in standing.by_hand
        if before == file.text:
            if by_hand:
                yield Difference(path, before, before, "others may read it", "", True)
        elif not before:
            yield Difference(path, None, file.text, "new", "new" if file.restart else "", by_hand)
        else:
            changed = _changed(before, file.text)
            what = _words(changed) or _option_words(before, file.text) or "changed"
            restarts = _named(changed, what, file) if file.restart else ""
            yield Difference(path, before, file.text, what, restarts, by_hand)
    for path, text in standing.files.items():
        if path not in wanted and text:
            yield Difference(path, text, None, "no longer needed", "", path in standing.by_hand)


def _of_secrets(node: Node, secrets: Secrets, standing: Standing) -> Iterator[Difference]:
    for secret in node.secrets:
        put, by_hand = standing.secrets.get(secret.path), secret.path in standing.by_hand
        means = SECRETS[secret.kind]
        if put is not None and put != hashlib.sha256(secrets[secret.path]).hexdigest():
            yield Difference(secret.path, None, None, means, means, by_hand, True)
        elif put is None or by_hand:
            what = "new" if put is None else "changed, gone, or open to others"
            yield Difference(secret.path, None, None, what, what if put is None else "", by_hand, True)
    for path in sorted(standing.secrets.keys() - {one.path for one in node.secrets}):
        yield Difference(path, None, None, "no longer needed", "no longer needed", False, True)


Changes = Mapping[str, tuple[str | None, str | None]]
"""Settings by name, with the value before and after; None where there is none."""


def _changed(before: str, after: str) -> Changes:
    """Settings that differ between two texts; none where either is not made of `name=value` lines."""
    old, new = _settings(before), _settings(after)
    if old is None or new is None:
        return {}
    names = sorted(old.keys() | new.keys())
    return {name: (old.get(name), new.get(name)) for name in names if old.get(name) != new.get(name)}


def _settings(text: str) -> dict[str, str] | None:
    """What `name=value` lines say; None where other lines say something, or a name is there twice."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        if not line.strip() or line.lstrip().startswith(("#", "!")):
            continue
        name, equals, value = line.partition("=")
        if not equals or name.strip() in found or " " in name.strip():
            return None
        found[name.strip()] = value.strip()
    return found


def _words(changed: Changes) -> str:
    """Settings with both values: as many as are read in one breath, and how many more."""
    return _few(f"{name} {_value(before)} → {_value(after)}" for name, (before, after) in changed.items())


def _value(value: str | None) -> str:
    return "unset" if value is None else value or "empty"


def _few(said: Iterable[str]) -> str:
    everything = list(said)
    more = [f"and {len(everything) - MOST} more"] if len(everything) > MOST else []
    return ", ".join([*everything[:MOST], *more])


def _named(changed: Changes, what: str, file: RenderedFile) -> str:
    """What of a changed file takes a restart; empty where all of it is given to the running node."""
    if not changed:
        return what
    return _words({name: ends for name, ends in changed.items() if name not in file.live})


def _option_words(before: str, after: str) -> str:
    """What differs between two files of options, one a line; empty where they are not such files."""
    old, new = ([line for line in text.splitlines() if line[:1] not in ("", "#")] for text in (before, after))
    if not all(line.startswith("-") for line in (*old, *new)):
        return ""
    return _options(old, new)


def command_change(node: Node, standing: Standing) -> str:
    """What differs in what a process is started with; empty where a file says it, or nothing does."""
    wanted = (*node.java_options, node.main_class, *node.arguments)
    return _options(standing.command, wanted) if standing.command and standing.command != wanted else ""


def _options(before: Sequence[str], after: Sequence[str]) -> str:
    """Options that changed their value in one, then those that went and came."""
    gone = [one for one in before if one not in after]
    left, said = [one for one in after if one not in before], []
    for old in gone:
        same = next((one for one in left if _stem(one) == _stem(old)), None)
        if same is not None:
            left.remove(same)
        said.append(f"{old} → {same}" if same else f"without {old}")
    return _few([*said, *(f"with {one}" for one in left)]) or "its options in another order"


def _stem(option: str) -> str:
    """What an option of the JVM is about, without its value: `-Xmx`, `-XX:MaxGCPauseMillis`, `-Dname`."""
    for short in ("-Xmx", "-Xms", "-Xss", "-Xmn"):
        if option.startswith(short):
            return short
    return option.partition("=")[0].replace("-XX:+", "-XX:").replace("-XX:-", "-XX:")


def why_restart(node: Node, differ: Sequence[Difference], standing: Standing | None) -> str:
    """Why a running node has to be restarted: the files and settings that changed since it started."""
    if standing is None:
        return ""
    said = [f"{_short(one.path)}: {one.restarts}" for one in differ if one.restarts and not one.secret]
    said += [f"{one.restarts} ({_short(one.path)})" for one in differ if one.restarts and one.secret]
    command = command_change(node, standing)
    if command and not any(command in one for one in said):  # most nodes have their options in a file too
        said.append(f"JVM: {command}")
    return "; ".join(said) or "it was started before its files were put in place"


def why_update(differ: Sequence[Difference]) -> str:
    """Why a node's files have to be put in place anew, without a restart."""
    by_hand = [_short(one.path) for one in differ if one.by_hand]
    others = [f"{_short(one.path)}: {one.what}" for one in differ if not one.by_hand]
    said = [f"{', '.join(by_hand)} changed by hand"] if by_hand else []
    return "; ".join([*said, *others])


def _short(path: str) -> str:
    return path.rpartition("/")[2]
