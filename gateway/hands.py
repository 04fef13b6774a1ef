"""What the service orders is carried out: each order in a task of its own, what came of it goes back to the service.

Promises
- An order is carried out only after all that the service remembers of it is on the disk (`filing.py` hands it over), and once.
- What does harm is broken off. So is everything at the end, and when another config comes: what was switched off is switched on,
  and the service is told that it was cut short.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Any, Protocol

import structlog

from gateway.acting import Result, perform, restore
from gateway.clock import Clock
from gateway.config.actions import intent
from gateway.polling import Poller
from gateway.service.attempt import Order
from gateway.service.contract import Statement
from gateway.service.service import Service

log = structlog.get_logger("hands")


class Hub(Protocol):
    """Whose hands they are. What a reload swaps is asked for each time."""

    @property
    def service(self) -> Service:
        """Who orders."""

    @property
    def pollers(self) -> Mapping[str, Poller]:
        """The buses, by name."""

    def begin(self, name: str, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Start a task of the hub's tree."""

    def tell(self, statements: Sequence[Statement]) -> None:
        """Let these be told, and what the service has noted be kept."""

    def look(self) -> None:
        """Something may be due now."""


class Hands:
    """All orders of one hub that are being carried out."""

    def __init__(self, hub: Hub, clock: Clock, sleep: Callable[[float], Coroutine[Any, Any, None]] = asyncio.sleep) -> None:
        self._hub = hub
        self._clock = clock
        self._sleep = sleep
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._rests = False

    def ordered(self) -> list[Order]:
        """What may be carried out as soon as what the service remembers now is stored."""
        return [] if self._rests else self._hub.service.remedies.orders(self._clock.now())

    def carry_out(self, orders: Iterable[Order]) -> None:
        """All that the service remembers of these orders is stored."""
        for order in () if self._rests else orders:
            if self._hub.service.remedies.hand_out(order):
                log.info("acts", order=order.number, does=intent(order.action), restores=order.restores)
                self._tasks[order.number] = self._hub.begin(f"remedy:{order.number}", self._carry_out(order))

    def stop_harm(self) -> None:
        """Break off what the service has seen to do harm."""
        for number in self._hub.service.remedies.stopped() & self._tasks.keys():
            if not self._tasks[number].cancelling():
                self._tasks[number].cancel()

    async def break_off(self) -> None:
        """End everything, and return when it is tidied up; nothing is begun until `resume`."""
        self._rests = True
        while tasks := list(self._tasks.values()):
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    def resume(self) -> None:
        """Go to work again."""
        self._rests = False

    async def _carry_out(self, order: Order) -> None:
        remedies = self._hub.service.remedies
        result: Result | None = None
        try:
            if order.restores:
                result = await restore(order.action, self._hub.pollers)
            else:
                result = await perform(order.action, self._hub.pollers, self._sleep)
        finally:
            del self._tasks[order.number]
            now = self._clock.now()
            if result is None:
                log.warning("was broken off", order=order.number)
                said = remedies.broken_off(order.number, now)
            else:
                log.info("acted", order=order.number, done=result.done, says=result.says)
                said = remedies.done(order.number, now, done=result.done, says=result.says, before=result.before)
            self._hub.tell(self._hub.service.say("remedies", said))
            self._hub.look()
