"""A web server on a free port of loopback that answers as a test wants."""

import asyncio
import hashlib
import ssl
from contextlib import suppress


class Web:
    """`async with Web() as web:`; `web.pages` holds what is where, `web.raw` whole answers that are sent as they are.

    A raw answer that ends in "..." goes on for ever, a byte now and then. context: of a server that speaks TLS.
    """

    def __init__(self, context: ssl.SSLContext | None = None):
        self._context = context
        self.pages: dict[str, bytes] = {}
        self.raw: dict[str, bytes] = {}
        self.asked: list[str] = []
        self._serving: set[asyncio.Task] = set()

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._context)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_):
        self._server.close()
        for task in self._serving:
            task.cancel()
        if self._serving:
            await asyncio.wait(self._serving)

    @property
    def url(self) -> str:
        return f"http{'s' if self._context else ''}://127.0.0.1:{self.port}/"

    def put(self, name: str, text: str) -> dict[str, str]:
        """Offer a page; returns where it is and its digest, as the command that fetches it wants them."""
        self.pages[f"/{name}"] = text.encode()
        return {"url": self.url + name, "sha256": hashlib.sha256(text.encode()).hexdigest()}

    async def _serve(self, reader, writer):
        self._serving.add(asyncio.current_task())
        try:
            await self._answer(reader, writer)
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()
            self._serving.discard(asyncio.current_task())

    async def _answer(self, reader, writer):
        with suppress(OSError, asyncio.IncompleteReadError):
            target = (await reader.readuntil(b"\r\n\r\n")).split()[1].decode()
            self.asked.append(target)
            raw = self.raw.get(target)
            if raw is None:
                page = self.pages.get(target)
                status = b"404 Not Found" if page is None else b"200 OK"
                raw = b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status, len(page or b""), page or b"")
            writer.write(raw.removesuffix(b"..."))
            while raw.endswith(b"..."):
                await writer.drain()
                await asyncio.sleep(0.02)
                writer.write(b"x")
            await writer.drain()
