"""The hub's mind: the diagnosis and the service of one config, at work together, from batches to what is to be told.

Promises
- Driven by batches, by deadlines and by a clock that is passed in; no I/O. What is known comes out as plain data (`state`) and is
  taken up again (`resume`), whatever lies on the disk: what cannot be read costs what had been learnt, and if need be what was
  open, but not the start.
- Another config takes over what is known (`adopt`). The engine is made anew only where what it is built from has changed.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any
from zoneinfo import ZoneInfo

import structlog

from drivers.contract import Batch
from gateway.clock import Clock, wall_time, week_time
from gateway.config.model import Config
from gateway.config.units import convert
from gateway.diagnosis.causes import unknown
from gateway.diagnosis.contract import Change
from gateway.diagnosis.engine import Engine
from gateway.saved_state import Saved, Stamp, without_memory
from gateway.service.contract import Statement
from gateway.service.facts import HubFacts
from gateway.service.service import Service
from gateway.store import StoreError

log = structlog.get_logger("hub")


class Mind:
    """`engine` and `service` are others after `adopt`, and after a `resume` that failed."""

    def __init__(self, config: Config, clock: Clock) -> None:
        self._clock = clock
        self._begin(config)

    def _begin(self, config: Config) -> None:
        self._config = config
        self.engine = self._engine(config)
        self.service = self._service(config)

    # ------------------------------------------------------------ what happens

    @property
    def next_due(self) -> float:
        """When `tick` has something to do."""
        return min(self.engine.next_due, self.service.next_due)

    def feed(self, batch: Batch) -> Sequence[Statement]:
        """A device was read."""
        changes = self.engine.feed(batch)
        return self.service.take(changes) if changes else ()

    def tick(self, now: float) -> list[Statement]:
        """Time has passed."""
        changes = self.engine.tick(now)
        told = self.service.take(changes) if changes else []
        return [*told, *self.service.tick(now)]

    def note_deeds(self) -> list[Statement]:
        """Let the diagnosis know what the service has seen done; what is to be told of that."""
        return [statement for deed in self.service.deeds() for statement in self.service.take(self.engine.note(*deed))]

    # ------------------------------------------------------------ across a restart

    def state(self, all_of_it: bool) -> dict[str, Any]:
        """Everything that must survive, as plain data; of what is calm only if asked for."""
        return {**self.engine.state(history=False, calm=all_of_it), "service": self.service.memory()}

    def resume(self, load: Callable[[], Saved | None], forget: Callable[[], None]) -> list[Statement]:
        """Go on where the hub left off, if need be without what it had learnt; returns what is to be told of that.

        load: what was saved. forget: called when nothing of it can be used. What lies on a disk may be anything, and must not keep
        the hub from its work: hence the broad excepts.
        """
        try:
            saved = load()
            if saved is None:
                return []
            try:
                return self._go_on(saved.engine, saved.stamp)
            except Exception as error:  # noqa: BLE001
                self._begin_anew("what was learnt is lost", error)
                return self._go_on(without_memory(saved.engine), saved.stamp)
        except Exception as error:  # noqa: BLE001
            self._begin_anew("what was learnt is lost, and what was open is forgotten", error)
            with suppress(StoreError):  # a full disk
                forget()
            return []

    def _begin_anew(self, event: str, error: Exception) -> None:
        log.error(event, fault=f"the saved state cannot be read: {str(error) or repr(error)}")
        self._begin(self._config)

    def _go_on(self, state: Mapping[str, Any], stamp: Stamp) -> list[Statement]:
        shift, off = stamp.until(Stamp.now(self._clock))
        changes = self.engine.restore(state, shift=shift, off=off)
        told = self.service.recall(state["service"], shift, self._clock.now(), off)
        log.info("goes on where it left off", off=f"{off:.0f} s", open_episodes=len(self.engine.open_episodes()))
        return [*told, *self.service.take(changes)]

    # ------------------------------------------------------------ another config

    def adopt(self, config: Config) -> list[Statement]:
        """Go by another config from now on; returns what is to be told of that."""
        ended: Sequence[Change] = ()
        if _for_engine(self._config) != _for_engine(config):
            engine = self._engine(config)
            ended = engine.adopt(self.engine)
            self.engine = engine
        known, self._config = self.service.memory(), config
        self.service = self._service(config)
        told = self.service.recall(known, 0.0, self._clock.now())
        return [*told, *self.service.take(ended)]

    def _engine(self, config: Config) -> Engine:
        zone = ZoneInfo(config.hub.time_zone)
        surroundings = config.surroundings(wall_time(self._clock, zone))
        return Engine(config.rules, config.points(), convert, self._clock.now(), week_time(self._clock, zone), surroundings)

    def _service(self, config: Config) -> Service:
        return Service(config, HubFacts(config, self.engine, self._clock))


def _for_engine(config: Config) -> tuple[object, ...]:
    """What the engine is built from."""
    return config.points(), config.rules, config.surroundings(unknown), config.hub.time_zone
