"""A small GitLab CI: runs a pipeline's jobs as written, and refuses what it does not know.

`extends` merges maps and replaces lists, `rules` are taken by the first that holds, a job's before_script and
script are one shell and its after_script another (GitLab docs, "CI/CD YAML syntax reference", read 2026-11-26).
"""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from tests.e2e.pipelines.machine import Machine, Repository

KEYS = {
    *(
        "stage",
        "extends",
        "image",
        "interruptible",
        "cache",
        "parallel",
        "id_tokens",
        "before_script",
        "script",
    ),
    *("after_script", "rules", "environment", "artifacts", "needs", "variables", "timeout", "resource_group"),
}
GLOBAL = {"stages", "variables"}
VARIABLE = re.compile(r"\$\{?((?:CI|GITLAB|KDEPLOY)_\w+|ENVIRONMENT)")


class Unknown(Exception):
    """Something that this small evaluator does not know."""


def read(text: str) -> dict[str, Any]:
    """A pipeline: its jobs with all that they extend."""
    pipeline = json.loads(json.dumps(YAML(typ="safe").load(text)))
    return {name: part if name in GLOBAL else _extended(pipeline, name) for name, part in pipeline.items()}


def _extended(pipeline: dict[str, Any], name: str) -> dict[str, Any]:
    part = pipeline[name]
    if part.keys() - KEYS:
        raise Unknown(f"{name}: {part.keys() - KEYS}")
    bases = part.get("extends", [])
    whole: dict[str, Any] = {}
    for base in [bases] if isinstance(bases, str) else bases:
        whole = _merged(whole, _extended(pipeline, base))
    return _merged(whole, part)


def _merged(under: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    found = dict(under)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(found.get(key), dict)
        found[key] = _merged(found[key], value) if both else value
    return found


def holds(condition: str, variables: dict[str, str]) -> bool:
    """Whether the `if` of a rule holds: comparisons of variables and texts, joined by &&."""
    return all(_compares(part.strip(), variables) for part in condition.split("&&"))


def _compares(text: str, variables: dict[str, str]) -> bool:
    found = re.fullmatch(r'\$(\w+) (==|!=) (?:\$(\w+)|"([^"]*)")', text)
    if not found:
        raise Unknown(text)
    for name in (found[1], found[3]):
        if name and name not in variables:
            raise Unknown(name)
    right = variables[found[3]] if found[3] else found[4]
    return (variables[found[1]] == right) is (found[2] == "==")


def expanded(text: str, variables: dict[str, str]) -> str:
    """A value of the file with its variables."""

    def value(found: re.Match[str]) -> str:
        if found[1] not in variables:
            raise Unknown(found[1])
        return variables[found[1]]

    return re.sub(r"\$(\w+)", value, text)


@dataclass
class Pipeline:
    """A run of a pipeline.

    Attributes:
        predefined: What GitLab sets.
        given: The project's own variables, secrets among them; without those that a job may not see.
        results: Of each job: success, failure or skipped.
    """

    machine: Machine
    repository: Repository
    commit: str
    predefined: dict[str, str]
    given: dict[str, str]
    results: dict[str, str] = field(default_factory=dict)
    reports: dict[str, str] = field(default_factory=dict)

    def run(self) -> dict[str, str]:
        """Run all jobs whose rules hold, stage by stage."""
        clone = self.machine.folder("pipeline") / "clone"
        self.repository.checkout(self.commit, clone)
        pipeline = read((clone / ".gitlab-ci.yml").read_text())
        artifacts = self.machine.folder("artifacts")
        jobs = {
            name: job for name, job in pipeline.items() if name not in GLOBAL and not name.startswith(".")
        }
        good = True
        for name in sorted(jobs, key=lambda name: pipeline["stages"].index(jobs[name]["stage"])):
            rule = next((one for one in jobs[name]["rules"] if holds(one["if"], self.predefined)), None)
            if rule is None:
                continue
            if not good and rule.get("when") != "always":
                self.results[name] = "skipped"
                continue
            ends = [
                self._job(jobs[name], pipeline["variables"], matrix, artifacts)
                for matrix in _matrix(jobs[name])
            ]
            self.results[name] = "success" if all(ends) else "failure"
            good = good and all(ends)
        return self.results

    def _job(
        self, job: dict[str, Any], common: dict[str, str], matrix: dict[str, str], artifacts: Path
    ) -> bool:
        project = self.machine.folder("project")
        variables = {
            **self.predefined,
            "CI_JOB_ID": project.name,
            "CI_PROJECT_DIR": str(project),
            **self.given,
        }
        for name, value in {**common, **job.get("variables", {}), **matrix}.items():
            variables[name] = expanded(value, variables)
        variables |= dict.fromkeys(job.get("id_tokens", {}), "an.id.token")
        lines = [*job["before_script"], *job["script"], *job.get("after_script", [])]
        unknown = (
            set(VARIABLE.findall("\n".join(lines)))
            - variables.keys()
            - {"KDEPLOY_AWS_ROLE", "KDEPLOY_SSH_KEY"}
        )
        if unknown - {"KDEPLOY_VAULT_PASSWORD_FILE"}:
            raise Unknown(str(unknown))
        if variables.get("GIT_STRATEGY") != "none":
            self.repository.checkout(self.commit, project)
        if artifacts.is_dir():
            shutil.copytree(artifacts, project, dirs_exist_ok=True)
        # The cache is the machine's, so that the test fetches Kafka no more often than all others.
        everything = {**self.machine.variables(), **variables, "GITLAB_CI": "true"}
        everything["KDEPLOY_CACHE_DIR"] = self.machine.variables()["KDEPLOY_CACHE_DIR"]
        code, shown = self.machine.shell(
            "\n".join([*job["before_script"], *job["script"]]), project, everything
        )
        if "after_script" in job:
            self.machine.shell("\n".join(job["after_script"]), project, everything)
        for pattern in job.get("artifacts", {}).get("paths", []):
            for found in project.glob(pattern.rstrip("/")):
                to = artifacts / found.name
                shutil.copytree(found, to, dirs_exist_ok=True) if found.is_dir() else shutil.copy(found, to)
        self.reports[job["stage"]] = shown
        return code == 0


def _matrix(job: dict[str, Any]) -> list[dict[str, str]]:
    (values,) = job.get("parallel", {"matrix": [{}]})["matrix"]
    return [{name: one} for name, listed in values.items() for one in listed] or [{}]
