"""`pulumi-resource-aws` for tests: what the engine asks about aws resources, as calls to an emulated AWS.

Invariant: the engine sees what the real provider would show it: the same inputs and outputs by
name, the same split between what changes in place and what replaces, AWS's own words in errors.
Nothing is remembered between calls: a killed provider loses nothing that the engine does not lose.
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable
from typing import Any, Final

import grpc
from google.protobuf import empty_pb2
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc, status_pb2

from tests.cloud import plugin, values
from tests.cloud.kinds import KINDS, Aws, Kind, Refused
from tests.cloud.kinds.base import Values
from tests.cloud.kinds.invokes import INVOKES

VERSION: Final = "7.51.1"
"""Of the pulumi-aws whose resources these are."""

WORKERS: Final = 32

VERBS: Final = {"Create": "creating", "Update": "updating", "Delete": "deleting", "Read": "reading"}


class Incomplete(Exception):
    """A resource that exists, but not as it should."""

    def __init__(self, identity: str, state: Values, inputs: Values, reason: str) -> None:
        super().__init__(reason)
        self.identity, self.state, self.inputs, self.reason = identity, state, inputs, reason


class Provider(provider_pb2_grpc.ResourceProviderServicer):
    """One configured provider: the engine starts a process for each."""

    def __init__(self) -> None:
        self.aws = Aws(os.environ.get("AWS_REGION", ""))

    def GetPluginInfo(self, request: Any, context: Any) -> Any:  # noqa: N802
        return plugin_pb2.PluginInfo(version=VERSION)

    def CheckConfig(self, request: Any, context: Any) -> Any:  # noqa: N802
        config = values.config(values.read(request.news))
        failures = [] if values.has_unknown(config) else _credentials(_aws(config))
        return provider_pb2.CheckResponse(
            inputs=request.news, failures=[provider_pb2.CheckFailure(reason=text) for text in failures]
        )

    def DiffConfig(self, request: Any, context: Any) -> Any:  # noqa: N802
        old, new = values.read(request.olds), values.read(request.news)
        changed = sorted(values.changed(old, new) - {"version"})
        replaces = [key for key in changed if key == "region"]
        return _diff_response(changed, replaces)

    def Configure(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.aws = _aws(values.config(values.read(request.args)))
        return provider_pb2.ConfigureResponse(
            acceptSecrets=False, supportsPreview=True, acceptResources=False, acceptOutputs=False
        )

    def Check(self, request: Any, context: Any) -> Any:  # noqa: N802
        kind = _kind(request.urn)
        if kind is None:
            reason = f"{_type(request.urn)} is not emulated: add it to tests/cloud/kinds"
            return provider_pb2.CheckResponse(failures=[provider_pb2.CheckFailure(reason=reason)])
        inputs = {**kind.defaults, **values.read(request.news)}
        inputs = {key: value for key, value in inputs.items() if value is not None}
        if kind.named and kind.named not in inputs:
            before = values.read(request.olds).get(kind.named)
            inputs[kind.named] = before or f"{_name(request.urn)}-{request.randomSeed.hex()[:7] or 'x'}"
        if kind.tagged and (self.aws.default_tags or "tags" in inputs):
            inputs["tags"] = _tags(self.aws.default_tags, inputs.get("tags"))
        missing = [(key, f'The argument "{key}" is required') for key in kind.required if key not in inputs]
        known = {key: value for key, value in inputs.items() if not values.has_unknown(value)}
        found = missing or kind.check(known)
        return provider_pb2.CheckResponse(
            inputs=values.write(inputs),
            failures=[provider_pb2.CheckFailure(property=key, reason=reason) for key, reason in found],
        )

    def Diff(self, request: Any, context: Any) -> Any:  # noqa: N802
        kind = _known(request.urn)
        old, new = values.read(request.old_inputs), values.read(request.news)
        ignored = {path.split(".")[0].split("[")[0] for path in request.ignoreChanges}
        changed = values.wanted(old, new, kind.computed) - ignored - {"tagsAll"}
        replaces = sorted(changed - kind.changes)
        named = bool(replaces) and kind.named is not None and _same_name(kind, old, new)
        return _diff_response(sorted(changed), replaces, old, new, delete_first=named)

    def Create(self, request: Any, context: Any) -> Any:  # noqa: N802
        kind, inputs = _known(request.urn), values.read(request.properties)
        if request.preview:
            return provider_pb2.CreateResponse(properties=values.write(_planned(kind, inputs)))
        return self._answer(context, "Create", request, lambda: self._create(kind, inputs))

    def _create(self, kind: Kind, inputs: Values) -> Any:
        aws = self._where(inputs)
        identity = kind.create(aws, inputs)
        try:
            kind.complete(aws, identity, inputs)
            state = self._state(kind, aws, identity, inputs)
        except Exception as error:
            state = {**inputs, "region": aws.region}
            raise Incomplete(identity, state, inputs, _said(error)) from error
        return provider_pb2.CreateResponse(id=identity, properties=values.write(state))

    def Read(self, request: Any, context: Any) -> Any:  # noqa: N802
        kind = _known(request.urn)
        return self._answer(context, "Read", request, lambda: self._read(kind, request))

    def _read(self, kind: Kind, request: Any) -> Any:
        old, inputs = values.read(request.properties), values.read(request.inputs)
        aws = self._where(old or inputs)
        now = kind.read(aws, request.id, old or inputs)
        if now is None:
            return provider_pb2.ReadResponse()
        identity = now.pop("id", request.id)
        return provider_pb2.ReadResponse(
            id=identity,
            properties=values.write(_outputs(kind, aws, {**old, **now})),
            inputs=values.write(_inputs(kind, inputs, now)),
        )

    def Update(self, request: Any, context: Any) -> Any:  # noqa: N802
        kind = _known(request.urn)
        old, new = values.read(request.olds), values.read(request.news)
        if request.preview:
            planned = {**old, **_planned(kind, new)}
            return provider_pb2.UpdateResponse(properties=values.write(planned))
        return self._answer(context, "Update", request, lambda: self._update(kind, request, old, new))

    def _update(self, kind: Kind, request: Any, old: Values, new: Values) -> Any:
        aws = self._where(new)
        before = values.read(request.old_inputs)
        ignored = {path.split(".")[0] for path in request.ignoreChanges}
        changed = values.wanted(before, new, kind.computed) - ignored
        if not changed:
            # The engine asks nevertheless: it was never finished, so what it lacks is in AWS alone.
            now = kind.read(aws, request.id, old)
            before = _inputs(kind, before, now) if now else before
            changed = values.wanted(before, new, kind.computed) - ignored
        kind.update(aws, request.id, {**old, **before}, new, changed)
        state = self._state(kind, aws, request.id, {**old, **new})
        return provider_pb2.UpdateResponse(properties=values.write(state))

    def Delete(self, request: Any, context: Any) -> Any:  # noqa: N802
        kind, state = _known(request.urn), values.read(request.properties)
        inputs = values.read(request.old_inputs)

        def delete() -> Any:
            kind.delete(self._where(state), request.id, {**inputs, **state})
            return empty_pb2.Empty()

        return self._answer(context, "Delete", request, delete)

    def Invoke(self, request: Any, context: Any) -> Any:  # noqa: N802
        function = INVOKES.get(request.tok)
        if function is None:
            context.abort(
                grpc.StatusCode.UNIMPLEMENTED,
                f"{request.tok} is not emulated: add it to tests/cloud/kinds/invokes.py",
            )
        arguments = values.read(request.args)
        aws = self._where(arguments)

        def answer() -> Any:
            return provider_pb2.InvokeResponse(**{"return": values.write(function(aws, arguments))})

        return self._answer(context, "Invoke", request, answer)

    def Cancel(self, request: Any, context: Any) -> Any:  # noqa: N802
        return empty_pb2.Empty()

    def _where(self, inputs: Values) -> Aws:
        """Clients for the region that a resource names, else the provider's own."""
        region = inputs.get("region") or self.aws.region
        return self.aws if region == self.aws.region else self.aws.at(region)

    @staticmethod
    def _state(kind: Kind, aws: Aws, identity: str, inputs: Values) -> Values:
        now = kind.read(aws, identity, inputs)
        if now is None:
            raise Refused(f"reading {kind.noun} ({identity}): couldn't find resource")
        now.pop("id", None)
        return _outputs(kind, aws, {**inputs, **now})

    def _answer(self, context: Any, verb: str, request: Any, work: Callable[[], Any]) -> Any:
        """What the work answers; what AWS said when it refused, in the real provider's words."""
        try:
            return work()
        except Incomplete as error:
            context.abort_with_status(_incomplete(error, _sentence(verb, request, error.reason)))
        except Exception as error:  # noqa: BLE001 — whatever happened is the engine's to show
            context.abort(grpc.StatusCode.UNKNOWN, _sentence(verb, request, _said(error)))
        raise AssertionError("aborted")


def _said(error: Exception) -> str:
    """An error as the real provider words it."""
    from botocore.exceptions import BotoCoreError, ClientError

    if isinstance(error, ClientError):
        meta = error.response.get("ResponseMetadata", {})
        what = error.response["Error"]
        return (
            f"operation error {meta.get('ServiceId', 'AWS')}: {error.operation_name}, https response error "
            f"StatusCode: {meta.get('HTTPStatusCode', 0)}, RequestID: {meta.get('RequestId', '')}, "
            f"api error {what.get('Code')}: {what.get('Message')}"
        )
    if isinstance(error, (Refused, BotoCoreError)):
        return str(error)
    return "".join(traceback.format_exception(error))


def _sentence(verb: str, request: Any, said: str) -> str:
    if verb == "Invoke":
        return f"invocation of {request.tok} returned an error: {said}"
    kind = _known(request.urn)
    identity = getattr(request, "id", "")
    about = f"{VERBS[verb]} {kind.noun}" + (f" ({identity})" if identity else "")
    return f"1 error occurred:\n\t* {about}: {said}\n\n"


def _incomplete(error: Incomplete, sentence: str) -> Any:
    details = provider_pb2.ErrorResourceInitFailed(
        id=error.identity,
        properties=values.write(error.state),
        inputs=values.write(error.inputs),
        reasons=[sentence],
    )
    status = status_pb2.Status(code=grpc.StatusCode.UNKNOWN.value[0], message=sentence)
    status.details.add().Pack(details)
    return _Status(
        grpc.StatusCode.UNKNOWN, sentence, (("grpc-status-details-bin", status.SerializeToString()),)
    )


class _Status(grpc.Status):
    """A status with details, which is how the engine learns that a resource exists half made."""

    def __init__(self, code: grpc.StatusCode, details: str, trailing_metadata: Any) -> None:
        self.code, self.details, self.trailing_metadata = code, details, trailing_metadata


def _type(urn: str) -> str:
    return urn.split("::")[2].rpartition("$")[2]


def _name(urn: str) -> str:
    return urn.split("::", 3)[3]


def _kind(urn: str) -> Kind | None:
    return KINDS.get(_type(urn))


def _known(urn: str) -> Kind:
    return KINDS[_type(urn)]


def _same_name(kind: Kind, old: Values, new: Values) -> bool:
    """Whether the successor would have the name of what it replaces, so that this has to go first."""
    return kind.named is not None and old.get(kind.named) == new.get(kind.named)


def _tags(defaults: dict[str, str], own: Any) -> Any:
    return own if values.is_unknown(own) else {**defaults, **(own or {})}


def _planned(kind: Kind, inputs: Values) -> Values:
    return {**inputs, **({"tagsAll": inputs["tags"]} if "tags" in inputs else {})}


def _outputs(kind: Kind, aws: Aws, state: Values) -> Values:
    tags = {"tagsAll": state.get("tags") or {}} if kind.tagged else {}
    return {**state, "region": aws.region, **tags}


def _inputs(kind: Kind, before: Values, now: Values) -> Values:
    """The inputs that would have made what AWS has: what a refresh compares, what an import writes down."""
    if not before:
        return {key: now[key] for key in values.importable(kind, now)}
    found = {key: values.projected(value, now[key]) if key in now else value for key, value in before.items()}
    if kind.tagged and (now.get("tags") or "tags" in before):
        # All of them: one that somebody else put there is to be seen.
        found["tags"] = now.get("tags") or {}
    return found


def _diff_response(
    changed: list[str],
    replaces: list[str],
    old: Values | None = None,
    new: Values | None = None,
    *,
    delete_first: bool = False,
) -> Any:
    response = provider_pb2.DiffResponse(
        changes=provider_pb2.DiffResponse.DIFF_SOME if changed else provider_pb2.DiffResponse.DIFF_NONE,
        diffs=changed,
        replaces=replaces,
        deleteBeforeReplace=delete_first,
        hasDetailedDiff=old is not None,
    )
    for path, sort in values.details(old or {}, new or {}, changed) if old is not None else ():
        replacing = path.split(".")[0].split("[")[0] in replaces
        number = getattr(provider_pb2.PropertyDiff, f"{sort}_REPLACE" if replacing else sort)
        response.detailedDiff[path].CopyFrom(provider_pb2.PropertyDiff(kind=number, inputDiff=True))
    return response


def _aws(config: Values) -> Aws:
    return Aws(
        config.get("region") or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "",
        (config.get("defaultTags") or {}).get("tags"),
        allowed=config.get("allowedAccountIds"),
        aws_access_key_id=config.get("accessKey"),
        aws_secret_access_key=config.get("secretKey"),
        aws_session_token=config.get("token"),
    )


def _credentials(aws: Aws) -> list[str]:
    """What is wrong with region and credentials, in the words of the real provider."""
    from botocore.exceptions import BotoCoreError, ClientError

    if not aws.region:
        return ["Missing region configuration: make sure you have set your AWS region"]
    try:
        account = aws.account
    except (BotoCoreError, ClientError) as error:
        return [
            "unable to validate AWS credentials.\nDetails: validating provider credentials: "
            f"retrieving caller identity from STS: {_said(error)}\n"
            "Make sure you have set your AWS region, e.g. `pulumi config set aws:region us-west-2`."
        ]
    if aws.allowed and account not in aws.allowed:
        return [f"AWS account ID not allowed: {account}"]
    return []


def serve() -> None:
    """Serve until the engine ends."""
    plugin.serve(
        lambda server: provider_pb2_grpc.add_ResourceProviderServicer_to_server(Provider(), server), WORKERS
    )


if __name__ == "__main__":
    serve()
