"""The far end of a serial line: a device (or several) on a real pseudo-terminal, in the test's own event loop."""

import asyncio
import os
import tty
from collections.abc import Mapping
from pathlib import Path

import msgspec
import tomli

from drivers.contract import BusSpec, DeviceSpec
from drivers.serial_line import SerialDeviceKeys, SerialPointKeys
from drivers.serial_line.line import LineKeys

from peers.patience import until  # noqa: F401  (whoever talks to a peer waits for it)


class SerialPeer:
    """A pseudo-terminal whose hub side is `path`.

    answers: what is said as soon as the hub has sent just so many bytes. Whatever was sent is in `heard`.
    """

    def __init__(self, answers: Mapping[bytes, bytes] | None = None, *, echo: bool = False) -> None:
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self.path = os.ttyname(self._slave)
        self.answers = dict(answers or {})
        self.echo = echo
        self.heard = bytearray()
        self._unanswered = bytearray()
        asyncio.get_running_loop().add_reader(self._master, self._listen)

    def say(self, data: bytes) -> None:
        """Send to the hub now."""
        os.write(self._master, data)

    def hang_up(self) -> None:
        """Be pulled out: the hub's side sees what it sees when a USB adapter goes."""
        if self._master >= 0:
            asyncio.get_running_loop().remove_reader(self._master)
            os.close(self._master)
            os.close(self._slave)
            self._master = self._slave = -1

    def _listen(self) -> None:
        data = os.read(self._master, 4096)
        self.took(data)

    def took(self, data: bytes) -> None:
        """The hub has sent this."""
        self.heard += data
        self._unanswered += data
        if self.echo:
            self.say(data)
        for request, answer in self.answers.items():
            if self._unanswered.endswith(request):
                self._unanswered.clear()
                self.say(answer)


def plug(link: Path, peer: SerialPeer) -> Path:
    """Give a peer the name by which the hub knows it, as udev does in /dev/serial/by-id."""
    link.unlink(missing_ok=True)
    link.symlink_to(peer.path)
    return link


def line(port: str | Path, devices: str, **keys: object) -> BusSpec:
    """The bus that a technician writes as these device tables: "[meter]" stands for [device.meter]. Times in seconds."""
    tables = tomli.loads(devices)
    return BusSpec(
        name="line",
        keys=msgspec.convert({"port": str(port), **keys}, LineKeys),
        devices=tuple(device(name, table) for name, table in tables.items()),
    )


def device(name: str, table: dict[str, object]) -> DeviceSpec:
    """One device of `line`."""
    own = {key: value for key, value in table.items() if key in SerialDeviceKeys.__struct_fields__}
    return DeviceSpec(
        name=name,
        keys=msgspec.convert(own, SerialDeviceKeys),
        points=msgspec.convert(table["points"], dict[str, SerialPointKeys]),
        timeout=float(table.get("timeout", 5.0)),
    )
