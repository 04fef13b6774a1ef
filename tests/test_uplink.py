"""The uplink against a real Mosquitto, which is killed, stopped and misconfigured."""

import asyncio
import itertools
import json
import os
import random
import resource
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode
from structlog.testing import capture_logs

from gateway import backoff
from gateway import link as link_module
from gateway import uplink as uplink_module
from gateway.backoff import WINDOW
from gateway.clock import SystemClock
from gateway.config.model import Uplink as UplinkKeys
from gateway.demo.broker import Broker
from gateway.link import Link, connected, listen, refusal
from gateway.moments import from_wire
from gateway.outbox import EXPIRY, Outbox
from gateway.store import Store
from gateway.uplink import Uplink

from moments_of import moment
from peers.mosquitto import Mosquitto
from peers.patience import until
from peers.picky import Farewell, Picky
from peers.stingy import Stingy
from peers.subscriber import subscribe

pytestmark = pytest.mark.slow

TIMEOUT = 10.0  # s that anything here may take
HUB = "hub-0042"


class Hub:
    """An outbox and its uplink at work."""

    def __init__(self, folder: Path) -> None:
        self.store = Store.open(folder / "canary.db")
        self.outbox = Outbox(self.store)
        self.thread = ThreadPoolExecutor(1)
        self.wake = asyncio.Event()
        self.log: list[Any] = []

    async def put(self, *moments: Any) -> None:
        await asyncio.get_running_loop().run_in_executor(self.thread, self.outbox.put, *moments)
        self.wake.set()

    async def waiting(self) -> int:
        return (await asyncio.get_running_loop().run_in_executor(self.thread, self.outbox.stats)).rows

    def said(self, event: str) -> list[Any]:
        return [line for line in self.log if line["event"] == event]

    @asynccontextmanager
    async def uplink(self, keys: UplinkKeys, kind: Any = Uplink, luck: float = 0.02, **more: Any) -> AsyncIterator[Uplink]:
        """Runs while entered; a pause is this share of the longest one."""
        uplink = kind(keys, HUB, SystemClock(), random=lambda: luck, **more)
        with capture_logs() as self.log:
            async with asyncio.TaskGroup() as group:
                task = group.create_task(uplink.run(self.outbox, self.thread, self.wake))
                try:
                    async with asyncio.timeout(TIMEOUT * 2):
                        yield uplink
                finally:
                    task.cancel()


@pytest.fixture
def hub(tmp_path):
    hub = Hub(tmp_path)
    yield hub
    hub.thread.shutdown()
    hub.store.close()


@pytest.fixture
def broker(tmp_path):
    with Mosquitto(tmp_path) as broker:
        yield broker


def to(broker: Mosquitto) -> UplinkKeys:
    return UplinkKeys(url=broker.url, retry_first=2.0)


def at(server: asyncio.Server, **keys: Any) -> UplinkKeys:
    return UplinkKeys(url=f"mqtt://127.0.0.1:{server.sockets[0].getsockname()[1]}", retry_first=2.0, **keys)


async def retained_state(keys: UplinkKeys) -> Any:
    """What the broker tells a newcomer about the hub."""
    async with asyncio.timeout(TIMEOUT), listen(keys, f"canary/{HUB}/state", SystemClock()) as publications:
        publication = await anext(publications)
    assert publication.retained
    return json.loads(publication.payload)


# ---------------------------------------------------------------- the first connection


async def test_where_others_start_at_the_same_time_the_first_attempt_is_drawn_by_lot(hub, broker):
    began = asyncio.get_running_loop().time()
    async with hub.uplink(UplinkKeys(url=broker.url, retry_first=2.0), luck=0.25, together=True) as uplink:
        await until(lambda: uplink.online)
    assert asyncio.get_running_loop().time() - began >= 0.5
    async with hub.uplink(UplinkKeys(url=broker.url, retry_first=3600.0, retry_longest=3600.0), luck=1.0) as uplink:
        await until(lambda: uplink.online)  # else at once


# ---------------------------------------------------------------- the way a moment goes


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
async def test_what_waited_is_delivered_in_order_beside_what_is_new_and_then_deleted(hub, broker, protocol):
    keys = UplinkKeys(url=broker.url, protocol=protocol)
    await hub.put(*map(moment, range(100)))
    async with listen(keys, "canary/+/moments", SystemClock()) as publications, hub.uplink(keys):
        for number in range(100, 110):
            await hub.put(moment(number))
        heard = [from_wire((await anext(publications)).payload) for _ in range(110)]
        await until(lambda: _is_zero(hub))
    assert sorted(each.data.seq for each in heard) == list(range(1, 111))
    waited = [each.data.seq for each in heard if each.data.seq <= 100]
    assert waited == sorted(waited)
    assert all(each.data.case == f"hub-0042-{each.data.seq - 1}" for each in heard)


async def _is_zero(hub: Hub) -> bool:
    return await hub.waiting() == 0


async def test_nothing_is_deleted_before_the_broker_has_acknowledged_it(hub, broker):
    async with hub.uplink(to(broker)) as uplink:
        await until(lambda: uplink.online)
        broker.stop()
        await hub.put(*map(moment, range(5)))
        await until(lambda: hub.wake.is_set() is False)
        assert await hub.waiting() == 5
        broker.go_on()
        await until(lambda: _is_zero(hub))


async def test_no_more_is_in_flight_than_the_broker_takes_at_once(hub):
    """A receive maximum of 3, and a broker that answers when nothing more comes."""
    stingy = Stingy(receive_maximum=3)
    await hub.put(*map(moment, range(9)))
    async with await asyncio.start_server(stingy, "127.0.0.1", 0) as server, hub.uplink(at(server)):
        await until(lambda: _is_zero(hub))
    assert stingy.piles == [3, 3, 3, 1]  # the last is the goodbye
    assert stingy.connections == 1


async def test_a_broker_that_is_killed_again_and_again_loses_nothing_and_repeats_only_whole_moments(hub, tmp_path):
    """What arrives twice has the same id and the same bytes; without the repeats, all are there and in order."""
    listening = asyncio.Event()

    class WhenSomebodyListens(Uplink):
        """Mosquitto acknowledges, and forgets, what nobody listens to."""

        async def _connection(self, post, wake):
            await listening.wait()
            await super()._connection(post, wake)

    with Mosquitto(tmp_path, "max_inflight_messages 0") as broker:
        heard: list[bytes] = []
        listener = asyncio.ensure_future(subscribe(broker.port, "canary/+/moments", heard.append, listening))
        async with hub.uplink(to(broker), WhenSomebodyListens) as uplink:
            for round_ in range(4):
                await hub.put(*(moment(number % 7) for number in range(250)))
                await until(lambda: uplink.online)
                before = len(heard)
                await until(lambda before=before: len(heard) > before + 20)
                if round_ < 3:
                    broker.kill()
                    await until(lambda: not uplink.online and not listening.is_set())
                    broker.start()
            await until(lambda: _is_zero(hub))
            await until(lambda: any(from_wire(wire).data.seq == 1000 for wire in heard[-50:]))
        listener.cancel()
    first: dict[str, bytes] = {}
    for wire in heard:
        assert first.setdefault(from_wire(wire).id, wire) == wire
    assert {from_wire(wire).data.seq for wire in first.values()} == set(range(1, 1001))
    cases: dict[str, list[int]] = {}
    for wire in first.values():
        cases.setdefault(from_wire(wire).data.case, []).append(from_wire(wire).data.seq)
    assert all(seqs == sorted(seqs) for seqs in cases.values())


async def test_a_moment_that_a_full_disk_cannot_delete_is_not_sent_again(hub, broker, monkeypatch):
    """The broker has it; it is deleted as soon as there is space."""
    monkeypatch.setattr(uplink_module, "DISK_PAUSE", 0.02)
    await hub.put(*map(moment, range(30)))
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    size = os.stat(f"{hub.store.path}-wal").st_size  # noqa: PTH116
    async with hub.uplink(to(broker)):
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, old[1]))  # no file of this process may grow beyond
        try:
            await until(lambda: hub.said("sent moments cannot be deleted"))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, old)
        await until(lambda: _is_zero(hub))
    assert len(hub.said("sent moments cannot be deleted")) == 1
    assert broker.log().count(f"Received PUBLISH from {HUB} (d0, q1, r0") == 30


# ---------------------------------------------------------------- online and offline


async def test_the_broker_knows_whether_the_hub_is_online(hub, broker):
    async with hub.uplink(to(broker), vitals=lambda: {"version": "0.1.0"}) as uplink:
        await until(lambda: uplink.online)
        told = await retained_state(to(broker))
        assert (told["online"], told["hub"], told["version"]) == (True, HUB, "0.1.0")
    told = await retained_state(to(broker))
    assert (told["online"], told["because"]) == (False, "the hub was stopped")
    assert not uplink.online


async def test_the_last_will_tells_that_the_hub_was_killed(broker, tmp_path):
    script = f"""
import asyncio, random, sys; sys.path.insert(0, {str(Path(__file__).parent.parent)!r})
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from gateway.clock import SystemClock
from gateway.config.model import Uplink as Keys
from gateway.outbox import Outbox
from gateway.store import Store
from gateway.uplink import Uplink
outbox = Outbox(Store.open(Path({str(tmp_path / "canary.db")!r})))
uplink = Uplink(Keys(url={broker.url!r}), {HUB!r}, SystemClock(), random=random.random)
asyncio.run(uplink.run(outbox, ThreadPoolExecutor(1), asyncio.Event()))
"""
    async with listen(to(broker), f"canary/{HUB}/state", SystemClock()) as publications, asyncio.timeout(TIMEOUT):
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", script)
        assert json.loads((await anext(publications)).payload)["online"] is True
        process.kill()
        await process.wait()
        told = json.loads((await anext(publications)).payload)
    assert (told["online"], told["because"]) == (False, "the connection was lost")
    assert await retained_state(to(broker)) == told


async def test_an_outage_is_one_line_in_the_log_and_its_end_is_another(hub, tmp_path):
    broker = Mosquitto(tmp_path)
    await hub.put(moment(), moment())
    async with hub.uplink(to(broker), luck=0.002) as uplink:
        await until(lambda: uplink.backoff._failures > 4)
        with broker:
            await until(lambda: _is_zero(hub))
    (lost,) = hub.said("offline")
    (back,) = hub.said("online again")
    assert lost["fault"] == f"127.0.0.1:{broker.port} refuses connections"
    assert lost["hint"] == "is a broker running there, and is the port right?"
    assert (lost["waiting"], back["waiting"]) == (2, 2)


async def test_a_broker_that_falls_silent_is_noticed_within_one_and_a_half_keep_alives(hub, broker):
    """The connection stays open and nobody answers: half open, as after a router that has forgotten it."""
    keys = UplinkKeys(url=broker.url, keep_alive=2.0)
    async with hub.uplink(keys) as uplink:
        await until(lambda: uplink.online)
        broker.stop()
        stopped = asyncio.get_running_loop().time()
        await until(lambda: not uplink.online)
        assert asyncio.get_running_loop().time() - stopped < 3.5  # the library looks once a second
        broker.go_on()
        await until(lambda: uplink.online)
    assert hub.said("offline")[0]["fault"] == "the broker no longer answers"


async def test_a_broker_that_answers_but_never_acknowledges_is_left(hub, monkeypatch):
    monkeypatch.setattr(link_module, "ACK_TIMEOUT", 0.1)
    monkeypatch.setattr(uplink_module, "FAREWELL", 0.1)
    stingy = Stingy(acknowledges=False)
    await hub.put(moment())
    async with await asyncio.start_server(stingy, "127.0.0.1", 0) as server, hub.uplink(at(server)) as uplink:
        await until(lambda: stingy.connections == 2 and uplink.online)
    assert hub.said("offline")[0]["fault"] == "the broker does not acknowledge what it is sent"
    assert hub.outbox.stats().rows == 1


# ---------------------------------------------------------------- what only a person can mend


@pytest.fixture
def passwords(tmp_path) -> Path:
    """A password file of Mosquitto: the hub's is "right"."""
    file = tmp_path / "passwords"
    subprocess.run(["mosquitto_passwd", "-b", "-c", str(file), HUB, "right"], check=True, capture_output=True)
    return file


async def test_a_wrong_password_is_told_once_and_not_tried_again_soon(hub, tmp_path, passwords):
    with Mosquitto(tmp_path, "allow_anonymous false", f"password_file {passwords}") as broker:
        wrong = UplinkKeys(url=broker.url, username=HUB, password="wrong-secret")
        async with hub.uplink(wrong, luck=0.0):
            await until(lambda: hub.said("offline"))
        (line,) = hub.log
        assert line["fault"] == "the broker refuses this hub: Not authorized"
        assert "`username` and `password` in [uplink]" in line["hint"]
        assert "wrong-secret" not in str(hub.log)
        assert broker.log().count("New connection") == 2  # one of them looked whether it listens
        async with hub.uplink(UplinkKeys(url=broker.url, username=HUB, password="right")) as uplink:
            await until(lambda: uplink.online)


async def test_a_hub_that_may_not_publish_keeps_its_moments(hub, tmp_path):
    """The broker takes the connection and refuses the moment in its PUBACK: it is not delivered, and not deleted."""
    rights = tmp_path / "rights"
    rights.write_text(f"topic write canary/{HUB}/state\ntopic read #\n")
    with Mosquitto(tmp_path, f"acl_file {rights}") as broker:
        await hub.put(moment())
        async with hub.uplink(to(broker), luck=0.0):
            await until(lambda: hub.said("offline"))
        assert "Not authorized" in hub.said("offline")[0]["fault"]
        assert await hub.waiting() == 1


async def test_a_second_hub_of_the_same_name_is_said_to_be_one(hub):
    """They would throw each other out for ever; this one waits until somebody has looked.

    Mosquitto 2.0.11 does not say why it ends a connection; the demo's broker does.
    """
    async with Broker() as broker:
        keys = UplinkKeys(url=broker.url)
        async with hub.uplink(keys, luck=0.0) as uplink:
            await until(lambda: uplink.online)
            async with connected(keys, HUB, SystemClock(), asyncio.Event()):
                await until(lambda: hub.said("offline"))
    (line,) = hub.said("offline")
    assert line["fault"] == "the broker refuses this hub: Session taken over"
    assert line["hint"] == "does a second hub run with the same `id` in [hub]?"


async def test_a_port_where_no_broker_listens_is_said_so(hub):
    async def serve(reader, writer):
        await reader.read(10)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server, hub.uplink(at(server)):
        await until(lambda: hub.said("offline"))
    assert "ends the connection before it answers" in hub.said("offline")[0]["fault"]


@pytest.mark.parametrize(
    "said",
    [
        b"\x20\x03\0\0\x7f",  # properties longer than their packet
        b"\x20\x00",  # no content
        b"\x20\x03\0\0\0\x20\x03\0\0\0\x40\x02\0\x63",  # answers to what was not asked
        b"\x20\x03\0\0\0\x40\x01\0",  # half an acknowledgement
        b"\x20\x03\0\0\0\x40\x04\0\x01\x99\xff",  # an acknowledgement with broken properties
        b"\x20\x03\0\0\0\xe0\x02\x8b\xff",  # a goodbye with broken properties
        b"\x20\x03\0\0\0\x30\x05\0\xff...",  # a message that nobody subscribed to, and broken
        b"\x20\x03\0\0\0\x30\xff\xff\xff\x7f",  # 256 MiB are announced
        b"\x20\x03\0\0\0\xf0\xff\xff\xff\xff\xff",  # a length without end
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
    ],
)
async def test_a_hostile_broker_is_left_or_borne_and_nothing_is_lost(hub, broker, monkeypatch, said):
    """It says something odd and keeps the connection; afterwards a real one is there."""
    monkeypatch.setattr(link_module, "ANSWER_TIMEOUT", 0.1)
    monkeypatch.setattr(uplink_module, "FAREWELL", 0.1)
    mishaps: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: mishaps.append(context))
    before = asyncio.all_tasks()

    async def serve(reader, writer):
        await reader.read(10)
        writer.write(said)
        await reader.read()
        writer.close()

    await hub.put(moment())
    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server, hub.uplink(at(server)):
        await until(lambda: hub.said("offline"))
    await until(lambda: asyncio.all_tasks() == before)
    assert hub.outbox.stats().rows == 1
    async with hub.uplink(to(broker)):
        await until(lambda: _is_zero(hub))
    assert not mishaps


# ---------------------------------------------------------------- stopping


@pytest.mark.parametrize("answers", [False, True])
async def test_it_ends_at_once_wherever_it_is(hub, answers):
    """Cancelled while it connects to somebody who never answers: nothing is left behind, neither task nor socket."""
    before = asyncio.all_tasks()
    arrived = asyncio.Event()

    async def serve(reader, writer):
        arrived.set()
        await reader.read()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        started = asyncio.get_running_loop().time()
        async with hub.uplink(at(server)):
            if answers:
                await arrived.wait()
        assert asyncio.get_running_loop().time() - started < link_module.ANSWER_TIMEOUT / 2
    await until(lambda: asyncio.all_tasks() == before)


async def test_at_the_end_it_waits_for_the_answers_that_are_due(hub, broker):
    """Whatever the broker has taken by then is deleted, so that the next start does not repeat it."""
    async with hub.uplink(to(broker)) as uplink:
        await until(lambda: uplink.online)
        await hub.put(*map(moment, range(20)))
        await until(lambda: not hub.wake.is_set())
    taken = broker.log().count(f"'canary/{HUB}/moments'")
    assert await hub.waiting() == 20 - taken


async def test_a_cancellation_that_comes_with_the_answer_is_not_lost():
    """Seen once: the hub was stopped in the very moment in which the broker let it in, and never ended."""
    answer = asyncio.get_running_loop().create_future()
    waiting = asyncio.create_task(Link._wait_for(SimpleNamespace(timeout=5.0), answer, None))
    await asyncio.sleep(0)
    answer.set_result(None)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


# ---------------------------------------------------------------- what a broker answers


@asynccontextmanager
async def picky(judge: Any = lambda topic, payload: 0, **how: Any) -> AsyncIterator[tuple[Picky, UplinkKeys]]:
    broker = Picky(judge, **how)
    async with await asyncio.start_server(broker, "127.0.0.1", 0) as server:
        yield broker, at(server)


def case(payload: bytes) -> int:
    return int(from_wire(payload).data.case.removeprefix("hub-0042-"))


def of_moments(answer: Callable[[int], int | None]) -> Callable[[str, bytes], int | None]:
    """A judgement of moments by the number of their case; states are taken."""
    return lambda topic, payload: answer(case(payload)) if topic.endswith("/moments") else 0


async def test_after_an_outage_what_is_fresh_does_not_wait_for_what_had_waited(hub):
    """Five thousand moments wait, all of them critical; the next one is among the very next to be sent."""
    await hub.put(*(moment(number, severity="critical") for number in range(5000)))
    order: list[int] = []

    def judge(topic, payload):
        if topic.endswith("/moments"):
            order.append(case(payload))
            if len(order) == 300:
                hub.outbox.put(moment(9999, severity="critical"), moment(4000, phase="worsened"))
                hub.wake.set()
        return 0

    async with picky(judge) as (_, keys), hub.uplink(keys):
        await until(lambda: len(order) > 450)
    after = order[300:]
    assert after.index(9999) < 2 * WINDOW
    assert after.index(4000) < after.index(4000, after.index(4000) + 1) < 3 * WINDOW  # what it said before goes with it
    assert sum(number < 4000 for number in after[: 3 * WINDOW]) > WINDOW  # and the others go on beside it


async def test_a_flood_of_what_is_fresh_leaves_places_to_what_had_waited(hub):
    """And the other way round: a quarter of the places is never taken by what had waited."""
    await hub.put(*map(moment, range(100)))
    in_flight: list[int] = []
    async with picky(of_moments(in_flight.append)) as (_, keys), hub.uplink(keys):  # it answers nothing
        await until(lambda: len(in_flight) == WINDOW * 3 // 4)
        await hub.put(*map(moment, range(500, 600)))
        await until(lambda: len(in_flight) == WINDOW)
    assert [number >= 500 for number in in_flight] == [False] * 24 + [True] * 8


@pytest.mark.parametrize("code", [0x90, 0x99])
async def test_a_moment_that_is_refused_for_good_is_set_aside_and_told_and_holds_up_none(hub, code):
    def account():
        if untold := hub.outbox.stats().untold:
            hub.outbox.put(moment(777), tells=untold)

    await hub.put(*map(moment, range(5)))
    async with picky(of_moments(lambda number: code if number == 2 else 0)) as (broker, keys), hub.uplink(keys, account=account):
        await until(lambda: 777 in map(case, broker.moments()))
        await until(lambda: _is_zero(hub))
    assert sorted(map(case, broker.moments())) == [0, 1, 2, 3, 4, 777]
    assert (hub.outbox.stats().dropped, hub.outbox.stats().untold) == ({"refused": 1}, {})
    (kept,) = hub.store.execute("SELECT wire FROM refused").fetchone()
    assert case(kept) == 2
    assert len(hub.said("the broker refuses a moment for good")) == 1


async def test_what_has_waited_too_long_is_told_though_nothing_is_put(hub, monkeypatch):
    """The broker is there all the time, and has had enough; meanwhile a moment has waited too long."""
    monkeypatch.setattr(uplink_module, "STATE_SPACING", 0.02)
    age = 0.0
    hub.outbox = Outbox(hub.store, keep={"warning": 300.0}, now=lambda: age)

    def account():
        if untold := hub.outbox.stats().untold:
            hub.outbox.put(moment(777), tells=untold)

    await hub.put(moment(1))
    async with picky(of_moments(lambda number: 0 if number == 777 else 0x97)) as (broker, keys), hub.uplink(keys, account=account):
        await until(broker.moments)
        age = EXPIRY
        await until(lambda: hub.outbox.stats().seq == 2)
    assert (hub.outbox.stats().dropped, hub.outbox.stats().untold) == ({"expired": 1}, {})


async def test_what_is_refused_without_a_reason_is_tried_some_times(hub, monkeypatch):
    monkeypatch.setattr(backoff, "FIRST_HOLD", 0.01)
    monkeypatch.setattr(backoff, "LONGEST_HOLD", 0.02)
    await hub.put(*map(moment, range(5)))
    async with picky(of_moments(lambda number: 0x80 if number == 2 else 0)) as (broker, keys), hub.uplink(keys) as uplink:
        await until(lambda: _is_zero(hub))
    assert list(map(case, broker.moments())).count(2) == 5
    assert not uplink._tries  # it runs for years
    assert hub.outbox.stats().dropped == {"refused": 1}


async def test_a_broker_whose_quota_is_used_up_gets_less_and_later_and_all_of_it_in_order(hub, monkeypatch):
    """Each case has three steps; some are put off at random. None is lost, none overtakes another of its case."""
    monkeypatch.setattr(backoff, "FIRST_HOLD", 0.01)
    monkeypatch.setattr(backoff, "LONGEST_HOLD", 0.02)
    chance = random.Random(7)
    taken: list[Any] = []

    def judge(topic, payload):
        if topic.endswith("/moments") and chance.random() < 0.1:
            return 0x97
        taken.append(payload) if topic.endswith("/moments") else None
        return 0

    await hub.put(*(moment(number % 20) for number in range(60)))
    async with picky(judge) as (_, keys), hub.uplink(keys) as uplink:
        await until(lambda: _is_zero(hub))
        assert uplink._pace.places < WINDOW
    assert sorted(from_wire(each).data.seq for each in taken) == list(range(1, 61))
    for number in range(20):
        seqs = [from_wire(each).data.seq for each in taken if case(each) == number]
        assert seqs == sorted(seqs)
    assert len(hub.said("the broker takes less for now")) == 1


@pytest.mark.parametrize("code", [0x81, 0x95])
async def test_a_moment_at_which_the_broker_hangs_up_is_found_and_set_aside(hub, code):
    def judge(number):
        if number == 6:
            raise Farewell(code)
        return 0

    await hub.put(*map(moment, range(12)))
    async with picky(of_moments(judge)) as (broker, keys), hub.uplink(keys, luck=0.001):
        await until(lambda: _is_zero(hub))
    assert {case(payload) for payload in broker.moments()} == set(range(12))
    assert hub.outbox.stats().dropped == {"refused": 1}
    assert broker.connections < 8


async def test_a_moment_that_is_larger_than_the_broker_takes_is_not_sent(hub):
    """It says so in its CONNACK, and would hang up."""
    await hub.put(moment(1), moment(2, says="x" * 3000), moment(3))
    async with picky(properties=b"\x27\0\0\x08\0") as (broker, keys), hub.uplink(keys):
        await until(lambda: _is_zero(hub))
    assert list(map(case, broker.moments())) == [1, 3]
    assert hub.outbox.stats().dropped == {"refused": 1}
    assert broker.connections == 1


async def test_a_broker_without_retained_messages_gets_none(hub):
    await hub.put(moment(1))
    async with picky(properties=b"\x25\0") as (broker, keys), hub.uplink(keys):
        await until(lambda: _is_zero(hub))
    assert broker.retained == [False] * 3


@pytest.mark.parametrize(("code", "patient"), [(0x89, False), (0x97, False), (0x9F, False), (0x87, True), (0x8A, True)])
async def test_a_broker_that_is_busy_is_left_alone_for_long_and_one_that_says_no_for_longer(hub, code, patient):
    async with picky(connack=(code,)) as (broker, keys), hub.uplink(keys, luck=0.5):
        await until(lambda: hub.said("offline"))
        await asyncio.sleep(0)
    assert broker.connections == 1
    fault = refusal(ReasonCode(PacketTypes.CONNACK, identifier=code))
    assert (fault.patient, fault.busy) == (patient, not patient)
    assert bool(hub.said("offline")[0]["hint"]) == patient


# ---------------------------------------------------------------- the retained state


class Facts:
    """What the agent would say of the hub."""

    def __init__(self) -> None:
        self.clock = "unsynced"
        self.written = 0.0

    def __call__(self) -> dict[str, Any]:
        self.written += 1.5
        return {
            "version": "0.1.0",
            "clock": self.clock,
            "config": "0123456789ab",
            "devices": {"well": 98, "parked": 1, "mute": 1},
            "wear": {"mb_per_day": self.written, "syncs_per_day": 123},
        }


async def test_the_state_tells_what_waits_since_when_and_what_was_lost(hub, broker):
    await hub.put(*map(moment, range(3)))
    hub.outbox.ack([1], refused="too odd")
    async with (
        picky(lambda topic, payload: 0 if topic.endswith("/state") else None) as (peer, keys),
        hub.uplink(keys, vitals=Facts()),
    ):
        await until(peer.moments)
    told = json.loads(peer.heard[0][1])
    assert told["outbox"] == {"waiting": 2, "bytes": hub.outbox.stats().bytes, "oldest": "2026-01-01T12:00:00Z"}
    assert told["dropped"] == {"refused": 1}
    assert told["generation"] == hub.store.generation
    assert (told["clock"], told["config"]) == ("unsynced", "0123456789ab")


async def test_the_state_is_renewed_upon_a_change_and_now_and_then_within_its_budget(hub, monkeypatch):
    """An hour of a quiet hub, and one in which something changes all the time: 0.2 and 2 kB a minute."""
    monkeypatch.setattr(uplink_module, "STATE_SPACING", 0.06)
    for restless, most in ((False, 200), (True, 2000)):
        facts = Facts()
        times: list[float] = []
        sizes: list[int] = []

        def judge(topic, payload, facts=facts, times=times, sizes=sizes, restless=restless):
            times.append(asyncio.get_running_loop().time())
            sizes.append(len(payload) + len(topic) + 10)
            facts.clock = f"clock {len(times)}" if restless else facts.clock
            return 0

        async with picky(judge) as (_, keys), hub.uplink(msgspec.structs.replace(keys, state_every=0.9), vitals=facts):
            await until(lambda times=times, number=6 if restless else 2: len(times) > number)
        span = (times[-2] - times[0]) * 1000  # without the goodbye; a second stands for a thousand
        assert sum(sizes[1:-1]) / span * 60 < most
        gaps = [second - first for first, second in itertools.pairwise(times[:-1])]
        assert min(gaps) > (0.055 if restless else 0.85)


# ---------------------------------------------------------------- packed


async def test_large_moments_are_packed_where_the_config_says_so_and_the_wire_tells_how(hub):
    zstandard = pytest.importorskip("zstandard")
    await hub.put(moment(1), moment(2, says="x" * 3000))
    async with picky() as (broker, keys), hub.uplink(msgspec.structs.replace(keys, compress="zstd")):
        await until(lambda: _is_zero(hub))
    plain, packed = (each for each in broker.heard if each[0].endswith("/moments"))
    assert case(plain[1]) == 1
    assert b"content-encoding" not in plain[2]
    assert b"\x00\x10content-encoding\x00\x04zstd" in packed[2]
    assert b"application/cloudevents+json" in packed[2]
    assert len(packed[1]) < 600
    assert case(zstandard.decompress(packed[1])) == 2


async def test_nothing_is_packed_unless_the_config_says_so(hub):
    await hub.put(moment(2, says="x" * 3000))
    async with picky() as (broker, keys), hub.uplink(keys):
        await until(lambda: _is_zero(hub))
    assert case(broker.moments()[0]) == 2


def test_without_the_package_moments_go_unpacked_and_the_log_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "zstandard", None)
    with capture_logs() as log:
        uplink = Uplink(UplinkKeys(url="mqtt://localhost", compress="zstd"), HUB, SystemClock(), random=lambda: 0.0)
    assert uplink._pack is None
    assert log[0]["hint"] == 'install the package "zstandard", or leave `compress` in [uplink] out'
