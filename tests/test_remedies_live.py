"""A remedy at a real hub, seen from the other side: a relay board on a serial line, a Modbus server, and a kill at every moment."""

import asyncio

import pytest
from remedies_of import INTERRUPTED, TRIED_AGAIN, WELL_BY_ITSELF, WORKED, life, steps, stopped
from structlog.testing import capture_logs

from gateway import filing
from gateway.agent import Hub
from gateway.cli import main
from gateway.clock import SystemClock
from gateway.config import load
from gateway.moments import from_wire
from gateway.service import remedies
from gateway.service.contract import Statement
from gateway.store import Store
from gateway.watchdog import Notifier

from moments_of import change
from peers.modbus_server import Slave, TcpWire, listening, stand, stands_in, well_tcp
from peers.patience import until
from peers.relay_board import BOARD, LINE, RelayBoard

pytestmark = pytest.mark.slow

CONFIG = """
[hub]
id = "hub-1"
state = "{state}"
[bus.line]
driver = "modbus-tcp"
host = "127.0.0.1"
port = {modbus}
[device.freezer]
bus = "line"
unit = 1
every = "100 ms"
[device.freezer.points]
temp = {{ input = 0, type = "int16", scale = 0.1, unit = "°C" }}
setpoint = {{ holding = 0, type = "int16", scale = 0.1, unit = "°C", writable = true }}
[rule.warm]
kind = "threshold"
on = "{watches}"
above = "-15 °C"
proof = "0 s"
"""
CYCLE = """
[remedy.restart]
for = "warm"
on = "freezer"
cycle = "board/router"
off_for = "200 ms"
when = "board/setpoint < 25 °C"
proof = "freezer/temp < -16 °C"
spacing = "1 s"
tries = 3
"""
COLDER = """
[remedy.colder]
for = "warm"
on = "freezer"
write = "freezer/setpoint"
value = -24.0
after = "1 h"
"""
SET_LOWER = """
[remedy.lower]
for = "warm"
on = "freezer"
write = "freezer/setpoint"
value = -24.0
when = "freezer/setpoint > -20 °C"
proof = "freezer/temp < -16 °C"
spacing = "1 s"
tries = 3
"""
SOON = 'within = "2 s"\n'  # its effect shows, or it does not
WARM, COLD, LOWER = 0x10000 - 100, 0x10000 - 180, 0x10000 - 240
LOWERED = (6, 0, [LOWER])  # as it is asked to be: the function for one register, its address, what is to stand there


@pytest.fixture
async def board():
    board = RelayBoard()
    yield board
    board.hang_up()


@pytest.fixture
async def freezer():
    """The freezer's own side: its registers."""
    slave = Slave(input={0: WARM}, holding={0: COLD})
    async with listening(TcpWire({1: slave})) as wire:
        slave.port = wire.port
        yield slave


def write(folder, port, *more, watches="freezer/temp"):
    path = folder / "hub.toml"
    path.write_text(CONFIG.format(state=folder / "state", modbus=port, watches=watches) + "".join(more), "utf-8")
    return path


@pytest.fixture
def relay(tmp_path, freezer, board):
    """The config of a hub that may cycle a relay of the board, for the freezer."""
    device = BOARD.replace("[board", "[device.board").replace("[device.board]\n", "", 1)
    device = device.replace("timeout = 0.5", 'timeout = "500 ms"').replace("command_pause = 0.03", 'command_pause = "30 ms"')
    return write(tmp_path, freezer.port, LINE.format(port=board.path), device, CYCLE)


def told(folder):
    """What the hub has told, in order."""
    with Store.open(folder / "state" / "canary.db") as store:
        rows = store.execute("SELECT wire FROM moment ORDER BY seq").fetchall()
    return [from_wire(wire).data for (wire,) in rows]


async def test_a_relay_is_cycled_once_and_what_comes_of_it_is_told(relay, board, freezer, tmp_path):
    async with life(relay) as hub:
        await until(lambda: board.history == ["R1=OFF", "R1=ON"], 15.0)
        await board.is_read(2)
        freezer.tables["input"][0] = COLD
        await hub.until("phase=closed")
        await stopped(hub)
    assert board.history == ["R1=OFF", "R1=ON"]
    assert steps(told(tmp_path)) == WORKED
    opened, recovery, closed = told(tmp_path)
    assert {opened.case, recovery.case, closed.case} == {opened.case}
    assert (recovery.comparisons[0].before, recovery.comparisons[0].after) == (-10.0, -18.0)
    assert recovery.tried[0].says.startswith("Board/router was off for 0.2 s and reads on.")
    assert closed.how == "by the remedy restart"


@pytest.mark.parametrize(
    ("moment", "left", "repeats"),
    [("unstored", [], True), ("stored", [], False), ("off", ["R1=OFF"], False), ("on", ["R1=OFF", "R1=ON"], False)],
)
async def test_a_kill_in_the_middle_is_known_after_it_and_never_repeated_blindly(
    relay, board, freezer, tmp_path, moment, left, repeats
):
    """What may be off is switched on first; another try waits until all that it asks for is given."""
    relay.write_text(relay.read_text("utf-8") + SOON, "utf-8")
    async with life(relay, moment) as hub:
        assert await hub.end(15.0) == -9
    assert board.history == left
    board.setpoint = 26.0  # it is no longer allowed
    async with life(relay) as hub:
        await hub.until("READY=1")
        if repeats:  # a try of which nothing was stored has left nothing behind
            assert board.history == []
        else:
            await until(lambda: board.history == [*left, "R1=ON"], 15.0)
            await hub.until("phase=worsened")
        await board.is_read(22)  # for longer than the spacing, and than its effect may take
        assert "R1=OFF" not in board.history[len(left) :]
        board.setpoint = 20.0
        await until(lambda: board.history[-2:] == ["R1=OFF", "R1=ON"] and len(board.history) > len(left) + 1, 15.0)
        await board.is_read(2)
        freezer.tables["input"][0] = COLD
        await hub.until("phase=closed")
        await stopped(hub)
    assert steps(told(tmp_path)) == (WORKED if repeats else TRIED_AGAIN)
    assert board.relays["R1"] == "ON"


@pytest.mark.parametrize("moment", ["done", "proven", "told"])
async def test_a_kill_after_it_repeats_nothing_and_tells_once_that_it_has_helped(relay, board, freezer, tmp_path, moment):
    relay.write_text(relay.read_text("utf-8").replace('proof = "0 s"', 'proof = "200 ms"'), "utf-8")
    async with life(relay, moment) as hub:
        await until(lambda: len(board.history) == 2, 15.0)
        if moment != "done":
            await board.is_read(2)
            freezer.tables["input"][0] = COLD
        assert await hub.end(15.0) == -9
    freezer.tables["input"][0] = COLD
    async with life(relay) as hub:
        await hub.until("phase=closed")
        await stopped(hub)
    assert board.history == ["R1=OFF", "R1=ON"]
    assert [step[:2] for step in steps(told(tmp_path))] == [("problem", "opened"), ("recovery", "opened"), ("problem", "closed")]
    assert told(tmp_path)[-1].how == "by the remedy restart"


async def test_an_orderly_end_in_the_middle_leaves_the_relay_on_and_is_on_the_record(relay, board, tmp_path):
    relay.write_text(relay.read_text("utf-8").replace('off_for = "200 ms"', 'off_for = "1 h"'), "utf-8")
    async with life(relay) as hub:
        await until(lambda: board.history == ["R1=OFF"], 15.0)
        await stopped(hub)
    assert board.history == ["R1=OFF", "R1=ON"]
    assert steps(told(tmp_path)) == INTERRUPTED


async def test_a_reload_in_the_middle_breaks_it_off_and_the_relay_is_on(relay, board, tmp_path):
    text = relay.read_text("utf-8").replace('off_for = "200 ms"', 'off_for = "1 h"')
    relay.write_text(text, "utf-8")
    async with life(relay) as hub:
        await until(lambda: board.history == ["R1=OFF"], 15.0)
        relay.write_text(text.replace(CYCLE.replace("200 ms", "1 h"), ""), "utf-8")
        hub.signal(1)
        await hub.until("was broken off")
        await hub.until("config reloaded")
        await until(lambda: board.relays["R1"] == "ON", 15.0)
        await stopped(hub)
    assert "R1=OFF" not in board.history[1:]
    assert steps(told(tmp_path))[1] == ("problem", "worsened", ["interrupted"])


async def test_what_does_harm_is_broken_off_and_the_relay_is_on(relay, board, freezer, tmp_path):
    text = relay.read_text("utf-8").replace('off_for = "200 ms"', 'off_for = "1 h"')
    relay.write_text(text + 'harm = "freezer/temp > 0 °C"\n', "utf-8")
    async with life(relay) as hub:
        await until(lambda: board.history == ["R1=OFF"], 15.0)
        freezer.tables["input"][0] = 50
        await until(lambda: board.relays["R1"] == "ON", 15.0)
        await hub.until("phase=worsened")
        await stopped(hub)
    assert steps(told(tmp_path)) == [("problem", "opened", []), ("problem", "worsened", ["harmed"])]


async def test_no_order_leaves_while_the_disk_cannot_take_what_is_remembered_of_it(relay, board, freezer, tmp_path, monkeypatch):
    monkeypatch.setattr(remedies, "LOOK", 0.1)
    monkeypatch.setattr(filing, "RETRY", 0.1)
    freezer.tables["input"][0] = COLD
    stop = asyncio.Event()
    with Store.open(tmp_path / "state" / "canary.db") as store, capture_logs() as log:
        hub = Hub(load(relay), SystemClock(), store)
        running = asyncio.create_task(hub.run(stop, Notifier()))
        await board.is_read(2)
        (pages,) = store.execute("PRAGMA page_count").fetchone()
        store.execute(f"PRAGMA max_page_count = {pages}")
        hub.tell([Statement(change=change(episode=f"one {number}", says="x" * 900)) for number in range(30)])
        await until(lambda: any(line["event"] == "moments wait in memory" for line in log), 15.0)
        freezer.tables["input"][0] = WARM
        await until(lambda: any(case.tried for case in hub.service.book), 15.0)
        await board.is_read(5)
        assert board.history == []
        store.execute("PRAGMA max_page_count = 1000000")
        await until(lambda: board.history == ["R1=OFF", "R1=ON"], 15.0)
        stop.set()
        await running


# ---------------------------------------------------------------- a register


async def test_a_register_is_written_and_read_back_and_what_comes_of_it_is_told(tmp_path):
    """Against pymodbus's own server, looked up in its own store."""
    async with well_tcp(1, coil=[0], discrete=[0], input=[WARM], holding=[COLD]) as port:
        async with life(write(tmp_path, port, SET_LOWER)) as hub:
            await hub.until("hands: acted")
            assert await stands_in(1, "holding", 0) == [LOWER]
            await stand(1, "input", 0, COLD)
            await hub.until("phase=closed")
            await stopped(hub)
        assert await stands_in(1, "holding", 0) == [LOWER]
    assert steps(told(tmp_path)) == WORKED
    opened, recovery, closed = told(tmp_path)
    assert {opened.case, recovery.case, closed.case} == {opened.case}
    (compared,) = recovery.comparisons
    assert (compared.point, compared.before, compared.after) == ("freezer/temp", -10.0, -18.0)
    assert recovery.says.endswith("No visit is needed.")
    assert recovery.tried[0].says.startswith("Freezer/setpoint was set to -24 and reads -24, it was -18.")
    assert (closed.how, closed.openings) == ("by the remedy lower", 1)


@pytest.fixture
def register(tmp_path, freezer):
    """The config of a hub that may lower the setpoint of the freezer, where it stands too high."""
    path = write(tmp_path, freezer.port, SET_LOWER)
    path.write_text(path.read_text("utf-8").replace('proof = "0 s"', 'proof = "200 ms"'), "utf-8")
    return path


async def is_polled(freezer, times):
    """Wait until the freezer has been read so often."""
    begun = len(freezer.requests)
    await until(lambda: freezer.requests[begun:].count(("input", 0, 1)) > times, 15.0)


@pytest.mark.parametrize(("moment", "left"), [("stored", []), ("taken", [LOWERED]), ("on", [LOWERED])])
async def test_a_kill_in_the_middle_is_told_and_a_register_that_stands_written_is_not_written_again(
    register, freezer, tmp_path, moment, left
):
    """Nobody knows how far it came; that there is nothing left to do is seen by the remedy's own condition."""
    register.write_text(register.read_text("utf-8") + SOON, "utf-8")
    async with life(register, moment) as hub:
        assert await hub.end(15.0) == -9
    assert freezer.writes == left
    async with life(register) as hub:
        await hub.until("phase=worsened")
        if left:
            await is_polled(freezer, 22)  # for longer than the spacing, and than its effect may take
        else:
            await hub.until("hands: acted")
        assert freezer.writes == [LOWERED]
        freezer.tables["input"][0] = COLD
        await hub.until("phase=closed")
        await stopped(hub)
    assert freezer.writes == [LOWERED]
    assert freezer.tables["holding"][0] == LOWER
    assert steps(told(tmp_path)) == (WELL_BY_ITSELF if left else TRIED_AGAIN)
    closed = told(tmp_path)[-1]
    assert (closed.how, closed.openings) == ("by itself" if left else "by the remedy lower", 1)


@pytest.mark.parametrize("moment", ["done", "proven", "told"])
async def test_a_kill_after_a_register_was_written_writes_it_no_more_and_tells_once_that_it_has_helped(
    register, freezer, tmp_path, moment
):
    async with life(register, moment) as hub:
        await until(lambda: freezer.writes, 15.0)
        if moment != "done":
            freezer.tables["input"][0] = COLD
        assert await hub.end(15.0) == -9
    freezer.tables["input"][0] = COLD
    async with life(register) as hub:
        await hub.until("phase=closed")
        await stopped(hub)
    assert freezer.writes == [LOWERED]
    assert freezer.tables["holding"][0] == LOWER
    assert steps(told(tmp_path)) == WORKED
    closed = told(tmp_path)[-1]
    assert (closed.how, closed.openings) == ("by the remedy lower", 1)


@pytest.fixture
def remedy(capsys):
    """`canary remedy` with some words: its exit code, and what it printed."""

    async def ask(path, *words):
        code = await asyncio.to_thread(main, ["remedy", *words, "--config", str(path)])
        said, complained = capsys.readouterr()
        return code, (said + complained).strip()

    return ask


async def test_canary_remedy_shows_rehearses_and_tries_one_on_a_real_register(tmp_path, remedy):
    """Against pymodbus's own server, looked up in its own store."""
    async with well_tcp(1, coil=[0], discrete=[0], input=[COLD], holding=[WARM]) as port:
        path = write(tmp_path, port, COLDER, watches="freezer/setpoint")
        says = "colder: writes -24 to freezer/setpoint, for warm on freezer"
        assert await remedy(path, "colder", "--dry-run") == (
            0, f"{says}\nNo hub is running here, so what stands against them is not known.",
        )  # fmt: skip
        assert await remedy(path, "colder") == (
            1, f"no hub is running on {tmp_path / 'state'}; start it with: systemctl start canary",
        )  # fmt: skip
        async with life(path) as hub:
            await hub.until("phase=opened")
            opened = next(line for line in hub.log if "phase=opened" in line)
            number = opened.partition("case=")[2].split()[0]
            so_far = f"  tried 0 of at most 4 times in 24 hours\n  case {number}: tried 0 of at most 2 times"
            free = f"{says}\n{so_far}\n    it may be tried now"
            assert await remedy(path) == (0, free)
            assert await remedy(path, "colder", "--dry-run") == (0, free)
            assert await remedy(path, "coldr", "--dry-run") == (1, 'name: no remedy is called "coldr"; did you mean "colder"?')
            assert (await remedy(path, "colder", "--case", "hub-1-0000"))[0] == 1
            assert await stands_in(1, "holding", 0) == [WARM], "nothing was done so far"
            assert (await remedy(path, "colder"))[0] == 0
            await hub.until("phase=closed")
            assert await stands_in(1, "holding", 0) == [0x10000 - 240]
            code, said = await remedy(path, "colder")
            assert (code, said) == (1, "case: no case is open that it is for")
            await stopped(hub)
    assert steps(told(tmp_path)) == WORKED
    path.write_text("[hub]\n", "utf-8")
    assert (await remedy(path, "colder", "--dry-run"))[0] == 78
