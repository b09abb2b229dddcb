"""What a program declares, recorded without an engine: every resource with its type, name and inputs."""

from __future__ import annotations

import asyncio
import gc
import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pulumi
from pulumi.runtime import mocks, rpc, settings, stack

from kdeploy.blueprint import Blueprint
from kdeploy.infra.aws.haste import hastened
from kdeploy.infra.aws.program import program

ACCOUNT = "123456789012"


@dataclass(frozen=True)
class Declared:
    """One resource."""

    type: str
    name: str
    inputs: dict[str, Any]

    @property
    def key(self) -> str:
        return f"{self.type}::{self.name}"


@dataclass
class Recorder(pulumi.runtime.Mocks):
    """AWS, as far as a program looks at it: ids are the logical names, the account and images are fixed."""

    found: list[Declared] = field(default_factory=list)
    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str, dict[str, Any]]:
        inputs = {key: value for key, value in args.inputs.items() if value is not None}
        self.found.append(Declared(args.typ, args.name, inputs))
        outputs = dict(args.inputs)
        if args.typ == "aws:ec2/vpcEndpoint:VpcEndpoint":
            outputs["prefixListId"] = f"{args.name}-list"
        if args.typ == "aws:route53/zone:Zone":
            outputs["zoneId"] = f"{args.name}-zone"
        if args.typ.startswith("aws:lb/"):
            outputs |= {
                "arn": f"{args.name}-arn",
                "dnsName": f"{args.name}-dns",
                "zoneId": f"{args.name}-zone",
            }
        return f"{args.name}-id", outputs

    def call(self, args: pulumi.runtime.MockCallArgs) -> dict[str, Any]:
        self.asked.append((args.token, dict(args.args)))
        if args.token == "aws:index/getCallerIdentity:getCallerIdentity":
            return {"accountId": ACCOUNT}
        assert args.token == "aws:ssm/getParameter:getParameter", args.token
        return {"value": f"ami-of-{args.args['name'].rpartition('/')[2]}"}


@dataclass(frozen=True)
class Recording:
    """All that a program declared, and what it exports."""

    resources: tuple[Declared, ...]
    options: dict[str, dict[str, Any]]
    asked: tuple[tuple[str, dict[str, Any]], ...]
    outputs: dict[str, Any]

    def of(self, kind: str) -> list[Declared]:
        """Resources of a type: `ec2/instance:Instance`."""
        return [one for one in self.resources if one.type == f"aws:{kind}"]

    def golden(self) -> str:
        """The same as text, one resource a block, sorted by type and name."""
        return "\n".join(self._block(one) for one in sorted(self.resources, key=lambda one: one.key))

    def _block(self, one: Declared) -> str:
        options = [name for name, said in self.options[one.key].items() if said is True]
        options += [f"ignores {name}" for name in self.options[one.key]["ignore"]]
        said = f" ({', '.join(options)})" if options else ""
        lines = [f"{one.type} {one.name}{said}"]
        for name, value in sorted(one.inputs.items()):
            shown = value.splitlines() if isinstance(value, str) and "\n" in value else [text(value)]
            lines.append(f"  {name}: {shown[0]}")
            lines += [f"    {line}" for line in shown[1:]]
        return "\n".join(lines) + "\n"


def text(value: Any) -> str:
    """A value on one line; whole numbers without a fraction, which the wire adds."""
    return value if isinstance(value, str) else json.dumps(whole(value), sort_keys=True)


def whole(value: Any) -> Any:
    """The same with whole numbers."""
    if isinstance(value, dict):
        return {key: whole(one) for key, one in value.items()}
    if isinstance(value, list):
        return [whole(one) for one in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


class _Monitor(mocks.MockMonitor):
    """The engine's ear: also hears the options of resources, and what the stack exports."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__(recorder)
        self.options: dict[str, dict[str, Any]] = {}
        self.outputs: dict[str, Any] = {}

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802
        self.options[f"{request.type}::{request.name}"] = {
            "protect": request.protect,
            "retain": request.retainOnDelete,
            "delete first": request.deleteBeforeReplace,
            "ignore": list(request.ignoreChanges),
        }
        return super().RegisterResource(request)

    def RegisterResourceOutputs(self, request: Any) -> Any:  # noqa: N802
        if "pulumi:pulumi:Stack" in request.urn:
            self.outputs = rpc.deserialize_properties(request.outputs)
        return super().RegisterResourceOutputs(request)


def record(blueprint: Blueprint, public_keys: Mapping[str, str] | None = None) -> Recording:
    """Run a blueprint's program under mocks, as the stack runs it."""
    recorder = Recorder()
    monitor = _Monitor(recorder)
    loop = asyncio.new_event_loop()
    try:
        asyncio.set_event_loop(loop)
        mocks.set_mocks(
            recorder, project="kdeploy", stack=blueprint.environment, preview=False, monitor=monitor
        )
        settings.set_root_resource(None)  # set_mocks makes a stack of its own, which exports nothing
        loop.run_until_complete(stack.run_in_stack(hastened(program(blueprint, public_keys))))
        loop.run_until_complete(loop.shutdown_default_executor())
    finally:
        asyncio.set_event_loop(None)
        loop.close()
        with warnings.catch_warnings():
            # Threads of the SDK have event loops of their own, and leave them open.
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()
    return Recording(tuple(recorder.found), monitor.options, tuple(recorder.asked), monitor.outputs)
