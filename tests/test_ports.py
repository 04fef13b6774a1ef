"""A port is found by what a technician knows of it, and a port that is not there is told with those that are."""

import asyncio
import contextlib
import os
import pty
import threading
from pathlib import Path

import pytest

from drivers.contract import DeviceFault
from drivers.ports import SerialTransport, find_port, open_aside, open_port


@pytest.fixture
def machine(tmp_path: Path) -> dict[str, Path]:
    """Folders as udev and the kernel make them for four adapters: one of two ports, and one without a number."""
    by_id, tty_class, dev = (tmp_path / name for name in ("by-id", "tty", "dev"))
    for folder in (by_id, tty_class, dev):
        folder.mkdir()

    def adapter(usb: str, number: str, nodes: dict[str, str], *, ftdi: bool) -> None:
        device = tmp_path / "devices" / usb
        device.mkdir(parents=True)
        (device / "idVendor").write_text("0403\n")
        if number:
            (device / "serial").write_text(number + "\n")
        for index, (node, name) in enumerate(nodes.items()):
            place = device / f"{usb}:1.{index}" / (node if ftdi else "")
            place.mkdir(parents=True)
            (tty_class / node).mkdir()
            (tty_class / node / "device").symlink_to(place)
            (dev / node).touch()
            (by_id / name).symlink_to(dev / node)

    adapter("1-1", "A10K1XYZ", {"ttyUSB0": "usb-FTDI_FT232R_A10K1XYZ-if00-port0"}, ftdi=True)
    adapter("1-2", "55D1", {"ttyACM0": "usb-1a86_USB_Single_Serial_55D1-if00"}, ftdi=False)
    adapter("1-3", "FT4X", {"ttyUSB1": "usb-FTDI_Quad_FT4X-if00-port0", "ttyUSB2": "usb-FTDI_Quad_FT4X-if01-port0"}, ftdi=True)
    adapter("1-4", "", {"ttyUSB3": "usb-1a86_USB_Serial-if00-port0"}, ftdi=True)
    (tmp_path / "devices" / "serial").write_text("HUB")  # what is above the adapters has a number too
    (tmp_path / "devices" / "idVendor").write_text("1d6b")
    (tty_class / "ttyS9").mkdir()  # a terminal with nothing behind it
    return {"by_id": by_id, "tty_class": tty_class, "dev": dev}


@pytest.mark.parametrize(
    ("spec", "node"),
    [
        ("usb-FTDI_FT232R_A10K1XYZ-if00-port0", "ttyUSB0"),
        ("serial:A10K1XYZ", "ttyUSB0"),
        ("serial:55D1", "ttyACM0"),
        ("usb-FTDI_Quad_FT4X-if01-port0", "ttyUSB2"),
    ],
)
def test_a_port_is_found_by_name_and_by_usb_serial_number(machine, spec, node):
    assert find_port(spec, **machine) == str(machine["dev"] / node)


def test_a_port_is_found_by_path(machine):
    path = str(machine["dev"] / "ttyACM0")
    assert find_port(path, **machine) == path


def test_an_adapter_that_comes_back_under_another_number_is_found_again(machine):
    name = "usb-FTDI_FT232R_A10K1XYZ-if00-port0"
    (machine["by_id"] / name).unlink()
    (machine["dev"] / "ttyUSB0").rename(machine["dev"] / "ttyUSB7")
    (machine["tty_class"] / "ttyUSB0").rename(machine["tty_class"] / "ttyUSB7")
    (machine["by_id"] / name).symlink_to(machine["dev"] / "ttyUSB7")
    assert find_port(name, **machine) == find_port("serial:A10K1XYZ", **machine) == str(machine["dev"] / "ttyUSB7")


@pytest.mark.parametrize("spec", ["usb-FTDI_FT232R_WRONG-if00-port0", "serial:WRONG", "serial:HUB", "/dev/ttyUSB77"])
def test_a_port_that_is_not_there_is_told_with_those_that_are(machine, spec):
    with pytest.raises(DeviceFault) as caught:
        find_port(spec, **machine)
    fault = caught.value
    assert (fault.kind, fault.layer) == ("gone", "bus")
    assert spec in fault.what
    assert "usb-FTDI_FT232R_A10K1XYZ-if00-port0" in fault.hint


def test_without_udev_the_ports_are_listed_by_path(machine):
    for entry in machine["by_id"].iterdir():
        entry.unlink()
    with pytest.raises(DeviceFault, match=r"Ports here: .*/ttyACM0, .*/ttyUSB0") as caught:
        find_port("serial:WRONG", **machine)
    assert "ttyS9" not in caught.value.hint


def test_an_adapter_with_several_ports_must_be_named_by_port(machine):
    with pytest.raises(DeviceFault, match=r"adapter with 2 ports; name one of them: .*FT4X-if00-port0"):
        find_port("serial:FT4X", **machine)


def test_no_ports_at_all_is_said(tmp_path):
    with pytest.raises(DeviceFault, match="Ports here: none"):
        find_port("serial:X", by_id=tmp_path / "none", tty_class=tmp_path / "none", dev=tmp_path)


# ---------------------------------------------------------------- opening, on real terminals


@pytest.fixture
def line():
    """A pty: (our end's file descriptor, the path of the end that is opened as a port)."""
    ours, theirs = pty.openpty()
    path = os.ttyname(theirs)
    os.close(theirs)
    yield ours, path
    with contextlib.suppress(OSError):
        os.close(ours)


def test_a_port_that_another_program_has_open_is_busy(line):
    with open_port(line[1], baud=19200), pytest.raises(DeviceFault, match=r"in use by another program; .*fuser") as caught:
        open_port(line[1], baud=19200)
    assert (caught.value.kind, caught.value.layer) == ("busy", "bus")


def test_settings_that_the_port_cannot_do_are_told(line):
    open_port(line[1], baud=19200, parity="even").close()  # a pty drops the parity the first time and refuses it from then on
    with pytest.raises(DeviceFault, match="cannot do 19200 baud, 8 data bits, parity even") as caught:
        open_port(line[1], baud=19200, parity="even")
    assert caught.value.kind == "misfit"


def test_a_port_without_rs485_says_what_to_leave_out(line):
    with pytest.raises(DeviceFault, match="leave rs485 out"):
        open_port(line[1], baud=19200, rs485=True)
    open_port(line[1], baud=19200).close()  # and it is not left locked


def test_a_file_that_is_no_port_is_told(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DeviceFault) as caught:
        open_port(str(tmp_path / "file"), baud=9600)
    assert caught.value.layer == "bus"


class Heard(asyncio.Protocol):
    def __init__(self):
        self.data, self.lost = asyncio.Queue(), asyncio.get_running_loop().create_future()

    def data_received(self, data):
        self.data.put_nowait(data)

    def connection_lost(self, reason):
        self.lost.set_result(reason)


async def test_a_port_that_hangs_up_is_lost_with_a_reason(line):
    loop, heard = asyncio.get_running_loop(), Heard()
    transport = SerialTransport(loop, heard, open_port(line[1], baud=19200))
    os.write(line[0], b"hello")
    assert await asyncio.wait_for(heard.data.get(), 5) == b"hello"
    os.close(line[0])
    assert isinstance(await asyncio.wait_for(heard.lost, 5), OSError)
    assert transport.is_closing()
    transport.write(b"into the void")  # nothing to complain about any more


async def test_a_closed_port_can_be_opened_again_at_once(line):
    loop, heard = asyncio.get_running_loop(), Heard()
    transport = SerialTransport(loop, heard, open_port(line[1], baud=19200))
    transport.write(b"ping")
    assert os.read(line[0], 10) == b"ping"
    transport.close()
    open_port(line[1], baud=19200).close()
    assert await asyncio.wait_for(heard.lost, 5) is None


async def test_an_opening_that_is_cancelled_leaves_no_port_locked(line):
    slow, closed = threading.Event(), asyncio.Event()

    def opening():
        slow.wait(5)
        port = open_port(line[1], baud=19200)
        close = port.close
        port.close = lambda: (close(), closed.set())
        return port

    task = asyncio.create_task(open_aside(opening))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    slow.set()
    await asyncio.wait_for(closed.wait(), 5)
    (await open_aside(lambda: open_port(line[1], baud=19200))).close()


async def test_a_port_that_takes_no_more_bytes_is_lost_and_not_waited_for(line):
    loop, heard = asyncio.get_running_loop(), Heard()
    transport = SerialTransport(loop, heard, open_port(line[1], baud=19200))
    for _ in range(100):
        transport.write(bytes(4096))
    assert isinstance(await asyncio.wait_for(heard.lost, 5), BlockingIOError)
