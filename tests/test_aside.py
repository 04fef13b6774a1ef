"""A call that blocks keeps nobody: neither the loop, nor whoever no longer waits for it, nor the end of the program."""

import asyncio
import threading

import pytest

from gateway.aside import aside


async def test_what_the_call_gives_comes_back_and_what_it_raises_is_raised() -> None:
    """The loop goes on meanwhile."""
    begun, go_on = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def call() -> int:
        loop.call_soon_threadsafe(begun.set)
        go_on.wait(10.0)
        return 42

    waiting = asyncio.ensure_future(aside("answer", call))
    async with asyncio.timeout(10.0):
        await begun.wait()
        assert not waiting.done()
        go_on.set()
        assert await waiting == 42
        with pytest.raises(OSError, match="no such thing"):
            await aside("mishap", lambda: _raise(OSError("no such thing")))


async def test_who_no_longer_waits_is_free_at_once_and_what_comes_too_late_is_dropped() -> None:
    """Also where the call raises in the end."""
    go_on = threading.Event()

    def call() -> None:
        go_on.wait(10.0)
        raise OSError("too late")

    mishaps: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: mishaps.append(context))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await aside("late", call)
    (thread,) = (one for one in threading.enumerate() if one.name == "late")
    assert thread.daemon
    go_on.set()
    await asyncio.to_thread(thread.join, 10.0)
    await asyncio.sleep(0)
    assert mishaps == []


def test_a_call_may_outlive_the_loop() -> None:
    """It ends without a word (a traceback in a thread would fail here) when there is nobody to tell."""
    go_on = threading.Event()

    async def give_up() -> None:
        async with asyncio.timeout(0.01):
            await aside("longest", lambda: go_on.wait(10.0))

    with pytest.raises(TimeoutError):
        asyncio.run(give_up())
    (thread,) = (one for one in threading.enumerate() if one.name == "longest")
    go_on.set()
    thread.join(10.0)
    assert not thread.is_alive()


def _raise(error: Exception) -> None:
    raise error
