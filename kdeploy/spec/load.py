"""From a name on the command line to a checked Environment.

Invariant: `load` either gives an Environment that is complete and makes sense by
itself, or says everything that is wrong with its files at once; it changes nothing.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from kdeploy.errors import InvalidEnvironment, Problem, UsageError
from kdeploy.spec.files import BESIDE, MISSPELT, MODELS, Kind, file_name
from kdeploy.spec.frozen import Frozen
from kdeploy.spec.merge import Merged, together
from kdeploy.spec.model import Environment
from kdeploy.spec.source import Source, parse, read
from kdeploy.spec.wording import did_you_mean

FILE_NAME: Final = "environment.yaml"
FOLDER: Final = Path("environments")
"""Where environments are looked for by name, below the working directory."""


@dataclass(frozen=True)
class Loaded:
    """An environment and where it came from.

    Attributes:
        environment: What it says, checked.
        source: Its files, for lines of problems found later.
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
    """Read and check an environment: its environment.yaml, and what stands in files beside it.

    Args:
        folder: As `find` gives it.

    Raises:
        InvalidEnvironment: With all problems of all files, in the order of file and line.
    """
    sources, problems = _read(folder)
    main = sources.pop("environment", None)
    if main is None:
        _, found = _validated(None, sources, folder.absolute().name)
        raise InvalidEnvironment([*problems, *found])
    environment, source = _interpreted(main, sources, folder.absolute().name, problems)
    _refuse_shared_name(environment.name, source, folder)
    _refuse_missing_packs(environment, source, folder)
    return Loaded(environment, source, folder)


def files(folder: Path) -> tuple[Path, ...]:
    """The files of an environment that are there, environment.yaml first."""
    return (folder / FILE_NAME, *(folder / file_name(kind) for kind in BESIDE if _is_there(folder, kind)))


def interpret(source: Source, folder_name: str) -> Environment:
    """Check a document and give it the environment's types and defaults.

    Args:
        source: A document as `kdeploy.spec.source` reads it, or with those beside it as `Loaded.source` has them.
        folder_name: The environment's name where the document has none.

    Raises:
        InvalidEnvironment: With all problems.
    """
    if isinstance(source, Merged):
        return _interpreted(source.main, source.beside, folder_name, [])[0]
    return _interpreted(source, {}, folder_name, [])[0]


def with_text(source: Source, text: str) -> Source:
    """The same files with another text in environment.yaml.

    Raises:
        InvalidEnvironment: It is not YAML.
    """
    main = parse(text, source.file)
    return _merged(main, source.beside) if isinstance(source, Merged) else main


def _interpreted(
    main: Source, beside: Mapping[Kind, Source], folder_name: str, problems: list[Problem]
) -> tuple[Environment, Source]:
    parts, found = _validated(main, beside, folder_name)
    problems = [*problems, *found, *_said_twice(main, beside)]
    environment = parts.pop("environment", None)
    if problems or not isinstance(environment, Environment):
        raise InvalidEnvironment(problems)
    whole, source = together(environment, parts), _merged(main, beside)
    from kdeploy.spec.check import check, gathered

    findings = check(whole)
    if findings:
        raise InvalidEnvironment(gathered(finding.problem(source) for finding in findings))
    return whole, source


def _read(folder: Path) -> tuple[dict[Kind, Source], list[Problem]]:
    """Every file of a folder that can be read, and what is wrong with the others."""
    sources: dict[Kind, Source] = {}
    problems = list(_misspelt(folder))
    for kind in ("environment", *(kind for kind in BESIDE if _is_there(folder, kind))):
        file = folder / file_name(kind)
        try:
            sources[kind] = read(file, str(file), None if kind == "environment" else kind)
        except InvalidEnvironment as error:
            problems += error.problems
    return sources, problems


def _is_there(folder: Path, kind: Kind) -> bool:
    return os.path.lexists(folder / file_name(kind))


def _misspelt(folder: Path) -> Iterator[Problem]:
    for name, kind in MISSPELT.items():
        if os.path.lexists(folder / name):
            wrong = "nothing is read from a file of this name"
            yield Problem(str(folder / name), 0, "", wrong, f"call it {file_name(kind)}, or remove it")


def _validated(
    main: Source | None, beside: Mapping[Kind, Source], folder_name: str
) -> tuple[dict[Kind, Frozen], list[Problem]]:
    """Each file as what it has to be, and what is wrong with the others."""
    from pydantic import ValidationError

    parts: dict[Kind, Frozen] = {}
    problems: list[Problem] = []
    given: dict[Kind, Source] = {**({"environment": main} if main else {}), **beside}
    for kind, source in given.items():
        own_name = {"name": folder_name} if kind == "environment" else {}
        model = Environment if kind == "environment" else MODELS[kind]
        try:
            parts[kind] = model.model_validate_json(json.dumps(own_name | source.data), strict=True)
        except ValidationError as error:
            from kdeploy.spec.explain import explain

            problems += explain(error, source, folder_name, kind)
    return parts, problems


def _said_twice(main: Source, beside: Mapping[Kind, Source]) -> Iterator[Problem]:
    """Policies that stand in environment.yaml and in policies.yaml."""
    source = beside.get("policies")
    here, there = main.data.get("policies"), source and source.data.get("policies")
    if source is not None and isinstance(here, dict) and isinstance(there, dict):
        for name in there:
            if name in here:
                first = f"{main.file}:{main.lines['policies', name]}"
                wrong = f"the policy {name} is there twice, first in {first}"
                yield source.problem(("policies", name), wrong, "keep one of the two")


def _merged(main: Source, beside: Mapping[Kind, Source]) -> Source:
    return Merged(main.file, main.data, main.lines, main.text, beside) if beside else main


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


PACK: Final = "PulumiPolicy.yaml"
"""What makes a folder a policy pack (Pulumi documentation, Policy as Code, "Policy packs", 2026-11)."""


def _refuse_missing_packs(environment: Environment, source: Source, folder: Path) -> None:
    """Refuse a policy pack that is not there: the engine would say so only when AWS is asked already."""
    problems = []
    for at, given in enumerate(environment.aws.policy_packs):
        pack = folder / given
        if not pack.is_dir():
            wrong = f"there is no folder {os.path.normpath(pack)}"
        elif not (pack / PACK).is_file():
            wrong = f"{os.path.normpath(pack)} is no policy pack: it has no {PACK}"
        else:
            continue
        right = "write the folder of a policy pack, as a path from this file's folder"
        problems.append(source.problem(("aws", "policy_packs", at), wrong, right))
    if problems:
        raise InvalidEnvironment(problems)


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
