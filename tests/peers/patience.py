"""Waiting for what comes true somewhere else and sends no event."""

import asyncio
from collections.abc import Callable


async def until(condition: Callable[[], object], within: float = 10.0) -> None:
    """Wait for something to become true, at most so long (s); the condition may be a coroutine function. Raises TimeoutError."""
    async with asyncio.timeout(within):
        while True:
            found = condition()
            if await found if asyncio.iscoroutine(found) else found:
                return
            await asyncio.sleep(0.001)
