"""A remedy at a real hub that opens a port again or runs a program, seen from the other side, with a kill in the middle."""

import os
import signal

import pytest
from remedies_of import INTERRUPTED, TRIED_AGAIN, WELL_BY_ITSELF, WORKED, acts, cloud, life, steps, stopped
from test_acting_program import alive

from peers.modbus_server import Slave, TcpWire, listening
from peers.patience import until
from peers.relay_board import BOARD, LINE, RelayBoard
from peers.serial_peer import plug

pytestmark = pytest.mark.slow

FREEZER = """
[bus.line]
driver = "modbus-tcp"
host = "127.0.0.1"
port = {port}
[device.freezer]
bus = "line"
unit = 1
every = "100 ms"
points.temp = {{ input = 0, type = "int16", scale = 0.1, unit = "°C" }}
[rule.warm]
kind = "threshold"
on = "freezer/temp"
above = "-15 °C"
proof = "0 s"
[remedy.restart]
for = "warm"
run = ["{program}", "compressor", "$HOME; restart"]
proof = "freezer/temp < -16 °C"
spacing = "1 s"
"""
REOPEN = """
[rule.quiet]
kind = "silent"
on = "board/state"
after = "1 s"
proof = "0 s"
[remedy.reopen]
for = "quiet"
reopen = "bus.serial"
spacing = "1 s"
"""
LONG, SOON = 'within = "1 h"\n', 'within = "2 s"\n'
WARM, COLD = 0x10000 - 100, 0x10000 - 180
RAN = ["compressor|$HOME; restart"]  # what the program was told, a line each time


@pytest.fixture
async def heard(tmp_path):
    async with cloud(tmp_path) as heard:
        yield heard


def write(folder, *texts):
    path = folder / "hub.toml"
    path.write_text("".join(texts), "utf-8")
    return path


# ---------------------------------------------------------------- a program


@pytest.fixture
async def freezer(heard, tmp_path):
    """A freezer that is too warm; `config` is that of a hub that runs `program` for it, of which `lines` knows."""
    slave = Slave(input={0: WARM})
    program = tmp_path / "program"
    async with listening(TcpWire({1: slave})) as wire:
        slave.config = heard.hub + FREEZER.format(port=wire.port, program=program)
        yield slave


@pytest.fixture
def program(tmp_path):
    """Makes the program, with a last line of shell; gives what it has noted so far: what it was told, or its own number."""
    notes = tmp_path / "notes"

    def make(noting, last):
        path = tmp_path / "program"
        path.write_text(f'#!/bin/sh\necho "{noting}" >> {notes}\n{last}\n', "utf-8")
        path.chmod(0o755)
        return lambda: notes.read_text("utf-8").splitlines() if notes.exists() else []

    yield make
    for note in notes.read_text("utf-8").splitlines() if notes.exists() else []:
        if note.isdecimal() and alive(note):  # a kill has orphaned it; on a hub its unit ends with it
            os.killpg(int(note), signal.SIGKILL)


async def is_polled(freezer, times):
    begun = len(freezer.requests)
    await until(lambda: len(freezer.requests) > begun + times, 15.0)


async def test_a_program_is_run_once_with_its_own_words_and_what_comes_of_it_is_told(freezer, program, heard, tmp_path):
    ran = program("$1|$2", "echo it hums again")
    async with life(write(tmp_path, freezer.config, LONG)) as hub:
        await until(ran, 15.0)
        await hub.until("hands: acted")
        freezer.tables["input"][0] = COLD
        recovery = await heard.hears_that_it_has_worked("freezer/temp", -10.0, -18.0, "by the remedy restart")
        assert "ended well it hums again." in recovery.tried[0].says
        await stopped(hub)
    assert ran() == RAN
    assert steps(heard.moments) == WORKED


async def test_a_program_that_hangs_is_killed_at_its_limit_and_the_case_says_so(freezer, program, heard, tmp_path):
    ran = program("$$", "sleep 600")
    async with life(write(tmp_path, freezer.config, LONG, 'limit = "0.5 s"\ntries = 1\n')) as hub:
        worsened = await heard.hears("problem", "worsened")
        assert worsened.severity == "critical"
        assert worsened.tried[0].says.endswith("was killed after 0.5 s.")
        await stopped(hub)
    (pid,) = ran()
    assert not alive(pid)
    assert steps(heard.moments) == [("problem", "opened", []), ("problem", "worsened", ["impossible"])]


async def test_a_kill_while_a_program_runs_is_told_and_it_is_not_run_again(freezer, program, heard, tmp_path):
    """Nothing but the time that its effect may take stands against it; and what it does helps after all."""
    ran = program("$$", "sleep 600")
    path = write(tmp_path, freezer.config, LONG)
    async with life(path) as hub:
        await until(ran, 15.0)
        hub.signal(signal.SIGKILL)
        assert await hub.end() == -9
    async with life(path) as hub:
        await heard.hears("problem", "worsened")
        await is_polled(freezer, 12)  # for longer than the spacing
        freezer.tables["input"][0] = COLD
        closed = await heard.hears("problem", "closed")
        await stopped(hub)
        assert acts(hub) == []
    assert len(ran()) == 1
    assert steps(heard.moments) == WELL_BY_ITSELF
    assert closed.how == "by itself"


@pytest.mark.parametrize(("moment", "left"), [("stored", []), ("on", RAN)])
async def test_after_a_kill_it_is_run_again_when_the_device_still_shows_that_it_must(
    freezer, program, heard, tmp_path, moment, left
):
    ran = program("$1|$2", "")
    path = write(tmp_path, freezer.config, SOON)
    async with life(path, moment) as hub:
        assert await hub.end(15.0) == -9
    assert ran() == left
    async with life(path) as hub:
        await heard.hears("problem", "worsened")
        assert steps(heard.moments) == INTERRUPTED
        await hub.until("hands: acted")
        freezer.tables["input"][0] = COLD
        await heard.hears_that_it_has_worked("freezer/temp", -10.0, -18.0, "by the remedy restart")
        await stopped(hub)
    assert ran() == left + RAN
    assert steps(heard.moments) == TRIED_AGAIN


# ---------------------------------------------------------------- a port


@pytest.fixture
async def boards(tmp_path):
    """Two ends of a line: the one that hangs has the name of the port."""
    hung, well = RelayBoard(), RelayBoard()
    hung.mute = True
    plug(tmp_path / "port", hung)
    yield hung, well
    for board in (hung, well):
        board.hang_up()


@pytest.fixture
def line(boards, heard, tmp_path):
    """The config of a hub that opens the port again where the board on it is silent."""
    device = BOARD.replace("[board", "[device.board").replace("[device.board]\n", "", 1)
    device = device.replace("timeout = 0.5", 'timeout = "100 ms"').replace("command_pause = 0.03", 'command_pause = "30 ms"')
    return heard.hub + LINE.format(port=tmp_path / "port") + device + REOPEN


async def test_a_port_is_opened_again_and_what_comes_of_it_is_told(boards, line, heard, tmp_path):
    """An adapter that hangs, and is there again under its own name: only who opens that again finds it."""
    hung, well = boards
    async with life(write(tmp_path, line, LONG)) as hub:
        await hung.is_read(1)
        plug(tmp_path / "port", well)
        await heard.hears_that_it_has_worked("board/state", "mute", "well", "by the remedy reopen")
        await stopped(hub)
        assert len(acts(hub)) == 1
    assert steps(heard.moments) == WORKED


async def test_a_kill_while_a_port_is_shut_is_told_and_it_is_not_opened_again(boards, line, heard, tmp_path):
    """But for the start itself, which opens it."""
    hung, _ = boards
    path = write(tmp_path, line, LONG)
    async with life(path, "shut") as hub:
        assert await hub.end(15.0) == -9
    async with life(path) as hub:
        await heard.hears("problem", "worsened")
        await hub.until("does not answer")
        await hung.is_read(1)
        assert acts(hub) == []
        hung.mute = False
        await heard.hears("problem", "closed")
        await stopped(hub)
        assert acts(hub) == []
    assert steps(heard.moments) == WELL_BY_ITSELF


async def test_after_a_kill_a_port_is_opened_again_when_the_device_is_still_silent(boards, line, heard, tmp_path):
    _, well = boards
    path = write(tmp_path, line, SOON)
    async with life(path, "shut") as hub:
        assert await hub.end(15.0) == -9
    async with life(path) as hub:
        await heard.hears("problem", "worsened")
        await hub.until("does not answer")
        plug(tmp_path / "port", well)
        await heard.hears_that_it_has_worked("board/state", "mute", "well", "by the remedy reopen")
        await stopped(hub)
        assert len(acts(hub)) == 1
    assert steps(heard.moments) == TRIED_AGAIN
