"""Words for messages: the nearest known name, and lists as people write them.

Invariant: pure text; the same words give the same sentence.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Final

MOST_LISTED: Final = 24
"""Names listed in full; of more, only the nearest ones are."""

MOST_SHOWN: Final = 60
"""Characters of a value that are shown."""


def nearest(word: str, known: Iterable[str], likeness: float = 0.6) -> str | None:
    """The known name that was probably meant; None when nothing is close.

    Args:
        word: What was written.
        known: What could be meant.
        likeness: How alike the two have to be, from 0 to 1 (`difflib`).
    """
    by_fold = {name.casefold(): name for name in known}
    found = difflib.get_close_matches(word.casefold()[:200], by_fold, n=1, cutoff=likeness)
    return by_fold[found[0]] if found else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """What to write instead of an unknown name: the nearest one, or all there are."""
    names = sorted(known)
    meant = nearest(word, names)
    if meant:
        return f"did you mean `{meant}`?"
    if not names:
        return "none is known here"
    if len(names) > MOST_LISTED:
        return f"{len(names)} are known, none is like it"
    return f"known: {', '.join(names)}"


def either(names: Iterable[str]) -> str:
    """`a, b or c`."""
    listed = list(names)
    return " or ".join(filter(None, (", ".join(listed[:-1]), *listed[-1:])))


def shown(value: object) -> str:
    """A value as YAML would write it, in short."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= MOST_SHOWN else text[: MOST_SHOWN - 3] + "..."
