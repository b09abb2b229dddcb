"""What runs a policy pack of the runtime `rules`: a process that the engine starts in the pack's folder.

The engine starts `pulumi-analyzer-policy-RUNTIME` from PATH for each pack whose runtime has no plugin of a language
(pulumi sdk/go/common/resource/plugin/analyzer_plugin.go, 3.259). This one reads `rules.json`: policies that hold a
property of each resource of a type to one value.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from google.protobuf import empty_pb2, json_format
from pulumi.runtime.proto import analyzer_pb2, analyzer_pb2_grpc, plugin_pb2

from tests.cloud import plugin

LEVELS = {"advisory": analyzer_pb2.ADVISORY, "mandatory": analyzer_pb2.MANDATORY}


class Analyzer(analyzer_pb2_grpc.AnalyzerServicer):
    """Judges resources by the rules of a folder."""

    def __init__(self, folder: Path) -> None:
        self.name = folder.name
        self.rules: list[dict[str, Any]] = json.loads((folder / "rules.json").read_text())

    def Analyze(self, request: Any, context: Any) -> Any:  # noqa: N802
        said = json_format.MessageToDict(request.properties)
        broken = [
            one
            for one in self.rules
            if request.type == one["type"] and said.get(one["property"]) != one["value"]
        ]
        return analyzer_pb2.AnalyzeResponse(diagnostics=[self._said(one, request.urn) for one in broken])

    def AnalyzeStack(self, request: Any, context: Any) -> Any:  # noqa: N802
        return analyzer_pb2.AnalyzeResponse()

    def Remediate(self, request: Any, context: Any) -> Any:  # noqa: N802
        return analyzer_pb2.RemediateResponse()

    def GetAnalyzerInfo(self, request: Any, context: Any) -> Any:  # noqa: N802
        policies = [
            analyzer_pb2.PolicyInfo(name=one["policy"], enforcementLevel=LEVELS[one["level"]])
            for one in self.rules
        ]
        return analyzer_pb2.AnalyzerInfo(name=self.name, version="0.1.0", policies=policies)

    def GetPluginInfo(self, request: Any, context: Any) -> Any:  # noqa: N802
        return plugin_pb2.PluginInfo(version="0.1.0")

    def Configure(self, request: Any, context: Any) -> Any:  # noqa: N802
        return empty_pb2.Empty()

    def ConfigureStack(self, request: Any, context: Any) -> Any:  # noqa: N802
        return analyzer_pb2.AnalyzerStackConfigureResponse()

    def Handshake(self, request: Any, context: Any) -> Any:  # noqa: N802
        return analyzer_pb2.AnalyzerHandshakeResponse()

    def Cancel(self, request: Any, context: Any) -> Any:  # noqa: N802
        return empty_pb2.Empty()

    def _said(self, rule: dict[str, Any], urn: str) -> Any:
        return analyzer_pb2.AnalyzeDiagnostic(
            policyName=rule["policy"],
            policyPackName=self.name,
            policyPackVersion="0.1.0",
            message=rule["message"],
            enforcementLevel=LEVELS[rule["level"]],
            urn=urn,
        )


def serve() -> None:
    """Serve until the engine ends."""
    plugin.serve(
        lambda server: analyzer_pb2_grpc.add_AnalyzerServicer_to_server(Analyzer(Path.cwd()), server), 4
    )


if __name__ == "__main__":
    serve()
