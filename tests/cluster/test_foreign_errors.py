"""Errors of Kafka clients, sockets and TLS: each becomes one of ours, in words."""

from __future__ import annotations

import inspect
import logging
import ssl
import warnings

import pytest

from kdeploy.cluster.client import kafka
from kdeploy.cluster.failure import (
    AuthenticationFailed,
    AuthorisationFailed,
    ClusterError,
    TimedOut,
    Unreachable,
    reason,
    translate,
    translated,
)
from kdeploy.errors import GateClosed, KdeployError


def foreign() -> list[type[Exception]]:
    found = inspect.getmembers(kafka().errors, inspect.isclass)
    return [kind for _, kind in found if issubclass(kind, kafka().errors.KafkaError)]


def test_every_error_of_the_client_becomes_one_of_ours_with_words_of_its_own() -> None:
    kinds = foreign()
    assert len(kinds) > 100
    for kind in kinds:
        ours = translate(Exception.__new__(kind), "read the topics")
        assert isinstance(ours, ClusterError), kind
        first = str(ours).splitlines()[0]
        assert "read the topics" in first
        assert not first.endswith(": "), kind


EXPECTED = (
    ("TopicAuthorizationFailedError", AuthorisationFailed),
    ("ClusterAuthorizationFailedError", AuthorisationFailed),
    ("SaslAuthenticationFailedError", AuthenticationFailed),
    ("KafkaTimeoutError", TimedOut),
    ("RequestTimedOutError", TimedOut),
    ("KafkaConnectionError", Unreachable),
    ("NodeNotReadyError", Unreachable),
    ("InvalidConfigurationError", ClusterError),
)


@pytest.mark.parametrize(("name", "kind"), EXPECTED)
def test_kinds_that_a_person_treats_differently_are_told_apart(name: str, kind: type[ClusterError]) -> None:
    assert type(translate(getattr(kafka().errors, name)("words"), "try")) is kind


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (ConnectionRefusedError(111, "Connection refused"), Unreachable, "connection refused"),
        (ConnectionResetError(104, "Connection reset by peer"), Unreachable, "connection reset by peer"),
        (TimeoutError("timed out"), TimedOut, "timed out"),
        (ssl.SSLError(1, "[SSL: TLSV1_ALERT_UNKNOWN_CA] tlsv1 alert"), AuthenticationFailed, "TLS"),
    ],
)
def test_errors_of_sockets_and_tls_say_what_they_mean(
    error: OSError, kind: type[ClusterError], words: str
) -> None:
    ours = translate(error, "connect")
    assert type(ours) is kind
    assert words in str(ours)


def test_our_own_errors_and_defects_pass_as_they_are() -> None:
    with pytest.raises(GateClosed), translated("wait"):
        raise GateClosed("closed")
    with pytest.raises(ZeroDivisionError), translated("divide"):
        raise ZeroDivisionError
    with pytest.raises(ClusterError, match="failed to look: no controller"), translated("look"):
        raise RuntimeError("no controller")
    assert issubclass(ClusterError, KdeployError)


def test_a_reason_is_one_line() -> None:
    assert reason(RuntimeError("a\n  b", "c")) == "a b c"
    assert reason(ValueError()) == "ValueError"


def test_the_client_is_silent_whatever_the_level_of_logging(caplog: pytest.LogCaptureFixture) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        kafka()
    caplog.set_level(logging.DEBUG)
    logging.getLogger("kafka.admin.client").error("a password")
    assert not caplog.records
