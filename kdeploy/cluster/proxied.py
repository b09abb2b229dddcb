"""Records through a proxy, by kafka-python: librdkafka, which carries them elsewhere, can use none.

Invariant: as `roundtrip` promises, with the same settings and the same names of errors: acknowledged by all
in-sync replicas (acks=all, idempotent), and both clients closed when a function returns.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Final, NamedTuple

from kdeploy.cluster import Proxy
from kdeploy.cluster.client import Foreign, kafka, way
from kdeploy.cluster.failure import ClusterError, Refusal, Unreachable, reason
from kdeploy.cluster.wire import addresses, context, speaks_tls

TIMEOUT: Final = 20.0
"""Seconds for a client to begin, and for a broker to begin to speak TLS: kafka-python would wait for ever for that."""

POLL: Final = 0.2
"""Seconds that one look for records waits for some."""

AT_ONCE: Final = 10_000
"""Records that one look takes."""


class Sent(NamedTuple):
    """A record to write."""

    partition: int
    value: bytes | None
    key: bytes | None = None


def produce(
    client: Mapping[str, str],
    topic: str,
    records: Sequence[Sent],
    proxy: Proxy,
    *,
    patience: float,
    largest: int = 2**20,
) -> None:
    """Write records and wait until all are acknowledged.

    Args:
        client: librdkafka's settings: where, and as whom.
        topic: Where to.
        records: What, in order.
        proxy: What to go through.
        patience: Seconds without any progress after which the rest is not waited for.
        largest: Bytes of the largest request.

    Raises:
        Refusal: The first one that was not taken.
        ClusterError: Some were not acknowledged in time.
    """
    settings = {"acks": "all", "enable_idempotence": True, "linger_ms": 5, "max_request_size": largest}
    limits = {"max_block_ms": int(patience * 1000), "delivery_timeout_ms": int(patience * 3000)}
    done = 0
    with _opened(kafka().KafkaProducer, client, proxy, "producing", settings | limits) as producer:
        try:
            going = [producer.send(topic, one.value, key=one.key, partition=one.partition) for one in records]
            for one in going:
                one.get(timeout=patience)
                done += 1
        except kafka().errors.KafkaTimeoutError:
            left = len(records) - done
            raise ClusterError(f"{left} of {len(records)} records were not acknowledged in time") from None
        except kafka().errors.KafkaError as error:
            raise _refusal("producing was refused", error) from None


def consume(
    client: Mapping[str, str], topic: str, partition: int, proxy: Proxy, *, patience: float, records: int
) -> list[bytes]:
    """Read so many records' values from the beginning of a partition; fewer where the rest did not come in time.

    Raises:
        Refusal: The cluster turned the reader away.
    """
    values: list[bytes] = []
    with _reader(client, topic, partition, proxy) as (consumer, place):
        consumer.seek(place, 0)
        for some in _looks(consumer, place, patience):
            values += [one.value for one in some]
            if len(values) >= records:
                break
    return values[:records]


def compacted(
    client: Mapping[str, str], topic: str, proxy: Proxy, *, patience: float
) -> tuple[list[tuple[bytes, bytes | None]], int]:
    """All keys and values of a topic's one partition, in order, up to its end as it was when reading began.

    Returns:
        The records, and how many offsets before that end were not reached in time: 0 when all was read.

    Raises:
        Refusal: The cluster turned the reader away.
    """
    found: list[tuple[bytes, bytes | None]] = []
    with _reader(client, topic, 0, proxy) as (consumer, place):
        end = consumer.end_offsets([place])[place]
        consumer.seek(place, consumer.beginning_offsets([place])[place])
        # The position and not the last record tells the end: compaction and transactions leave gaps before it.
        left = end - consumer.position(place)
        for some in _looks(consumer, place, patience) if left > 0 else ():
            found += [(one.key or b"", one.value) for one in some if one.offset < end]
            left = end - consumer.position(place)
            if left <= 0:
                break
        return found, max(0, left)


@contextmanager
def reading(client: Mapping[str, str], proxy: Proxy, settings: Mapping[str, Foreign]) -> Iterator[Foreign]:
    """A consumer of kafka-python's for the block.

    Args:
        client: librdkafka's settings: where, and as whom.
        proxy: What to go through.
        settings: More settings, in kafka-python's names.

    Raises:
        Refusal: The cluster turned it away.
    """
    with _opened(kafka().KafkaConsumer, client, proxy, "reading", settings) as consumer:
        yield consumer


@contextmanager
def _reader(
    client: Mapping[str, str], topic: str, partition: int, proxy: Proxy
) -> Iterator[tuple[Foreign, Foreign]]:
    settings = {"enable_auto_commit": False, "auto_offset_reset": "none"}
    place = kafka().TopicPartition(topic, partition)
    with reading(client, proxy, settings) as consumer:
        try:
            consumer.assign([place])
            yield consumer, place
        except kafka().errors.KafkaError as error:
            raise _refusal("reading was refused", error) from None


def _looks(consumer: Foreign, place: Foreign, patience: float) -> Iterator[Iterable[Foreign]]:
    """What each look brings, as long as some of them bring anything."""
    moved = monotonic()
    while monotonic() < moved + patience:
        some = consumer.poll(timeout_ms=int(POLL * 1000), max_records=AT_ONCE).get(place, ())
        if some:
            moved = monotonic()
        elif place.topic in consumer._cluster.unauthorized_topics:
            # Without a group nobody but the metadata says so (kafka-python 3.0.12).
            raise kafka().errors.TopicAuthorizationFailedError(place.topic)
        yield some


@contextmanager
def _opened(
    kind: Foreign, client: Mapping[str, str], proxy: Proxy, doing: str, settings: Mapping[str, Foreign]
) -> Iterator[Foreign]:
    made: list[Foreign] = []

    def remember(**config: Foreign) -> Foreign:
        """Keep hold of the network client: when bootstrap fails, the constructor leaves a thread behind."""
        made.append(kafka().net.compat.KafkaNetClient(**config))
        return made[0]

    given = {**_settings(client), **settings, "kafka_client": remember, "proxy_url": way(proxy)}
    _refuse_silent(client, proxy)
    try:
        opened = kind(**given, client_id="kdeploy-verify", bootstrap_timeout_ms=int(TIMEOUT * 1000))
    except BaseException as error:
        for one in made:
            one.close()
        if not isinstance(error, kafka().errors.KafkaError | RuntimeError | OSError):
            raise
        raise _refusal(f"{doing} was refused", error) from None
    try:
        yield opened
    finally:
        opened.close(**({"autocommit": False} if doing == "reading" else {"timeout": TIMEOUT}))


def _refuse_silent(client: Mapping[str, str], proxy: Proxy) -> None:
    """Refuse where no broker begins to speak TLS, for which the client would wait without end."""
    servers = client["bootstrap.servers"]
    encrypted = client.get("security.protocol", "PLAINTEXT").endswith("SSL")
    if encrypted and not any(speaks_tls(host, port, TIMEOUT, proxy) for host, port in addresses(servers)):
        raise Unreachable(f"nobody speaks TLS at {servers}")


def _settings(client: Mapping[str, str]) -> dict[str, Foreign]:
    """Settings of librdkafka's as kafka-python takes them."""
    found: dict[str, Foreign] = {"bootstrap_servers": client["bootstrap.servers"].split(",")}
    if "security.protocol" in client:
        shown = client.get("ssl.certificate.location")
        found["security_protocol"] = client["security.protocol"]
        found["ssl_context"] = context(Path(client["ssl.ca.location"]), Path(shown) if shown else None)
    if "sasl.mechanism" in client:
        found["sasl_mechanism"] = client["sasl.mechanism"]
        found["sasl_plain_username"] = client["sasl.username"]
        found["sasl_plain_password"] = client["sasl.password"]
    return found


def _refusal(what: str, error: BaseException) -> Refusal:
    return Refusal(f"{what}: {reason(error)}", str(getattr(error, "message", "") or type(error).__name__))
