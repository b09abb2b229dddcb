"""`pulumi-language-python` for tests: what starts a policy pack in Python where the whole Pulumi CLI is not.

Invariant: a pack is started as the language host of Pulumi 3.259.0 starts it (sdk/python/cmd/pulumi-language-python, RunPlugin;
sdk/policy_proxy.go): by the interpreter of the virtual environment that its PulumiPolicy.yaml names, in its own folder, with
`-m pulumi.policy`, once the engine has told which stack it judges. It runs nothing but policy packs.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import threading
from collections.abc import Iterator, Sequence
from concurrent import futures
from pathlib import Path
from typing import IO, Any, Final

import grpc
from google.protobuf import empty_pb2, json_format
from pulumi.runtime.proto import analyzer_pb2, language_pb2, language_pb2_grpc, plugin_pb2

from tests.cloud import plugin
from tests.cloud.engine import VERSION

ANALYZER: Final = "analyzer"
"""Kind of plugin that a policy pack is (pulumi sdk/go/common/apitype/plugins.go)."""

NO_INTERPRETER: Final = "problem executing plugin program (could not run language executor): "
"""What the real one says where the interpreter cannot be started."""


class Proxy(grpc.GenericRpcHandler):
    """Stands for a pack before it runs: hears of the stack first, then hands everything on to it."""

    def __init__(self) -> None:
        self.stack: futures.Future[Any] = futures.Future()
        self._pack: futures.Future[grpc.Channel] = futures.Future()
        self._server = grpc.server(futures.ThreadPoolExecutor(8))
        self._server.add_generic_rpc_handlers((self,))
        self.port = self._server.add_insecure_port("127.0.0.1:0")
        self._server.start()

    def service(self, call: Any) -> Any:
        """Who answers a call, by its name."""
        verb = call.method.rpartition("/")[2]
        answer = {"Handshake": self._shaken, "ConfigureStack": self._configured}.get(verb)
        return grpc.unary_unary_rpc_method_handler(answer or self._handed_on(call.method))

    def attach(self, port: int) -> None:
        """Hand everything on to the pack that listens there."""
        self._pack.set_result(grpc.insecure_channel(f"127.0.0.1:{port}"))

    def stop(self) -> None:
        """Answer nothing any more."""
        self._pack.cancel()
        self._server.stop(1)  # who asks is told before

    @staticmethod
    def _shaken(request: bytes, context: Any) -> bytes:
        return analyzer_pb2.AnalyzerHandshakeResponse().SerializeToString()

    def _configured(self, request: bytes, context: Any) -> bytes:
        if not self.stack.done():
            self.stack.set_result(analyzer_pb2.AnalyzerStackConfigureRequest.FromString(request))
        return analyzer_pb2.AnalyzerStackConfigureResponse().SerializeToString()

    def _handed_on(self, method: str) -> Any:
        def answer(request: bytes, context: Any) -> bytes:
            if not self.stack.done():
                self.stack.set_result(None)
            try:
                return bytes(self._pack.result().unary_unary(method)(request))
            except futures.CancelledError:
                context.abort(grpc.StatusCode.UNAVAILABLE, "policy pack not started")
            except grpc.RpcError as error:
                context.abort(error.code(), error.details())
            raise AssertionError("an aborted call raises")

        return answer


class Host(language_pb2_grpc.LanguageRuntimeServicer):
    """Starts policy packs."""

    def Handshake(self, request: Any, context: Any) -> Any:  # noqa: N802
        return language_pb2.LanguageHandshakeResponse()

    def GetPluginInfo(self, request: Any, context: Any) -> Any:  # noqa: N802
        return plugin_pb2.PluginInfo(version=VERSION)

    def Cancel(self, request: Any, context: Any) -> Any:  # noqa: N802
        return empty_pb2.Empty()

    def RunPlugin(self, request: Any, context: Any) -> Iterator[Any]:  # noqa: N802
        if request.kind != ANALYZER:
            context.abort(
                grpc.StatusCode.UNIMPLEMENTED, f"a plugin of the kind {request.kind} is not run here"
            )
        proxy = Proxy()
        context.add_callback(proxy.stop)
        yield language_pb2.RunPluginResponse(stdout=f"{proxy.port}\n".encode())
        stack = proxy.stack.result()
        try:
            pack = subprocess.Popen(
                [
                    interpreter(request.info),
                    "-u",
                    "-m",
                    "pulumi.policy",
                    *request.args,
                    request.info.program_directory,
                ],
                cwd=request.info.program_directory,
                env={**dict(one.split("=", 1) for one in request.env), **_told(stack)},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        except OSError as error:
            proxy.stop()
            context.abort(
                grpc.StatusCode.UNKNOWN, f"{NO_INTERPRETER}fork/exec {error.filename}: {error.strerror}"
            )
        context.add_callback(pack.kill)
        yield from _said(pack, proxy)
        proxy.stop()
        yield language_pb2.RunPluginResponse(exitcode=pack.wait())


def interpreter(info: Any) -> str:
    """The Python of a pack: of its virtual environment, else the first on PATH (sdk/python/toolchain/pip.go)."""
    option = json_format.MessageToDict(info.options).get("virtualenv")
    named = os.environ.get("PULUMI_PYTHON_CMD") or "python3"
    return str(Path(info.root_directory, option, "bin", "python")) if option else named


def _told(stack: Any) -> dict[str, str]:
    """What a pack knows of the stack that it judges."""
    if stack is None:
        return {}
    known = {
        "PULUMI_PROJECT": stack.project,
        "PULUMI_STACK": stack.stack,
        "PULUMI_ORGANIZATION": stack.organization,
    }
    known |= {"PULUMI_DRY_RUN": str(stack.dry_run).lower(), "PULUMI_CONFIG": json.dumps(dict(stack.config))}
    return {name: value for name, value in known.items() if value}


def _said(pack: subprocess.Popen[bytes], proxy: Proxy) -> Iterator[Any]:
    """What a pack says until it ends; its first line is the port that it listens on."""
    lines: queue.Queue[tuple[str, bytes] | None] = queue.Queue()

    def read(name: str, stream: IO[bytes]) -> None:
        for line in stream:
            lines.put((name, line))
        lines.put(None)

    streams: Sequence[tuple[str, Any]] = (("stdout", pack.stdout), ("stderr", pack.stderr))
    for name, stream in streams:
        threading.Thread(target=read, args=(name, stream), daemon=True).start()
    open_ones, is_attached = len(streams), False
    while open_ones:
        said = lines.get()
        if said is None:
            open_ones -= 1
        elif said[0] == "stdout" and not is_attached:
            proxy.attach(int(said[1]))
            is_attached = True
        else:
            yield language_pb2.RunPluginResponse(**{said[0]: said[1]})


def serve() -> None:
    """Serve until the engine ends."""
    plugin.serve(lambda server: language_pb2_grpc.add_LanguageRuntimeServicer_to_server(Host(), server), 8)


if __name__ == "__main__":
    serve()
