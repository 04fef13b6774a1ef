"""The way from what is to be told to the disk: statements, and what the hub knows, as one commit.

Promises
- A moment and the memory of having told it reach the disk together or not at all, so a restart tells nothing twice and forgets
  nothing. While a moment waits for space on the disk, nothing of what is known is saved: after a kill the hub would know of an
  episode that nobody was told of.
- A full disk stops neither polling nor diagnosis: up to `WAITING` statements wait in memory, then the least important go, and are
  counted.
- What the service orders is carried out only once the memory of having ordered it is on the disk.
- The disk is reached by one thread only: a slow card never delays a poll.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from functools import partial
from typing import Any

import structlog

from gateway.clerk import Clerk
from gateway.clock import Clock
from gateway.moments import Moment
from gateway.polling import to_the_end
from gateway.saved_state import SavedState, Stamp
from gateway.scratch import Scratch, runtime_folder
from gateway.service.attempt import Order
from gateway.service.contract import Statement
from gateway.service.desk import Desk
from gateway.store import DiskFullError, Store, StoreError
from gateway.waiting import Waiting
from gateway.watchdog import Pulse

log = structlog.get_logger("hub")

WAITING = 1000  # statements that may wait for a disk that is full
SAVING = 60.0  # s between two saves of what is known
RETRY = 10.0  # s until a full disk is tried again


class Filing:
    """What waits for the disk.

    state: everything that the hub knows and that must survive, as plain data; of what is calm only if asked for. filed: called with
    the moments that have just become safe. ordered: what the service wants to be done in the world, as of that state; carry_out:
    called with that once the state is safe. desk: who words the moments, swapped with the config.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        thread: Executor,
        clerk: Clerk,
        desk: Desk,
        *,
        state: Callable[[bool], dict[str, Any]],
        filed: Callable[[Sequence[Moment]], None],
        ordered: Callable[[], Sequence[Order]] = tuple,
        carry_out: Callable[[Sequence[Order]], None] = lambda _: None,
    ) -> None:
        self.desk = desk
        self.saved = SavedState(store, Scratch(runtime_folder()))
        self._store = store
        self._clock = clock
        self._thread = thread
        self._clerk = clerk
        self._state = state
        self._filed = filed
        self._ordered = ordered
        self._carry_out = carry_out
        self._waiting = Waiting(WAITING)
        self._news = asyncio.Event()
        self._busy = asyncio.Lock()

    def tell(self, statements: Sequence[Statement]) -> None:
        """Let the clerk have them. Also where there are none: what the service has noted is to be kept."""
        self._waiting.add(statements)
        self._news.set()

    def look(self) -> None:
        """Something may be due that nobody has said."""
        if self._clerk.is_due():
            self._news.set()

    async def run(self) -> None:
        """Store what comes, until cancelled while nothing is being stored (`put_away`)."""
        full = False
        while True:
            await self._news.wait()
            self._news.clear()
            try:
                dropped = self._waiting.dropped
                await self.file()
                if full:
                    full = False
                    log.info("the disk has space again", dropped=dropped)
            except DiskFullError as error:
                if not full:
                    full = True
                    log.error("moments wait in memory", fault=error)
                await asyncio.sleep(RETRY)
                self._news.set()

    async def run_saving(self, pulse: Pulse) -> None:
        """Save what is known now and then, until cancelled."""
        while True:
            pulse.expect("saving", self._clock.now() + SAVING)
            await asyncio.sleep(SAVING)
            try:
                await self.save()
            except StoreError as error:
                log.warning("state not saved", fault=error)

    async def put_away(self, end: Callable[[], Any]) -> None:
        """At the end: `end` ends the task of `run` (not in the middle of a write, of which it would not know); then store all."""
        async with self._busy:
            await end()
        try:
            await self.file()
            await self.save(all_of_it=True)
        except DiskFullError as error:
            log.error("moments are lost", number=len(self._waiting.statements), fault=error)

    async def file(self) -> None:
        """Store what waits, as one commit; what could not be stored waits on.

        Who is cancelled in the middle of it, such as a command, waits for its end: the write goes on in its thread, and what was
        thought not to be stored would be stored again.
        """
        async with self._busy:
            await to_the_end(self._file())

    async def _file(self) -> None:
        statements, missed = self._waiting.take()
        orders = self._ordered()
        try:
            made = await self._in_thread(self._write, statements, missed, self._state(False), Stamp.now(self._clock))
        except BaseException:
            self._waiting.put_back(statements, missed)
            raise
        self._filed(made)
        self._carry_out(orders)

    async def save(self, *, all_of_it: bool = False) -> None:
        """Store what is known, unless a moment waits."""
        async with self._busy:
            if not self._waiting.statements:
                state, stamp = self._state(all_of_it), Stamp.now(self._clock)
                await self._in_thread(partial(self.saved.save, state, stamp, all_of_it=all_of_it))

    def _write(self, statements: Sequence[Statement], missed: int, state: dict[str, Any], stamp: Stamp) -> list[Moment]:
        try:
            with self._store.transaction():
                made = self._clerk.file(self.desk, statements, missed)
                self.saved.save(state, stamp)
        except StoreError:
            self.saved.distrust()
            raise
        return made

    async def _in_thread(self, function: Any, *args: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function, *args)
