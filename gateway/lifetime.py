"""A timeline that goes on across restarts: seconds since the hub's store was begun.

What is counted by the hour and the day, or kept for so many days, goes by it: a restart neither begins a day anew nor makes a
moment younger, and a leap of the wall clock moves nothing. The time for which the machine was off counts where the wall clock can
be trusted at both ends; else it is left out, so that nothing ends too early.
"""

from contextlib import suppress

import msgspec

from gateway.clock import Clock
from gateway.saved_state import Stamp
from gateway.store import DiskFullError, Store

NAME, BOOT = "lifetime", "boot"  # remembered


def is_first_since_boot(store: Store, clock: Clock) -> bool:
    """Whether a hub that has run before starts for the first time since its machine did. Notes it, where the disk takes that."""
    with store.transaction():
        known = store.recall(BOOT)
    if known != clock.timeline:
        with suppress(DiskFullError), store.transaction():
            store.remember(BOOT, clock.timeline)
    return known not in {"", clock.timeline}


class Lifetime:
    """The timeline of one store."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        with store.transaction():
            text = store.recall(NAME)
            lived = 0.0
            if text:
                saved, stamp = msgspec.json.decode(text, type=tuple[float, Stamp])
                lived = saved + stamp.until(Stamp.now(clock))[1]
            self._began = clock.now() - lived

    def now(self) -> float:
        """Seconds on this timeline; never less than before."""
        return self._clock.now() - self._began

    def save(self) -> None:
        """Note how far it is. Costs next to nothing in a transaction that writes anyway."""
        with self._store.transaction():
            self._store.remember(NAME, msgspec.json.encode((self.now(), Stamp.now(self._clock))).decode())
