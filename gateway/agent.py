"""The hub at work: the task tree, built once and torn down on one path.

Data goes one way: pollers -> engine -> clerk (case, owner, outbox) -> uplink. Every task belongs to the one group in `Hub.run`, so
that Ctrl-C, SIGTERM and a crash unwind through the same lines. A reload swaps the parts that the new config touches and leaves the
others running.
"""

import asyncio
import random
import signal
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol, TypeVar

import structlog

import drivers
from drivers.contract import Batch
from gateway import __version__, moments
from gateway.acting import SWITCHING_ON
from gateway.clerk import Clerk
from gateway.clock import Clock, SystemClock
from gateway.commands import Commands
from gateway.config import ConfigError
from gateway.config.model import Config
from gateway.control import Control
from gateway.diagnosis.engine import Engine
from gateway.downlink import Downlink
from gateway.fetched import in_force
from gateway.filing import Filing
from gateway.hands import Hands
from gateway.health import LOOK, Health
from gateway.hub_commands import HubCommands
from gateway.lifetime import is_first_since_boot
from gateway.mind import Mind
from gateway.polling import Poller, Schedule
from gateway.privacy_commands import PrivacyCommands
from gateway.remedy_commands import RemedyCommands
from gateway.service import asked
from gateway.service.contract import Statement
from gateway.service.desk import Desk
from gateway.service.privacy import Privacy
from gateway.service.service import Service
from gateway.store import Store
from gateway.trial import Trial
from gateway.uplink import Uplink
from gateway.views import Views
from gateway.watchdog import Notifier, Pulse
from gateway.wear import Wear

log = structlog.get_logger("hub")

Result = TypeVar("Result")

STORE = "canary.db"
FAREWELL = 2.0  # s that the uplink has at the end to send what is there and to say goodbye
STOP = SWITCHING_ON + 15.0  # s that a stop may take: what is off is switched on, then the rest. The unit gives it as long
ALARMS = 60.0  # s at most between two looks at the engine's deadlines


class Audience(Protocol):
    """Somebody who watches the hub at work: the demo's view."""

    def batch(self, batch: Batch) -> None:
        """A device was read."""

    def moment(self, moment: moments.Moment) -> None:
        """A moment was made and is safe in the outbox."""


class Hub:
    """One config at work on one store. Made and run inside an event loop."""

    def __init__(self, config: Config, clock: Clock, store: Store, audience: Audience | None = None) -> None:
        self.config = config
        self._clock = clock
        self._audience = audience
        self.pulse = Pulse()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store")
        self._store = store
        self.clerk = Clerk(config, store, clock)
        self.outbox = self.clerk.outbox
        self.mind = Mind(config, clock)
        self._boots = is_first_since_boot(store, clock)
        self.wear = Wear(store, clock.now)
        desk = Desk(config, store, clock, self.facts)
        store.keep_damaged()
        self.hands = Hands(self, clock)
        self.filing = Filing(
            store,
            clock,
            self._thread,
            self.clerk,
            desk,
            state=self.mind.state,
            filed=self._filed,
            ordered=self.hands.ordered,
            carry_out=self.hands.carry_out,
        )
        self.commands = Commands()
        HubCommands(self, clock).offer(self.commands)
        PrivacyCommands(self).offer(self.commands)
        asked.offer(self.commands, self, clock)
        RemedyCommands(self, clock).offer(self.commands)
        self.pollers: dict[str, Poller] = {}
        self._pace: Mapping[str, float] = {}  # devices that are read faster for a while
        self.tell(self.mind.resume(self.filing.saved.load, desk.forget))
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._mail = asyncio.Event()  # there are moments for the uplink
        self._swapping = asyncio.Lock()  # held while another config is put to work
        self._is_over = False
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_at = float("inf")

    @property
    def engine(self) -> Engine:
        """The diagnosis at work."""
        return self.mind.engine

    @property
    def service(self) -> Service:
        """The service at work."""
        return self.mind.service

    # ------------------------------------------------------------ the tree

    async def run(self, stop: asyncio.Event, notifier: Notifier) -> None:
        """Work until `stop` is set; then put everything away."""
        try:
            async with asyncio.TaskGroup() as self._tree:
                self._start("clerk", self.filing.run())
                self._start("saving", self.filing.run_saving(self.pulse))
                self._start("watchdog", self._feed_watchdog(notifier))
                self._start_uplink()
                self._start("health", self._watch_health())
                for bus in self.config.buses:
                    self._start_poller(bus)
                self._set_alarm()
                notifier.tell("READY=1", self.status())
                log.info("at work", hub=self.config.hub.id, devices=len(self.config.devices), rules=len(self.config.rules))
                await stop.wait()
                notifier.tell("STOPPING=1")
                await self._put_away()
        finally:
            self._thread.shutdown()

    async def _put_away(self) -> None:
        """In the order in which data flows, so that nothing is left between two places."""
        if "downlink" in self._tasks:
            await self._end("downlink")
        async with self._swapping:
            self._is_over = True
        await self.hands.break_off()
        for bus in list(self.pollers):
            await self._end(f"bus:{bus}")
        await self._end("health")
        if self._alarm:
            self._alarm.cancel()
        await self._end("saving")
        await self.filing.put_away(lambda: self._end("clerk"))
        if "uplink" in self._tasks:
            try:
                async with asyncio.timeout(FAREWELL):
                    while self._uplink.online and (await self.ask(self.outbox.stats)).rows:  # noqa: ASYNC110
                        await asyncio.sleep(0.05)  # the uplink tells nobody when it is done: this is the only one who asks
            except TimeoutError:
                log.info("some moments stay for the next start")
            await self._end("uplink")
        await self._end("watchdog")

    async def ask(self, question: Callable[[], Result]) -> Result:
        """What a question to the store gives; it is asked in the one thread that may."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, question)

    def begin(self, name: str, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Start a task of the tree."""
        return self._tree.create_task(work, name=name)

    def _start(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        self._tasks[name] = self.begin(name, work)

    async def _end(self, name: str) -> None:
        task = self._tasks.pop(name)
        while not task.done():  # a library may lose a cancellation (asyncio.wait_for before Python 3.12 does): ask again
            task.cancel()
            await asyncio.wait([task], timeout=1.0)
        self.pulse.forget(name)

    def _start_poller(self, name: str) -> None:
        bus = self.config.buses[name]
        driver = drivers.load(bus.common.driver)
        schedules = {spec.name: Schedule(self.config.devices[spec.name].common.every, spec.timeout) for spec in bus.spec.devices}
        opened = driver.open(bus.spec, lambda who, text: log.warning(text, who=who))
        self.pollers[name] = poller = Poller(name, opened, schedules, self._clock, self._deliver, self.pulse)
        poller.hurry(self._pace)
        self._start(f"bus:{name}", poller.run())

    def _start_uplink(self) -> None:
        if self.config.uplink is None:
            log.warning("no uplink: moments stay on the hub", hint="add [uplink] to the config")
            return
        self._uplink = Uplink(
            self.config.uplink,
            self.config.hub.id,
            self._clock,
            random=random.random,
            vitals=self.vitals,
            account=lambda: self.clerk.account(self.filing.desk),
            leaving=self.clerk.leaving,
            downlink=self._start_downlink(),
            together=self._boots,
            pulse=self.pulse,
        )
        self._boots = False
        self._start("uplink", self._uplink.run(self.outbox, self._thread, self._mail))

    def _start_downlink(self) -> Downlink | None:
        keys = self.config.downlink
        if not keys.enabled:
            return None
        if "downlink" not in self._tasks:
            self._downlink = Downlink(
                self.config.hub.id, keys, self._clock, self.commands, store=self._store, thread=self._thread, wake=self._mail
            )
            self._start("downlink", self._downlink.run(lambda work, name: self._tree.create_task(work, name=name)))
        self._downlink.adopt(keys)
        return self._downlink

    async def _watch_health(self) -> None:
        """Read the hub's own parts as if it were a device."""
        health = Health(self._clock, self._store.path.parent, self.is_online)
        while True:
            batch = health.look()
            if batch is not None:
                self._deliver(batch)
            self.pulse.expect("health", self._clock.now() + LOOK)
            await asyncio.sleep(LOOK)

    def is_online(self) -> bool | None:
        """Whether the broker is reached; None where there is no uplink."""
        return self._uplink.online if "uplink" in self._tasks else None

    # ------------------------------------------------------------ from a batch to a moment

    def _deliver(self, batch: Batch) -> None:
        if statements := self.mind.feed(batch):
            self.tell(statements)
        if self.mind.next_due < self._alarm_at:
            self._set_alarm()
        if self._audience:
            self._audience.batch(batch)

    def _set_alarm(self) -> None:
        """One timer for all deadlines of all rules."""
        if self._alarm:
            self._alarm.cancel()
        wait = min(max(self.mind.next_due - self._clock.now(), 0.0), ALARMS)
        self._alarm_at = self._clock.now() + wait
        self._alarm = asyncio.get_running_loop().call_later(wait, self.look)
        self.pulse.expect("alarm", self._alarm_at)

    def look(self) -> None:
        """Do what is due."""
        statements = self.mind.tick(self._clock.now())
        if statements or self.hands.ordered():
            self.tell(statements)
        self.filing.look()
        self._set_alarm()

    def tell(self, statements: Sequence[Statement]) -> None:
        """Let these be told, and what the service has noted be kept."""
        self.filing.tell(statements)
        self.hands.stop_harm()
        if more := self.mind.note_deeds():
            self.tell(more)
        self._keep_pace()

    def _keep_pace(self) -> None:
        """Have the devices that a visit is about read faster."""
        if (pace := self.service.visits.pace()) != self._pace:
            self._pace = pace
            for poller in self.pollers.values():
                poller.hurry(pace)

    async def told(self, statements: Sequence[Statement]) -> None:
        """Let these be told, and return when they and what the service has noted are stored. Raises StoreError."""
        self.tell(statements)
        await self.filing.file()

    def _filed(self, made: Sequence[moments.Moment]) -> None:
        self._mail.set()
        for moment in made:
            log.info("moment", says=moment.data.says, phase=moment.data.phase.value, case=moment.data.case)
            if self._audience:
                self._audience.moment(moment)

    # ------------------------------------------------------------ facts about the hub

    def status(self) -> str:
        """What `systemctl status` shows."""
        return f"STATUS=devices: {len(self.config.devices)}, rules: {len(self.config.rules)}"

    def facts(self) -> moments.Hub:
        """What every moment says of the hub."""
        if self._clock.synced():
            return moments.Hub(clock="synced", version=__version__)
        return moments.Hub(clock="unsynced", version=__version__, timeline=self._clock.timeline)

    def devices(self) -> dict[str, str]:
        """How the hub gets on with each device."""
        return {device: state for poller in self.pollers.values() for device, state in poller.states().items()}

    def case_numbers(self) -> Mapping[str, str]:
        """From the key of each case to its number; a question to the store."""
        return self.filing.desk.numbers()

    @property
    def privacy(self) -> Privacy:
        """What may leave, by the config and the consent in force."""
        return self.clerk.privacy

    def vitals(self) -> Mapping[str, Any]:
        """Vital figures for the cloud."""
        states = list(self.devices().values())
        worn = self.wear.day()
        return {
            "version": __version__,
            "clock": self.facts().clock,
            "config": self.config.digest,
            "devices": {state: states.count(state) for state in sorted(set(states)) if state},
            "wear": worn._asdict() if worn else None,
        }

    def hung(self) -> list[str]:
        """Tasks that have not shown up for too long."""
        return self.pulse.overdue(self._clock.now())

    async def _feed_watchdog(self, notifier: Notifier) -> None:
        """Say that the hub is alive, as long as every task keeps its promise to show up again."""
        hung: list[str] = []
        while True:
            overdue = self.hung()
            if overdue and overdue != hung:
                log.error("hangs", tasks=", ".join(overdue))
            elif not overdue:
                notifier.tell("WATCHDOG=1")
            hung = overdue
            await asyncio.sleep(notifier.watchdog_s / 3 or ALARMS)

    # ------------------------------------------------------------ another config

    async def reload(self, config: Config, instead_of: Config | None = None) -> bool:
        """Put a new config to work; only what it changes is restarted. Once begun it comes to its end, whoever is cancelled.

        instead_of: only if this one is in force when it is its turn; returns whether it was.
        """
        return await asyncio.shield(self._tree.create_task(self._reload(config, instead_of), name="reloading"))

    async def _reload(self, config: Config, instead_of: Config | None) -> bool:
        async with self._swapping:
            if self._is_over or (instead_of is not None and instead_of is not self.config):
                return False
            await self._swap(config)
            return True

    async def _swap(self, config: Config) -> None:
        if (config.hub.id, config.hub.state) != (self.config.hub.id, self.config.hub.state):
            log.error("config not reloaded, the old one stays in force", hint="a new [hub] id or state needs a restart")
            return
        await self.hands.break_off()
        old, self.config = self.config, config
        for name in list(self.pollers):
            if not _same_bus(old, config, name):
                await self._end(f"bus:{name}")
                del self.pollers[name]
        self.tell(self.mind.adopt(config))
        self.filing.desk = Desk(config, self._store, self._clock, self.facts)
        self.clerk.adopt(config)
        if (old.uplink, old.downlink) != (config.uplink, config.downlink):
            if old.uplink:
                await self._end("uplink")
            if "downlink" in self._tasks and not (config.uplink and config.downlink.enabled):
                await self._end("downlink")
            self._start_uplink()
        for name in config.buses:
            if name not in self.pollers:
                self._start_poller(name)
        self.hands.resume()
        self._set_alarm()
        log.info("config reloaded", devices=len(config.devices), rules=len(config.rules))


def _same_bus(old: Config, new: Config, name: str) -> bool:
    """Whether a poller can go on as it is."""
    if old.buses.get(name) != new.buses.get(name):
        return False
    return all(old.devices[spec.name].common.every == new.devices[spec.name].common.every for spec in new.buses[name].spec.devices)


async def serve(path: Path) -> None:
    """Run the hub of a config file until SIGTERM or SIGINT. Raises ConfigError and StoreError when it cannot start."""
    clock = SystemClock()
    config = in_force(path)
    notifier = Notifier()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    with Store.open(Path(config.hub.state) / STORE) as store:
        if store.set_aside:
            log.error("the store was damaged", fault=store.set_aside)
        hub = Hub(config, clock, store)
        Trial(hub, path).offer(hub.commands)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        reloading = asyncio.Event()
        loop.add_signal_handler(signal.SIGHUP, reloading.set)
        control = Control(Path(config.hub.state), Views(hub, clock).by_name(), hub.commands)
        async with control, asyncio.TaskGroup() as group:
            reloader = group.create_task(_reload_on(reloading, hub, path, notifier), name="reload")
            await hub.run(stop, notifier)
            reloader.cancel()
    log.info("ended")


async def _reload_on(asked: asyncio.Event, hub: Hub, path: Path, notifier: Notifier) -> None:
    while True:
        await asked.wait()
        asked.clear()
        notifier.tell("RELOADING=1")
        try:
            await hub.reload(await asyncio.to_thread(in_force, path))
        except ConfigError as error:
            log.error("config not reloaded, the old one stays in force", mistakes=error)
        notifier.tell("READY=1", hub.status())
