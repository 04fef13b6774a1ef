"""One file from a web server: small, from the very address that was named, and soon, or one line that says why not.

No redirect is followed, no proxy is used, and the server has to be who it says it is. What came is the caller's to verify.
"""

import asyncio
import socket
import ssl
from contextlib import suppress
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from urllib.parse import urlsplit

from gateway.aside import aside

LARGEST = 256 * 1024  # bytes
LONGEST = 30.0  # s for all of it
STEP = 10.0  # s without a byte


class FetchError(Exception):
    """It cannot be had; one line for a person."""


async def fetch(url: str, ca: str = "") -> bytes:
    """The file at an address ("https://...", or "http://..." on this machine). Raises FetchError.

    ca: a file with a certificate authority that is trusted beside the system's own.
    """
    errand = _Errand(url, ca)
    try:
        async with asyncio.timeout(LONGEST):
            return await aside("fetch", errand.run)
    except TimeoutError:
        raise FetchError(f"{url} was not there within {LONGEST:g} s") from None
    finally:
        errand.cut_short()


class _Errand:
    """One request, in a thread that may be hurried."""

    def __init__(self, url: str, ca: str) -> None:
        self._url = url
        self._ca = ca
        self._connection: HTTPConnection | None = None

    def run(self) -> bytes:
        parts = urlsplit(self._url)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        try:
            self._connection = connection = self._connect(parts.scheme, parts.hostname or "", parts.port)
            connection.request("GET", target)
            answer = connection.getresponse()
            if answer.status != 200:
                elsewhere = "; it leads elsewhere, so name that place itself" if 300 <= answer.status < 400 else ""
                raise FetchError(f"{self._url} is answered with {answer.status}{elsewhere}")
            raw = answer.read(LARGEST + 1)
        except (OSError, HTTPException, ValueError) as error:
            raise FetchError(f"{self._url} cannot be had: {error or type(error).__name__}") from error
        finally:
            if self._connection:
                self._connection.close()
        if len(raw) > LARGEST:
            raise FetchError(f"{self._url} has more than {LARGEST // 1024} KiB")
        return raw

    def _connect(self, scheme: str, host: str, port: int | None) -> HTTPConnection:
        if scheme != "https":
            return HTTPConnection(host, port, timeout=STEP)
        context = ssl.create_default_context()
        if self._ca:
            context.load_verify_locations(self._ca)
        return HTTPSConnection(host, port, timeout=STEP, context=context)

    def cut_short(self) -> None:
        """Let go of the connection, wherever the thread is with it."""
        sock = self._connection and self._connection.sock
        if sock:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
