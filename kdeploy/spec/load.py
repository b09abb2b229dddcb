"""From a name on the command line to a checked Environment.

Invariant: `load` either gives an Environment that is complete and makes sense by
itself, or says everything that is wrong with the file at once; it changes nothing.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from kdeploy.errors import InvalidEnvironment, UsageError
from kdeploy.spec.model import Environment
from kdeploy.spec.source import Source, read
from kdeploy.spec.wording import did_you_mean

FILE_NAME: Final = "environment.yaml"
FOLDER: Final = Path("environments")
"""Where environments are looked for by name, below the working directory."""


@dataclass(frozen=True)
class Loaded:
    """An environment and where it came from.

    Attributes:
        environment: What it says, checked.
        source: Its file, for lines of problems found later.
        folder: The folder that holds `environment.yaml`, its lock and its vault.
    """

    environment: Environment
    source: Source
    folder: Path

    @property
    def shipped(self) -> bool:
        """Whether it is one of kdeploy's own inside the installed package: nothing is written beside it."""
        return self.folder.parent == _packaged()


def find(name_or_path: str) -> Path:
    """The folder of an environment.

    Args:
        name_or_path: A folder's name under ./environments, the name of an environment
            that kdeploy ships, or a path (it has a slash, or is an existing folder).

    Raises:
        UsageError: There is none; the message lists those that are there.
    """
    if not name_or_path.strip() or "\0" in name_or_path:
        raise UsageError("an environment needs a name\n  known here: " + ", ".join(available()))
    given = Path(name_or_path)
    if given.name == FILE_NAME and given.is_file():
        return given.parent
    if "/" in name_or_path or name_or_path in (".", ".."):
        if _is_environment(given):
            return given
        raise UsageError(f"there is no {given / FILE_NAME}\n  {_remedy(name_or_path)}")
    for folder in (FOLDER / name_or_path, given, shipped_folder() / name_or_path):
        if _is_environment(folder):
            return folder
    raise UsageError(f"there is no environment called {name_or_path}\n  {_remedy(name_or_path)}")


def own() -> tuple[str, ...]:
    """Names of the environments under ./environments."""
    return tuple(sorted(file.parent.name for file in FOLDER.glob(f"*/{FILE_NAME}")))


def available() -> tuple[str, ...]:
    """Names of the environments under ./environments and of those that kdeploy ships."""
    folders = (FOLDER, shipped_folder())
    return tuple(sorted({file.parent.name for folder in folders for file in folder.glob(f"*/{FILE_NAME}")}))


def shipped_folder() -> Path:
    """The environments that kdeploy ships: in the package, or beside it in a checkout."""
    packaged = _packaged()
    return packaged if packaged.is_dir() else packaged.parents[1] / "environments"


def load(folder: Path) -> Loaded:
    """Read and check an environment.

    Args:
        folder: As `find` gives it.

    Raises:
        InvalidEnvironment: With all problems of the file, in the order of its lines.
    """
    file = folder / FILE_NAME
    source = read(file, str(file))
    environment = interpret(source, folder.absolute().name)
    _refuse_shared_name(environment.name, source, folder)
    return Loaded(environment, source, folder)


def interpret(source: Source, folder_name: str) -> Environment:
    """Check a document and give it the environment's types and defaults.

    Args:
        source: A document as `kdeploy.spec.source` reads it.
        folder_name: The environment's name where the document has none.

    Raises:
        InvalidEnvironment: With all problems.
    """
    from pydantic import ValidationError

    document = {"name": folder_name, **source.data}
    try:
        environment = Environment.model_validate_json(json.dumps(document), strict=True)
    except ValidationError as error:
        from kdeploy.spec.explain import explain

        raise InvalidEnvironment(explain(error, source, folder_name)) from None
    from kdeploy.spec.check import check

    findings = check(environment)
    if findings:
        raise InvalidEnvironment([finding.problem(source) for finding in findings])
    return environment


def _refuse_shared_name(name: str, source: Source, folder: Path) -> None:
    """Refuse a name that a neighbour has too: state on this machine is kept by name."""
    here = folder.absolute()
    if name == here.name:
        return
    own_name = re.compile(rf"^name\s*:\s*[\"']?{re.escape(name)}[\"']?\s*(#.*)?$", re.MULTILINE)
    for other in sorted(here.parent.glob(f"*/{FILE_NAME}")):
        if other.parent != here and (other.parent.name == name or own_name.search(_text(other))):
            wrong = f"the environment in {other.parent.name} is called {name} too"
            raise InvalidEnvironment(
                [source.problem(("name",), wrong, "leave the name out, or write another")]
            )


def _text(file: Path) -> str:
    """A neighbour's text; nothing where it cannot be read, which is not this environment's problem."""
    try:
        return file.read_text(errors="replace")
    except OSError:
        return ""


def _is_environment(folder: Path) -> bool:
    try:
        return (folder / FILE_NAME).is_file()
    except OSError:
        return False


def _packaged() -> Path:
    return Path(__file__).parents[1] / "environments"


def _remedy(name: str) -> str:
    known = available()
    return f"{did_you_mean(Path(name).name, known)} (make your own with `kdeploy init NAME --from ENV`)"
