"""One Bluetooth adapter by way of BlueZ and bleak. The only file that imports bleak; it is imported when a BLE bus is opened.

`Radio` scans (it is an `AdvertSource`, see ble.py) and makes links to devices. Whatever bleak, D-Bus and BlueZ raise becomes a
`DeviceFault` here, in `translate`, and nowhere else.

What bleak 3.1 was seen to do on BlueZ 5.66 and 5.82, and what is done about it:
- Under a running scan the adapter is switched off and on, or bluetoothd restarts: the scanner hears nothing for ever, says nothing,
  and its stop() fails. So every start makes a new scanner, and what stop() raises is of no interest.
- Given an address, connect() scans for it, which BlueZ refuses while another scan runs. So it is given what the scan has found.
- Two devices connected at the same time: both fail. So the caller connects to one after the other.
- A read whose link goes away ends with the protocol error "Unlikely Error", as if the device had said so; a read that the device
  never answers ends with the same error after 30 s. So that error counts as a lost link.
- `is_connected` stays true when bluetoothd was killed, and after that 30 s timeout. So it is not asked; a client that has failed is
  thrown away, with a disconnect() that has a limit because it, too, may wait for ever.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from bleak import BleakClient, BleakScanner
from bleak.args.bluez import BlueZScannerArgs, OrPattern
from bleak.assigned_numbers import AdvertisementDataType
from bleak.exc import (
    BleakBluetoothNotAvailableError,
    BleakBluetoothNotAvailableReason,
    BleakCharacteristicNotFoundError,
    BleakDBusError,
    BleakDeviceNotFoundError,
    BleakError,
    BleakGATTProtocolError,
    BleakGATTProtocolErrorCode,
)

from drivers.contract import DeviceFault, FaultKind

if TYPE_CHECKING:
    from dbus_fast.aio import MessageBus

SWITCHING = 10.0  # s that switching an adapter off or on may take
LETTING_GO = 5.0  # s that stopping a scan or disconnecting may take; it takes up to 2 s on a healthy adapter

# ---------------------------------------------------------------- faults


class _Meaning(NamedTuple):
    """What an error stands for. `bus`: nothing on this adapter can work now."""

    kind: FaultKind
    what: str
    hint: str
    bus: bool = False


_NO_ADAPTER = _Meaning("gone", "there is no Bluetooth adapter {adapter}", "plug one in, or look at `rfkill list`", bus=True)
_OFF = _Meaning("gone", "the Bluetooth adapter is off", "`rfkill unblock bluetooth` and `bluetoothctl power on`", bus=True)
_NO_BLUEZ = _Meaning("gone", "bluetoothd is not running", "`systemctl enable --now bluetooth`", bus=True)
_NO_DBUS = _Meaning("gone", "the system's D-Bus cannot be reached", "install and start dbus", bus=True)
_DENIED = _Meaning("refused", "D-Bus refuses access to Bluetooth", "add the hub's user to the group bluetooth", bus=True)
_BUSY = _Meaning("busy", "the adapter is busy", "leave the adapter to this bus alone: one bus, no other program that scans")
_LOST = _Meaning("gone", "the link was lost", "bring it nearer to the hub, and check its battery")
_PAIR = _Meaning("refused", "it wants to be paired first", "pair it with `bluetoothctl pair ADDRESS`")
_NO_WRITES = _Meaning("refused", "it does not let this be written", "check the profile against model and firmware")
_OUT_OF_RANGE = _Meaning("silent", "it was not found", "bring it nearer to the hub, and check its battery")
_SLOW = _Meaning("silent", "it does not answer in time", "bring it nearer; disconnect the phone or program that holds it")

_REASONS = {
    BleakBluetoothNotAvailableReason.NO_BLUETOOTH: _NO_ADAPTER,
    BleakBluetoothNotAvailableReason.NO_BLE_CENTRAL_ROLE: _NO_ADAPTER,
    BleakBluetoothNotAvailableReason.POWERED_OFF: _OFF,
    BleakBluetoothNotAvailableReason.DENIED_BY_SYSTEM: _DENIED,
}
_DBUS = "org.freedesktop.DBus.Error."
_BLUEZ = "org.bluez.Error."
_DBUS_ERRORS = {
    _DBUS + "ServiceUnknown": _NO_BLUEZ,
    _DBUS + "NameHasNoOwner": _NO_BLUEZ,
    _DBUS + "FileExists": _NO_BLUEZ,  # a masked unit
    _DBUS + "NoReply": _NO_BLUEZ,  # it ended while it was being asked
    _DBUS + "Disconnected": _NO_DBUS,
    _DBUS + "AccessDenied": _DENIED,
    _DBUS + "UnknownMethod": _NO_ADAPTER,  # of an adapter that is no longer there
    _DBUS + "UnknownObject": _LOST,  # of a device that BlueZ has forgotten
    _BLUEZ + "NotReady": _OFF,
    _BLUEZ + "InProgress": _BUSY,
    _BLUEZ + "NotConnected": _LOST,
    _BLUEZ + "DoesNotExist": _OUT_OF_RANGE,
    _BLUEZ + "AuthenticationFailed": _PAIR,
    _BLUEZ + "AuthenticationCanceled": _PAIR,
    _BLUEZ + "AuthenticationRejected": _PAIR,
    _BLUEZ + "NotAuthorized": _PAIR,
    _BLUEZ + "NotPermitted": _NO_WRITES,
    _BLUEZ + "NotSupported": _NO_WRITES,
    _BLUEZ + "InvalidValueLength": _NO_WRITES,
    _BLUEZ + "Blocked": _OFF,
    _BLUEZ + "Busy": _BUSY,
}
_FAILURES = {  # texts of org.bluez.Error.Failed
    "Not connected": _LOST,
    "Operation already in progress": _BUSY,
    "br-connection-canceled": _BUSY,
    "Blocked through rfkill": _OFF,
}
_REFUSALS = {
    BleakGATTProtocolErrorCode.UNLIKELY_ERROR: _LOST,
    BleakGATTProtocolErrorCode.INSUFFICIENT_AUTHENTICATION: _PAIR,
    BleakGATTProtocolErrorCode.INSUFFICIENT_AUTHORIZATION: _PAIR,
    BleakGATTProtocolErrorCode.INSUFFICIENT_ENCRYPTION: _PAIR,
    BleakGATTProtocolErrorCode.WRITE_NOT_PERMITTED: _NO_WRITES,
    BleakGATTProtocolErrorCode.INVALID_ATTRIBUTE_VALUE_LENGTH: _NO_WRITES,
}


def _meaning(error: Exception) -> _Meaning:
    match error:
        case BleakBluetoothNotAvailableError():
            return _REASONS.get(error.reason, _DENIED)
        case BleakDBusError():
            name, text = error.dbus_error, error.dbus_error_details or ""
            if name.startswith((_DBUS + "Spawn", "org.freedesktop.systemd1.")):
                return _NO_BLUEZ
            return _DBUS_ERRORS.get(name) or _FAILURES.get(text) or _Meaning("gone", f"BlueZ says {text or name}", "try it again")
        case BleakGATTProtocolError():
            refused = _Meaning("refused", f"it refuses: {error.args[1].rpartition(': ')[2]}", "check the profile, or pair it")
            return _REFUSALS.get(error.code, refused)
        case BleakCharacteristicNotFoundError():
            return _Meaning("misfit", f"it has no characteristic {error.char_specifier}", "check model, firmware and profile")
        case BleakDeviceNotFoundError():
            return _OUT_OF_RANGE
        case TimeoutError():
            return _SLOW
        case BleakError() if str(error).endswith("not found"):  # bleak has no type for these two
            return _NO_ADAPTER if str(error).startswith("adapter") else _OUT_OF_RANGE
        case BleakError():  # "Not connected", "Service Discovery has not been performed yet", "failed to discover services, ..."
            return _LOST
        case _:
            return _NO_DBUS


def translate(error: Exception, doing: str, adapter: str, *, scanning: bool = False) -> DeviceFault:
    """The fault that an error of bleak, D-Bus or BlueZ stands for. Whatever stops a scan concerns the whole bus."""
    meaning = _meaning(error)
    what = f"{doing}: {meaning.what.format(adapter=adapter)}"
    return DeviceFault(what, kind=meaning.kind, layer="bus" if scanning or meaning.bus else "device", hint=meaning.hint)


def _errors() -> tuple[type[Exception], ...]:
    """What bleak lets through besides its own errors: those of sockets and of the D-Bus library."""
    from dbus_fast.errors import AuthError, DBusError

    return (BleakError, OSError, EOFError, TimeoutError, AuthError, DBusError)


_ERRORS = _errors()


# ---------------------------------------------------------------- the adapter


class Radio:
    """One adapter. `patterns` are what a passive scan lets through, as (AD type, first bytes); none of them: scan actively.

    `insist`: a passive scan or none. Otherwise the scan is active where BlueZ refuses passive ones, and `remark` is told.
    """

    def __init__(
        self, adapter: str, patterns: Sequence[tuple[int, bytes]], remark: Callable[[str], None], *, insist: bool = False
    ) -> None:
        self._adapter = adapter
        self._patterns = [OrPattern(0, AdvertisementDataType(kind), start) for kind, start in patterns]
        self._remark = remark
        self._insist = insist
        self._scanner: BleakScanner | None = None

    async def start(self, heard: Callable[[str, Any, Any], None]) -> None:
        """Scan with a new scanner: heard(address, advert, handle for `link`) on every advert. Raises DeviceFault(layer="bus")."""

        def detected(device: Any, advert: Any) -> None:
            heard(device.address, advert, device)

        try:
            await self._scan(detected)
        except _ERRORS as error:
            raise translate(error, "scanning", self._adapter, scanning=True) from error

    async def _scan(self, detected: Callable[[Any, Any], None]) -> None:
        if self._patterns:
            patterns: BlueZScannerArgs = {"adapter": self._adapter, "or_patterns": list(self._patterns)}
            try:
                return await self._begin(BleakScanner(detected, scanning_mode="passive", bluez=patterns))
            except BleakError as error:
                if "passive scanning" not in str(error):  # bleak has no type for it
                    raise
                advice = "bluetoothd needs the option --experimental for it"
                if self._insist:
                    raise DeviceFault("BlueZ refuses passive scans", kind="refused", layer="bus", hint=advice) from error
                self._remark(f"scans actively, as BlueZ refuses passive scans; {advice}")
        return await self._begin(BleakScanner(detected, bluez={"adapter": self._adapter}))

    async def _begin(self, scanner: BleakScanner) -> None:
        """Start it wholly or not at all: BlueZ goes on scanning for a start that was cut in half, and refuses every later one."""
        try:
            await _wholly(scanner.start())
        except asyncio.CancelledError:
            await _let_go(scanner.stop)
            raise
        self._scanner = scanner

    async def stop(self) -> None:
        """Never raises: a deaf scanner cannot be stopped in good order, and needs not be."""
        scanner, self._scanner = self._scanner, None
        if scanner:
            await _let_go(scanner.stop)

    async def power_cycle(self) -> None:
        """Switch the adapter off and on. It is not left off: not when switching off fails half way, nor when this is cancelled.

        Every link and scan on it ends, also those of other programs. Raises DeviceFault(layer="bus").
        """
        async with self._switchboard("resetting") as bus:
            try:
                await self._switch(bus, on=False)
            finally:
                await _wholly(self._switch(bus, on=True))

    async def power_on(self) -> None:
        """Switch the adapter on; nothing changes where it is. Raises DeviceFault(layer="bus")."""
        async with self._switchboard("switching on") as bus:
            await self._switch(bus, on=True)

    @contextlib.asynccontextmanager
    async def _switchboard(self, doing: str) -> "AsyncIterator[MessageBus]":
        """A connection to D-Bus of its own."""
        from dbus_fast import BusType
        from dbus_fast.aio import MessageBus

        try:
            bus = await MessageBus(bus_type=BusType.SYSTEM).connect()
            try:
                yield bus
            finally:
                bus.disconnect()
        except _ERRORS as error:
            raise translate(error, doing, self._adapter, scanning=True) from error

    async def _switch(self, bus: "MessageBus", *, on: bool) -> None:
        from dbus_fast import Message, MessageType, Variant

        order = Message(
            destination="org.bluez",
            path=f"/org/bluez/{self._adapter}",
            interface="org.freedesktop.DBus.Properties",
            member="Set",
            signature="ssv",
            body=["org.bluez.Adapter1", "Powered", Variant("b", on)],
        )
        async with asyncio.timeout(SWITCHING):
            reply = await bus.call(order)
        if reply is not None and reply.message_type is MessageType.ERROR:
            unknown = reply.error_name == _DBUS + "UnknownObject"  # here it is the adapter, elsewhere a device
            raise BleakDBusError(_DBUS + "UnknownMethod" if unknown else str(reply.error_name), reply.body)

    @contextlib.asynccontextmanager
    async def link(self, handle: Any, deadline: float) -> AsyncIterator["Link"]:
        """Connected to one device, by what the scan gave as its handle, until the end of the block; `deadline` is of the loop."""
        link = Link(handle, self._adapter)
        try:
            await link.connect(deadline)
            yield link
        finally:
            await _let_go(link.client.disconnect)


async def _wholly(act: Coroutine[Any, Any, None]) -> None:
    """Do this to its end, or as long as letting go may take, even when cancelled in the middle; that is raised afterwards."""
    task = asyncio.ensure_future(act)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await _let_go(lambda: task)
        raise


async def _let_go(act: Callable[[], Any]) -> None:
    """Do this, but not for ever; that it fails means that there was nothing left to let go of."""
    with contextlib.suppress(Exception):
        async with asyncio.timeout(LETTING_GO):
            await act()


class Link:
    """A connection to one device."""

    def __init__(self, handle: Any, adapter: str) -> None:
        self.client = BleakClient(handle, self._disconnected, bluez={"adapter": adapter})
        self._adapter = adapter
        self._stirred = asyncio.Event()

    def _disconnected(self, _: BleakClient) -> None:
        self._stirred.set()

    async def connect(self, deadline: float) -> None:
        """Connect and discover the services."""
        try:
            async with asyncio.timeout_at(deadline):
                await self.client.connect()
        except _ERRORS as error:
            raise translate(error, "connecting", self._adapter) from error

    async def fetch(self, uuid: str, deadline: float, *, notified: bool) -> bytes:
        """The value of one characteristic, read, or waited for where it is `notified`. Raises DeviceFault.

        After a fault of kind "refused" or "misfit" the other characteristics can still be fetched; after any other, none.
        """
        try:
            async with asyncio.timeout_at(deadline):
                return await (self._wait_for(uuid) if notified else self._read(uuid))
        except _ERRORS as error:
            raise translate(error, "reading", self._adapter) from error

    async def put(self, uuid: str, data: bytes, deadline: float) -> None:
        """Write one characteristic, with the device's own word that it has it where it gives one. Raises DeviceFault."""
        try:
            async with asyncio.timeout_at(deadline):
                await self.client.write_gatt_char(uuid, data, response=self._can(uuid, "write"))
        except _ERRORS as error:
            raise translate(error, "writing", self._adapter) from error

    def readable(self, uuid: str) -> bool:
        """Whether the characteristic can be read, by what the device says of it."""
        return self._can(uuid, "read")

    def _can(self, uuid: str, what: str) -> bool:
        found = self.client.services.get_characteristic(uuid)
        return found is not None and what in found.properties

    async def _read(self, uuid: str) -> bytes:
        return bytes(await self.client.read_gatt_char(uuid))

    async def _wait_for(self, uuid: str) -> bytes:
        values: list[bytes] = []

        def notified(_: Any, value: bytearray) -> None:
            values.append(bytes(value))
            self._stirred.set()

        self._stirred.clear()
        await self.client.start_notify(uuid, notified)
        await self._stirred.wait()
        if not values:
            raise BleakError("Not connected")
        return values[0]
