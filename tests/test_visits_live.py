"""`canary visit` at a real hub: a technician at the terminal, a machine that answers, and a kill in the middle."""

import asyncio
import signal

import pytest

from gateway.cli import main
from gateway.control import ask
from gateway.moments import from_wire
from gateway.store import Store

from peers.freezer import Freezer
from peers.hub_process import HubProcess

pytestmark = pytest.mark.slow

CONFIG = """
[hub]
id = "hub-1"
state = "{state}"
[bus.line]
driver = "modbus-tcp"
host = "127.0.0.1"
port = {port}
[device.freezer]
bus = "line"
unit = 1
every = "2 s"
serial = "S-1"
points.temp = {{ input = 0, type = "int16", scale = 0.1, unit = "°C" }}
[rule.warm]
kind = "threshold"
on = ["freezer/temp"]
above = "-15 °C"
proof = "0 s"
"""


@pytest.fixture
async def freezer():
    async with Freezer() as freezer:
        yield freezer


@pytest.fixture
def path(tmp_path, freezer):
    path = tmp_path / "hub.toml"
    path.write_text(CONFIG.format(state=tmp_path / "state", port=freezer.port), "utf-8")
    return path


@pytest.fixture
def visit(path, capsys):
    """`canary visit` with some words: its exit code, and what it printed."""

    async def told(*words):
        code = await asyncio.to_thread(main, ["visit", *words, "--config", str(path)])
        said, complained = capsys.readouterr()
        return code, (said + complained).strip()

    return told


async def test_a_visit_from_start_to_end_with_a_kill_in_the_middle(path, freezer, visit, tmp_path):
    freezer.temp = -10.0
    async with HubProcess(path) as hub:
        await hub.until("phase=opened")
        code, said = await visit("start", "--by", "Jan Peeters", "freezer")
        assert (code, said.partition(" It ends")[0]) == (0, "The visit is on: 1 device, 1 open case.")
        assert await visit("start", "--by", "An") == (1, "a visit by Jan Peeters is on; end it first with: canary visit end")
        assert "visit by Jan Peeters for " in "".join(await asyncio.to_thread(list, ask(tmp_path / "state", do="status")))
        assert await visit("note", "Changed the sensor.") == (0, "Noted.")
        code, said = await visit("replaced", "freezer", "--serial", "S-2")
        assert (code, said.partition(".")[0]) == (0, "Noted (serial number of the old one: S-1)")
        await freezer.until_left_alone_for(lambda pause: pause < 1.5)  # s; it is read faster than every 2 s
        hub.signal(signal.SIGKILL)
        await hub.end()
    freezer.temp = -20.0
    async with HubProcess(path) as hub:
        await hub.until("READY=1")
        await freezer.until_left_alone_for(lambda pause: pause < 1.5)  # the visit goes on
        assert (await visit("end"))[0] == 0
        await hub.until("phase=closed")
        await freezer.until_left_alone_for(lambda pause: pause > 1.5)  # as before
        hub.signal()
        assert await hub.end() == 0
    with Store.open(tmp_path / "state" / "canary.db") as store:
        rows = store.execute("SELECT wire FROM moment ORDER BY seq").fetchall()
    opened, account, closed = (from_wire(wire).data for (wire,) in rows)
    assert (opened.kind, opened.phase, opened.device.serial) == ("problem", "opened", "S-1")
    assert (account.kind, account.visit.by, account.visit.done) == ("visit", "Jan Peeters", ("Changed the sensor.",))
    assert account.visit.open_before[0].case == opened.case
    assert (closed.phase, closed.case, closed.how) == ("closed", opened.case, "by the visit of Jan Peeters")
    assert closed.device.serial == "S-2"


async def test_what_was_answered_outlives_a_kill_that_comes_right_after_it(path, visit, tmp_path):
    for words, answer in (
        (["start", "--by", "Jan"], 0),
        (["note", "Looked around."], 0),
        (["end"], 0),
        (["end"], 1),
    ):
        async with HubProcess(path) as hub:
            await hub.until("READY=1")
            code, said = await visit(*words)
            assert code == answer, said
            hub.signal(signal.SIGKILL)
            await hub.end()
    with Store.open(tmp_path / "state" / "canary.db") as store:
        rows = store.execute("SELECT wire FROM moment ORDER BY seq").fetchall()
    (account,) = [moment.data.visit for (wire,) in rows if (moment := from_wire(wire)).data.kind == "visit"]
    assert account.done == ("Looked around.",)


async def test_mistakes_of_a_person_are_one_line_each_with_a_remedy(path, visit):
    assert await visit("end") == (1, f"no hub is running on {path.parent / 'state'}; start it with: systemctl start canary")
    async with HubProcess(path) as hub:
        await hub.until("READY=1")
        assert await visit("end") == (1, "no visit is on; begin one with: canary visit start --by NAME")
        code, said = await visit("start", "--by", "Jan", "freezr")
        assert (code, said) == (1, 'on: there is no device and no bus "freezr"; did you mean freezer?')
        code, said = await visit("start", "--by", "Jan", "--for", "2 weeks")
        assert (code, said.count("\n")) == (1, 0)
        assert "for:" in said
    path.write_text("[hub]\n", "utf-8")
    assert (await visit("end"))[0] == 78
