"""What can go wrong between kdeploy and a running cluster, in plain words.

    ClusterError                  1  anything the cluster or the way to it refused
    ├── Unreachable               1  no broker answered: who was tried, and why each failed
    ├── AuthenticationFailed      1  a broker answered, and did not accept who we are
    ├── AuthorisationFailed       1  it knows us, and does not allow this
    ├── TimedOut                  1  it did not answer in time
    ├── NotStored                 1  it said yes, and the change cannot be read back
    └── Refusal                   1  it turned a client with records away

Invariant: no error of a Kafka client, of a socket or of TLS leaves this package;
`translated` turns each into one of these. No message holds a password.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager

from kdeploy.cluster.client import kafka
from kdeploy.errors import KdeployError


class ClusterError(KdeployError):
    """The cluster, or the way to it, refused something."""


class Unreachable(ClusterError):
    """No broker answered."""


class AuthenticationFailed(ClusterError):
    """A broker answered, and did not accept who we are."""


class AuthorisationFailed(ClusterError):
    """The cluster knows us, and does not allow what was asked."""


class TimedOut(ClusterError):
    """The cluster did not answer in time."""


class NotStored(ClusterError):
    """The cluster said yes, and the change cannot be read back."""


class Refusal(ClusterError):
    """The cluster turned a client away. `code` is librdkafka's name of the error, and Kafka's."""

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Turn a foreign error inside the block into one of this module's.

    Args:
        doing: What was being done, to follow "failed to", for example `read the topics`.

    Raises:
        ClusterError: Or the kind of it that fits; an error of kdeploy's own passes as it is.
    """
    try:
        yield
    except KdeployError:
        raise
    except (OSError, RuntimeError) as error:
        raise translate(error, doing) from error
    except Exception as error:
        if not isinstance(error, kafka().errors.KafkaError):
            raise
        raise translate(error, doing) from error


def translate(error: BaseException, doing: str) -> ClusterError:
    """The error of this module that says what a Kafka client's, a socket's or TLS's says.

    Args:
        error: The foreign error.
        doing: As in `translated`.
    """
    foreign = kafka().errors
    said = reason(error)
    if isinstance(error, foreign.AuthorizationError):
        return AuthorisationFailed(
            f"not allowed to {doing}: {said}\n"
            "  the administrator's certificate must be one that super.users names; run `kdeploy up` to renew both"
        )
    if isinstance(error, foreign.SaslAuthenticationFailedError | ssl.SSLError):
        return AuthenticationFailed(f"not let in, to {doing}: {said}")
    if isinstance(error, foreign.KafkaTimeoutError | foreign.RequestTimedOutError | TimeoutError):
        return TimedOut(f"no answer in time, to {doing}: {said}\n  look at the brokers with `kdeploy status`")
    if isinstance(error, foreign.KafkaConnectionError | foreign.NodeNotReadyError | OSError):
        return Unreachable(f"lost the cluster while trying to {doing}: {said}")
    return ClusterError(f"failed to {doing}: {said}")


def reason(error: BaseException) -> str:
    """What an error says, on one line, without the name of a Python class where it has words."""
    words = " ".join(str(argument) for argument in error.args if argument is not None and argument != "")
    if isinstance(error, ssl.SSLCertVerificationError):
        words = f"the certificate is not trusted ({getattr(error, 'verify_message', words)})"
    elif isinstance(error, ssl.SSLError):
        words = f"TLS: {(getattr(error, 'reason', None) or words).lower().replace('_', ' ')}"
    elif isinstance(error, OSError) and error.strerror:
        words = error.strerror.lower()
    elif words.isdigit():
        words = f"broker {words} does not answer"
    elif not words:
        words = str(getattr(error, "description", None) or "")
    return " ".join(words.split()) or type(error).__name__
