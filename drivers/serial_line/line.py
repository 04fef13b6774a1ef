"""One open serial line on the event loop: bytes out, bytes in, and the one place that says when it is gone."""

import asyncio
from typing import TYPE_CHECKING, Annotated, Literal

from msgspec import Meta

from drivers.contract import DeviceFault, Keys, Seconds
from drivers.ports import Parity, SerialTransport, open_port

if TYPE_CHECKING:
    import serial

BOUND = 65536  # bytes that have come and that nobody has asked for yet; older ones are forgotten


class LineKeys(Keys, frozen=True, kw_only=True):
    """`[bus.NAME]` of a serial line."""

    port: Annotated[
        str, Meta(min_length=1, description='A name of /dev/serial/by-id, "serial:" and the USB serial number, or a path.')
    ]
    baud: Annotated[int, Meta(ge=50, le=4_000_000, description="Bits a second.")] = 9600
    parity: Parity = "none"
    data_bits: Literal[5, 6, 7, 8] = 8
    stop_bits: Literal[1, 2] = 1
    flow: Annotated[Literal["none", "hardware", "software"], Meta(description="Flow control: RTS/CTS or XON/XOFF.")] = "none"
    dtr: Annotated[bool | None, Meta(description="Hold this line high or low: it powers the optical head of many meters.")] = None
    rts: Annotated[bool | None, Meta(description="Likewise.")] = None
    rs485: Annotated[bool, Meta(description="The port's own driver must switch the transceiver (boards, rarely adapters).")] = False
    echo: Annotated[bool, Meta(description="The adapter hears its own requests (RS-485 with two wires): leave them out.")] = False
    gap: Annotated[Seconds, Meta(le=5, description="Silence before each request.")] = 0.0


def gone(port: str, why: str = "") -> DeviceFault:
    """The fault of a port that was open, or should be, and is not."""
    hint = "is the adapter plugged in? It is found again by itself"
    return DeviceFault(f'port "{port}" is gone{why}', kind="gone", layer="bus", hint=hint)


class Line(asyncio.Protocol):
    """An open port. Every method but `close` raises DeviceFault(kind="gone", layer="bus") when it is there no more."""

    def __init__(self, port: str) -> None:
        self._port = port
        self._received = bytearray()
        self._news: asyncio.Future[None] | None = None
        self._transport: SerialTransport | None = None
        self._why = ""

    @property
    def lost(self) -> bool:
        """Whether it must be opened anew."""
        return self._transport is None or self._transport.is_closing()

    async def receive(self, within: float | None = None) -> bytes:
        """What has come, as soon as anything has; nothing where nothing comes within so many seconds."""
        if not self._received:
            self._open()
            self._news = asyncio.get_running_loop().create_future()
            try:
                async with asyncio.timeout(within):
                    await self._news
            except TimeoutError:
                return b""
            finally:
                self._news = None
        if not self._received:
            self._open()
        data = bytes(self._received)
        self._received.clear()
        return data

    def send(self, data: bytes) -> None:
        """Hand over what is to be sent."""
        self._open().write(data)
        self._open()

    async def hush(self, seconds: float) -> None:
        """Forget what has come, and whatever still comes until the line has been silent for so many seconds."""
        self._open().forget_input()
        self._received.clear()
        while seconds and await self.receive(seconds):
            pass

    def close(self) -> None:
        """Let go of the port now; may be called twice."""
        if self._transport is not None:
            self._transport.close()

    def _open(self) -> SerialTransport:
        if self._transport is None or self._transport.is_closing():
            raise gone(self._port, self._why)
        return self._transport

    # ------------------------------------------------------------ what the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        assert isinstance(transport, SerialTransport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        self._received += data
        del self._received[:-BOUND]
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self._why = f" ({exc})" if exc else ""
        self._wake()

    def _wake(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)


class Echo:
    """Leaves out what an adapter hears of its own request."""

    def __init__(self, request: bytes) -> None:
        self._left = request

    def without(self, data: bytes) -> bytes:
        """What of `data` is not the echo."""
        size = min(len(data), len(self._left))
        if data[:size] != self._left[:size]:  # no echo, or a garbled one: let the framing judge
            size, self._left = 0, b""
        self._left = self._left[size:]
        return data[size:]


async def open_line(keys: LineKeys) -> Line:
    """Open a port beside the loop: a sick USB adapter may take seconds, which other buses must not notice.

    Raises DeviceFault(layer="bus").
    """
    loop = asyncio.get_running_loop()
    opening = loop.run_in_executor(None, _open_port, keys)
    try:
        port = await asyncio.shield(opening)
    except asyncio.CancelledError:
        opening.add_done_callback(lambda done: done.exception() or done.result().close())
        raise
    line = Line(keys.port)
    SerialTransport(loop, line, port)
    return line


def _open_port(keys: LineKeys) -> "serial.Serial":
    port = open_port(
        keys.port, baud=keys.baud, parity=keys.parity, data_bits=keys.data_bits, stop_bits=keys.stop_bits, rs485=keys.rs485
    )
    try:
        if keys.flow != "none":
            port.rtscts, port.xonxoff = keys.flow == "hardware", keys.flow == "software"
        if keys.dtr is not None:
            port.dtr = keys.dtr
        if keys.rts is not None:
            port.rts = keys.rts
    except OSError as error:
        port.close()
        what = f'port "{keys.port}" has no such control lines'
        raise DeviceFault(what, kind="misfit", layer="bus", hint="leave out dtr, rts and flow") from error
    return port
