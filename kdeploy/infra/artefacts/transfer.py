"""One file over HTTP, in bounded time, with its hash.

Invariant: a server that does not answer is given up after the patience asked for, even
where the name server is what hangs. Proxies and authorities named in the environment
(HTTPS_PROXY, NO_PROXY, REQUESTS_CA_BUNDLE) are respected, by the HTTP library.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from kdeploy.infra.artefacts.contents import Refused

if TYPE_CHECKING:
    import hashlib

    import requests

BLOCK: Final = 1 << 16
"""Bytes taken from a connection at once."""

STALL: Final = 3.0
"""A transfer may stand still this many times the patience for a first answer."""


def session() -> requests.Session:
    """A session that asks again when a server is busy, and keeps connections open."""
    import requests
    from requests.adapters import HTTPAdapter
    from urllib3 import Retry

    logging.getLogger("urllib3").setLevel(
        logging.ERROR
    )  # its warnings of each retry are not for the operator
    retry = Retry(
        total=3,
        connect=1,
        read=False,
        backoff_factor=0.5,
        status_forcelist=(429, 502, 503, 504),
        raise_on_status=False,
    )
    opened = requests.Session()
    opened.mount("https://", HTTPAdapter(max_retries=retry, pool_maxsize=16))
    opened.mount("http://", HTTPAdapter(max_retries=retry, pool_maxsize=16))
    return opened


def text(opened: requests.Session, url: str, patience: float) -> str:
    """A small text file, within the patience in all.

    Raises:
        Refused: It did not come, or not in time.
    """
    answer: list[str | Exception] = []

    def ask() -> None:
        try:
            with translated():
                # Longer than the wait below, so that a slow server always gets the same words.
                response = opened.get(url, timeout=(patience * STALL, patience * STALL))
                refuse_status(response)
                answer.append(response.text)
        except Exception as error:  # noqa: BLE001  # raised below, where somebody hears it
            answer.append(error)

    # A thread, because looking up a name has no time-out of its own.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(patience)
    if not answer:
        raise Refused(f"no answer in {patience:g} s")
    if isinstance(answer[0], Exception):
        raise answer[0]
    return answer[0]


def save(
    opened: requests.Session,
    url: str,
    file: Path,
    digest: hashlib._Hash,
    patience: float,
    progress: Callable[[int, int], None],
) -> None:
    """Write what a URL holds to a file, and update a hash with it.

    Args:
        opened: The session.
        url: What to fetch.
        file: Where to; overwritten.
        digest: Updated with every byte.
        patience: Seconds for the first answer.
        progress: Told bytes that just came and bytes in all (0 where the server does not say).

    Raises:
        Refused: It did not come whole.
    """
    with translated(), opened.get(url, stream=True, timeout=(patience, patience * STALL)) as response:
        refuse_status(response)
        total = int(response.headers.get("content-length") or 0)
        with file.open("wb") as target:
            for block in response.iter_content(BLOCK):
                target.write(block)
                digest.update(block)
                progress(len(block), total)


def refuse_status(response: requests.Response) -> None:
    """Refuse any answer but 200."""
    if response.status_code != 200:
        raise Refused(f"the server answered {response.status_code} {response.reason}")


class translated:  # noqa: N801 - reads as a word in `with`
    """Turns the HTTP library's errors into short `Refused`; a proxy's password never shows."""

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Translate."""
        import requests
        from urllib3.exceptions import HTTPError, LocationParseError

        if not isinstance(error, requests.RequestException | HTTPError):
            if isinstance(error, OSError) and error.errno is None:
                # Not the system's but requests' own words: REQUESTS_CA_BUNDLE names no file.
                raise Refused(str(error)) from None
            return
        for known, words in (
            (requests.exceptions.InvalidProxyURL, "the proxy is not a URL"),
            (requests.exceptions.InvalidSchema, "it is not a URL that begins with http:// or https://"),
            (requests.exceptions.MissingSchema, "it is not a URL that begins with http:// or https://"),
            ((requests.exceptions.InvalidURL, LocationParseError), "it is not a URL"),
            (requests.exceptions.ProxyError, "the proxy does not let it through"),
            (requests.exceptions.SSLError, "its certificate is not trusted"),
            (requests.exceptions.ConnectTimeout, "no connection in time"),
            (requests.exceptions.ReadTimeout, "it stopped answering"),
            (requests.exceptions.ChunkedEncodingError, "the transfer broke off"),
            (requests.exceptions.ConnectionError, "it cannot be reached"),
        ):
            if isinstance(error, known):
                raise Refused(words) from None
        raise Refused(f"it failed ({type(error).__name__})") from None
