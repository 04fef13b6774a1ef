"""A connection to the broker that is given up while it comes up leaves nothing behind, wherever it was."""

import asyncio
import gc
import ssl
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import count
from typing import Any

import pytest

from gateway.clock import SystemClock
from gateway.config.model import Tls, Uplink
from gateway.dial import UplinkFault
from gateway.link import connected

from peers.authority import Authority
from peers.patience import until
from peers.picky import Picky
from peers.stingy import Stingy

pytestmark = pytest.mark.slow

TIMEOUT = 10.0  # s that anything here may take
HUB = "hub-0042"


async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)
    writer.close()


async def say_goodbye(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """In one breath, which TLS keeps together: CONNACK, a message that is to be acknowledged, DISCONNECT."""
    await reader.read(1)
    writer.write(b"\x20\3\0\0\0" + b"\x32\6\0\1x\0\1\0" + b"\xe0\0")
    writer.close()


async def hold(keys: Uplink, settled: asyncio.Event) -> None:
    """Keep a connection; `settled` when it is up, or has failed."""
    try:
        async with connected(keys, HUB, SystemClock(), asyncio.Event()):
            settled.set()
            await asyncio.Future()
    except UplinkFault:
        settled.set()


async def give_up(keys: Uplink, turns: int, *, twice: bool) -> bool:
    """Cancel a connection after so many turns of the loop, and maybe while it hangs up too; whether it was settled by then."""
    settled = asyncio.Event()
    holding = asyncio.create_task(hold(keys, settled))
    for _ in range(turns):
        await asyncio.sleep(0)
    was_settled = settled.is_set()
    for _ in range(1 + twice):
        holding.cancel()
        await asyncio.sleep(0)
    with suppress(asyncio.CancelledError):
        await holding
    return was_settled


@pytest.fixture
def authority(tmp_path) -> Authority:
    return Authority(tmp_path)


@pytest.mark.parametrize("twice", [False, True], ids=["once", "twice"])
@pytest.mark.parametrize(
    ("broker", "secure"),
    [(Stingy(), False), (Stingy(), True), (Picky(connack=(0x87,)), False), (hang_up, False), (say_goodbye, True)],
    ids=["takes_it", "takes_it_by_tls", "refuses", "hangs_up", "says_goodbye"],
)
async def test_given_up_at_any_turn_of_the_loop_it_leaves_no_socket_no_task_and_no_callback(authority, broker, secure, twice):
    """As a reload or a stop gives it up. A callback that came later would find its socket closed, or its number another's."""
    mishaps: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: mishaps.append(context))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*authority.issue("127.0.0.1"))
    async with await asyncio.start_server(broker, "127.0.0.1", 0, ssl=context if secure else None) as server:
        port = server.sockets[0].getsockname()[1]
        keys = Uplink(url=f"mqtt{'s' * secure}://127.0.0.1:{port}", tls=Tls(ca=str(authority.file)))
        before = asyncio.all_tasks()
        for turns in count():
            with warnings.catch_warnings(record=True) as warned:
                warnings.simplefilter("always")
                was_settled = await give_up(keys, turns, twice=twice)
                await until(lambda: asyncio.all_tasks() == before)
                gc.collect()
            assert not [str(each.message) for each in warned], f"given up after {turns} turns"
            assert not mishaps, f"given up after {turns} turns"
            if was_settled:
                break


async def test_it_comes_up_though_every_thread_of_the_pool_is_busy():
    """A thread would go on with what was given up; and a disk that hangs would keep the hub from the broker."""
    free = threading.Event()
    pool = ThreadPoolExecutor(1)
    asyncio.get_running_loop().set_default_executor(pool)
    pool.submit(free.wait)
    try:
        async with await asyncio.start_server(Stingy(), "127.0.0.1", 0) as server, asyncio.timeout(TIMEOUT):
            keys = Uplink(url=f"mqtt://127.0.0.1:{server.sockets[0].getsockname()[1]}")
            async with connected(keys, HUB, SystemClock(), asyncio.Event()):
                pass
    finally:
        free.set()
