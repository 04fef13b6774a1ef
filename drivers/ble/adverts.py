"""Adverts, and where they come from: the seam between a radio and all that is made of what it hears.

An `AdvertSource` is the radio by way of BlueZ (`bluez.Radio`), or a `StandIn` for one. A `Scan` is one source shared by all who
need it at the same time: those who listen, and those who look for a device before they connect to it.
"""

import asyncio
import contextlib
import re
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self, TypeAlias

import msgspec

from drivers.contract import DeviceFault

UNMEASURED = -127
"""The signal strength, in dBm, that stands for none: what bleak says where BlueZ gives none."""

ADDRESS = re.compile("([0-9A-F]{2}:){5}[0-9A-F]{2}")

_SHORT_UUID = "-0000-1000-8000-00805f9b34fb"


def full_uuid(text: str) -> str:
    """A UUID in its full form, lower case: "2a6e", "0x2A6E" and "00002A6E-0000-1000-8000-00805F9B34FB" are one. Or ValueError."""
    bare = text.lower().removeprefix("0x")
    if re.fullmatch(r"[0-9a-f]{4}|[0-9a-f]{8}", bare):
        return bare.rjust(8, "0") + _SHORT_UUID
    if re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", bare):
        return bare
    raise ValueError(text)


class Advert(Protocol):
    """What was heard. bleak's `AdvertisementData` is one."""

    @property
    def local_name(self) -> str | None:
        """The name by which the device calls itself, where it does."""

    @property
    def rssi(self) -> int:
        """Signal strength in dBm, or UNMEASURED."""

    @property
    def manufacturer_data(self) -> Mapping[int, bytes]:
        """Company id -> what follows it."""

    @property
    def service_data(self) -> Mapping[str, bytes]:
        """Full UUID -> what follows it."""


Heard: TypeAlias = Callable[[str, Advert, Any], None]
"""heard(address, advert, handle): on the event loop, and quick. The handle is what the source's radio needs to connect."""


class AdvertSource(Protocol):
    """Where adverts come from."""

    async def start(self, heard: Heard) -> None:
        """Begin anew, with nothing left of an earlier start. Raises DeviceFault(layer="bus")."""

    async def stop(self) -> None:
        """Let go; never raises, and does nothing when stopped."""


class Scan:
    """One source in use: `async with` scans, begun by the first who enters and ended by the last who leaves."""

    def __init__(self, source: AdvertSource, heard: Callable[[str, Advert], None], sought: frozenset[str]) -> None:
        """`sought`: addresses or names of the devices whose handles are kept, for `find`."""
        self.adverts = 0  # heard since the source was last started, from whomever
        self._source = source
        self._heard = heard
        self._sought = sought
        self._handles: dict[str, Any] = {}
        self._last: dict[str, tuple[Any, ...]] = {}  # what was last heard of those sought
        self._sighted = asyncio.Event()
        self._users = 0
        self._running = False
        self._lock = asyncio.Lock()

    async def __aenter__(self) -> Self:
        async with self._lock:
            if not self._running:
                await self._start()
            self._users += 1
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._users -= 1
        async with self._lock:
            if not self._users:
                await self._stop()

    async def renew(self) -> None:
        """Replace the scanner, for all who use it."""
        async with self._lock:
            await self._stop()
            await self._start()

    @contextlib.asynccontextmanager
    async def stopped(self) -> AsyncIterator[None]:
        """Without a scanner, until the end of the block, and after it until `renew`; nobody can begin one meanwhile."""
        async with self._lock:
            await self._stop()
            yield

    async def _start(self) -> None:
        self.adverts = 0
        self._handles.clear()
        self._last.clear()
        await self._source.start(self._note)
        self._running = True

    async def _stop(self) -> None:
        self._running = False
        await self._source.stop()

    async def find(self, who: str) -> Any:
        """The handle of a device, once it has been heard in this scan."""
        async with self:
            while who not in self._handles:
                self._sighted.clear()
                await self._sighted.wait()
            return self._handles[who]

    def forget(self, who: str) -> None:
        """What is known of this device no longer holds: it must be heard again before it is found."""
        self._handles.pop(who, None)

    def _note(self, address: str, advert: Advert, handle: Any) -> None:
        if self._sought:
            who = address if address in self._sought else advert.local_name
            if who in self._sought:
                if not self._is_news(who, advert):
                    return
                self._handles[who] = handle
                self._sighted.set()
        self.adverts += 1
        self._heard(address, advert)

    def _is_news(self, who: str, advert: Advert) -> bool:
        """Whether this is an advert at all: for a device that is connected to, bleak tells of every change as if it were one."""
        said = (advert.rssi, advert.service_data, advert.manufacturer_data)
        before, self._last[who] = self._last.get(who), said
        return advert.rssi != UNMEASURED and said != before


# ---------------------------------------------------------------- the stand-in


class _Datagram(msgspec.Struct, forbid_unknown_fields=True):
    """An advert in JSON: {"address": "54:48:E6:8F:80:A5", "rssi": -60, "service_data": {"fcd2": "4002ca09"}}."""

    address: str
    name: str | None = None
    rssi: int = UNMEASURED
    manufacturer_data: dict[int, str] = {}
    service_data: dict[str, str] = {}


class Told(msgspec.Struct, frozen=True):
    """An advert that was told rather than heard."""

    local_name: str | None
    rssi: int
    manufacturer_data: Mapping[int, bytes]
    service_data: Mapping[str, bytes]


class StandIn(asyncio.DatagramProtocol):
    """Adverts as datagrams on a Unix socket, for a hub without a radio: a demo, a test, a bridge to a radio of another kind.

    The socket is made at `path` and only its owner may write to it. What is no advert is passed over, and remarked on once.
    """

    def __init__(self, path: str, remark: Callable[[str], None]) -> None:
        self._path = Path(path)
        self._remark = remark
        self._heard: Heard | None = None
        self._transport: asyncio.BaseTransport | None = None

    async def start(self, heard: Heard) -> None:
        """Take the socket, in the place of one that a dead process left there."""
        await self.stop()
        self._heard = heard
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            if self._path.is_socket():
                self._path.unlink()
            listener.bind(str(self._path))
            self._path.chmod(0o600)
        except OSError as error:
            listener.close()
            raise DeviceFault(
                f"the stand-in's socket {self._path} cannot be made ({error.strerror or error})",
                kind="gone",
                layer="bus",
                hint="give a path of at most 107 characters in a folder where the hub's user may write",
            ) from error
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(lambda: self, sock=listener)

    async def stop(self) -> None:
        """Let go of the socket."""
        transport, self._transport = self._transport, None
        if transport:
            transport.close()
            with contextlib.suppress(OSError):
                self._path.unlink()

    def datagram_received(self, data: bytes, _: object) -> None:
        """One advert, on its way."""
        try:
            address, advert = _told(data)
        except ValueError as error:  # msgspec raises this kind, too
            self._remark(f"passes over what is no advert ({error})")
            return
        if self._heard:
            self._heard(address, advert, None)


def _told(data: bytes) -> tuple[str, Told]:
    told = msgspec.json.decode(data, type=_Datagram)
    address = told.address.upper()
    if not ADDRESS.fullmatch(address):
        raise ValueError(address)
    manufacturer_data = {company: bytes.fromhex(value) for company, value in told.manufacturer_data.items()}
    service_data = {full_uuid(uuid): bytes.fromhex(value) for uuid, value in told.service_data.items()}
    return address, Told(told.name, told.rssi, manufacturer_data, service_data)
