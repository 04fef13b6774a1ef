"""Serial ports: which one is meant, and opening it.

A port is written as a technician knows it: a name of `/dev/serial/by-id`, the USB serial number of the adapter ("serial:A10K1XYZ"),
or a path. It is looked up afresh at every opening, so that an adapter that was pulled out and put back is found again under
whatever ttyUSB number the kernel gave it this time.

Everything that can go wrong becomes one `DeviceFault` of the bus, with what to do about it. pyserial is imported on first use
only: a hub without serial devices does not pay for it.
"""

import asyncio
import errno
import os
import select
import termios
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from drivers.contract import DeviceFault

if TYPE_CHECKING:
    import serial

Parity = Literal["none", "even", "odd"]


def find_port(
    spec: str,
    *,
    by_id: Path = Path("/dev/serial/by-id"),
    tty_class: Path = Path("/sys/class/tty"),
    dev: Path = Path("/dev"),
) -> str:
    """The device node, such as "/dev/ttyUSB0", that `spec` means at this moment.

    spec: a path, "serial:USBSERIAL", or a name of `by_id`. `tty_class` is the kernel's list of terminals (sysfs).
    Raises DeviceFault(kind="gone", layer="bus") whose hint lists the ports that there are.
    """
    if spec.startswith("serial:"):
        wanted = spec.removeprefix("serial:")
        found = sorted(node for node, number in _usb_serials(tty_class) if number == wanted)
        if len(found) > 1:  # one adapter with several ports: only their by-id names tell them apart
            raise DeviceFault(
                f'"{spec}" is an adapter with {len(found)} ports',
                kind="gone",
                layer="bus",
                hint="name one of them: " + _list_of(_names(by_id)),
            )
        path = dev / found[0] if found else None
    else:
        path = Path(spec) if "/" in spec else by_id / spec
    if path is not None and path.exists():
        return str(path.resolve())
    there = _names(by_id) or _names_without_udev(tty_class, dev)
    raise DeviceFault(
        f'port "{spec}" is not there',
        kind="gone",
        layer="bus",
        hint=f"is the adapter plugged in? Ports here: {_list_of(there)}",
    )


def _usb_serials(tty_class: Path) -> Iterator[tuple[str, str]]:
    """Each terminal on USB with its adapter's serial number: ("ttyUSB0", "A10K1XYZ")."""
    for tty in sorted(tty_class.glob("tty*")):
        # tty/device leads to the interface; the adapter is one (ttyACM) or two (ttyUSB) folders above, and further up is its hub.
        place = (tty / "device").resolve()
        adapter = next((folder for folder in (place, *place.parents) if (folder / "idVendor").exists()), None)
        if adapter is not None:
            with suppress(OSError):  # many cheap adapters have no number
                yield tty.name, (adapter / "serial").read_text().strip()


def _names(folder: Path) -> list[str]:
    with suppress(OSError):
        return sorted(entry.name for entry in folder.iterdir())
    return []


def _names_without_udev(tty_class: Path, dev: Path) -> list[str]:
    """Paths of the terminals that have hardware behind them: what there is to choose from where udev made no by-id names."""
    return [str(dev / tty.name) for tty in sorted(tty_class.glob("tty*")) if (tty / "device").exists()]


def _list_of(names: list[str]) -> str:
    return ", ".join(names) or "none"


def open_port(
    spec: str, *, baud: int, parity: Parity = "none", data_bits: int = 8, stop_bits: float = 1, rs485: bool = False
) -> "serial.Serial":
    """Find and open a port for this program alone (a lock keeps a second one out), raw, non-blocking, with an empty input.

    rs485: let the port's own driver switch the transceiver between sending and listening.
    Raises DeviceFault(layer="bus"): gone, busy (another program has it), or misfit (it cannot do these settings).
    """
    import serial

    path = find_port(spec)
    settings = f"{baud} baud, {data_bits} data bits, parity {parity}, {stop_bits:g} stop bits"
    try:
        port = serial.Serial(
            path,
            baudrate=baud,
            parity=parity[0].upper(),
            bytesize=data_bits,
            stopbits=stop_bits,
            timeout=0,
            exclusive=True,  # flock: without it a second opening succeeds, and resets this one's parity
        )
    except (OSError, ValueError, termios.error) as error:  # SerialException is an OSError, with or without its errno
        raise _not_opened(path, error, settings) from error
    if rs485:
        from serial.rs485 import RS485Settings

        try:
            port.rs485_mode = RS485Settings()
        except (OSError, ValueError) as error:
            port.close()
            raise DeviceFault(
                f"{path} cannot switch an RS-485 transceiver",
                kind="misfit",
                layer="bus",
                hint="leave rs485 out: most USB adapters switch by themselves",
            ) from error
    return port


async def open_aside(opening: Callable[[], "serial.Serial"]) -> "serial.Serial":
    """What `opening` opens, in a thread: a sick USB adapter may take seconds, which other buses must not notice.

    When this is cancelled, the port is closed as soon as it is open.
    """
    under_way = asyncio.get_running_loop().run_in_executor(None, opening)
    try:
        return await asyncio.shield(under_way)
    except asyncio.CancelledError:
        under_way.add_done_callback(lambda done: done.exception() or done.result().close())
        raise


def _not_opened(path: str, error: Exception, settings: str) -> DeviceFault:
    number = error.errno if isinstance(error, OSError) else error.args[0]  # termios.error is no OSError
    if number in {errno.EACCES, errno.EPERM}:
        hint = "add the user that the hub runs as to the group dialout"
        return DeviceFault(f"{path} may not be opened by this user", kind="gone", layer="bus", hint=hint)
    if number in {errno.EAGAIN, errno.EBUSY}:
        hint = f"find out which with: fuser -v {path}"
        return DeviceFault(f"{path} is in use by another program", kind="busy", layer="bus", hint=hint)
    if number in {errno.ENOENT, errno.ENODEV, errno.ENXIO, errno.EIO}:
        return DeviceFault(f"{path} went away", kind="gone", layer="bus", hint="is the adapter plugged in and well?")
    return DeviceFault(f"{path} cannot do {settings}", kind="misfit", layer="bus", hint="check the port and its settings")


class SerialTransport(asyncio.Transport):
    """An open port on the event loop, for an `asyncio.Protocol`.

    What it adds to pyserial: reading by the loop, and closing at once, so that the lock is gone when `close` returns and the port
    can be opened again. A port that is pulled out, or that takes no more bytes, ends in `connection_lost` with the reason.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, protocol: asyncio.Protocol, port: "serial.Serial") -> None:
        super().__init__()
        self._loop = loop
        self._protocol = protocol
        self._port = port
        self._fd: int = port.fileno()
        self._closing = False
        protocol.connection_made(self)
        loop.add_reader(self._fd, self._readable)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Hand all of `data` to the port. A request is small beside the kernel's buffer: what does not fit is a fault."""
        if self._closing:
            return
        try:
            if os.write(self._fd, data) != len(data):
                self._lose(BlockingIOError(errno.EAGAIN, "the port takes no more bytes"))
        except OSError as error:
            self._lose(error)

    def forget_input(self) -> None:
        """Throw away what has arrived and was not read yet."""
        with suppress(termios.error):
            termios.tcflush(self._fd, termios.TCIFLUSH)

    def is_closing(self) -> bool:
        """Whether the port is closed."""
        return self._closing

    def close(self) -> None:
        """Let go of the port now; `connection_lost(None)` follows."""
        self._lose(None)

    abort = close

    def _readable(self) -> None:
        try:
            data = os.read(self._fd, 4096)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._lose(error)
            return
        if data:
            self._protocol.data_received(data)
        elif self._hung_up():  # without data alone says little: forgetting the input empties a port that was readable just now
            self._lose(OSError(errno.EIO, "the port hung up"))

    def _hung_up(self) -> bool:
        poll = select.poll()
        poll.register(self._fd, 0)  # a hang-up is reported whatever is asked for
        return bool(poll.poll(0))

    def _lose(self, reason: OSError | None) -> None:
        if self._closing:
            return
        self._closing = True
        self._loop.remove_reader(self._fd)
        with suppress(termios.error):
            termios.tcflush(self._fd, termios.TCOFLUSH)  # else closing waits for bytes that a dead line never takes
        self._port.close()
        self._loop.call_soon(self._protocol.connection_lost, reason)
