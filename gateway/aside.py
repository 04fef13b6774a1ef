"""A call that blocks, in a thread of its own that nobody has to wait for.

Not in the loop's pool: Python waits at its end for all threads of that, and the hub would take as long to end as the call.
"""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TypeVar

Result = TypeVar("Result")


async def aside(name: str, call: Callable[[], Result]) -> Result:
    """What the call gives, or raises. When this is cancelled the call goes on, and what comes of it is dropped."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[Result] = loop.create_future()

    def settle(done: Callable[[], None]) -> None:
        if not answer.done():
            done()

    def work() -> None:
        done: Callable[[], None]
        try:
            done = partial(answer.set_result, call())
        except Exception as error:  # noqa: BLE001  (it is raised where somebody waits for it)
            done = partial(answer.set_exception, error)
        with suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(settle, done)

    threading.Thread(target=work, name=name, daemon=True).start()
    return await answer
