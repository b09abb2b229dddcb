"""Whether an environment's files are right, as far as can be known without a connection.

Invariant: nothing is written and nothing is contacted. A stage is reached only when the
ones before it found nothing, so a problem is never the consequence of another.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kdeploy.errors import InvalidEnvironment, InvalidSetting, Problem

if TYPE_CHECKING:
    from kdeploy.spec.load import Loaded
    from kdeploy.spec.risks import Risk
    from kdeploy.spec.source import Source


@dataclass(frozen=True)
class RiskSeen:
    """A risk an environment takes, with its place.

    Attributes:
        risk: What it is.
        file: The file that says so.
        line: Its line, counted from 1; 0 for the whole file.
        path: Where in that file, as a person writes it.
    """

    risk: Risk
    file: str
    line: int
    path: str


@dataclass(frozen=True)
class Examined:
    """What was found.

    Attributes:
        name: The environment's name, or its folder's where the file could not be read.
        file: The environment's file.
        problems: What is wrong; empty when the environment is valid.
        risks: What is legal but risky, and not accepted.
        fits: Whether a plan fits; None when that is not known, because something is wrong.
    """

    name: str
    file: str
    problems: tuple[Problem, ...] = ()
    risks: tuple[RiskSeen, ...] = ()
    fits: bool | None = None


def examine(folder: Path) -> Examined:
    """Examine one environment: its files, its lock, its plan, and every setting it overrides."""
    from kdeploy.spec import load

    file = str(folder / load.FILE_NAME)
    try:
        loaded = load.load(folder)
        return Examined(loaded.environment.name, file, risks=risks_of(loaded), fits=_draw(loaded))
    except InvalidEnvironment as error:
        return Examined(folder.absolute().name, file, problems=error.problems)


def risks_of(loaded: Loaded) -> tuple[RiskSeen, ...]:
    """The risks an environment takes and has not accepted, each with its place."""
    from kdeploy.spec import risks

    # A default that is risky is one risk, however many topics take it over.
    seen: dict[tuple[str, str, int, str], RiskSeen] = {}
    given = ((risk, loaded.source) for risk in risks.risks(loaded.environment))
    for risk, source in (*given, *_idle_patterns(loaded)):
        place = source.problem(risk.path, risk.why, risk.silence)
        seen.setdefault(
            (risk.name, place.file, place.line, place.path),
            RiskSeen(risk, place.file, place.line, place.path),
        )
    return tuple(seen.values())


def _idle_patterns(loaded: Loaded) -> Iterator[tuple[Risk, Source]]:
    """Patterns of topics.yaml that say nothing of any topic."""
    from kdeploy.spec.merge import Merged
    from kdeploy.spec.risks import RISKS, Risk
    from kdeploy.spec.unmatched import idle_patterns

    name = "idle-pattern"
    file = loaded.source.beside.get("topics") if isinstance(loaded.source, Merged) else None
    if file is not None and name not in loaded.environment.accept_risks:
        for path in idle_patterns(file):
            yield Risk(name, path, RISKS[name][1]), file


def _draw(loaded: Loaded) -> bool:
    """Whether a plan fits; with one, everything is drawn, so that every setting is judged.

    Raises:
        InvalidEnvironment: A setting is wrong, or the lock beside the environment is damaged.
    """
    from kdeploy import blueprint, planner
    from kdeploy.planner.decide import decide
    from kdeploy.spec.lockfile import read_lock

    read_lock(loaded.folder / "lock.yaml")
    ids = (f"{number:022d}" for number in itertools.count())
    environment = loaded.environment
    try:
        plan = planner.plan(environment)
        if plan.feasible:
            blueprint.draw(environment, plan, decide(environment, plan, None, lambda: next(ids)))
    except InvalidSetting as error:
        raise loaded.source.locate(error) from None
    return plan.feasible
