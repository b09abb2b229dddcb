"""kdeploy as a program: the installed command, and `python -m kdeploy`.

Invariant: nothing is imported before a Ctrl-C is heard, so that not even one during the
start shows a traceback, wherever in a library it comes.
"""

from __future__ import annotations

import os
import signal

TYPE_CHECKING = False  # typing itself would be an import before a Ctrl-C is heard
if TYPE_CHECKING:
    from types import FrameType
    from typing import NoReturn


def main() -> None:
    """Load the command line and run it."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _leave)
    # Looking for plugins of pydantic among all that is installed takes a twentieth of a plan; none is used.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    from kdeploy.cli import main as run

    run()


def _leave(number: int, _frame: FrameType | None) -> NoReturn:
    """Nothing has begun that would have to unwind, and an exception might come where a library swallows it."""
    os._exit(128 + number)


if __name__ == "__main__":
    main()
