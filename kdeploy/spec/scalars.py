"""What a plain scalar of YAML means: nothing, true or false, a number, or text.

Invariant: YAML 1.2's core schema (YAML 1.2.2, section 10.3.2), in which `no` is text and `012` is twelve.
"""

from __future__ import annotations

import math
import re
from typing import Final

_INTEGER = re.compile(r"[-+]?[0-9]{1,400}")
_OCTAL = re.compile(r"0o[0-7]{1,400}")
_HEXADECIMAL = re.compile(r"0x[0-9a-fA-F]{1,400}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
NOT_A_NUMBER = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_WORDS: Final = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_FIRST_OF_A_NUMBER: Final = frozenset("+-.0123456789")


def scalar(text: str) -> str | int | float | bool | None:
    """A plain scalar by YAML 1.2's core schema (YAML 1.2.2, section 10.3.2)."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in _FIRST_OF_A_NUMBER:
        return text
    if _INTEGER.fullmatch(text):
        return int(text)
    if _OCTAL.fullmatch(text):
        return int(text[2:], 8)
    if _HEXADECIMAL.fullmatch(text):
        return int(text[2:], 16)
    if _FLOAT.fullmatch(text):
        number = float(text)
        return number if math.isfinite(number) else text
    return text
