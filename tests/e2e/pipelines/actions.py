"""A small GitHub Actions: runs a workflow's jobs as written, and refuses what it does not know.

Only `run` steps are run; `uses` steps are played by what they would leave (a clone, a Python, files carried from
job to job). Expressions are evaluated by the grammar of GitHub's "Evaluate expressions" (read 2026-11-26).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from tests.e2e.pipelines.machine import Machine, Repository, copied

TOKENS = re.compile(r"\s*('(?:[^']|'')*'|\d+|==|!=|&&|\|\||!|\(|\)|,|[A-Za-z_][\w-]*(?:\.[A-Za-z_][\w-]*)*)")
OPEN = ("secrets", "vars", "github.event")
"""Where GitHub gives nothing, in place of an error, for a name that is not there."""


class Unknown(Exception):
    """Something that this small evaluator does not know."""


class Expression:
    """One expression; `value` is what it comes to."""

    def __init__(self, text: str, contexts: dict[str, Any], status: dict[str, bool]) -> None:
        self._tokens, position = [], 0
        while position < len(text.rstrip()):
            found = TOKENS.match(text, position)
            if not found:
                raise Unknown(text[position:])
            self._tokens.append(found[1])
            position = found.end()
        self._contexts, self._status, self.asks_status = contexts, status, False
        self.value = self._either()
        if self._tokens:
            raise Unknown(self._tokens[0])

    def _next(self, *expected: str) -> bool:
        if self._tokens and self._tokens[0] in expected:
            self._tokens.pop(0)
            return True
        return False

    def _either(self) -> Any:
        left = self._both()
        while self._next("||"):
            right = self._both()
            left = left or right
        return left

    def _both(self) -> Any:
        left = self._equal()
        while self._next("&&"):
            right = self._equal()
            left = left and right
        return left

    def _equal(self) -> Any:
        left = self._one()
        if self._next("=="):
            return _plain(left) == _plain(self._one())
        if self._next("!="):
            return _plain(left) != _plain(self._one())
        return left

    def _one(self) -> Any:
        if self._next("!"):
            return not self._one()
        if self._next("("):
            inner = self._either()
            self._must(")")
            return inner
        token = self._tokens.pop(0)
        if token.startswith("'"):
            return token[1:-1].replace("''", "'")
        if token.isdigit():
            return int(token)
        return self._call(token) if self._next("(") else self._name(token)

    def _must(self, token: str) -> None:
        if not self._next(token):
            raise Unknown(f"{token} is missing")

    def _call(self, name: str) -> Any:
        given = []
        while not self._next(")"):
            given.append(self._either())
            self._next(",")
        if name in self._status:
            self.asks_status = True
            return self._status[name]
        if name == "fromJSON":
            return json.loads(given[0])
        if name == "hashFiles":
            return "hash-of-" + "-".join(given)
        raise Unknown(f"{name}()")

    def _name(self, token: str) -> Any:
        here: Any = self._contexts
        for number, part in enumerate(token.split(".")):
            if isinstance(here, dict) and part in here:
                here = here[part]
            elif token.startswith(OPEN) and number:
                return None
            else:
                raise Unknown(token)
        return here


def _plain(value: Any) -> Any:
    """GitHub compares nothing as an empty text."""
    return "" if value is None else value


def filled(text: str, contexts: dict[str, Any]) -> str:
    """A text with its expressions evaluated."""
    return re.sub(r"\$\{\{(.*?)\}\}", lambda one: str(_plain(Expression(one[1], contexts, {}).value)), text)


def holds(condition: Any, contexts: dict[str, Any], status: dict[str, bool]) -> bool:
    """Whether a job or step with this `if` runs: without a word about status, only after success."""
    text = str(condition).strip()
    inner = re.fullmatch(r"\$\{\{(.*)\}\}", text, re.DOTALL)
    asked = Expression(inner[1] if inner else text, contexts, status)
    return bool(asked.value) and (asked.asks_status or status["success"])


def read(text: str) -> dict[str, Any]:
    """A workflow; by YAML 1.2, as GitHub reads it, where `on` is a word."""
    return json.loads(json.dumps(YAML(typ="safe").load(text)))


@dataclass
class Actions:
    """A run of a workflow, over all its jobs.

    Attributes:
        results: Of each job: success, failure or skipped.
        granted: The permissions that each job that ran had.
        summaries: What stood on the run's page.
    """

    machine: Machine
    repository: Repository
    commit: str
    github: dict[str, Any]
    secrets: dict[str, str]
    variables: dict[str, str]
    results: dict[str, str] = field(default_factory=dict)
    granted: dict[str, dict[str, str]] = field(default_factory=dict)
    summaries: str = ""

    def run(self) -> dict[str, str]:
        """Run every job, in the order of the file, each after those it needs."""
        clone = self.machine.folder("workflow") / "clone"
        self.repository.checkout(self.commit, clone)
        workflow = read((clone / ".github/workflows/kdeploy.yml").read_text())
        assert workflow["defaults"] == {"run": {"shell": "bash"}}, "the machine's shell is that one"
        artifacts = self.machine.folder("artifacts")
        outputs: dict[str, dict[str, str]] = {}
        for name, job in workflow["jobs"].items():
            needed = [job["needs"]] if isinstance(job.get("needs"), str) else job.get("needs", [])
            needs = {one: {"result": self.results[one], "outputs": outputs.get(one, {})} for one in needed}
            contexts = {"github": self.github, "needs": needs, "secrets": self.secrets, "vars": {}}
            status = _status(all(one["result"] == "success" for one in needs.values()))
            if not holds(job.get("if", "success()"), contexts, status):
                self.results[name] = "skipped"
                continue
            self.granted[name] = job["permissions"]
            ends = []
            for matrix in _matrix(job, contexts):
                one = _Job(self, workflow, job, {**contexts, "matrix": matrix}, artifacts)
                ends.append(one.run())
                outputs[name] = one.outputs
            self.results[name] = "success" if all(ends) else "failure"
        return self.results


def _status(good: bool) -> dict[str, bool]:
    return {"success": good, "failure": not good, "always": True, "cancelled": False}


def _matrix(job: dict[str, Any], contexts: dict[str, Any]) -> list[dict[str, str]]:
    if "strategy" not in job:
        return [{}]
    ((key, text),) = job["strategy"]["matrix"].items()
    values = Expression(text.removeprefix("${{").removesuffix("}}"), contexts, {}).value
    return [{key: value} for value in values]


class _Job:
    def __init__(
        self,
        run: Actions,
        workflow: dict[str, Any],
        job: dict[str, Any],
        contexts: dict[str, Any],
        artifacts: Path,
    ) -> None:
        self._run, self._machine, self._artifacts = run, run.machine, artifacts
        self._steps, self._job, self._ids = job["steps"], job, {}
        self._contexts = {**contexts, "steps": self._ids, "runner": {"os": "Linux"}}
        self._workspace, self._temp = self._machine.folder("workspace"), self._machine.folder("temp")
        self._variables = {**self._machine.variables(), **self._runner()}
        for given in (workflow.get("env", {}), job.get("env", {}), run.variables):
            self._variables.update({key: filled(str(value), self._contexts) for key, value in given.items()})
        self.outputs: dict[str, str] = {}

    def _runner(self) -> dict[str, str]:
        known = {
            f"GITHUB_{key.upper()}": str(self._run.github[key])
            for key in ("repository", "ref", "event_name", "sha")
        }
        event = self._temp / "event.json"
        event.write_text(json.dumps(self._run.github["event"]))
        return {
            **known,
            "GITHUB_ACTIONS": "true",
            "GITHUB_EVENT_PATH": str(event),
            "GITHUB_SERVER_URL": "https://forge.test",
            "GITHUB_RUN_ID": "99",
            "RUNNER_TEMP": str(self._temp),
        }

    def run(self) -> bool:
        good = True
        for step in self._steps:
            if holds(step.get("if", "success()"), self._contexts, _status(good)):
                good = (self._shell(step) if "run" in step else self._play(step)) and good
        names = self._job.get("outputs", {})
        self.outputs = {name: filled(text, self._contexts) for name, text in names.items()} if good else {}
        return good

    def _shell(self, step: dict[str, Any]) -> bool:
        files = {name: self._temp / name for name in ("GITHUB_ENV", "GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")}
        for file in files.values():
            file.write_text("")
        own = {key: filled(str(value), self._contexts) for key, value in step.get("env", {}).items()}
        variables = {**self._variables, **own, **{name: str(file) for name, file in files.items()}}
        code, _ = self._machine.shell(filled(step["run"], self._contexts), self._workspace, variables)
        self._variables.update(_pairs(files["GITHUB_ENV"]))
        self._run.summaries += files["GITHUB_STEP_SUMMARY"].read_text()
        if "id" in step:
            self._ids[step["id"]] = {"outputs": _pairs(files["GITHUB_OUTPUT"])}
        return code == 0

    def _play(self, step: dict[str, Any]) -> bool:
        given = {key: filled(str(value), self._contexts) for key, value in step.get("with", {}).items()}
        plays: dict[str, Callable[[dict[str, str]], bool]] = {
            "actions/checkout": self._checkout,
            "actions/setup-python": lambda _: True,
            "actions/cache": lambda _: True,
            "actions/upload-artifact": self._upload,
            "actions/download-artifact": self._download,
        }
        action = step["uses"].partition("@")[0]
        if action not in plays:
            raise Unknown(action)
        return plays[action](given)

    def _checkout(self, _given: dict[str, str]) -> bool:
        assert self._job["permissions"]["contents"] == "read"
        self._run.repository.checkout(self._run.commit, self._workspace)
        return True

    def _upload(self, given: dict[str, str]) -> bool:
        copied(self._workspace / given["path"], self._artifacts / given["name"])
        return True

    def _download(self, given: dict[str, str]) -> bool:
        if not (self._artifacts / given["name"]).is_dir():
            return False
        copied(self._artifacts / given["name"], self._workspace / given["path"])
        return True


def _pairs(file: Path) -> dict[str, str]:
    return dict(line.split("=", 1) for line in file.read_text().splitlines())
