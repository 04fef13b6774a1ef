"""The hub's hands at work on real devices while it polls them: what it did is what the devices themselves have seen."""

import asyncio
import contextlib

import pytest
from test_acting_ble import POINTS, bluez, dbus, thermostat  # noqa: F401  (fixtures)
from test_acting_modbus import opened
from test_acting_serial import TALKER

from drivers.contract import DeviceFault
from drivers.serial_line import SERIAL
from gateway.acting import Result, perform, restore
from gateway.clock import SystemClock
from gateway.config.actions import Cycle, Reopen, Reset, Write
from gateway.polling import WELL, Poller, Schedule
from gateway.watchdog import Pulse

from peers.modbus_server import stands_in, well_rtu, well_tcp
from peers.patience import until
from peers.relay_board import BOARD, RelayBoard
from peers.serial_peer import line, plug

pytestmark = pytest.mark.slow

PLC = {"router": {"coil": 0}, "setpoint": {"holding": 0, "type": "int16", "scale": 0.1}}


class Hub:
    """The pollers of one bus, at work, and what they delivered."""

    def __init__(self, bus, every=0.02, timeout=2.0):
        self.batches = []
        schedules = {device: Schedule(every, timeout) for device in {*bus.polled, *bus.heard, *bus.writable}}
        self.poller = Poller("line", bus, schedules, SystemClock(), self.batches.append, Pulse())
        self.pollers = {"line": self.poller}

    def values(self, device, point):
        """What the polls said of a point, from poll to poll."""
        return [
            batch.values[batch.points.index(point)] for batch in self.batches if batch.device == device and point in batch.points
        ]

    @contextlib.asynccontextmanager
    async def polling(self):
        task = asyncio.create_task(self.poller.run())
        try:
            yield self
        finally:
            task.cancel()
            await asyncio.wait([task])

    async def perform(self, action):
        return await perform(action, self.pollers, asyncio.sleep)

    async def polled(self, device, point, value):
        """Until a poll says so."""
        seen = len(self.values(device, point))
        await until(lambda: value in self.values(device, point)[seen:])


@pytest.fixture
async def board():
    board = RelayBoard()
    yield board
    board.hang_up()


@pytest.fixture
async def hub(board):
    async with Hub(SERIAL.open(line(board.path, BOARD), lambda *_: None)).polling() as hub:
        yield hub


# ---------------------------------------------------------------- a relay on a real Modbus server


@pytest.mark.parametrize("kind", ["modbus-tcp", "modbus-rtu"])
async def test_a_relay_is_cycled_and_a_setpoint_written_on_a_real_server(kind):
    tcp = kind == "modbus-tcp"
    async with (well_tcp if tcp else well_rtu)(1, coil=[1] * 8, discrete=[0], holding=[200] * 4, input=[0]) as where:
        keys = {"host": "127.0.0.1", "port": where} if tcp else {"port": where, "parity": "none"}
        async with Hub(opened(kind, keys, PLC)).polling() as hub:
            await hub.polled("plc", "router", value=True)
            acting = asyncio.create_task(hub.perform(Cycle("plc", "router", 0.2)))
            await hub.polled("plc", "router", value=False)
            assert await stands_in(1, "coil", 0, 2) == [0, 1]
            assert await acting == Result(done=True, says="plc/router was off for 0.2 s and reads on", before=True, after=True)
            assert await stands_in(1, "coil", 0, 2) == [1, 1]
            result = await hub.perform(Write("plc", "setpoint", -5.5))
            assert (result.done, result.before, result.after) == (True, 20.0, -5.5)
            assert await stands_in(1, "holding", 0, 2) == [0x10000 - 55, 200]
            await hub.polled("plc", "setpoint", value=-5.5)


# ---------------------------------------------------------------- a relay board on a pty


async def test_a_relay_board_is_cycled_once_while_its_line_is_polled(board, hub):
    result = await hub.perform(Cycle("board", "router", 0.1))
    assert result == Result(done=True, says="board/router was off for 0.1 s and reads on", before=True, after=True)
    assert board.history == ["R1=OFF", "R1=ON"]
    assert "mute" not in hub.values("board", "state")


async def test_words_and_numbers_are_written_as_the_config_says(board, hub):
    """A fan that runs when its relay is open: off and on are what the config says they are."""
    result = await hub.perform(Cycle("board", "fan", 0.05, off="running", on="standing"))
    assert result.done
    assert board.history == ["R2=ON", "R2=OFF"]
    assert (await hub.perform(Write("board", "setpoint", 21.5))).after == 21.5
    assert board.setpoint == 21.5


@pytest.mark.parametrize("moment", ["R1=OFF", "R1=ON"])
async def test_a_cycle_that_is_cancelled_leaves_the_relay_on(board, hub, moment):
    """At the very moment at which the board takes the one command or the other."""
    acting = asyncio.create_task(hub.perform(Cycle("board", "router", 0.05 if moment == "R1=ON" else 60.0)))
    await until(lambda: moment in board.history)
    acting.cancel()
    await asyncio.wait([acting])
    assert acting.cancelled()
    assert board.history == ["R1=OFF", "R1=ON"]
    assert board.relays["R1"] == "ON"


async def test_a_board_that_falls_silent_while_it_is_off_is_told_as_may_be_left_off(board, monkeypatch):
    monkeypatch.setattr("gateway.acting.BETWEEN", 0.0)
    hub = Hub(SERIAL.open(line(board.path, BOARD.replace("timeout = 0.5", "timeout = 0.3")), lambda *_: None))
    acting = asyncio.create_task(hub.perform(Cycle("board", "router", 0.2)))
    await until(lambda: board.history == ["R1=OFF"])
    board.deaf = True
    result = await acting
    assert (result.done, result.says.partition(":")[0]) == (False, "board/router may be left off")
    board.deaf = False
    assert (await restore(Cycle("board", "router", 0.2), hub.pollers)).done
    assert board.relays["R1"] == "ON"


async def test_a_relay_is_restored_before_anything_is_polled(board):
    """As after a kill in the middle: by a hub that has only just begun, and that lets go of the port again."""
    board.relays["R1"] = "OFF"
    hub = Hub(SERIAL.open(line(board.path, BOARD), lambda *_: None))
    assert (await restore(Cycle("board", "router", 1.0), hub.pollers)).done
    assert board.history == ["R1=ON"]
    other = SERIAL.open(line(board.path, BOARD), lambda *_: None)
    await other.connect()  # nobody else has it
    await other.close()


async def test_a_port_that_was_plugged_in_elsewhere_is_found_when_it_is_opened_again(board, tmp_path):
    """The adapter got another number: the name leads there, but the open port does not know."""
    link, second = tmp_path / "adapter", RelayBoard()
    second.relays["R1"] = "OFF"
    plug(link, board)
    async with Hub(SERIAL.open(line(link, BOARD), lambda *_: None)).polling() as hub:
        await hub.polled("board", "router", value=True)
        plug(link, second)
        assert (await hub.perform(Reopen("line"))).says == "bus line was opened again"
        await hub.polled("board", "router", value=False)
        assert hub.values("bus.line", "state") == [WELL]
    second.hang_up()


async def test_a_talker_is_heard_again_at_once_when_its_port_is_opened_again(board):
    """Whoever listens and whoever opens want the port at the same moment: it is opened once, and the bus was never down."""
    async with Hub(SERIAL.open(line(board.path, TALKER), lambda *_: None)).polling() as hub:
        for said in (b"GATE open\r", b"GATE shut\r", b"GATE open\r"):
            await until(lambda: hub.poller.bus._listening)
            board.say(said)
            await hub.polled("gate", "state", value=b"open" in said)
            assert (await hub.perform(Reopen("line"))).done
        assert hub.values("bus.line", "state") == [WELL]


async def test_a_port_that_is_gone_says_so_when_it_is_opened_again(board, hub):
    await hub.polled("board", "router", value=True)
    board.hang_up()
    result = await hub.perform(Reopen("line"))
    assert not result.done
    assert "is the adapter plugged in" in result.says
    with pytest.raises(DeviceFault):
        await hub.poller.write("board", "router", value=False)


# ---------------------------------------------------------------- an adapter by way of BlueZ


async def test_an_adapter_is_reset_while_its_devices_are_polled(bluez):  # noqa: F811
    async with thermostat(bluez, timeout=5.0) as (device, seen), Hub(seen.bus, every=0.05, timeout=5.0).polling() as hub:
        await hub.polled("thermostat", "setpoint", value=20.7)
        assert await hub.perform(Reset("line")) == Result(done=True, says="the medium of bus line was reset")
        assert bluez.switched == [False, True]
        await hub.polled("thermostat", "setpoint", value=20.7)
        assert (await hub.perform(Write("thermostat", "setpoint", 19.5))).after == 19.5
        assert device.setpoint.value == (1950).to_bytes(2, "little")
        assert hub.values("bus.line", "state") == [WELL]
