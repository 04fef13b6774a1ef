"""The watchdog's promises of the uplink: an outage keeps them all, whatever does not answer; an uplink that hangs breaks one."""

import asyncio
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, closing

import pytest

from gateway import dial, link, uplink, watchdog
from gateway.agent import Hub
from gateway.clock import SystemClock
from gateway.config import load
from gateway.config.model import Tls
from gateway.config.model import Uplink as Keys
from gateway.outbox import Outbox
from gateway.store import Store
from gateway.uplink import Uplink
from gateway.watchdog import Notifier, Pulse

from moments_of import moment
from peers.patience import until
from peers.picky import Picky

pytestmark = pytest.mark.slow

CLOCK = SystemClock()
OUTAGE = 5.0  # s: longer than any promise made here


def hurry(monkeypatch, times, slack):
    """Each bound of a wait is so many times shorter, and what follows from them too."""
    bounds = {
        dial: ("RESOLVE_TIMEOUT", "CONNECT_TIMEOUT", "CONNECT_TIMEOUT_OF_ALL", "HANDSHAKE_TIMEOUT"),
        link: ("ANSWER_TIMEOUT", "ACK_TIMEOUT", "HANG_UP"),
        uplink: ("COMING_UP", "STATE_SPACING", "DISK_PAUSE"),
    }
    for module, names in bounds.items():
        for name in names:
            monkeypatch.setattr(module, name, getattr(module, name) / times)
    monkeypatch.setattr(watchdog, "SLACK", slack)


@asynccontextmanager
async def at_work(folder, keys):
    """The promises of an uplink that has a moment to send."""
    pulse = Pulse()
    with Store.open(folder / "canary.db") as store, ThreadPoolExecutor(1) as thread:
        outbox = Outbox(store)
        outbox.put(moment())
        sending = Uplink(keys, "hub-1", CLOCK, random=lambda: 0.5, pulse=pulse)
        task = asyncio.create_task(sending.run(outbox, thread, asyncio.Event()))
        try:
            yield pulse
        finally:
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled(), task


def at(port, scheme="mqtt", host="127.0.0.1", **more):
    return Keys(url=f"{scheme}://{host}:{port}", retry_first=0.02, retry_longest=0.1, **more)


async def mute(reader, writer):
    """Takes connections, and says nothing."""
    await reader.read()
    writer.close()


@asynccontextmanager
async def served(serve):
    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


@asynccontextmanager
async def deaf():
    """A port whose queue is full: the kernel answers no more, as where a firewall drops what comes."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener, closing(socket.socket()) as first:
        first.connect(listener.getsockname())
        yield listener.getsockname()[1]


# ---------------------------------------------------------------- an outage


async def test_an_outage_of_whatever_kind_is_no_hang(tmp_path, monkeypatch):
    """Name servers that are silent, a firewall, a port where nobody is, a broker that falls silent at each step, or says no.

    Nor is it where all is well and there is nothing to say.
    """
    hurry(monkeypatch, times=80, slack=0.6)
    found, end = socket.getaddrinfo, threading.Event()

    def resolve(host, *how, **more):
        if host == "silent.test":
            end.wait(OUTAGE * 2)
        return found("127.0.0.1" if host == "deaf.test" else host, *how, **more) * (100 if host == "deaf.test" else 1)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    async with AsyncExitStack() as stack:
        stack.callback(end.set)
        dropped = await stack.enter_async_context(deaf())
        silent = await stack.enter_async_context(served(mute))
        no_answer = await stack.enter_async_context(served(Picky(lambda topic, payload: None)))
        no_acknowledgement = await stack.enter_async_context(
            served(Picky(lambda topic, payload: 0 if topic.endswith("/state") else None))
        )
        no_entry = await stack.enter_async_context(served(Picky(connack=(0x87,))))
        well = await stack.enter_async_context(served(Picky()))
        outages = {
            "nobody knows the name": at(1, "mqtts", "silent.test"),
            "nobody answers at any of a hundred addresses": at(dropped, "mqtts", "deaf.test"),
            "nobody listens": at(1),
            "nobody speaks TLS": at(silent, "mqtts", tls=Tls()),
            "nobody speaks MQTT": at(silent),
            "no answer to the first word": at(no_answer),
            "no answer to a moment": at(no_acknowledgement),
            "no entry": at(no_entry),  # the next attempt is minutes away
            "all is well": at(well),
        }
        pulses = {}
        for name, keys in outages.items():
            pulses[name] = await stack.enter_async_context(at_work(tmp_path / name, keys))
        began = at_last = CLOCK.now()
        while at_last < began + OUTAGE:
            await asyncio.sleep(0.02)
            now = min(CLOCK.now(), at_last + 0.1)  # where this whole process was kept waiting, so was each uplink
            assert [name for name, pulse in pulses.items() if pulse.overdue(now)] == []
            at_last = CLOCK.now()


# ---------------------------------------------------------------- a hang


async def never(*_args, **_named):
    await asyncio.Event().wait()


@pytest.mark.parametrize("place", ["link.dial", "link.Link.say", "link.Link.news", "outbox.Outbox.peek"])
async def test_an_uplink_that_hangs_is_noticed(tmp_path, monkeypatch, place):
    """Wherever it waits for what never comes, in the loop or in the thread of the store, though the broker is well."""
    hurry(monkeypatch, times=400, slack=0.1)
    end = threading.Event()
    monkeypatch.setattr(f"gateway.{place}", (lambda *_, **__: end.wait() and []) if place == "outbox.Outbox.peek" else never)
    async with served(Picky()) as port, at_work(tmp_path, at(port)) as pulse:
        try:
            await until(lambda: pulse.overdue(CLOCK.now()) == ["uplink"])
        finally:
            end.set()


# ---------------------------------------------------------------- in the hub


async def test_the_hub_waits_for_the_promises_of_its_uplink_while_it_has_one(tmp_path):
    path = tmp_path / "hub.toml"
    without = f'[hub]\nid = "hub-1"\nstate = "{tmp_path}"\n'
    path.write_text(without + '[uplink]\nurl = "mqtt://127.0.0.1:1"\n')
    stop = asyncio.Event()
    with Store.open(tmp_path / "canary.db") as store:
        hub = Hub(load(path), SystemClock(), store)
        running = asyncio.create_task(hub.run(stop, Notifier("")))
        await until(lambda: "uplink" in hub.pulse.overdue(float("inf")))
        path.write_text(without)
        await hub.reload(load(path))
        assert "uplink" not in hub.pulse.overdue(float("inf"))
        stop.set()
        await running
